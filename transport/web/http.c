/* Streamable HTTP: a request's way from its head to the session that answers it. The
 * rules are in rules.c and body.c, who it is in auth.c, the answers in reply.c,
 * sessions in sessions.c. */
#include "base/log.h"
#include "base/mem.h"
#include "mcp/errors.h"
#include "mcp/jsonrpc.h"
#include "mcp/protocol.h"
#include "transport/web/sessions.h"

enum {
    METRICS_MAX = 1024 * 1024,
    STATE_MAX = 4096,
    HELD_BODY = 1024 * 1024, /* of a request whose sender is not known yet */
};

static struct exchange *exchange_new(struct http_exchange *http)
{
    struct exchange *ex = mem_new(struct exchange);
    ex->http = http;
    ex->conn = http_conn_app(http->conn);
    ex->head = (struct web_head){
        .http = &http->head,
        .protocol_version = http_header(http, "mcp-protocol-version"),
        .mcp_method = http_header(http, "mcp-method"),
        .mcp_name = http_header(http, "mcp-name"),
        .session_id = http_header(http, "mcp-session-id"),
        .last_event_id = http_header(http, "last-event-id"),
    };
    http->app = ex;
    return ex;
}

/* It is not needed any more. */
static void release_body(struct exchange *ex)
{
    if (ex->counted)
        ex->conn->principal->body_bytes -= ex->body_bytes;
    ex->body_bytes = 0;
    buf_finish(&ex->http->body);
}

/* One line a request, with --verbose. ex: NULL for one that was refused at once. */
static void log_request(const struct http_exchange *http, const struct exchange *ex)
{
    const struct conn *conn = http_conn_app(http->conn);
    if (!log_enabled(LOG_INFO))
        return;
    const char *who = conn->principal ? conn->principal->name : "";
    uint64_t micros = loop_now_us(conn->server->loop) - http->started_us;
    char client[HTTP_CLIENT_MAX];
    const struct str none = {NULL, 0};
    http_client(http->conn, &http->head, client);
    const struct log_field fields[] = {
        {"client", str_of(client), 0},
        {"name", who[0] ? str_of(who) : none, 0},
        {"method", str_of(http_method_name(http->head.method)), 0},
        {"path", http->head.path, 0},
        {"status", none, http->status},
        {"rpc", ex && ex->is_message ? metrics_name(ex->method) : none, 0},
        {"bytes", none, http->out_bytes},
        {"microseconds", none, micros},
        {"trace", ex ? ex->trace : none, 0},
    };
    log_event(LOG_INFO, http->status ? "request" : "request without an answer", fields,
              sizeof fields / sizeof fields[0]);
}

/* The connection is going, or the answer is gone: a request in hand ends as its era
 * says. */
void exchange_on_release(void *ctx, struct http_exchange *http)
{
    struct exchange *ex = http->app;
    (void)ctx;
    log_request(http, ex);
    if (!ex)
        return;
    web_forget(ex->conn, &ex->later);
    http_session_detach(ex);
    release_body(ex);
    if (ex->counted)
        ex->conn->principal->requests--;
    loop_timer_free(ex->timer);
    mem_free(ex);
}

void exchange_on_head(void *ctx, struct http_exchange *http, enum http_code status,
                      struct buf *to)
{
    struct web_server *server = ctx;
    const struct exchange *ex = http->app;
    server->metrics.answers[(unsigned)status / 100]++;
    if (ex && ex->session && http_session_id(ex->session)) {
        buf_addz(to, "Mcp-Session-Id: ");
        buf_addz(to, http_session_id(ex->session));
        buf_addz(to, "\r\n");
    }
}

/* A preflight: browsers ask without a token. */
static void answer_preflight(struct exchange *ex)
{
    static const struct http_refusal no_page = {.status = HTTP_METHOD_NOT_ALLOWED,
                                                .message = "OPTIONS is for browsers",
                                                .header = "Allow: POST\r\n"};
    if (!http_for_page(ex->http)) {
        http_answer_refusal(ex->http, &no_page);
        return;
    }
    http_answer(ex->http, HTTP_NO_CONTENT, NULL, (struct str){0},
                "Access-Control-Allow-Methods: POST, GET, DELETE\r\n"
                "Access-Control-Allow-Headers: Authorization, Content-Type, Accept, "
                "Last-Event-ID, Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, "
                "Mcp-Name, traceparent, tracestate, baggage\r\n"
                "Access-Control-Max-Age: 600\r\n");
}

static void answer_metrics(struct exchange *ex)
{
    struct web_server *server = ex->conn->server;
    struct buf text;
    buf_init(&text, METRICS_MAX);
    metrics_write(&server->metrics, &text);
    metrics_gauge(&text, "connections", "Open connections.",
                  http_server_connections(server->http));
    metrics_gauge(&text, "websockets", "Open WebSockets.", server->websocket_count);
    metrics_gauge(&text, "sessions", "Open sessions of legacy HTTP.",
                  server->session_count);
    if (server->config.write_metrics)
        server->config.write_metrics(server->config.ctx, &text);
    http_answer(ex->http, HTTP_OK, "text/plain; version=0.0.4", buf_str(&text), NULL);
    buf_finish(&text);
}

/* healthz: the process turns. readyz: and it takes new work. */
static void answer_state(struct exchange *ex)
{
    const struct web_server *server = ex->conn->server;
    const struct web_config *config = &server->config;
    const char *why = NULL;
    if (ex->route == ROUTE_READY && http_server_stopping(server->http))
        why = "stopping";
    else if (ex->route == ROUTE_READY && config->authority)
        why = config->oauth->unready(config->authority);
    struct buf text;
    buf_init(&text, STATE_MAX);
    buf_addf(&text, "%s\n", why ? why : "ok");
    http_answer(ex->http, why ? HTTP_UNAVAILABLE : HTTP_OK, "text/plain",
                buf_str(&text), NULL);
    buf_finish(&text);
}

static void answer_metadata(struct exchange *ex)
{
    const struct web_config *config = &ex->conn->server->config;
    http_answer(ex->http, HTTP_OK, "application/json",
                config->oauth->about(config->authority)->metadata,
                "Cache-Control: max-age=300\r\n");
}

static int open_get_stream(struct exchange *ex, struct http_refusal *refusal)
{
    struct conn *conn = ex->conn;
    struct http_session *hs =
        http_session_find(conn->server, ex->head.session_id, conn->principal);
    *refusal = (struct http_refusal){
        .status = HTTP_NOT_FOUND,
        .message = "There is no such session: initialize a new one"};
    if (!hs || web_check_get(&ex->head, refusal) < 0)
        return -1;
    return http_session_stream(hs, ex, refusal);
}

static int end_session(struct exchange *ex, struct http_refusal *refusal)
{
    struct conn *conn = ex->conn;
    struct http_session *hs =
        http_session_find(conn->server, ex->head.session_id, conn->principal);
    *refusal = (struct http_refusal){.status = HTTP_NOT_FOUND,
                                     .message = "There is no such session"};
    if (!hs)
        return -1;
    http_session_free(hs);
    http_answer(ex->http, HTTP_NO_CONTENT, NULL, (struct str){0}, NULL);
    return 0;
}

/* What the token still allows. */
static int count(struct exchange *ex, struct http_refusal *refusal)
{
    const struct web_limits *limits = &ex->conn->server->config.limits;
    struct principal *p = ex->conn->principal;
    const char *message = NULL;
    if (p->requests >= limits->principal_requests)
        message = "Too many requests in flight with this token";
    else if (p->body_bytes + ex->http->body_bytes > limits->principal_body_bytes)
        message = "Too many bytes in flight with this token";
    if (message) {
        *refusal = (struct http_refusal){.status = HTTP_TOO_MANY,
                                         .message = message,
                                         .header = "Retry-After: 1\r\n"};
        return -1;
    }
    p->requests++;
    ex->body_bytes = ex->http->body_bytes;
    p->body_bytes += ex->body_bytes;
    ex->counted = true;
    return 0;
}

static int begin_mcp(struct exchange *ex, struct http_refusal *refusal)
{
    enum http_method method = ex->head.http->method;
    if (count(ex, refusal) < 0)
        return -1;
    if (method == HTTP_GET)
        return open_get_stream(ex, refusal);
    if (method == HTTP_DELETE)
        return end_session(ex, refusal);
    if (web_check_post(&ex->head, refusal) < 0)
        return -1;
    if (http_server_stopping(ex->conn->server->http)) {
        *refusal = (struct http_refusal){.status = HTTP_UNAVAILABLE,
                                         .message = "The server is stopping",
                                         .close = true};
        return -1;
    }
    return 0;
}

/* Once it is known whose it is. */
static int serve(struct exchange *ex, struct http_refusal *refusal)
{
    bool for_browsers = ex->route == ROUTE_MCP || ex->route == ROUTE_METADATA;
    if (ex->head.http->method == HTTP_OPTIONS && for_browsers) {
        answer_preflight(ex);
        return 0;
    }
    if (web_check_method(&ex->head, ex->route, refusal) < 0)
        return -1;
    if (ex->route == ROUTE_MCP)
        return begin_mcp(ex, refusal);
    if (ex->route == ROUTE_METRICS)
        answer_metrics(ex);
    else if (ex->route == ROUTE_METADATA)
        answer_metadata(ex);
    else
        answer_state(ex);
    return 0;
}

static void take_body(struct exchange *ex);

static void on_identified(void *ctx, const struct authority_answer *answer)
{
    struct exchange *ex = ctx;
    struct http_refusal refusal;
    ex->later.wait = NULL;
    if (web_identified(ex->conn, answer, &refusal) < 0 || serve(ex, &refusal) < 0)
        http_answer_refusal(ex->http, &refusal);
    else if (ex->http->state == HTTP_WAITING)
        take_body(ex);
}

/* Its body may come meanwhile. */
static int hold(struct exchange *ex, struct http_refusal *refusal)
{
    if (ex->http->body_bytes <= HELD_BODY)
        return 0;
    *refusal = (struct http_refusal){.status = HTTP_UNAVAILABLE,
                                     .message = "The token cannot be checked now",
                                     .header = "Retry-After: 1\r\n"};
    return -1;
}

int exchange_on_request(void *ctx, struct http_exchange *http,
                        struct http_refusal *refusal)
{
    struct web_server *server = ctx;
    struct exchange *ex = exchange_new(http);
    if (web_is_metadata(server, http->head.path))
        ex->route = ROUTE_METADATA;
    else if (web_route(http->head.path, &ex->route, refusal) < 0)
        return -1;
    if (http->head.method == HTTP_OPTIONS ||
        (ex->route != ROUTE_MCP && ex->route != ROUTE_METRICS))
        return serve(ex, refusal);
    ex->later = (struct web_later){.fn = on_identified, .ctx = ex};
    int rc = web_authenticate(ex->conn, &http->head, &ex->later, refusal);
    return rc > 0 ? hold(ex, refusal) : rc < 0 ? -1 : serve(ex, refusal);
}

static struct str find_header(void *ctx, const char *name)
{
    struct exchange *ex = ctx;
    return http_header(ex->http, name);
}

static struct http_session *session_for(struct exchange *ex, enum body_kind kind,
                                        struct http_refusal *refusal)
{
    struct conn *conn = ex->conn;
    struct str id = ex->head.session_id, version = ex->head.protocol_version;
    if (kind != BODY_LEGACY)
        return http_session_new(conn->server, conn->principal, kind == BODY_INITIALIZE,
                                refusal);
    *refusal = (struct http_refusal){
        .status = HTTP_BAD_REQUEST,
        .message = "Mcp-Session-Id is required: initialize gives one"};
    if (!id.p)
        return NULL;
    struct http_session *hs = http_session_find(conn->server, id, conn->principal);
    if (!hs)
        *refusal = (struct http_refusal){
            .status = HTTP_NOT_FOUND,
            .message = "There is no such session: initialize a new one"};
    else if (version.p && !protocol_legacy_name(version)) {
        *refusal = (struct http_refusal){
            .status = HTTP_BAD_REQUEST,
            .message = "MCP-Protocol-Version names a revision that is not spoken here"};
        hs = NULL;
    }
    return hs;
}

/* From the header, or from the message's _meta (2026-07-28). */
static void take_trace(struct exchange *ex, const struct json_doc *doc)
{
    struct json parent = json_pointer(json_root(doc), "/params/_meta/traceparent");
    struct str text = ex->head.http->traceparent;
    if (!text.p && json_present(parent))
        text = arena_dup(&ex->http->arena, json_str(parent, &ex->http->arena));
    ex->trace = http_trace_id(text);
}

static void handle_message(struct exchange *ex, const struct json_doc *doc)
{
    struct conn *conn = ex->conn;
    struct body_refusal wrong;
    struct http_refusal refusal = {0};
    enum body_kind kind;
    ex->method = metrics_method(json_get(json_root(doc), STR("method")));
    ex->is_message = true;
    take_trace(ex, doc);
    if (body_check(doc, &ex->head, conn->server->params, find_header, ex, &kind,
                   &wrong) < 0) {
        reply_error(ex, HTTP_BAD_REQUEST, wrong.code, wrong.id, wrong.message);
        return;
    }
    struct http_session *hs = session_for(ex, kind, &refusal);
    ex->opens = kind == BODY_INITIALIZE;
    if (hs)
        http_session_recv(hs, ex, doc);
    else
        http_answer_refusal(ex->http, &refusal);
}

static void take_body(struct exchange *ex)
{
    struct arena arena = {0};
    struct json_doc doc;
    struct err err;
    struct str text = buf_str(&ex->http->body);
    ex->conn->server->metrics.in_bytes += text.n;
    if (json_parse(&doc, &arena, text, &err) == 0)
        handle_message(ex, &doc);
    else
        reply_error(ex, HTTP_BAD_REQUEST, RPC_PARSE_ERROR, (struct str){0}, err.msg);
    arena_finish(&arena);
    release_body(ex);
}

void exchange_on_body_end(void *ctx, struct http_exchange *http)
{
    struct exchange *ex = http->app;
    (void)ctx;
    if (!ex->later.wait)
        take_body(ex);
}

void exchange_on_stop(void *ctx, struct http_exchange *http)
{
    struct exchange *ex = http->app;
    (void)ctx;
    if (ex && ex->session)
        http_session_stop(ex);
}
