/* Tokens, as the Messages API counts them. */
#pragma once
#include <stdint.h>

struct usage {
    int64_t input; /* of the prompt: neither read from the cache nor written to it */
    int64_t cache_write;    /* written to the cache */
    int64_t cache_write_1h; /* the part of it that is kept for an hour */
    int64_t cache_read;
    int64_t output;   /* with thinking */
    int64_t thinking; /* the part of the output that was thought, where it is told */
};

void usage_add(struct usage *to, const struct usage *more);
/* All of a prompt, however it was paid for. */
int64_t usage_prompt(const struct usage *u);
