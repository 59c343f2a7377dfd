/* The client side over a network, as modules offer it (base/module.h): "web" for
 * WebSocket URLs, "connect" for HTTP ones. The same shape as transport/spawn.h. */
#pragma once
#include "base/err.h"
#include "base/secret.h"
#include "mcp/client.h"
#include "net/loop.h"

struct connection;

enum { CONNECTOR_HEADERS_MAX = 32 };

struct connector_config {       /* borrowed for the connection's life */
    const char *url;            /* ws://127.0.0.1:7777/mcp */
    const struct secret *token; /* or NULL */
    const char *ca_file;        /* PEM, in place of the system's authorities; or NULL */
    /* Further ones of every request, "Name: value", at most CONNECTOR_HEADERS_MAX;
     * over HTTP only. */
    const struct str *headers;
    size_t header_count;
    /* The connection is gone, or cannot be had; the client has been told with
     * client_lost(). Once. */
    void (*lost)(void *ctx, const struct err *err);
    void *ctx;
};

struct connector {
    /* Connects the client (borrowed). INVALID for the URL; DENIED when the token would
     * go over a network in the clear. */
    int (*open)(struct connection **ret_connection, struct loop *loop,
                struct client *client, const struct connector_config *config,
                struct err *err);
    /* To be called from the client's wake: sends its output. */
    void (*flush)(struct connection *connection);
    /* Ends it, as politely as 2 s allow; accepts NULL. */
    void (*close)(struct connection *connection);
};

/* Is the host of the URL this machine, by a name or address that cannot be another? */
bool connector_is_local(const char *url);
