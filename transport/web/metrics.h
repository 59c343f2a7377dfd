/* Counters for /metrics (Prometheus' text format, version 0.0.4). */
#pragma once
#include "base/buf.h"
#include "base/json.h"
#include <stdint.h>

enum {
    METRICS_METHODS = 16, /* rows of the method table; the last one is "other" */
    METRICS_BUCKETS = 12,
};

enum metrics_outcome { OUTCOME_OK, OUTCOME_ERROR, OUTCOME_CANCELLED, OUTCOMES };

struct metrics {
    uint64_t requests[METRICS_METHODS][OUTCOMES];
    uint64_t buckets[METRICS_METHODS][METRICS_BUCKETS + 1]; /* the last: above all */
    uint64_t micros[METRICS_METHODS];                       /* sum */
    uint64_t answers[6]; /* HTTP answers by the first digit of their status */
    uint64_t connections, websockets, sessions; /* opened so far */
    uint64_t in_bytes, out_bytes;
};

/* The row of a JSON-RPC method. */
unsigned metrics_method(struct json method);
struct str metrics_name(unsigned method);
void metrics_request(struct metrics *m, unsigned method, enum metrics_outcome outcome,
                     uint64_t micros);
void metrics_write(const struct metrics *m, struct buf *to);
/* One gauge with its help text. */
void metrics_gauge(struct buf *to, const char *name, const char *help, uint64_t value);
