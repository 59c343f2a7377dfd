/* Layout while it is built, on one tmpfs (so that one size limit covers all):
 *   /tmp/root     bound onto itself: the sandbox's root
 *   /tmp/layers   what overlays are made of; unreachable after pivot_root
 * Sources are cloned before anything is mounted, because mounting over /tmp could hide
 * one. */
#include "sandbox/guest/mounts.h"
#include "base/fd.h"
#include "base/str.h"
#include "sandbox/guest/etc.h"
#include "sandbox/guest/protocol.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
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

/* mkdir -p of a path inside the root; the root itself is there. */
static void make_parents(const char *path)
{
    char dir[PATH_MAX];
    snprintf(dir, sizeof dir, "%s", path);
    for (char *p = dir + sizeof ROOT; (p = strchr(p, '/')); p++) {
        *p = '\0';
        mkdir(dir, 0755);
        *p = '/';
    }
}

static int do_bind(const struct plan_step *s, int tree, const char *target)
{
    uint64_t attributes = MOUNT_ATTR_NOSUID;
    if (tree < 0) {
        errno = ENOENT;
        return -1;
    }
    make_parents(target);
    if (s->op == PLAN_DEVICE) {
        int fd = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        fd_close(&fd);
        attributes |= MOUNT_ATTR_NOEXEC;
    } else {
        mkdir(target, 0755);
        attributes |= MOUNT_ATTR_NODEV | (s->op == PLAN_BIND ? MOUNT_ATTR_RDONLY : 0);
    }
    if (set_attributes(tree, attributes) < 0)
        return -1;
    return attach(tree, target);
}

static int do_host_link(const struct plan_step *s, const char *target)
{
    char text[PATH_MAX];
    ssize_t n = readlink(s->source, text, sizeof text - 1);
    if (n > 0) {
        text[n] = '\0';
        return symlink(text, target);
    }
    struct plan_step bind = {.op = PLAN_BIND, .source = s->source};
    int tree = open_tree(s->source, 0);
    int rc = do_bind(&bind, tree, target);
    fd_close(&tree);
    return rc;
}

/* lower: the prepared tree; upper and work on the root's own tmpfs. */
static int do_overlay(const struct plan_step *s, int tree, const char *target)
{
    char lower[32], upper[64], work[64], options[256];
    snprintf(lower, sizeof lower, LAYERS "/%lu", s->flags);
    snprintf(upper, sizeof upper, "%s-upper", lower);
    snprintf(work, sizeof work, "%s-work", lower);
    if (mkdir(lower, 0755) < 0 || mkdir(upper, 0755) < 0 || mkdir(work, 0755) < 0 ||
        attach(tree, lower) < 0)
        return -1;
    snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s,userxattr",
             lower, upper, work);
    make_parents(target);
    mkdir(target, 0755);
    return mount("overlay", target, "overlay", SAFE, options);
}

/* A mount point changes; anything else becomes one. */
static int do_readonly(const char *target, unsigned recursive)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    if (syscall(SYS_mount_setattr, AT_FDCWD, target, recursive, &attr, sizeof attr) ==
        0)
        return 0;
    int tree = open_tree(target, 0);
    int rc = tree < 0 ? -1 : set_attributes(tree, MOUNT_ATTR_RDONLY);
    if (rc == 0)
        rc = attach(tree, target);
    fd_close(&tree);
    return rc;
}

static int do_cover(const char *target)
{
    struct stat st;
    if (stat(target, &st) < 0)
        return -1;
    if (S_ISDIR(st.st_mode))
        return mount("tmpfs", target, "tmpfs", SAFE | MS_NOEXEC | MS_RDONLY,
                     "mode=555,size=4k,nr_inodes=2");
    return mount(ROOT "/dev/null", target, NULL, MS_BIND, NULL);
}

static int do_write(const char *target, const char *text)
{
    int fd = open(target, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
    int saved = errno;
    fd_close(&fd);
    errno = saved;
    return n < 0 ? -1 : 0;
}

static int run_step(const struct mount_plan *plan, const struct plan_step *s,
                    int cloned, const char *target)
{
    switch (s->op) {
    case PLAN_DIR:
        return mkdir(target, 0700) < 0 && errno != EEXIST
                   ? -1
                   : chmod(target, (mode_t)s->flags);
    case PLAN_LINK:
        return symlink(s->source, target);
    case PLAN_HOSTLINK:
        return do_host_link(s, target);
    case PLAN_BIND:
    case PLAN_BIND_RW:
    case PLAN_DEVICE:
        return do_bind(s, cloned, target);
    case PLAN_TMPFS:
        return mount("tmpfs", target, "tmpfs", s->flags, s->data);
    case PLAN_FS:
        return mount(s->source, target, s->source, s->flags, s->data);
    case PLAN_TREE:
        return set_attributes(plan->tree[s->flags],
                              MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV) < 0
                   ? -1
                   : attach(plan->tree[s->flags], target);
    case PLAN_OVERLAY:
        return do_overlay(s, plan->tree[s->flags], target);
    case PLAN_READONLY:
        return do_readonly(target, (unsigned)s->flags);
    case PLAN_COVER:
        return do_cover(target);
    case PLAN_WRITE:
        return do_write(target, s->data);
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
static int without_overlay(const struct plan_step *s, const char *target)
{
    struct plan_step bind = {.op = PLAN_BIND, .source = s->target};
    int tree = open_tree(s->target, AT_SYMLINK_NOFOLLOW);
    int rc = do_bind(&bind, tree, target);
    fd_close(&tree);
    return rc;
}

static int run_program(struct program *p, const struct mount_plan *plan,
                       uint32_t *layers, const char **ret_step)
{
    static char text[128];
    for (int i = 0; i < p->plan.count; i++) {
        const struct plan_step *s = &p->plan.step[i];
        char target[PATH_MAX];
        snprintf(target, sizeof target, ROOT "%s", s->target);
        int rc = run_step(plan, s, p->cloned[i], target);
        if (rc < 0 && s->op == PLAN_OVERLAY)
            rc = without_overlay(s, target);
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

static int base_mounts(const struct mount_plan *plan, const char **ret_step)
{
    char options[96];
    snprintf(options, sizeof options, "mode=755,size=%llu,nr_inodes=%llu",
             (unsigned long long)plan->disk_bytes,
             (unsigned long long)plan->disk_inodes);
    *ret_step = "private mounts";
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    *ret_step = "root tmpfs";
    if (mount("tmpfs", "/tmp", "tmpfs", SAFE, options) < 0 || mkdir(ROOT, 0755) < 0 ||
        mkdir(LAYERS, 0700) < 0)
        return -1;
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

int mounts_execute(const struct mount_plan *plan, uint32_t *ret_layers,
                   const char **ret_step)
{
    static struct program program;
    struct program *p = &program;
    plan_make(&p->plan, plan);
    etc_collect();
    clone_sources(p);
    if (base_mounts(plan, ret_step) < 0)
        return -1;
    umask(0);
    int rc = run_program(p, plan, ret_layers, ret_step);
    for (int i = 0; i < p->plan.count; i++)
        fd_close(&p->cloned[i]);
    if (rc < 0)
        return -1;
    *ret_step = "files of /etc";
    if (etc_write(ROOT, plan->host_name) < 0 || enter(ret_step) < 0)
        return -1;
    etc_finish();
    umask(022);
    *ret_layers |= LAYER_MOUNTNS;
    return 0;
}
