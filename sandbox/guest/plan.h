/* The root of a sandbox as data: what is to be made, in order, before the first mount.
 * Two interpreters execute it: mounts.c with system calls, bwrap.c with bubblewrap's
 * arguments. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Trees that the zygote prepared, by descriptor (-1: none); idmapped, so that root
 * inside owns what root owns outside. Only real root can make them. */
enum {
    TREE_USR,
    TREE_DPKG,
    TREE_ALTERNATIVES,
    TREE_WORKSPACE,
    TREE_FILES,
    TREE_SNAPSHOTS,
    TREE_IMAGE,
    TREE_MOUNTS, /* and those behind it */
    PLAN_MOUNTS_MAX = 8,
    TREE_COUNT = TREE_MOUNTS + PLAN_MOUNTS_MAX,
};

/* A host directory, and where it is inside. */
struct plan_mount {
    const char *host, *inside;
    bool readonly;
    bool link; /* host is a link to it inside */
};

struct mount_plan {
    uint64_t disk_bytes, disk_inodes;
    uint32_t pids;
    bool id_range; /* gids beyond 0 exist: devpts can have its group */
    bool workspace_readonly;
    bool workspace_overlay; /* what is written there stays in the sandbox */
    int workspace_upper;    /* where: a descriptor, once the mounts are made */
    int top; /* what holds the root and the layers of one that is not kept: a
              * descriptor, once the mounts are made; -1 */
    const char *host_name;
    /* Host directories, when there is no tree of them, or "": what is /workspace; what
     * holds the root itself, which is kept. */
    const char *workspace, *files;
    /* What the root lies upon: directory of the snapshots, and the names of those in
     * it, newest first, each followed by a space. Both "" when it lies on nothing. */
    const char *snapshots, *lowers;
    /* A root directory of another system, which the root lies upon; or "": the host's
     * /usr and parts of its /etc. */
    const char *image;
    struct plan_mount mount[PLAN_MOUNTS_MAX];
    int mount_count;
    int tree[TREE_COUNT];
};

enum plan_op {
    PLAN_DIR,      /* mode in flags */
    PLAN_LINK,     /* source: the link's text */
    PLAN_HOSTLINK, /* copy the host's symbolic link, or bind the directory read-only */
    PLAN_BIND,     /* source: a host path, read-only */
    PLAN_BIND_RW,
    PLAN_DEVICE,   /* bind of a device node */
    PLAN_TMPFS,    /* data: its options */
    PLAN_FS,       /* source: the type; data: options */
    PLAN_TREE,     /* a prepared tree: index in flags */
    PLAN_OVERLAY,  /* over a prepared tree: index in flags */
    PLAN_READONLY, /* what is here becomes read-only; flags: AT_RECURSIVE */
    PLAN_COVER,    /* hide: /dev/null over files, an empty directory over directories */
    PLAN_WRITE,    /* data into a /proc/sys file */
};

struct plan_step {
    enum plan_op op;
    const char *target; /* inside the root */
    const char *source;
    unsigned long flags;
    const char *data;
    bool optional; /* absent sources and old kernels do not matter */
};

enum { PLAN_STEPS_MAX = 128 };

struct plan {
    struct plan_step step[PLAN_STEPS_MAX];
    int count;
    char pids[16], devpts[64]; /* what steps point to */
};

/* The steps for this sandbox. `wanted` is borrowed as long as the plan is used. */
void plan_make(struct plan *p, const struct mount_plan *wanted);
