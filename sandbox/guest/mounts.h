/* Executes the plan of a sandbox's root with system calls, inside the new namespaces.
 */
#pragma once
#include "sandbox/guest/plan.h"

/* Builds the root and enters it: the caller is alone in new mount, pid, ipc and uts
 * namespaces and has all capabilities over them. 0 with *ret_layers (LAYER_MOUNTNS,
 * LAYER_OVERLAY, LAYER_PID_MAX), or -1 with errno and the failed step's text. Of a
 * workspace overlay, plan->tree[TREE_WORKSPACE] and plan->workspace_upper are its
 * layers then. */
int mounts_execute(struct mount_plan *plan, uint32_t *ret_layers,
                   const char **ret_step);
