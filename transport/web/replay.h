/* What a session's streams have said, kept for a client that lost its connection: it
 * comes back with the id of the last event that it has seen (MCP 2025-11-25,
 * "Resumability and Redelivery"). Sans I/O.
 *
 * An id is "STREAM-NUMBER"; numbers grow over all streams of a session. The oldest
 * events go first, when a session keeps more than its share, or all together do. */
#pragma once
#include "base/str.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    REPLAY_BYTES_MAX = 12 * 1024 * 1024,      /* of a session: less than may wait in one
                                               * answer (web.c) */
    REPLAY_ALL_BYTES_MAX = 256 * 1024 * 1024, /* of a server's sessions */
    REPLAY_ID_MAX = 44,
};

struct replay_event;
struct replay {
    struct replay_event *oldest, **end;
    uint64_t bytes;
    uint64_t *all_bytes; /* of all sessions */
    uint64_t last,
        dropped; /* numbers: given, and not kept any more (with all before) */
};

void replay_init(struct replay *r, uint64_t *all_bytes);
void replay_finish(struct replay *r);

/* Keeps one event and returns its number. An empty text marks the beginning of a
 * stream: it is not told again. */
uint64_t replay_add(struct replay *r, uint64_t stream, struct str text);
/* Is there anything of the stream, its mark included? */
bool replay_has(const struct replay *r, uint64_t stream);

void replay_id(uint64_t stream, uint64_t number, char ret_id[REPLAY_ID_MAX]);
/* 0: that event and all after it are kept. -1: it is none of this session's; 1: it is
 * not kept any more. */
int replay_find(const struct replay *r, struct str id, uint64_t *ret_stream,
                uint64_t *ret_number);
/* Calls fn for each event of the stream after that number. fn may not use the replay.
 */
void replay_each(const struct replay *r, uint64_t stream, uint64_t number,
                 void (*fn)(void *ctx, uint64_t number, struct str text), void *ctx);
