#include "agent/model/surrogates.h"
#include "base/scan.h"
#include <stdint.h>
#include <string.h>

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The unit that \uXXXX at p stands for; -1: it is no such escape. */
static int unit_at(const char *p, size_t n)
{
    if (n < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    int unit = 0;
    for (int i = 2; i < 6; i++) {
        int d = digit(p[i]);
        if (d < 0)
            return -1;
        unit = unit * 16 + d;
    }
    return unit;
}

static bool is_low(int unit)
{
    return unit >= 0xdc00 && unit <= 0xdfff;
}

static bool is_high(int unit)
{
    return unit >= 0xd800 && unit <= 0xdbff;
}

bool surrogates_mend(char *json, size_t n)
{
    bool any = false;
    for (size_t i = 0; (i = scan(json, i, n, SCAN_BACKSLASH)) < n;) {
        int unit = unit_at(json + i, n - i);
        if (unit < 0) {
            i += 2;
            continue;
        }
        if (is_high(unit) && is_low(unit_at(json + i + 6, n - i - 6))) {
            i += 12;
            continue;
        }
        if (is_high(unit) || is_low(unit)) {
            memcpy(json + i + 2, "fffd", 4);
            any = true;
        }
        i += 6;
    }
    return any;
}
