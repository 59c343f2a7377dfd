#include "agent/model/usage.h"

void usage_add(struct usage *to, const struct usage *more)
{
    to->input += more->input;
    to->cache_write += more->cache_write;
    to->cache_write_1h += more->cache_write_1h;
    to->cache_read += more->cache_read;
    to->output += more->output;
    to->thinking += more->thinking;
}

int64_t usage_prompt(const struct usage *u)
{
    return u->input + u->cache_write + u->cache_read;
}
