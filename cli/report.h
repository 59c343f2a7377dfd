/* What doctor has found: rows, told as they come, and at the end as JSON if that was
 * asked for. */
#pragma once
#include "base/buf.h"
#include <stdbool.h>

enum report_verdict {
    REPORT_OK, /* of a machine: it has it */
    REPORT_HELD,
    REPORT_WEAKER,
    REPORT_MISSING,
    REPORT_INFO,
};

struct report {
    bool json;
    struct buf rows; /* JSON objects with commas between them */
};

void report_init(struct report *r, bool json);
void report_finish(struct report *r);

/* group: "machine", "protection", "tool" ... fix: what to do, or "". */
void report_row(struct report *r, const char *group, enum report_verdict verdict,
                const char *name, const char *text, const char *fix);
