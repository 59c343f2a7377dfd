/* The REST API of Vercel Sandbox, served from this machine's sandboxes: the module
 * "vercel-api" (base/module.h). What it looks like on the wire is what the official SDK
 * @vercel/sandbox 3.5.0 and CLI sandbox 4.5.0 send and accept; docs/vercel.md says what
 * differs from the hosted one. */
#pragma once
#include "base/err.h"
#include "net/listen.h"
#include "net/loop.h"
#include "sandbox/sandbox.h"

struct vercel_api;

/* Borrowed for the life of the server. */
struct vercel_api_config {
    struct sandboxes *sandboxes; /* of this server alone */
    const char *state_dir;       /* where it keeps what it knows */
    const struct listen_address *addresses;
    size_t address_count;
    struct str token; /* empty: any bearer token is good */
    const struct str *hosts;
    size_t host_count;
    const char *tls_cert, *tls_key; /* PEM files, or NULL */
    void (*stopped)(void *ctx);     /* after SIGTERM or SIGINT */
    void *ctx;
};

/* The module's table. */
struct vercel_api_entries {
    /* Reads what the state directory knows, listens, and becomes the loop's host. */
    int (*server_new)(struct vercel_api **ret_api, struct loop *loop,
                      const struct vercel_api_config *config, struct err *err);
    /* Ends every connection. To be called before sandboxes_free(): what runs is
     * written down as ended. */
    void (*server_free)(struct vercel_api *api);
    /* What the i-th address became: "127.0.0.1:7777". */
    const char *(*server_address)(const struct vercel_api *api, size_t i);
};
