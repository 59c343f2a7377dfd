#include "tests/bench/client/sample.h"
#include "base/mem.h"
#include <stdlib.h>
#include <time.h>

void sample_finish(struct sample *s)
{
    mem_free(s->v);
    *s = (struct sample){0};
}

void sample_add(struct sample *s, double value)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 256;
        s->v = mem_realloc(s->v, s->cap * sizeof(*s->v));
    }
    s->v[s->n++] = value;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double sample_percentile(struct sample *s, double percent)
{
    if (s->n == 0)
        return 0;
    qsort(s->v, s->n, sizeof(*s->v), compare);
    double at = percent / 100 * (double)(s->n - 1);
    size_t below = (size_t)at;
    size_t above = below + 1 < s->n ? below + 1 : below;
    return s->v[below] + (at - (double)below) * (s->v[above] - s->v[below]);
}

double clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}
