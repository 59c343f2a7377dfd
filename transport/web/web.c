/* The server: MCP's part of one that serves HTTP and WebSockets. */
#include "transport/web/web.h"
#include "base/mem.h"
#include "base/module.h"
#include "transport/web/server.h"
#include "transport/web/sessions.h"

enum { OUT_MAX = 2 * MCP_MESSAGE_OUT_MAX + 1024 * 1024 };

static void limits_default(struct web_limits *limits)
{
    *limits = (struct web_limits){
        .connections = 4096,
        .principal_connections = 1024,
        .principal_requests = 256,
        .sessions = 1024,
        .principal_sessions = 256,
        .body_bytes = MCP_MESSAGE_IN_MAX,
        .principal_body_bytes = 4ULL * MCP_MESSAGE_IN_MAX,
        .session_idle_s = 30 * 60,
        .head_s = 10,
        .body_s = 30,
        .idle_s = 75,
        .write_s = 60,
        .shutdown_s = 10,
        .ping_s = 0,
    };
}

uint32_t web_new_connection(struct web_server *server)
{
    if (++server->last_connection == 0)
        server->last_connection = 1;
    return server->last_connection;
}

static void on_conn_open(void *ctx, struct http_conn *http)
{
    struct web_server *server = ctx;
    struct conn *conn = mem_new(struct conn);
    *conn = (struct conn){.server = server, .http = http};
    http_conn_set_app(http, conn);
    server->metrics.connections++;
}

static void on_conn_release(void *ctx, struct http_conn *http)
{
    struct conn *conn = http_conn_app(http);
    (void)ctx;
    if (conn->principal)
        conn->principal->connections--;
    mem_free(conn);
}

static void on_stopped(void *ctx)
{
    struct web_server *server = ctx;
    server->config.stopped(server->config.ctx);
}

static const struct http_app app = {
    .conn_open = on_conn_open,
    .conn_release = on_conn_release,
    .request = exchange_on_request,
    .body_end = exchange_on_body_end,
    .head = exchange_on_head,
    .stop = exchange_on_stop,
    .release = exchange_on_release,
    .write_refusal = reply_write_refusal,
    .upgrade = websocket_on_upgrade,
    .upgraded = websocket_on_upgraded,
    .socket_open = websocket_on_open,
    .socket_receive = websocket_on_receive,
    .socket_writable = websocket_on_writable,
    .socket_stop = websocket_on_stop,
    .socket_release = websocket_on_release,
};

static int start(struct web_server *server, struct err *err)
{
    const struct web_config *config = &server->config;
    const struct web_limits *limits = &config->limits;
    const struct http_server_config http = {
        .app = &app,
        .ctx = server,
        .addresses = config->addresses,
        .address_count = config->address_count,
        .hosts = config->hosts,
        .host_count = config->host_count,
        .origins = config->origins,
        .origin_count = config->origin_count,
        .tls_cert = config->tls_cert,
        .tls_key = config->tls_key,
        .protocol = "mcp",
        .exposed = "Mcp-Session-Id, WWW-Authenticate",
        .trust_proxy = config->trust_proxy,
        .limits =
            {
                .connections = limits->connections,
                .body_bytes = limits->body_bytes,
                .out_bytes = OUT_MAX,
                .message_bytes = MCP_MESSAGE_OUT_MAX,
                .head_s = limits->head_s,
                .body_s = limits->body_s,
                .idle_s = limits->idle_s,
                .write_s = limits->write_s,
                .shutdown_s = limits->shutdown_s,
                .ping_s = limits->ping_s,
            },
        .stopped = on_stopped,
    };
    return http_server_new(&server->http, server->loop, &http, err);
}

static void server_free(struct web_server *server)
{
    if (!server)
        return;
    http_server_free(server->http);
    http_sessions_free(server);
    loop_timer_free(server->sweep);
    param_headers_free(server->params);
    web_auth_finish(server);
    mem_free(server);
}

static int server_new(struct web_server **ret_server, struct loop *loop,
                      const struct web_config *config, struct err *err)
{
    struct web_server *server = mem_new(struct web_server);
    server->config = *config;
    server->loop = loop;
    web_auth_init(server);
    server->params = param_headers_new(config->tools, config->tool_count);
    server->sweep = loop_timer_new(loop, http_sessions_sweep, server);
    if (start(server, err) < 0) {
        server_free(server);
        return -1;
    }
    *ret_server = server;
    return 0;
}

static const char *server_address(const struct web_server *server, size_t i)
{
    return http_server_address(server->http, i);
}

static const struct web entries = {
    .connector = &websocket_connector,
    .server_new = server_new,
    .server_free = server_free,
    .server_address = server_address,
    .limits_default = limits_default,
};
MODULE_EXPORT("web", &entries);
