/* What is kept of one output stream: its first bytes and its last ones, never more than
 * a limit, the dropped middle counted exactly. Small outputs stay in memory; from
 * SPILL_BYTES on they live in an unlinked file. Invariant: bytes [0, head) and [total -
 * ring_used, total) are kept, head <= head_max. */
#pragma once
#include "base/buf.h"
#include "sandbox/sandbox.h"

struct output {
    const char *temp_dir; /* borrowed */
    uint64_t limit;       /* of kept bytes; half for the head, half for the tail */
    uint64_t total, head;
    struct buf memory; /* while everything fits; then empty */
    int fd;            /* the file: head region, then the ring of the tail */
    bool lost;         /* evicted, or the file could not be written */
};

void output_init(struct output *o, uint64_t limit_bytes, const char *temp_dir);
void output_finish(struct output *o);

void output_add(struct output *o, struct str bytes);
/* Gives the bytes up; the counts stay. */
void output_evict(struct output *o);
uint64_t output_kept(const struct output *o);
struct command_output output_counts(const struct output *o);
/* See command_read(). */
size_t output_read(const struct output *o, uint64_t offset, char *to, size_t max);
