/* The server that a client talks to, wherever it is: a child of ours on stdio, or one
 * that a URL names, through the module that speaks its scheme. */
#pragma once
#include "transport/connector.h"
#include "transport/spawn.h"

struct peer;

struct peer_config { /* borrowed for the peer's life */
    /* A child ... */
    const char *const *argv, *const *env; /* as in spawn_config */
    int stderr_fd;                        /* as in spawn_config */
    /* ... or, when it is not NULL, a server that runs already. */
    const char *url;
    const struct secret *token; /* or NULL */
    const char *ca_file;        /* as in connector_config */
    const struct str *headers;  /* as in connector_config */
    size_t header_count;
    /* The entries of the module that speaks HTTP, or WebSocket. */
    int (*find)(void *ctx, bool http, const struct connector **ret_connector,
                struct err *err);
    struct loop *loop;
    struct client *client;
    /* It is gone; the client has been told. Once. */
    void (*lost)(void *ctx, const struct err *err);
    void *ctx; /* of both */
};

/* Is it http: or https:? */
bool peer_is_http(const char *url);
/* Is it a URL that a server can have at all? INVALID. */
int peer_check_url(const char *url, struct err *err);
/* Which era to open the client in: over HTTP a session of the legacy eras has state of
 * its own, which ends with it. */
enum client_era peer_era(const char *url);

int peer_open(struct peer **ret_peer, const struct peer_config *config,
              struct err *err);
void peer_flush(struct peer *peer); /* from the client's wake */
/* A child begins to leave; for who closes several (spawn_end()). */
void peer_end(struct peer *peer);
void peer_close(struct peer *peer); /* blocks for a moment; accepts NULL */
