/* Kept sandboxes and snapshots on disk: <state>/sandboxes/NAME (those of other tenants
 * in <state>/tenants/NUMBER/sandboxes/NAME).
 *
 *   lock         locked by its holder as long as any process of the sandbox lives
 *   record.json  what it is; a directory without one is nothing yet
 *   files/       all that has been written inside: root/ is the root, layers/ what
 *                lies over the machine's /usr
 *
 * and snapshots: <state>/snapshots/ID with record.json, files/ and lock, which every
 * sandbox that runs upon it shares.
 *
 * What is deleted first moves to <state>/trash, in one step, and is removed there by a
 * process of its own; what a crash leaves is removed by the next start. */
#pragma once
#include "sandbox/backend.h"

struct local_record {
    uint64_t created_ms, updated_ms;
    char source[SANDBOX_NAME_MAX + 1]; /* of a snapshot: the sandbox */
    struct owned_spec wish;
    const struct str *layers; /* names of the snapshots beneath, newest first */
    size_t layer_count;
    bool deleted; /* a snapshot that only goes on as a layer of others */
};

/* local/record.c. dir: descriptor of the directory that holds it. */
int local_record_save(int dir, const struct local_record *r, struct err *err);
/* NOT_FOUND when there is none. */
int local_record_load(int dir, struct local_record *r, struct err *err);
void local_record_finish(struct local_record *r);

/* A directory of the store that is held. */
struct local_hold {
    int dir, lock;
    char path[4096];
};
void local_hold_finish(struct local_hold *h); /* lets go; all -1: nothing to do */

enum local_store_want {
    STORE_MUST_EXIST,
    STORE_MUST_BE_NEW,
    STORE_MAY_EXIST,
    STORE_TO_DELETE, /* whatever is there; its record is not read */
};

/* Takes hold of a sandbox's directory; made if it need not exist. *ret_existed: it has
 * a record, which is loaded. Errors: NOT_FOUND, CONFLICT (err->sys is the pid of the
 * holder if another process holds it, 0 if it exists and must not). */
int local_store_hold(struct sandboxes *set, uint64_t owner, const char *name,
                     enum local_store_want want, struct local_hold *ret_hold,
                     struct local_record *ret_record, bool *ret_existed,
                     struct err *err);

/* Moves it to the trash; the hold stays the caller's. */
int local_store_discard(struct sandboxes *set, struct local_hold *h, struct err *err);

/* Calls `row` for each sandbox of the owner's tenant; held_by: the process that has it
 * running, or 0. A record that cannot be read is shown without its details. */
void local_store_each(struct sandboxes *set, uint64_t owner,
                      void (*row)(void *ctx, const char *name,
                                  const struct local_record *record, long held_by),
                      void *ctx);

/* Where snapshots are: a descriptor, and the path. */
int local_store_snapshots(struct sandboxes *set, uint64_t owner, char path[4096],
                          struct err *err);
/* Moves a directory to the trash. */
int local_store_throw(struct sandboxes *set, const char *path, struct err *err);

/* The trash, as a descriptor, and whether there is anything in it; unfinished
 * directories go there first. -1 when there is no store. */
int local_store_trash(struct sandboxes *set, bool *ret_full);
