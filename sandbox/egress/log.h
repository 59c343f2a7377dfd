/* Every attempt to get out of one sandbox: the newest EGRESS_LOG_ROWS are kept. */
#pragma once
#include "sandbox/egress/ask.h"

enum { EGRESS_LOG_ROWS = 512, EGRESS_REASON = 200 };

enum egress_outcome {
    EGRESS_PENDING,
    EGRESS_ALLOWED,
    EGRESS_REFUSED, /* by the policy or a limit */
    EGRESS_FAILED,  /* allowed, but not reached */
};

struct egress_row {
    uint64_t number;                 /* 1, 2, ... */
    int64_t time_ms;                 /* since 1970 */
    char host[NETWORK_HOST_MAX + 1]; /* "" when it was not understood */
    uint16_t port;                   /* 0: a look-up */
    const char *way;                 /* "connect", "http", "socks", ... */
    char address[ADDRESS_TEXT];      /* connected to or refused; "" if there is none */
    enum egress_outcome outcome;
    char reason[EGRESS_REASON]; /* "" when allowed */
    uint64_t sent_bytes, received_bytes;
    bool open;
};

struct egress_log {
    struct egress_row *rows; /* row n at index (n - 1) % EGRESS_LOG_ROWS */
    size_t room;
    uint64_t last;
};

void egress_log_finish(struct egress_log *log); /* accepts all-zero */
/* A new row (pending, open, now); valid until the next one is added. */
struct egress_row *egress_log_add(struct egress_log *log, const char *way);
/* NULL when it is no longer kept. */
struct egress_row *egress_log_row(struct egress_log *log, uint64_t number);
