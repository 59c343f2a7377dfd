/* What doctor tries: each probe does the thing in a child process, and says in one line
 * how it went. Reference: docs/security.md. */
#pragma once
#include <stddef.h>

enum probe_verdict { PROBE_OK, PROBE_WEAKER, PROBE_MISSING, PROBE_INFO };

struct probe_result {
    enum probe_verdict verdict;
    char text[240];
};

struct probe {
    const char *name;
    void (*run)(struct probe_result *r);
};

extern const struct probe probes[];
extern const size_t probe_count;
/* What else matters: other ways of launching, what a better machine would have. */
extern const struct probe host_probes[];
extern const size_t host_probe_count;
