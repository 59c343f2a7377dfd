/* Layout while it is built, on one tmpfs (so that one size limit covers all) or, for a
 * kept sandbox, in its directory:
 *   /tmp/root     bound onto itself: the sandbox's root
 *   /tmp/layers   what overlays are made of; unreachable after pivot_root
 * Sources are cloned before anything is mounted, because mounting over /tmp could hide
 * one. */
#include "sandbox/guest/mounts.h"
#include "base/fd.h"
#include "base/str.h"
#include "sandbox/guest/etc.h"
#include "sandbox/guest/inside.h"
#include "sandbox/guest/protocol.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* glibc's <sys/mount.h> clashes with <linux/mount.h>. */
int mount(const char *source, const char *target, const char *type, unsigned long flags,
          const void *data);
int umount2(const char *target, int flags);
enum { MNT_DETACH_FLAG = 2 };

#define ROOT "/tmp/root"
#define LAYERS "/tmp/layers"
#define STORE "store"
#define IMAGE "image"
#define SAFE (MS_NOSUID | MS_NODEV)

struct program {
    struct plan plan;
    int cloned[PLAN_STEPS_MAX]; /* descriptor of the source of a bind, -1: absent */
};

static int open_tree(const char *path, unsigned flags)
{
    return (int)syscall(SYS_open_tree, AT_FDCWD, path,
                        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | flags);
}

static int attach(int tree, const char *target)
{
    return (int)syscall(SYS_move_mount, tree, "", AT_FDCWD, target,
                        MOVE_MOUNT_F_EMPTY_PATH);
}

static int set_attributes(int tree, uint64_t attributes)
{
    struct mount_attr attr = {.attr_set = attributes};
    return (int)syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE,
                        &attr, sizeof attr);
}

static void clone_sources(struct program *p)
{
    for (int i = 0; i < p->plan.count; i++) {
        const struct plan_step *s = &p->plan.step[i];
        bool wanted =
            s->op == PLAN_BIND || s->op == PLAN_BIND_RW || s->op == PLAN_DEVICE;
        p->cloned[i] = wanted ? open_tree(s->source, AT_SYMLINK_NOFOLLOW) : -1;
    }
}

/* Attaches a tree at what is behind fd, and closes that. */
static int attach_to(int tree, int fd)
{
    int rc = fd < 0 ? -1
                    : (int)syscall(SYS_move_mount, tree, "", fd, "",
                                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    int saved = errno;
    fd_close(&fd);
    errno = saved;
    return rc;
}

/* mount(2) at what is behind fd, which is closed. */
static int mount_at(const char *source, int fd, const char *type, unsigned long flags,
                    const char *data)
{
    int rc = fd < 0 ? -1 : mount(source, inside_path(fd).text, type, flags, data);
    int saved = errno;
    fd_close(&fd);
    errno = saved;
    return rc;
}

/* A file to be mounted over. */
static int make_file(const char *target)
{
    const char *name;
    int parent = inside_parent(target, &name);
    int fd = parent < 0 ? -1
                        : openat(parent, name,
                                 O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    fd_close(&fd);
    fd_close(&parent);
    return inside_find(target);
}

static int do_bind(const struct plan_step *s, int tree)
{
    uint64_t attributes = MOUNT_ATTR_NOSUID;
    if (tree < 0) {
        errno = ENOENT;
        return -1;
    }
    if (s->op == PLAN_DEVICE)
        attributes |= MOUNT_ATTR_NOEXEC;
    else
        attributes |= MOUNT_ATTR_NODEV | (s->op == PLAN_BIND ? MOUNT_ATTR_RDONLY : 0);
    if (set_attributes(tree, attributes) < 0)
        return -1;
    return attach_to(tree, s->op == PLAN_DEVICE ? make_file(s->target)
                                                : inside_dir(s->target, 0755));
}

/* One that is there, of an earlier run, is fine. */
static int do_link(const char *text, const char *target)
{
    const char *name;
    int parent = inside_parent(target, &name);
    int rc = parent < 0 ? -1 : symlinkat(text, parent, name);
    rc = rc < 0 && errno == EEXIST ? 0 : rc;
    int saved = errno;
    fd_close(&parent);
    errno = saved;
    return rc;
}

static int do_host_link(const struct plan_step *s)
{
    char text[PATH_MAX];
    ssize_t n = readlink(s->source, text, sizeof text - 1);
    if (n > 0) {
        text[n] = '\0';
        return do_link(text, s->target);
    }
    struct plan_step bind = {.op = PLAN_BIND, .source = s->source, .target = s->target};
    int tree = open_tree(s->source, 0);
    int rc = do_bind(&bind, tree);
    fd_close(&tree);
    return rc;
}

static int make_layer(const char *path)
{
    return mkdir(path, 0755) < 0 && errno != EEXIST ? -1 : 0;
}

/* Mount options of an overlay; what does not fit shows as overflow. */
struct overlay {
    char text[4000];
    size_t n;
};

static void overlay_add(struct overlay *o, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void overlay_add(struct overlay *o, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(o->text + o->n, sizeof o->text - o->n, fmt, ap);
    va_end(ap);
    o->n += n > 0 ? (size_t)n : 0;
    if (o->n >= sizeof o->text)
        o->n = sizeof o->text - 1;
}

/* lowerdir=: `below` of each snapshot that has it, relative to LAYERS, then `last`. */
static void overlay_lowers(struct overlay *o, const char *names, const char *below,
                           const char *last)
{
    const char *separator = "";
    overlay_add(o, "lowerdir=");
    while (*names) {
        char path[200];
        struct stat st;
        size_t n = strcspn(names, " ");
        snprintf(path, sizeof path, STORE "/%.*s/files/%s", (int)n, names, below);
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
            overlay_add(o, "%s%s", separator, path);
            separator = ":";
        }
        names += n + (names[n] == ' ');
    }
    if (last)
        overlay_add(o, "%s%s", separator, last);
}

static int overlay_mount(struct overlay *o, const char *upper, const char *work, int at)
{
    overlay_add(o, ",upperdir=%s,workdir=%s,userxattr", upper, work);
    if (o->n == sizeof o->text - 1) {
        fd_close(&at);
        errno = E2BIG;
        return -1;
    }
    return mount_at("overlay", at, "overlay", SAFE, o->text);
}

/* lower: the snapshots' layers, then the prepared tree; upper and work beside the root.
 */
static int do_overlay(const struct mount_plan *plan, const struct plan_step *s)
{
    char lower[32], upper[64], work[64], name[32];
    struct overlay o = {.n = 0};
    snprintf(lower, sizeof lower, LAYERS "/%lu", s->flags);
    snprintf(upper, sizeof upper, "%s-upper", lower);
    snprintf(work, sizeof work, "%s-work", lower);
    snprintf(name, sizeof name, "layers/%lu-upper", s->flags);
    if (make_layer(lower) < 0 || make_layer(upper) < 0 || make_layer(work) < 0 ||
        attach(plan->tree[s->flags], lower) < 0 || chdir(LAYERS) < 0)
        return -1;
    /* What has changed of a workspace is the sandbox's alone, not its snapshots'. */
    overlay_lowers(&o, s->flags == TREE_WORKSPACE ? "" : plan->lowers, name, lower);
    return overlay_mount(&o, upper, work, inside_dir(s->target, 0755));
}

static int attach_layer(int tree, const char *at)
{
    return tree < 0 ||
                   set_attributes(tree, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                            MOUNT_ATTR_NODEV) < 0 ||
                   make_layer(at) < 0 || attach(tree, at) < 0
               ? -1
               : 0;
}

/* The root itself over the snapshots and the image. */
static int root_overlay(const struct mount_plan *plan, const char **ret_step)
{
    struct overlay o = {.n = 0};
    bool image = plan->image[0];
    *ret_step = "snapshots";
    if (plan->lowers[0] &&
        attach_layer(plan->tree[TREE_SNAPSHOTS], LAYERS "/" STORE) < 0)
        return -1;
    *ret_step = "image";
    if (image && attach_layer(plan->tree[TREE_IMAGE], LAYERS "/" IMAGE) < 0)
        return -1;
    *ret_step = image ? "root over the image" : "root over snapshots";
    if (make_layer(LAYERS "/root-work") < 0 || chdir(LAYERS) < 0)
        return -1;
    overlay_lowers(&o, plan->lowers, "root", image ? IMAGE : NULL);
    return overlay_mount(&o, ROOT, LAYERS "/root-work",
                         open(ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC));
}

static int set_readonly(int fd, unsigned recursive)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    return (int)syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | recursive, &attr,
                        sizeof attr);
}

/* A mount point changes; anything else becomes one. */
static int do_readonly(const char *target, unsigned recursive)
{
    int fd = inside_find(target);
    if (fd < 0 || set_readonly(fd, recursive) == 0) {
        int rc = fd < 0 ? -1 : 0;
        fd_close(&fd);
        return rc;
    }
    int tree = (int)syscall(SYS_open_tree, fd, "",
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH |
                                AT_RECURSIVE);
    int rc = tree < 0 ? -1 : set_attributes(tree, MOUNT_ATTR_RDONLY);
    if (rc == 0)
        rc = attach_to(tree, fd);
    else
        fd_close(&fd);
    fd_close(&tree);
    return rc;
}

static int do_cover(const char *target)
{
    struct stat st;
    int fd = inside_find(target);
    if (fd < 0 || fstat(fd, &st) < 0) {
        fd_close(&fd);
        return -1;
    }
    if (S_ISDIR(st.st_mode))
        return mount_at("tmpfs", fd, "tmpfs", SAFE | MS_NOEXEC | MS_RDONLY,
                        "mode=555,size=4k,nr_inodes=2");
    return mount_at(ROOT "/dev/null", fd, NULL, MS_BIND, NULL);
}

static int do_write(const char *target, const char *text)
{
    const char *name;
    int parent = inside_parent(target, &name);
    int fd = parent < 0 ? -1 : openat(parent, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
    int saved = errno;
    fd_close(&fd);
    fd_close(&parent);
    errno = saved;
    return n < 0 ? -1 : 0;
}

static int do_tree(const struct plan_step *s, int tree)
{
    if (set_attributes(tree, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV) < 0)
        return -1;
    return attach_to(tree, inside_dir(s->target, 0755));
}

static int run_step(const struct mount_plan *plan, const struct plan_step *s,
                    int cloned)
{
    switch (s->op) {
    case PLAN_DIR:
        return inside_make_dir(s->target, (mode_t)s->flags);
    case PLAN_LINK:
        return do_link(s->source, s->target);
    case PLAN_HOSTLINK:
        return do_host_link(s);
    case PLAN_BIND:
    case PLAN_BIND_RW:
    case PLAN_DEVICE:
        return do_bind(s, cloned);
    case PLAN_TMPFS:
        return mount_at("tmpfs", inside_dir(s->target, 0755), "tmpfs", s->flags,
                        s->data);
    case PLAN_FS:
        return mount_at(s->source, inside_dir(s->target, 0755), s->source, s->flags,
                        s->data);
    case PLAN_TREE:
        return do_tree(s, plan->tree[s->flags]);
    case PLAN_OVERLAY:
        return do_overlay(plan, s);
    case PLAN_READONLY:
        return do_readonly(s->target, (unsigned)s->flags);
    case PLAN_COVER:
        return do_cover(s->target);
    case PLAN_WRITE:
        return do_write(s->target, s->data);
    }
    return -1;
}

static const char *op_name(enum plan_op op)
{
    static const char *const names[] = {
        "mkdir", "symlink",        "link",    "bind",      "bind",  "device", "tmpfs",
        "mount", "idmapped mount", "overlay", "read-only", "cover", "write"};
    return names[op];
}

/* Without the overlay the host's tree is bound read-only. */
static int without_overlay(const struct plan_step *s)
{
    struct plan_step bind = {.op = PLAN_BIND, .source = s->target, .target = s->target};
    int tree = open_tree(s->target, AT_SYMLINK_NOFOLLOW);
    int rc = do_bind(&bind, tree);
    fd_close(&tree);
    return rc;
}

static int run_program(struct program *p, const struct mount_plan *plan,
                       uint32_t *layers, const char **ret_step)
{
    static char text[128];
    for (int i = 0; i < p->plan.count; i++) {
        const struct plan_step *s = &p->plan.step[i];
        int rc = run_step(plan, s, p->cloned[i]);
        if (rc < 0 && s->op == PLAN_OVERLAY && s->optional)
            rc = without_overlay(s);
        else if (rc == 0 && s->op == PLAN_OVERLAY && s->flags == TREE_USR)
            *layers |= LAYER_OVERLAY;
        if (rc == 0 && s->op == PLAN_WRITE && s->flags == 1)
            *layers |= LAYER_PID_MAX;
        if (rc < 0 && !s->optional) {
            int saved = errno;
            snprintf(text, sizeof text, "%s %.90s", op_name(s->op), s->target);
            *ret_step = text;
            errno = saved;
            return -1;
        }
    }
    return 0;
}

/* What is kept of earlier runs, as trees; where they are not prepared, ours. */
static int open_kept(struct mount_plan *plan)
{
    int *workspace = &plan->tree[TREE_WORKSPACE];
    if (*workspace < 0 && plan->workspace_overlay)
        *workspace = open_tree(plan->workspace, AT_SYMLINK_NOFOLLOW);
    int *files = &plan->tree[TREE_FILES], *snapshots = &plan->tree[TREE_SNAPSHOTS];
    int *image = &plan->tree[TREE_IMAGE];
    if (*image < 0 && plan->image[0])
        *image = open_tree(plan->image, AT_SYMLINK_NOFOLLOW);
    if (*files < 0 && plan->files[0])
        *files = open_tree(plan->files, AT_SYMLINK_NOFOLLOW);
    if (*snapshots < 0 && plan->snapshots[0])
        *snapshots = open_tree(plan->snapshots, AT_SYMLINK_NOFOLLOW);
    return (plan->files[0] && *files < 0) || (plan->snapshots[0] && *snapshots < 0) ||
                   (plan->image[0] && *image < 0)
               ? -1
               : 0;
}

/* Nothing of the sandbox can reach these: pid 1 alone holds them. */
static void open_workspace_layers(struct mount_plan *plan)
{
    char path[64];
    snprintf(path, sizeof path, LAYERS "/%d", TREE_WORKSPACE);
    fd_close(&plan->tree[TREE_WORKSPACE]);
    plan->tree[TREE_WORKSPACE] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(path, sizeof path, LAYERS "/%d-upper", TREE_WORKSPACE);
    plan->workspace_upper = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int base_mounts(struct mount_plan *plan, const char **ret_step)
{
    int files = plan->tree[TREE_FILES];
    char options[96];
    snprintf(options, sizeof options, "mode=755,size=%llu,nr_inodes=%llu",
             (unsigned long long)plan->disk_bytes,
             (unsigned long long)plan->disk_inodes);
    *ret_step = "private mounts";
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    *ret_step = files >= 0 ? "files of the sandbox" : "root tmpfs";
    if (files >= 0 ? set_attributes(files, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV) < 0 ||
                         attach(files, "/tmp") < 0
                   : mount("tmpfs", "/tmp", "tmpfs", SAFE, options) < 0)
        return -1;
    if (make_layer(ROOT) < 0 || make_layer(LAYERS) < 0)
        return -1;
    /* Nothing of the sandbox can reach it: pid 1 alone holds it. */
    if (files < 0)
        plan->top = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (plan->lowers[0] || plan->image[0])
        return root_overlay(plan, ret_step);
    *ret_step = "bind of the root";
    return mount(ROOT, ROOT, NULL, MS_BIND, NULL);
}

static int enter(const char **ret_step)
{
    *ret_step = "pivot_root";
    if (chdir(ROOT) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH_FLAG) < 0)
        return -1;
    *ret_step = "chdir /workspace";
    return chdir("/workspace");
}

int mounts_execute(struct mount_plan *plan, uint32_t *ret_layers, const char **ret_step)
{
    static struct program program;
    struct program *p = &program;
    plan_make(&p->plan, plan);
    clone_sources(p);
    *ret_step = "kept files";
    if (open_kept(plan) < 0)
        return -1;
    umask(0);
    if (base_mounts(plan, ret_step) < 0)
        return -1;
    int root = open(ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC);
    inside_use(root);
    int rc = run_program(p, plan, ret_layers, ret_step);
    for (int i = 0; i < p->plan.count; i++)
        fd_close(&p->cloned[i]);
    if (rc < 0)
        return -1;
    fd_close(&plan->tree[TREE_FILES]);
    fd_close(&plan->tree[TREE_SNAPSHOTS]);
    fd_close(&plan->tree[TREE_IMAGE]);
    if (plan->workspace_overlay)
        open_workspace_layers(plan);
    *ret_step = "files of /etc";
    if (etc_write(plan->host_name, plan->image[0] != 0) < 0 || enter(ret_step) < 0)
        return -1;
    fd_close(&root);
    umask(022);
    *ret_layers |= LAYER_MOUNTNS | (plan->image[0] ? LAYER_OVERLAY : 0u);
    return 0;
}
