/* Snapshots of local sandboxes: directories that other sandboxes' roots lie upon.
 *
 * Taking one moves the files of the sandbox aside, in one step, and puts the sandbox's
 * next run on top of them: it costs the same whatever they are. Invariant: a snapshot
 * is complete when it has files/; a record never names one that is not complete, but
 * for the time between two system calls, which local_layers_settle() mends. */
#pragma once
#include "sandbox/local/store.h"

enum { LOCAL_LAYERS_MAX = 32 };
/* TREE_WORKSPACE of sandbox/guest/plan.h */
#define LOCAL_WORKSPACE_LAYER "3"

/* What a root lies upon. */
struct local_layers {
    char dir[4096]; /* of the snapshots; "" when it lies on nothing */
    char names[LOCAL_LAYERS_MAX * (SANDBOX_NAME_MAX + 1) + 1]; /* each with a space */
    int lock; /* shared, on the newest; or -1 */
};

/* From the record of a sandbox that is held. A newest layer that a crash has left
 * unfinished is taken out of the record. Errors: IO when one is missing. */
int local_layers_settle(struct sandboxes *set, uint64_t owner, struct local_hold *hold,
                        struct local_record *record, struct local_layers *ret_layers,
                        struct err *err);
/* For a sandbox that begins with a snapshot: its layers, into record. settings: its
 * limits, environment, ... are taken over, too, where wish has none. NOT_FOUND. */
int local_layers_begin(struct sandboxes *set, uint64_t owner, struct str snapshot,
                       bool settings, struct local_record *record,
                       struct local_layers *ret_layers, struct err *err);

/* The layers of a sandbox, while `sandquay-guest merge` makes one of them. */
struct local_merge {
    char id[SANDBOX_NAME_MAX + 1]; /* of the one */
    int lock, snapshots;           /* a lock on it; the directory of all */
    struct local_layers layers;
    char *argv[LOCAL_LAYERS_MAX + 6]; /* what the program is started with */
};
/* 1: the held sandbox lies upon as many layers as can be: they are to be merged, and
 * then local_merge_end() is to be called. 0: it does not. -1: err. */
int local_merge_begin(struct sandboxes *set, uint64_t owner, struct local_hold *hold,
                      struct local_merge *ret, struct err *err);
/* status: the program's; the sandbox lies upon the one now. -1: it is as before. */
int local_merge_end(struct sandboxes *set, uint64_t owner, struct local_hold *hold,
                    struct local_merge *m, int status, struct err *err);
void local_merge_abandon(struct local_merge *m);

/* The files of a sandbox that is not kept, to be copied by the same program. They lie
 * upon `layers`; wish: its settings. 0, or -1. */
int local_copy_begin(struct sandboxes *set, uint64_t owner, const char *source,
                     const struct owned_spec *wish, const struct local_layers *layers,
                     struct local_merge *ret, struct err *err);
int local_copy_end(struct sandboxes *set, uint64_t owner, struct local_merge *m,
                   int status, struct err *err);

/* The files of a held sandbox, none of whose processes lives, become a snapshot; its
 * name is written to id. */
int local_snapshot_take(struct sandboxes *set, uint64_t owner, const char *source,
                        struct local_hold *hold, char id[SANDBOX_NAME_MAX + 1],
                        struct snapshot_info *ret_info, struct err *err);
void local_snapshot_each(struct sandboxes *set, uint64_t owner, struct sandbox_op *op);
/* NOT_FOUND. It goes on as a layer as long as others lie upon it. */
int local_snapshot_forget(struct sandboxes *set, uint64_t owner, const char *id,
                          struct err *err);
/* Throws away forgotten ones that nothing lies upon any more; how many. */
size_t local_snapshot_collect(struct sandboxes *set, uint64_t owner);
