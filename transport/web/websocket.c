/* A WebSocket: the socket is the session. One text message is one JSON-RPC message, in
 * both directions; both eras are spoken (mcp/classify.c). */
#include "base/log.h"
#include "base/mem.h"
#include "net/http_server/assembly.h"
#include "transport/web/flights.h"
#include "transport/web/server.h"

enum {
    EXPIRY_LOOK_MS = 24 * 3600 * 1000, /* no timer is longer than a day */
    OUTPUT_HIGH = 16 * 1024 * 1024,    /* waiting: nothing more is read */
};

struct websocket {
    struct web_server *server;
    struct http_conn *http;
    struct session *session;
    uint64_t owner;
    struct assembly assembly;
    struct arena arena; /* of the message in hand */
    size_t sent, next;  /* of the session's output: bytes, and messages */
    int close_code;     /* 0: it stays open */
    bool stopping;      /* the server is: close when nothing runs any more */
    struct flights flights;
    uint64_t last_stream;
    struct loop_timer *expiry; /* of its token */
};

int websocket_on_upgrade(void *ctx, struct http_conn *http,
                         const struct http_head *head, struct http_refusal *refusal)
{
    enum web_route route;
    (void)ctx;
    if (web_authenticate(http_conn_app(http), head, NULL, refusal) < 0)
        return -1;
    if (web_route(head->path, &route, refusal) == 0 && route == ROUTE_MCP)
        return 0;
    return http_refuse(refusal, HTTP_NOT_FOUND, "WebSockets are opened at /mcp");
}

void websocket_on_upgraded(void *ctx, struct http_conn *http,
                           const struct http_head *head, enum http_code status)
{
    struct web_server *server = ctx;
    const struct conn *conn = http_conn_app(http);
    const char *who = conn->principal ? conn->principal->name : "";
    char client[HTTP_CLIENT_MAX];
    const struct str none = {NULL, 0};
    if (status != HTTP_SWITCHING)
        server->metrics.answers[(unsigned)status / 100]++;
    if (!log_enabled(LOG_INFO))
        return;
    http_client(http, head, client);
    const struct log_field fields[] = {
        {"client", str_of(client), 0},
        {"name", who[0] ? str_of(who) : none, 0},
        {"path", head->path, 0},
        {"status", none, status},
        {"trace", http_trace_id(head->traceparent), 0},
    };
    log_event(LOG_INFO, "websocket", fields, sizeof fields / sizeof fields[0]);
}

static void on_wake(void *ctx)
{
    struct websocket *ws = ctx;
    http_socket_ask_writable(ws->http);
}

static void close_with(struct websocket *ws, int code);

/* Its client may come back with another token. */
static void on_expiry(void *ctx)
{
    struct websocket *ws = ctx;
    uint64_t left_ms = web_token_left_ms(http_conn_app(ws->http), EXPIRY_LOOK_MS);
    if (left_ms)
        loop_timer_start(ws->expiry, left_ms);
    else
        close_with(ws, WEBSOCKET_POLICY);
}

void websocket_on_open(void *ctx, struct http_conn *http)
{
    struct web_server *server = ctx;
    const struct conn *conn = http_conn_app(http);
    struct websocket *ws = mem_new(struct websocket);
    ws->server = server;
    ws->http = http;
    ws->owner = web_owner(conn->principal->number, web_new_connection(server));
    struct session_config config = {.owner = ws->owner,
                                    .principal = conn->principal->name,
                                    .wake = on_wake,
                                    .wake_ctx = ws};
    ws->session = session_new(server->config.mcp, &config);
    assembly_init(&ws->assembly, server->config.limits.body_bytes);
    http_socket_set_app(http, ws);
    if (conn->expires_s) {
        ws->expiry = loop_timer_new(server->loop, on_expiry, ws);
        on_expiry(ws);
    }
    server->websocket_count++;
    server->metrics.websockets++;
}

void websocket_on_release(void *ctx, struct http_conn *http)
{
    struct websocket *ws = http_socket_app(http);
    struct web_server *server = ctx;
    server->websocket_count--;
    session_free(ws->session);
    mcp_server_drop_owner(server->config.mcp, ws->owner);
    server->config.owner_gone(server->config.ctx, ws->owner);
    assembly_finish(&ws->assembly);
    flights_finish(&ws->flights, &server->metrics);
    loop_timer_free(ws->expiry);
    arena_finish(&ws->arena);
    mem_free(ws);
}

/* Says why to the client, after what is being written. */
static void close_with(struct websocket *ws, int code)
{
    if (!ws->close_code)
        ws->close_code = code;
    http_socket_close(ws->http, ws->close_code);
}

static size_t waiting(const struct websocket *ws)
{
    return session_output(ws->session).n - ws->sent;
}

static void read_or_pause(struct websocket *ws)
{
    http_socket_pause(ws->http, waiting(ws) >= OUTPUT_HIGH || ws->close_code);
}

static void receive(struct websocket *ws, struct str text)
{
    struct web_server *server = ws->server;
    uint64_t now_us = loop_now_us(server->loop);
    struct json_doc doc;
    struct err err;
    server->metrics.in_bytes += text.n;
    if (json_parse(&doc, &ws->arena, text, &err) < 0) {
        session_recv(ws->session, text, now_us / 1000); /* which answers that */
    } else {
        struct json m = json_root(&doc);
        ws->last_stream++;
        if (json_present(json_get(m, STR("id"))))
            flights_begin(&ws->flights, ws->last_stream,
                          metrics_method(json_get(m, STR("method"))), now_us);
        session_recv_json(ws->session, &doc, ws->last_stream, now_us / 1000);
    }
    arena_reset(&ws->arena);
    if (waiting(ws) > 0)
        http_socket_ask_writable(ws->http);
    read_or_pause(ws);
}

void websocket_on_receive(void *ctx, struct http_conn *http,
                          const struct http_piece *piece)
{
    struct websocket *ws = http_socket_app(http);
    struct str text;
    int code;
    (void)ctx;
    int rc = assembly_add(&ws->assembly, piece, &text, &code);
    if (rc > 0)
        receive(ws, text);
    if (rc < 0)
        close_with(ws, code);
}

/* The next message as one text frame. */
static void write_message(struct websocket *ws)
{
    struct metrics *metrics = &ws->server->metrics;
    size_t count;
    const struct mcp_message *m = session_messages(ws->session, &count);
    struct str output = session_output(ws->session);
    struct str text = {output.p + ws->sent, m[ws->next].end - ws->sent - 1};
    http_socket_send(ws->http, text, false);
    metrics->out_bytes += text.n;
    if (m[ws->next].final)
        flights_end(&ws->flights, metrics, &m[ws->next], loop_now_us(ws->server->loop));
    ws->sent = m[ws->next].end;
    if (++ws->next == count) {
        session_sent(ws->session);
        ws->sent = ws->next = 0;
    }
}

void websocket_on_writable(void *ctx, struct http_conn *http)
{
    struct websocket *ws = http_socket_app(http);
    (void)ctx;
    if (session_broken(ws->session)) {
        log_warn("giving up on a client that does not read its answers");
        ws->close_code = WEBSOCKET_POLICY;
        http_socket_close(http, WEBSOCKET_POLICY);
    }
    if (ws->stopping && session_calls(ws->session) == 0)
        close_with(ws, WEBSOCKET_GOING_AWAY);
    if (waiting(ws) > 0 && (!ws->close_code || ws->close_code == WEBSOCKET_GOING_AWAY))
        write_message(ws);
    if (waiting(ws) == 0)
        session_sent(ws->session); /* it may have woken us with nothing to say */
    else
        http_socket_ask_writable(http);
    read_or_pause(ws);
}

void websocket_on_stop(void *ctx, struct http_conn *http)
{
    struct websocket *ws = http_socket_app(http);
    (void)ctx;
    session_end_listens(ws->session);
    ws->stopping = true;
    http_socket_ask_writable(http);
}
