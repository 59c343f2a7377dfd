#include "sandbox/guest/plan.h"
#include <assert.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>

#define SAFE (MS_NOSUID | MS_NODEV)

static const struct plan_step skeleton[] = {
    {PLAN_DIR, "/dev", NULL, 0755, NULL, false},
    {PLAN_DIR, "/etc", NULL, 0755, NULL, false},
    {PLAN_DIR, "/proc", NULL, 0555, NULL, false},
    {PLAN_DIR, "/tmp", NULL, 01777, NULL, false},
    {PLAN_DIR, "/var", NULL, 0755, NULL, false},
    {PLAN_DIR, "/var/tmp", NULL, 01777, NULL, false},
    {PLAN_DIR, "/var/log", NULL, 0755, NULL, false},
    {PLAN_DIR, "/var/lib", NULL, 0755, NULL, false},
    {PLAN_DIR, "/var/lib/dpkg", NULL, 0755, NULL, false},
    {PLAN_DIR, "/var/cache", NULL, 0755, NULL, false},
    {PLAN_DIR, "/var/spool", NULL, 0755, NULL, false},
    {PLAN_LINK, "/var/run", "/run", 0, NULL, false},
    {PLAN_DIR, "/run", NULL, 0755, NULL, false},
    {PLAN_DIR, "/run/lock", NULL, 01777, NULL, false},
    {PLAN_DIR, "/root", NULL, 0700, NULL, false},
    {PLAN_DIR, "/home", NULL, 0755, NULL, false},
    {PLAN_DIR, "/opt", NULL, 0755, NULL, false},
    {PLAN_DIR, "/srv", NULL, 0755, NULL, false},
    {PLAN_DIR, "/mnt", NULL, 0755, NULL, false},
    {PLAN_DIR, "/usr", NULL, 0755, NULL, false},
    {PLAN_DIR, "/workspace", NULL, 0755, NULL, false},
    {PLAN_HOSTLINK, "/bin", "/bin", 0, NULL, true},
    {PLAN_HOSTLINK, "/sbin", "/sbin", 0, NULL, true},
    {PLAN_HOSTLINK, "/lib", "/lib", 0, NULL, true},
    {PLAN_HOSTLINK, "/lib32", "/lib32", 0, NULL, true},
    {PLAN_HOSTLINK, "/lib64", "/lib64", 0, NULL, true},
    {PLAN_HOSTLINK, "/libx32", "/libx32", 0, NULL, true},
};

/* Over an image, which has the rest. */
static const struct plan_step image_skeleton[] = {
    {PLAN_DIR, "/dev", NULL, 0755, NULL, false},
    {PLAN_DIR, "/etc", NULL, 0755, NULL, false},
    {PLAN_DIR, "/proc", NULL, 0555, NULL, false},
    {PLAN_DIR, "/tmp", NULL, 01777, NULL, false},
    {PLAN_DIR, "/run", NULL, 0755, NULL, false},
    {PLAN_DIR, "/root", NULL, 0700, NULL, false},
    {PLAN_DIR, "/var", NULL, 0755, NULL, false},
    {PLAN_DIR, "/workspace", NULL, 0755, NULL, false},
};

/* What belongs to one run only, where the rest is kept. */
static const struct plan_step fresh[] = {
    {PLAN_TMPFS, "/run", NULL, SAFE, "mode=755,size=16m,nr_inodes=4096", false},
    {PLAN_DIR, "/run/lock", NULL, 01777, NULL, false},
};

/* Directories of /etc that hold no secret and that programs look for. */
static const struct plan_step etc_dirs[] = {
    {PLAN_BIND, "/etc/ssl/certs", "/etc/ssl/certs", 0, NULL, true},
    {PLAN_BIND, "/etc/fonts", "/etc/fonts", 0, NULL, true},
    {PLAN_BIND, "/etc/pam.d", "/etc/pam.d", 0, NULL, true},
    {PLAN_BIND, "/etc/terminfo", "/etc/terminfo", 0, NULL, true},
    {PLAN_BIND, "/etc/perl", "/etc/perl", 0, NULL, true},
    {PLAN_BIND, "/etc/python3", "/etc/python3", 0, NULL, true},
    {PLAN_BIND, "/etc/ld.so.conf.d", "/etc/ld.so.conf.d", 0, NULL, true},
    {PLAN_BIND, "/etc/java-17-openjdk", "/etc/java-17-openjdk", 0, NULL, true},
    {PLAN_BIND, "/etc/apt/trusted.gpg.d", "/etc/apt/trusted.gpg.d", 0, NULL, true},
    {PLAN_BIND, "/etc/apt/keyrings", "/etc/apt/keyrings", 0, NULL, true},
    {PLAN_BIND, "/etc/apt/preferences.d", "/etc/apt/preferences.d", 0, NULL, true},
    {PLAN_BIND, "/etc/pki", "/etc/pki", 0, NULL, true},
};

static const struct plan_step dev[] = {
    {PLAN_TMPFS, "/dev", NULL, MS_NOSUID | MS_NOEXEC, "mode=755,size=64k,nr_inodes=64",
     false},
    {PLAN_DEVICE, "/dev/null", "/dev/null", 0, NULL, false},
    {PLAN_DEVICE, "/dev/zero", "/dev/zero", 0, NULL, false},
    {PLAN_DEVICE, "/dev/full", "/dev/full", 0, NULL, false},
    {PLAN_DEVICE, "/dev/random", "/dev/random", 0, NULL, false},
    {PLAN_DEVICE, "/dev/urandom", "/dev/urandom", 0, NULL, false},
    {PLAN_DEVICE, "/dev/tty", "/dev/tty", 0, NULL, false},
    {PLAN_DIR, "/dev/pts", NULL, 0755, NULL, false},
    {PLAN_DIR, "/dev/shm", NULL, 01777, NULL, false},
    {PLAN_LINK, "/dev/ptmx", "pts/ptmx", 0, NULL, false},
    {PLAN_LINK, "/dev/fd", "/proc/self/fd", 0, NULL, false},
    {PLAN_LINK, "/dev/stdin", "/proc/self/fd/0", 0, NULL, false},
    {PLAN_LINK, "/dev/stdout", "/proc/self/fd/1", 0, NULL, false},
    {PLAN_LINK, "/dev/stderr", "/proc/self/fd/2", 0, NULL, false},
    {PLAN_TMPFS, "/dev/shm", NULL, SAFE, "mode=1777,size=64m,nr_inodes=4096", false},
    {PLAN_READONLY, "/dev", NULL, 0, NULL, false},
};

static const struct plan_step proc_begin[] = {
    {PLAN_FS, "/proc", "proc", SAFE | MS_NOEXEC, NULL, false},
    {PLAN_WRITE, "/proc/sys/user/max_user_namespaces", NULL, 0, "0", true},
};

static const struct plan_step proc_end[] = {
    {PLAN_READONLY, "/proc/sys", NULL, 0, NULL, false},
    {PLAN_READONLY, "/proc/irq", NULL, 0, NULL, true},
    {PLAN_READONLY, "/proc/bus", NULL, 0, NULL, true},
    {PLAN_READONLY, "/proc/fs", NULL, 0, NULL, true},
    {PLAN_COVER, "/proc/acpi", NULL, 0, NULL, true},
    {PLAN_COVER, "/proc/scsi", NULL, 0, NULL, true},
    {PLAN_COVER, "/proc/kcore", NULL, 0, NULL, true},
    {PLAN_COVER, "/proc/kmsg", NULL, 0, NULL, true},
    {PLAN_COVER, "/proc/keys", NULL, 0, NULL, true},
    {PLAN_COVER, "/proc/key-users", NULL, 0, NULL, true},
    {PLAN_COVER, "/proc/kallsyms", NULL, 0, NULL, true},
    {PLAN_COVER, "/proc/timer_list", NULL, 0, NULL, true},
    {PLAN_COVER, "/proc/sysrq-trigger", NULL, 0, NULL, true},
    {PLAN_COVER, "/proc/config.gz", NULL, 0, NULL, true},
    {PLAN_COVER, "/proc/latency_stats", NULL, 0, NULL, true},
};

static const struct plan_step host_covers[] = {
    /* seen through a writable /usr, what only root may read would be root's here */
    {PLAN_COVER, "/usr/local/etc", NULL, 0, NULL, true},
};

static void add(struct plan *p, struct plan_step step)
{
    assert(p->count < PLAN_STEPS_MAX);
    p->step[p->count++] = step;
}

static void add_all(struct plan *p, const struct plan_step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add(p, steps[i]);
}

#define ADD_ALL(p, steps) add_all(p, steps, sizeof(steps) / sizeof((steps)[0]))

static void add_tree(struct plan *p, const struct mount_plan *plan, int index,
                     const char *target, bool overlay)
{
    if (overlay && plan->tree[index] >= 0)
        add(p, (struct plan_step){PLAN_OVERLAY, target, NULL, (unsigned long)index,
                                  NULL, true});
    else
        add(p,
            (struct plan_step){PLAN_BIND, target, target, 0, NULL, index != TREE_USR});
}

static void add_directory(struct plan *p, const struct mount_plan *plan, int index,
                          const char *target, const char *host)
{
    if (plan->tree[index] >= 0)
        add(p, (struct plan_step){PLAN_TREE, target, NULL, (unsigned long)index, NULL,
                                  false});
    else if (host[0])
        add(p, (struct plan_step){PLAN_BIND_RW, target, host, 0, NULL, false});
}

static void add_mount(struct plan *p, const struct mount_plan *wanted, int i)
{
    const struct plan_mount *m = &wanted->mount[i];
    bool tree = wanted->tree[TREE_MOUNTS + i] >= 0;
    if (m->link)
        add(p, (struct plan_step){PLAN_LINK, m->host, m->inside, 0, NULL, true});
    if (!tree && m->readonly) {
        add(p, (struct plan_step){PLAN_BIND, m->inside, m->host, 0, NULL, false});
        return;
    }
    add_directory(p, wanted, TREE_MOUNTS + i, m->inside, m->host);
    if (m->readonly)
        add(p, (struct plan_step){PLAN_READONLY, m->inside, NULL, AT_RECURSIVE, NULL,
                                  false});
}

static void add_host(struct plan *p, const struct mount_plan *wanted)
{
    add_tree(p, wanted, TREE_USR, "/usr", true);
    add_tree(p, wanted, TREE_DPKG, "/var/lib/dpkg", true);
    add_tree(p, wanted, TREE_ALTERNATIVES, "/etc/alternatives", true);
    ADD_ALL(p, etc_dirs);
}

void plan_make(struct plan *p, const struct mount_plan *wanted)
{
    p->count = 0;
    snprintf(p->pids, sizeof p->pids, "%u", wanted->pids < 301 ? 301 : wanted->pids);
    snprintf(p->devpts, sizeof p->devpts, "newinstance,ptmxmode=0666,mode=0620%s",
             wanted->id_range ? ",gid=5" : "");
    bool image = wanted->image[0];
    if (image)
        ADD_ALL(p, image_skeleton);
    else
        ADD_ALL(p, skeleton);
    if (wanted->files[0] || image)
        ADD_ALL(p, fresh);
    if (!image)
        add_host(p, wanted);
    ADD_ALL(p, dev);
    add(p, (struct plan_step){PLAN_FS, "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                              p->devpts, false});
    ADD_ALL(p, proc_begin);
    add(p, (struct plan_step){PLAN_WRITE, "/proc/sys/kernel/pid_max", NULL, 1, p->pids,
                              true});
    ADD_ALL(p, proc_end);
    if (!image)
        ADD_ALL(p, host_covers);
    for (int i = 0; i < wanted->mount_count; i++)
        add_mount(p, wanted, i);
    if (wanted->workspace_overlay)
        add(p, (struct plan_step){PLAN_OVERLAY, "/workspace", NULL, TREE_WORKSPACE,
                                  NULL, false});
    else
        add_directory(p, wanted, TREE_WORKSPACE, "/workspace", wanted->workspace);
    if (wanted->workspace_readonly)
        add(p, (struct plan_step){PLAN_READONLY, "/workspace", NULL, AT_RECURSIVE, NULL,
                                  false});
}
