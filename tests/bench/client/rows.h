/* The rows of the issue's table of figures: what each measures, its target, how it is
 * done.
 *
 * Floor and ours alternate within one row, so that both see the same noise of the
 * machine. With `profile_s` only ours runs, again and again, for a profiler to look at.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "tests/bench/client/sample.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct bench {
    const char *server, *echo; /* paths of sandquay and of the floor program */
    bool quick, verbose;
    double profile_s; /* 0: measure */
    double started_s; /* of the row, clock_s() */
};

/* One line of the table; `beside` are further ones about the same thing, without a
 * verdict. */
struct figure {
    const char *label;
    struct sample floor, ours;
};

enum { BESIDE_MAX = 2 };

struct measurement {
    struct figure main, beside[BESIDE_MAX];
};

enum target_kind { TARGET_AT_MOST, TARGET_AT_LEAST, TARGET_RATIO_AT_MOST };

struct row {
    const char *id, *label;
    enum target_kind kind;
    double target;
    double issue_floor; /* on the machine of the issue; 0: it gives none */
    int decimals;
    int (*measure)(const struct bench *b, struct measurement *m, struct err *err);
};

extern const struct row rows[];
extern const size_t row_count;

/* What the measurements share (rows.c). */
struct peer;
bool bench_more(const struct bench *b, size_t done, size_t full, size_t quick);
int bench_open(const struct bench *b, struct peer *p, struct err *err);
/* Sends a line, waits for its response, which must be a success that holds `want`;
 * seconds that took. */
int bench_ask(struct peer *p, struct str line, struct str want, double *ret_s,
              struct err *err);
void bench_begin_call(struct buf *line, unsigned id, const char *tool);
void bench_end_call(struct buf *line);
void bench_command_line(struct buf *line, unsigned id, const char *command);
int bench_resident_mb(pid_t pid, double *ret_mb, struct err *err);

/* sandboxes.c */
typedef int measure_fn(const struct bench *b, struct measurement *m, struct err *err);
measure_fn measure_create, measure_create_first, measure_create_ready, measure_destroy,
    measure_hundred, measure_sandbox_memory, measure_snapshot;

/* works.c */
measure_fn measure_python, measure_node, measure_untar, measure_compile;
