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

enum op {
    OP_DIR,      /* mode in flags */
    OP_LINK,     /* source: the link's text */
    OP_HOSTLINK, /* copy the host's symbolic link, or bind the directory read-only */
    OP_BIND,     /* source: a host path, read-only */
    OP_BIND_RW,
    OP_DEVICE,   /* bind of a device node */
    OP_TMPFS,    /* data: its options */
    OP_FS,       /* source: the type; data: options */
    OP_TREE,     /* a prepared tree: index in flags */
    OP_OVERLAY,  /* over a prepared tree: index in flags */
    OP_READONLY, /* what is here becomes read-only; flags: AT_RECURSIVE */
    OP_COVER,    /* hide: /dev/null over files, an empty directory over directories */
    OP_WRITE,    /* data into a /proc/sys file */
};

struct step {
    enum op op;
    const char *target; /* inside the root */
    const char *source;
    unsigned long flags;
    const char *data;
    bool optional; /* absent sources and old kernels do not matter */
};

static const struct step skeleton[] = {
    {OP_DIR, "/dev", NULL, 0755, NULL, false},
    {OP_DIR, "/etc", NULL, 0755, NULL, false},
    {OP_DIR, "/proc", NULL, 0555, NULL, false},
    {OP_DIR, "/tmp", NULL, 01777, NULL, false},
    {OP_DIR, "/var", NULL, 0755, NULL, false},
    {OP_DIR, "/var/tmp", NULL, 01777, NULL, false},
    {OP_DIR, "/var/log", NULL, 0755, NULL, false},
    {OP_DIR, "/var/lib", NULL, 0755, NULL, false},
    {OP_DIR, "/var/lib/dpkg", NULL, 0755, NULL, false},
    {OP_DIR, "/var/cache", NULL, 0755, NULL, false},
    {OP_DIR, "/var/spool", NULL, 0755, NULL, false},
    {OP_LINK, "/var/run", "/run", 0, NULL, false},
    {OP_DIR, "/run", NULL, 0755, NULL, false},
    {OP_DIR, "/run/lock", NULL, 01777, NULL, false},
    {OP_DIR, "/root", NULL, 0700, NULL, false},
    {OP_DIR, "/home", NULL, 0755, NULL, false},
    {OP_DIR, "/opt", NULL, 0755, NULL, false},
    {OP_DIR, "/srv", NULL, 0755, NULL, false},
    {OP_DIR, "/mnt", NULL, 0755, NULL, false},
    {OP_DIR, "/usr", NULL, 0755, NULL, false},
    {OP_DIR, "/workspace", NULL, 0755, NULL, false},
    {OP_HOSTLINK, "/bin", "/bin", 0, NULL, true},
    {OP_HOSTLINK, "/sbin", "/sbin", 0, NULL, true},
    {OP_HOSTLINK, "/lib", "/lib", 0, NULL, true},
    {OP_HOSTLINK, "/lib32", "/lib32", 0, NULL, true},
    {OP_HOSTLINK, "/lib64", "/lib64", 0, NULL, true},
    {OP_HOSTLINK, "/libx32", "/libx32", 0, NULL, true},
};

/* Directories of /etc that hold no secret and that programs look for. */
static const struct step etc_dirs[] = {
    {OP_BIND, "/etc/ssl/certs", "/etc/ssl/certs", 0, NULL, true},
    {OP_BIND, "/etc/fonts", "/etc/fonts", 0, NULL, true},
    {OP_BIND, "/etc/pam.d", "/etc/pam.d", 0, NULL, true},
    {OP_BIND, "/etc/terminfo", "/etc/terminfo", 0, NULL, true},
    {OP_BIND, "/etc/perl", "/etc/perl", 0, NULL, true},
    {OP_BIND, "/etc/python3", "/etc/python3", 0, NULL, true},
    {OP_BIND, "/etc/ld.so.conf.d", "/etc/ld.so.conf.d", 0, NULL, true},
    {OP_BIND, "/etc/java-17-openjdk", "/etc/java-17-openjdk", 0, NULL, true},
    {OP_BIND, "/etc/pki", "/etc/pki", 0, NULL, true},
};

static const struct step dev[] = {
    {OP_TMPFS, "/dev", NULL, MS_NOSUID | MS_NOEXEC, "mode=755,size=64k,nr_inodes=64",
     false},
    {OP_DEVICE, "/dev/null", "/dev/null", 0, NULL, false},
    {OP_DEVICE, "/dev/zero", "/dev/zero", 0, NULL, false},
    {OP_DEVICE, "/dev/full", "/dev/full", 0, NULL, false},
    {OP_DEVICE, "/dev/random", "/dev/random", 0, NULL, false},
    {OP_DEVICE, "/dev/urandom", "/dev/urandom", 0, NULL, false},
    {OP_DEVICE, "/dev/tty", "/dev/tty", 0, NULL, false},
    {OP_DIR, "/dev/pts", NULL, 0755, NULL, false},
    {OP_DIR, "/dev/shm", NULL, 01777, NULL, false},
    {OP_LINK, "/dev/ptmx", "pts/ptmx", 0, NULL, false},
    {OP_LINK, "/dev/fd", "/proc/self/fd", 0, NULL, false},
    {OP_LINK, "/dev/stdin", "/proc/self/fd/0", 0, NULL, false},
    {OP_LINK, "/dev/stdout", "/proc/self/fd/1", 0, NULL, false},
    {OP_LINK, "/dev/stderr", "/proc/self/fd/2", 0, NULL, false},
    {OP_TMPFS, "/dev/shm", NULL, SAFE, "mode=1777,size=64m,nr_inodes=4096", false},
    {OP_READONLY, "/dev", NULL, 0, NULL, false},
};

static const struct step proc_begin[] = {
    {OP_FS, "/proc", "proc", SAFE | MS_NOEXEC, NULL, false},
    {OP_WRITE, "/proc/sys/user/max_user_namespaces", NULL, 0, "0", true},
};

static const struct step proc_end[] = {
    {OP_READONLY, "/proc/sys", NULL, 0, NULL, false},
    {OP_READONLY, "/proc/irq", NULL, 0, NULL, true},
    {OP_READONLY, "/proc/bus", NULL, 0, NULL, true},
    {OP_READONLY, "/proc/fs", NULL, 0, NULL, true},
    {OP_COVER, "/proc/acpi", NULL, 0, NULL, true},
    {OP_COVER, "/proc/scsi", NULL, 0, NULL, true},
    {OP_COVER, "/proc/kcore", NULL, 0, NULL, true},
    {OP_COVER, "/proc/kmsg", NULL, 0, NULL, true},
    {OP_COVER, "/proc/keys", NULL, 0, NULL, true},
    {OP_COVER, "/proc/key-users", NULL, 0, NULL, true},
    {OP_COVER, "/proc/kallsyms", NULL, 0, NULL, true},
    {OP_COVER, "/proc/timer_list", NULL, 0, NULL, true},
    {OP_COVER, "/proc/sysrq-trigger", NULL, 0, NULL, true},
    {OP_COVER, "/proc/config.gz", NULL, 0, NULL, true},
    {OP_COVER, "/proc/latency_stats", NULL, 0, NULL, true},
    /* seen through a writable /usr, what only root may read would be root's here */
    {OP_COVER, "/usr/local/etc", NULL, 0, NULL, true},
};

enum { STEPS_MAX = 128 };

struct program {
    struct step step[STEPS_MAX];
    int cloned[STEPS_MAX]; /* descriptor of the source of an OP_BIND, -1: absent */
    int count;
    char pids[16], devpts[64];
};

static void add(struct program *p, struct step step)
{
    if (p->count < STEPS_MAX)
        p->step[p->count++] = step;
}

static void add_all(struct program *p, const struct step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add(p, steps[i]);
}

#define ADD_ALL(p, steps) add_all(p, steps, sizeof(steps) / sizeof((steps)[0]))

static void add_tree(struct program *p, const struct mount_plan *plan, int index,
                     const char *target, bool overlay)
{
    if (overlay && plan->tree[index] >= 0)
        add(p,
            (struct step){OP_OVERLAY, target, NULL, (unsigned long)index, NULL, true});
    else
        add(p, (struct step){OP_BIND, target, target, 0, NULL, index != TREE_USR});
}

static void add_directory(struct program *p, const struct mount_plan *plan, int index,
                          const char *target, const char *host)
{
    if (plan->tree[index] >= 0)
        add(p, (struct step){OP_TREE, target, NULL, (unsigned long)index, NULL, false});
    else if (host[0])
        add(p, (struct step){OP_BIND_RW, target, host, 0, NULL, false});
}

static void make_program(struct program *p, const struct mount_plan *plan)
{
    p->count = 0;
    snprintf(p->pids, sizeof p->pids, "%u", plan->pids < 301 ? 301 : plan->pids);
    snprintf(p->devpts, sizeof p->devpts, "newinstance,ptmxmode=0666,mode=0620%s",
             plan->id_range ? ",gid=5" : "");
    ADD_ALL(p, skeleton);
    add_tree(p, plan, TREE_USR, "/usr", true);
    add_tree(p, plan, TREE_DPKG, "/var/lib/dpkg", true);
    add_tree(p, plan, TREE_ALTERNATIVES, "/etc/alternatives", true);
    ADD_ALL(p, etc_dirs);
    ADD_ALL(p, dev);
    add(p, (struct step){OP_FS, "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, p->devpts,
                         false});
    ADD_ALL(p, proc_begin);
    add(p, (struct step){OP_WRITE, "/proc/sys/kernel/pid_max", NULL, 1, p->pids, true});
    ADD_ALL(p, proc_end);
    add_directory(p, plan, TREE_HOME, "/root", plan->home);
    add_directory(p, plan, TREE_WORKSPACE, "/workspace", plan->workspace);
    if (plan->workspace_readonly)
        add(p,
            (struct step){OP_READONLY, "/workspace", NULL, AT_RECURSIVE, NULL, false});
}

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
    for (int i = 0; i < p->count; i++) {
        const struct step *s = &p->step[i];
        bool wanted = s->op == OP_BIND || s->op == OP_BIND_RW || s->op == OP_DEVICE;
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

static int do_bind(const struct step *s, int tree, const char *target)
{
    uint64_t attributes = MOUNT_ATTR_NOSUID;
    if (tree < 0) {
        errno = ENOENT;
        return -1;
    }
    make_parents(target);
    if (s->op == OP_DEVICE) {
        int fd = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        fd_close(&fd);
        attributes |= MOUNT_ATTR_NOEXEC;
    } else {
        mkdir(target, 0755);
        attributes |= MOUNT_ATTR_NODEV | (s->op == OP_BIND ? MOUNT_ATTR_RDONLY : 0);
    }
    if (set_attributes(tree, attributes) < 0)
        return -1;
    return attach(tree, target);
}

static int do_host_link(const struct step *s, const char *target)
{
    char text[PATH_MAX];
    ssize_t n = readlink(s->source, text, sizeof text - 1);
    if (n > 0) {
        text[n] = '\0';
        return symlink(text, target);
    }
    struct step bind = {.op = OP_BIND, .source = s->source};
    int tree = open_tree(s->source, 0);
    int rc = do_bind(&bind, tree, target);
    fd_close(&tree);
    return rc;
}

/* lower: the prepared tree; upper and work on the root's own tmpfs. */
static int do_overlay(const struct step *s, int tree, const char *target)
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

static int run_step(const struct mount_plan *plan, const struct step *s, int cloned,
                    const char *target)
{
    switch (s->op) {
    case OP_DIR:
        return mkdir(target, 0700) < 0 && errno != EEXIST
                   ? -1
                   : chmod(target, (mode_t)s->flags);
    case OP_LINK:
        return symlink(s->source, target);
    case OP_HOSTLINK:
        return do_host_link(s, target);
    case OP_BIND:
    case OP_BIND_RW:
    case OP_DEVICE:
        return do_bind(s, cloned, target);
    case OP_TMPFS:
        return mount("tmpfs", target, "tmpfs", s->flags, s->data);
    case OP_FS:
        return mount(s->source, target, s->source, s->flags, s->data);
    case OP_TREE:
        return set_attributes(plan->tree[s->flags],
                              MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV) < 0
                   ? -1
                   : attach(plan->tree[s->flags], target);
    case OP_OVERLAY:
        return do_overlay(s, plan->tree[s->flags], target);
    case OP_READONLY:
        return do_readonly(target, (unsigned)s->flags);
    case OP_COVER:
        return do_cover(target);
    case OP_WRITE:
        return do_write(target, s->data);
    }
    return -1;
}

static const char *op_name(enum op op)
{
    static const char *const names[] = {
        "mkdir", "symlink",        "link",    "bind",      "bind",  "device", "tmpfs",
        "mount", "idmapped mount", "overlay", "read-only", "cover", "write"};
    return names[op];
}

/* Without the overlay the host's tree is bound read-only. */
static int without_overlay(const struct step *s, const char *target)
{
    struct step bind = {.op = OP_BIND, .source = s->target};
    int tree = open_tree(s->target, AT_SYMLINK_NOFOLLOW);
    int rc = do_bind(&bind, tree, target);
    fd_close(&tree);
    return rc;
}

static int run_program(struct program *p, const struct mount_plan *plan,
                       uint32_t *layers, const char **ret_step)
{
    static char text[128];
    for (int i = 0; i < p->count; i++) {
        const struct step *s = &p->step[i];
        char target[PATH_MAX];
        snprintf(target, sizeof target, ROOT "%s", s->target);
        int rc = run_step(plan, s, p->cloned[i], target);
        if (rc < 0 && s->op == OP_OVERLAY)
            rc = without_overlay(s, target);
        else if (rc == 0 && s->op == OP_OVERLAY && s->flags == TREE_USR)
            *layers |= LAYER_OVERLAY;
        if (rc == 0 && s->op == OP_WRITE && s->flags == 1)
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
    make_program(p, plan);
    etc_collect();
    clone_sources(p);
    if (base_mounts(plan, ret_step) < 0)
        return -1;
    umask(0);
    int rc = run_program(p, plan, ret_layers, ret_step);
    for (int i = 0; i < p->count; i++)
        fd_close(&p->cloned[i]);
    if (rc < 0)
        return -1;
    *ret_step = "files of /etc";
    if (etc_write(ROOT, plan->host_name) < 0 || enter(ret_step) < 0)
        return -1;
    umask(022);
    *ret_layers |= LAYER_MOUNTNS;
    return 0;
}
