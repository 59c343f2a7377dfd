/* The server that a client verb talks to: a child of ours, or with --connect URL one
 * that runs already. */
#pragma once
#include "cli/options.h"
#include "cli/places.h"
#include "mcp/client.h"
#include "net/loop.h"

struct remote;

struct remote_config { /* borrowed */
    const struct options *options;
    const struct places *places;
    struct loop *loop;
    struct client *client;
    /* It is gone; the client has been told. */
    void (*lost)(void *ctx, const struct err *err);
    void *ctx;
};

/* Which era to open the client in: over HTTP a session of the legacy eras has a sandbox
 * of its own, which ends with it. */
enum client_era remote_era(const struct options *options);
/* The flags that do not go with --connect. INVALID. */
int remote_check(const struct options *options, struct err *err);
int remote_open(struct remote **ret_remote, const struct remote_config *config,
                struct err *err);
void remote_flush(struct remote *remote); /* from the client's wake */
void remote_close(struct remote *remote); /* blocks for a moment; accepts NULL */
