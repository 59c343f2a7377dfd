#include "agent/model/retry.h"
#include <curl/curl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_MS = 500, DOUBLINGS = 4, VALUE_MAX = 64 };

bool retry_is_worth_it(const struct retry_advice *advice)
{
    if (str_eq(advice->should_retry, STR("true")))
        return true;
    if (str_eq(advice->should_retry, STR("false")))
        return false;
    return advice->status == 0 || advice->status == 408 || advice->status == 409 ||
           advice->status == 429 || advice->status >= 500;
}

/* The number at the beginning, as JavaScript's parseFloat() finds it; -1: there is
 * none.
 */
static double number(struct str s)
{
    char text[VALUE_MAX], *end;
    if (s.n == 0 || s.n >= sizeof text)
        return -1;
    snprintf(text, sizeof text, "%.*s", STR_FMT(s));
    double v = strtod(text, &end);
    return end == text ? -1 : v;
}

static double asked_ms(const struct retry_advice *advice, int64_t now_s)
{
    double v = number(advice->after_ms);
    if (v >= 0)
        return v;
    v = number(advice->after);
    if (v >= 0)
        return v * 1000;
    char text[VALUE_MAX];
    if (advice->after.n == 0 || advice->after.n >= sizeof text)
        return -1;
    snprintf(text, sizeof text, "%.*s", STR_FMT(advice->after));
    time_t due = curl_getdate(text, NULL);
    return due < 0 ? -1 : difftime(due, (time_t)now_s) * 1000;
}

uint64_t retry_delay_ms(const struct retry_advice *advice, unsigned done,
                        uint32_t random, int64_t now_s)
{
    double ms = asked_ms(advice, now_s);
    if (ms > 0 && ms <= INT32_MAX) /* not: a number that is none */
        return (uint64_t)ceil(ms);
    unsigned doublings = done < DOUBLINGS ? done : DOUBLINGS;
    uint64_t base = (uint64_t)FIRST_MS << doublings;
    /* up to a quarter less, so that many clients do not come back at once */
    return base - base * (random >> 16) / 4 / 65536;
}
