/* The root of a sandbox. The plan is a table that is complete before the first mount; a
 * small interpreter executes it inside the new namespaces and names the step that
 * failed. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Trees that the zygote prepared, by descriptor (-1: none); idmapped, so that root
 * inside owns what root owns outside. Only real root can make them. */
enum { TREE_USR, TREE_DPKG, TREE_ALTERNATIVES, TREE_WORKSPACE, TREE_HOME, TREE_COUNT };

struct mount_plan {
    uint64_t disk_bytes, disk_inodes;
    uint32_t pids;
    bool id_range; /* gids beyond 0 exist: devpts can have its group */
    bool workspace_readonly;
    const char *host_name;
    const char *workspace,
        *home; /* host directories to bind when there is no tree, or "" */
    int tree[TREE_COUNT];
};

/* Builds the root and enters it: the caller is alone in new mount, pid, ipc and uts
 * namespaces and has all capabilities over them. 0 with *ret_layers (LAYER_MOUNTNS,
 * LAYER_OVERLAY, LAYER_PID_MAX), or -1 with errno and the failed step's text. */
int mounts_execute(const struct mount_plan *plan, uint32_t *ret_layers,
                   const char **ret_step);
