/* Measured values and their percentiles; the clock they are measured with. */
#pragma once
#include <stddef.h>

struct sample {
    double *v;
    size_t n, cap;
};

void sample_finish(struct sample *s); /* accepts all-zero; leaves it all-zero */
void sample_add(struct sample *s, double value);
/* The value below which `percent` of the values lie, interpolated; sorts them. 0 if
 * empty. */
double sample_percentile(struct sample *s, double percent);

/* Monotonic, in seconds. */
double clock_s(void);
