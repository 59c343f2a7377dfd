#include "transport/web/flights.h"
#include "base/mem.h"

enum { FLIGHTS_MAX = 1024 }; /* of one connection; what is beyond is not measured */

struct flight {
    uint64_t stream, started_us;
    unsigned method;
};

void flights_begin(struct flights *f, uint64_t stream, unsigned method, uint64_t now_us)
{
    if (f->count == FLIGHTS_MAX)
        return;
    if (f->count == f->room) {
        f->room = f->room ? 2 * f->room : 4;
        f->rows = mem_realloc(f->rows, f->room * sizeof f->rows[0]);
    }
    f->rows[f->count++] = (struct flight){stream, now_us, method};
}

void flights_end(struct flights *f, struct metrics *to, const struct mcp_message *m,
                 uint64_t now_us)
{
    for (size_t i = 0; i < f->count; i++) {
        struct flight *row = &f->rows[i];
        if (row->stream != m->stream)
            continue;
        metrics_request(to, row->method, m->failed ? OUTCOME_ERROR : OUTCOME_OK,
                        now_us - row->started_us);
        *row = f->rows[--f->count];
        return;
    }
}

void flights_finish(struct flights *f, struct metrics *to)
{
    for (size_t i = 0; i < f->count; i++)
        to->requests[f->rows[i].method][OUTCOME_CANCELLED]++;
    mem_free(f->rows);
    *f = (struct flights){0};
}
