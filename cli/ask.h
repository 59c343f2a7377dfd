/* Tool calls from the command line, one after the other, on a server of our own. */
#pragma once
#include "base/buf.h"
#include "cli/options.h"
#include "mcp/client.h"

struct ask_call {
    const char *tool;
    struct buf arguments; /* a JSON object */
};

/* Each answer; content is absent when err is not NULL. */
typedef void ask_fn(void *ctx, size_t call, struct json content, const struct err *err);

/* Starts the server with the flags of o that are its, makes all calls, ends it. -1
 * with *err when no call could be made. */
int ask(const struct options *o, const struct ask_call *calls, size_t count, ask_fn *fn,
        void *ctx, struct err *err);
