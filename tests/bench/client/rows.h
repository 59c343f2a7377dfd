/* The rows of the issue's table of figures: what each measures, its target, how it is
 * done.
 *
 * Floor and ours alternate within one row, so that both see the same noise of the
 * machine. With `profile_s` only ours runs, again and again, for a profiler to look at.
 */
#pragma once
#include "base/err.h"
#include "tests/bench/client/sample.h"
#include <stdbool.h>
#include <stddef.h>

struct bench {
    const char *server, *echo; /* paths of sandquay and of the floor program */
    bool quick, verbose;
    double profile_s; /* 0: measure */
    double started_s; /* of the row, clock_s() */
};

/* One line of the table; `beside` is a second one about the same thing, without a
 * verdict. */
struct figure {
    const char *label;
    struct sample floor, ours;
};

struct measurement {
    struct figure main, beside;
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
