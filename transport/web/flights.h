/* Requests in flight on a connection, for the metrics: when each began and what it asks
 * for, by the number of its stream (session_recv_on()). */
#pragma once
#include "mcp/server.h"
#include "transport/web/metrics.h"

struct flights {
    struct flight *rows; /* all-zero: none */
    size_t count, room;
};

void flights_begin(struct flights *f, uint64_t stream, unsigned method,
                   uint64_t now_us);
/* m answers one of them. */
void flights_end(struct flights *f, struct metrics *to, const struct mcp_message *m,
                 uint64_t now_us);
/* Those that are left were cancelled. */
void flights_finish(struct flights *f, struct metrics *to);
