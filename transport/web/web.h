/* MCP over the network: Streamable HTTP and WebSocket at /mcp on one port, the module
 * "web" (base/module.h: libwebsockets and OpenSSL are loaded with it).
 *
 * One libwebsockets context hosts the loop (net/loop.h). Sockets are accepted by
 * net/listen.c and adopted. Every connection passes the same rules (rules.h), whatever
 * it asks for: framing, Host and Origin, route, token, limits. */
#pragma once
#include "base/err.h"
#include "mcp/server.h"
#include "net/listen.h"
#include "net/loop.h"
#include "transport/authority.h"
#include "transport/connector.h"

/* Whoever has this token. A number is the upper half of the owner numbers that come
 * from it (mcp/server.h): 0 is the user of this process, as is everybody where no token
 * is asked for. Several tokens may have the same number. */
struct web_token {
    const char *name; /* for the log; "" for number 0 */
    uint32_t number;
    struct str token;
};

/* Every one has a flag of `serve`. */
struct web_limits {
    uint32_t connections, principal_connections; /* beyond: closed / 429 */
    uint32_t principal_requests;                 /* in flight; beyond: 429 */
    uint32_t sessions, principal_sessions;       /* legacy HTTP; beyond: 503 / 429 */
    uint64_t body_bytes;                         /* of one message; beyond: 413, 1009 */
    uint64_t principal_body_bytes;               /* being received or worked on: 429 */
    uint32_t session_idle_s;                     /* then it is gone: 404 */
    uint32_t head_s, body_s, idle_s, write_s;    /* patience with slow clients */
    uint32_t shutdown_s;                         /* for what is running at SIGTERM */
    uint32_t ping_s; /* between pings on a quiet WebSocket; 0: none */
};

/* Borrowed for the life of the server. */
struct web_config {
    struct mcp_server *mcp;
    const struct mcp_tool *tools;
    size_t tool_count;
    const struct listen_address *addresses;
    size_t address_count;
    /* Not kept: of the tokens only digests are. None, and no authority: no token is
     * asked for. */
    const struct web_token *tokens;
    size_t token_count;
    const struct authority_entries *oauth; /* whose other tokens are; NULL: nobody's */
    struct authority *authority;
    const struct str *hosts, *origins; /* see struct http_policy */
    size_t host_count, origin_count;
    const char *tls_cert,
        *tls_key;     /* PEM files; NULL: no TLS. Unix sockets have none */
    bool trust_proxy; /* X-Forwarded-For names the client in the log */
    struct web_limits limits;
    /* An owner number (mcp/server.h) that came from here is not used any more. */
    void (*owner_gone)(void *ctx, uint64_t owner);
    /* Further lines for /metrics, in Prometheus' text format; may be NULL. */
    void (*write_metrics)(void *ctx, struct buf *to);
    /* The server has stopped, after SIGTERM or SIGINT: end loop_run(). */
    void (*stopped)(void *ctx);
    void *ctx;
};

/* The owner number of a connection: whose it is, and which one (0: the principal's
 * own, for requests without a session). */
static inline uint64_t web_owner(uint32_t principal, uint32_t connection)
{
    return (uint64_t)principal << 32 | connection;
}

struct web_server;

/* The module's table. */
struct web {
    /* Listens and becomes the loop's host. SIGTERM and SIGINT stop it gracefully (a
     * second one at once), SIGHUP reads the certificate again. */
    int (*server_new)(struct web_server **ret_server, struct loop *loop,
                      const struct web_config *config, struct err *err);
    /* Ends every connection. The loop goes on without its host. */
    void (*server_free)(struct web_server *server);
    /* What the i-th address became: "127.0.0.1:7777". */
    const char *(*server_address)(const struct web_server *server, size_t i);
    void (*limits_default)(struct web_limits *limits);
    /* ws: and wss: for clients */
    const struct connector *connector;
};
