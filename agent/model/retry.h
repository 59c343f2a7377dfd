/* Whether and when a failed request is repeated, as the official SDK decides it
 * (claude-api 4); sans I/O. */
#pragma once
#include "base/str.h"
#include <stdbool.h>
#include <stdint.h>

/* What an answer that is an error says about it. */
struct retry_advice {
    int status;                               /* 0: there was no answer */
    struct str should_retry, after_ms, after; /* x-should-retry, retry-after-ms, ... */
};

bool retry_is_worth_it(const struct retry_advice *advice);

/* How long to wait before it; done: how many there were already; random: any 32 bits;
 * now_s: unix time, for dates. */
uint64_t retry_delay_ms(const struct retry_advice *advice, unsigned done,
                        uint32_t random, int64_t now_s);
