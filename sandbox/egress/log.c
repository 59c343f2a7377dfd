#include "sandbox/egress/log.h"
#include "base/mem.h"
#include <time.h>

enum { FIRST_ROOM = 16 };

void egress_log_finish(struct egress_log *log)
{
    mem_free(log->rows);
    *log = (struct egress_log){0};
}

struct egress_row *egress_log_add(struct egress_log *log, const char *way)
{
    struct timespec now;
    if (log->last == log->room && log->room < EGRESS_LOG_ROWS) {
        log->room = log->room ? 2 * log->room : FIRST_ROOM;
        log->rows = mem_realloc(log->rows, log->room * sizeof *log->rows);
    }
    clock_gettime(CLOCK_REALTIME, &now);
    struct egress_row *row = &log->rows[log->last % EGRESS_LOG_ROWS];
    *row = (struct egress_row){
        .number = ++log->last,
        .time_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000,
        .way = way,
        .open = true,
    };
    return row;
}

struct egress_row *egress_log_row(struct egress_log *log, uint64_t number)
{
    if (number == 0 || number > log->last || number + EGRESS_LOG_ROWS <= log->last)
        return NULL;
    return &log->rows[(number - 1) % EGRESS_LOG_ROWS];
}
