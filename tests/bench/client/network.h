/* The rows about a sandbox's network. */
#pragma once
#include "tests/bench/client/rows.h"

int measure_egress_connect(const struct bench *b, struct measurement *m,
                           struct err *err);
int measure_egress_flow(const struct bench *b, struct measurement *m, struct err *err);
int measure_port(const struct bench *b, struct measurement *m, struct err *err);
