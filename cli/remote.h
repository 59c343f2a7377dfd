/* The server that a client verb talks to: a child of ours, or with --connect URL one
 * that runs already. */
#pragma once
#include "cli/options.h"
#include "cli/places.h"
#include "transport/peer.h"

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

/* The parts, for who has more than one server. Of the child: its command line. */
void remote_argv(const struct options *options, const struct places *places,
                 const char *to[OPTIONS_SERVER_ARGS_MAX + 3]);
/* The token of --connect, the caller's; *ret_token stays as it is when there is none.
 */
int remote_token(const struct options *options, struct secret **ret_token,
                 struct err *err);
/* As peer_config.find; opens the module. */
int remote_find(const struct places *places, bool http,
                const struct connector **ret_connector, struct err *err);

int remote_open(struct remote **ret_remote, const struct remote_config *config,
                struct err *err);
void remote_flush(struct remote *remote); /* from the client's wake */
void remote_close(struct remote *remote); /* blocks for a moment; accepts NULL */
