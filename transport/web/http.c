/* HTTP/1.1 on a connection: one request after the other, each an exchange. The rules
 * are in rules.c and body.c, the answers in reply.c, sessions in sessions.c. */
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "mcp/errors.h"
#include "mcp/jsonrpc.h"
#include "mcp/protocol.h"
#include "transport/web/sessions.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    OUT_MAX = 2 * MCP_MESSAGE_OUT_MAX + 1024 * 1024,
    DISCARD_MAX = 1024 * 1024, /* of the body of a refused request */
    DISCARD_S = 2,
    SMALL_BODY = 64 * 1024, /* is read to its end, so that the connection lives on */
    BODY_RATE = 64 * 1024,  /* bytes a second that a slow client must reach */
    METRICS_MAX = 1024 * 1024,
    REPEATED_MAX = 16,
    HELD_BODY = 1024 * 1024, /* of a request whose sender is not known yet */
};

/* 4.1.6 takes "cancel" for "at once", so a timer is never cancelled: when it is called,
 * it looks whether its time has come. */
static void set_deadline(struct exchange *ex, uint64_t seconds)
{
    ex->deadline_ms = loop_now_ms(ex->conn->server->loop) + 1000 * seconds;
    lws_set_timer_usecs(ex->conn->wsi, (lws_usec_t)seconds * LWS_US_PER_SEC);
}

static struct exchange *exchange_new(struct conn *conn)
{
    struct exchange *ex = mem_new(struct exchange);
    ex->conn = conn;
    ex->started_us = loop_now_us(conn->server->loop);
    buf_init(&ex->out, OUT_MAX);
    conn->exchange = ex;
    return ex;
}

static void release_body(struct exchange *ex)
{
    if (ex->counted)
        ex->conn->principal->body_bytes -= ex->body_bytes;
    ex->body_bytes = 0;
    buf_finish(&ex->body);
}

static const char *method_name(enum http_method method)
{
    static const char *const names[] = {
        [HTTP_GET] = "GET",         [HTTP_POST] = "POST", [HTTP_DELETE] = "DELETE",
        [HTTP_OPTIONS] = "OPTIONS", [HTTP_HEAD] = "HEAD", [HTTP_OTHER] = "other",
    };
    return names[method];
}

/* One line a request, with --verbose. */
static void log_request(struct exchange *ex)
{
    struct conn *conn = ex->conn;
    if (!log_enabled(LOG_INFO))
        return;
    const char *who = conn->principal ? conn->principal->name : "";
    uint64_t micros = loop_now_us(conn->server->loop) - ex->started_us;
    char client[WEB_CLIENT_MAX];
    const struct str none = {NULL, 0};
    conn_client(conn, &ex->head, client);
    const struct log_field fields[] = {
        {"client", str_of(client), 0},
        {"name", who[0] ? str_of(who) : none, 0},
        {"method", str_of(method_name(ex->head.method)), 0},
        {"path", ex->head.path, 0},
        {"status", none, ex->status},
        {"rpc", ex->is_message ? metrics_name(ex->method) : none, 0},
        {"bytes", none, ex->out_bytes},
        {"microseconds", none, micros},
        {"trace", ex->trace, 0},
    };
    log_event(LOG_INFO, ex->status ? "request" : "request without an answer", fields,
              sizeof fields / sizeof fields[0]);
}

void http_release(struct conn *conn)
{
    struct exchange *ex = conn->exchange;
    if (!ex)
        return;
    conn->exchange = NULL;
    log_request(ex);
    web_forget(conn, &ex->later);
    http_session_detach(ex);
    release_body(ex);
    if (ex->counted)
        conn->principal->requests--;
    loop_timer_free(ex->timer);
    loop_io_free(ex->watch);
    loop_later_free(ex->look_away);
    buf_finish(&ex->out);
    arena_finish(&ex->arena);
    mem_free(ex);
}

static void refuse(struct exchange *ex, const struct http_refusal *refusal)
{
    struct http_refusal r = *refusal;
    /* The rest of a large body is not worth the connection. */
    if (ex->state == EXCHANGE_BODY && !ex->body_ended && ex->body_bytes > SMALL_BODY)
        r.close = true;
    release_body(ex);
    reply_refusal(ex, &r);
    if (r.close && !ex->body_ended)
        set_deadline(ex, DISCARD_S);
}

/* A preflight: browsers ask without a token. */
static void answer_preflight(struct exchange *ex)
{
    struct http_policy policy = web_policy(ex->conn);
    if (!ex->head.origin.p || !http_origin_allowed(ex->head.origin, &policy)) {
        reply_refusal(ex, &(struct http_refusal){.status = HTTP_METHOD_NOT_ALLOWED,
                                                 .message = "OPTIONS is for browsers",
                                                 .header = "Allow: POST\r\n"});
        return;
    }
    reply_text(ex, HTTP_NO_CONTENT, NULL, (struct str){0},
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
    metrics_gauge(&text, "connections", "Open connections.", server->conn_count);
    metrics_gauge(&text, "websockets", "Open WebSockets.", server->websocket_count);
    metrics_gauge(&text, "sessions", "Open sessions of legacy HTTP.",
                  server->session_count);
    if (server->config.write_metrics)
        server->config.write_metrics(server->config.ctx, &text);
    reply_text(ex, HTTP_OK, "text/plain; version=0.0.4", buf_str(&text), NULL);
    buf_finish(&text);
}

/* healthz: the process turns. readyz: and it takes new work. */
static void answer_state(struct exchange *ex)
{
    const struct web_config *config = &ex->conn->server->config;
    const char *why = NULL;
    if (ex->route == ROUTE_READY && ex->conn->server->stopping)
        why = "stopping";
    else if (ex->route == ROUTE_READY && config->authority)
        why = config->oauth->unready(config->authority);
    struct buf text;
    buf_init(&text, SMALL_BODY);
    buf_addf(&text, "%s\n", why ? why : "ok");
    reply_text(ex, why ? HTTP_UNAVAILABLE : HTTP_OK, "text/plain", buf_str(&text),
               NULL);
    buf_finish(&text);
}

static void answer_metadata(struct exchange *ex)
{
    const struct web_config *config = &ex->conn->server->config;
    reply_text(ex, HTTP_OK, "application/json",
               config->oauth->about(config->authority)->metadata,
               "Cache-Control: max-age=300\r\n");
}

/* What a GET stream's client sends, also its end, ends the stream. */
static bool client_left(struct exchange *ex, unsigned events)
{
    char byte;
    ssize_t n = recv(loop_io_fd(ex->watch), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n >= 0 || (errno != EAGAIN && errno != EINTR) || events & LOOP_HANGUP;
}

static void on_watch(void *ctx, unsigned events)
{
    struct exchange *ex = ctx;
    if (events & LOOP_WRITE) {
        loop_io_want(ex->watch, LOOP_READ | LOOP_HANGUP);
        lws_rx_flow_control(ex->conn->wsi, 1);
        lws_callback_on_writable(ex->conn->wsi);
        loop_later_ask(ex->look_away);
    } else if (client_left(ex, events)) {
        loop_io_want(ex->watch, 0);
        conn_close(ex->conn);
    }
}

static void on_look_away(void *ctx)
{
    struct exchange *ex = ctx;
    lws_rx_flow_control(ex->conn->wsi, 0);
    if (ex->sent < ex->out.n || ex->state == EXCHANGE_ENDED ||
        lws_partial_buffered(ex->conn->wsi))
        exchange_ask_writable(ex);
}

/* 4.1.6 polls for input on what is not a POST but does not read it: a client that goes
 * away or sends more would keep it busy for ever. So its receiving is off (and with it,
 * its writable callbacks), a duplicate of the socket is watched here, and it looks for
 * one turn when that is writable. */
static int stop_reading(struct exchange *ex)
{
    int fd = fcntl(lws_get_socket_fd(ex->conn->wsi), F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return -1;
    ex->unread = true;
    ex->watch = loop_io_new(ex->conn->server->loop, fd, on_watch, ex);
    ex->look_away = loop_later_new(ex->conn->server->loop, on_look_away, ex);
    lws_rx_flow_control(ex->conn->wsi, 0);
    return 0;
}

void exchange_ask_writable(struct exchange *ex)
{
    if (ex->unread)
        loop_io_want(ex->watch, LOOP_READ | LOOP_HANGUP | LOOP_WRITE);
    else
        lws_callback_on_writable(ex->conn->wsi);
}

static int open_get_stream(struct exchange *ex, struct http_refusal *refusal)
{
    struct conn *conn = ex->conn;
    struct http_session *hs =
        http_session_find(conn->server, ex->head.session_id, conn->principal);
    *refusal = (struct http_refusal){
        .status = HTTP_NOT_FOUND,
        .message = "There is no such session: initialize a new one"};
    if (!hs || http_check_get(&ex->head, refusal) < 0)
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
    reply_text(ex, HTTP_NO_CONTENT, NULL, (struct str){0}, NULL);
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
    else if (p->body_bytes + ex->body_bytes > limits->principal_body_bytes)
        message = "Too many bytes in flight with this token";
    if (message) {
        *refusal = (struct http_refusal){.status = HTTP_TOO_MANY,
                                         .message = message,
                                         .header = "Retry-After: 1\r\n"};
        return -1;
    }
    p->requests++;
    p->body_bytes += ex->body_bytes;
    ex->counted = true;
    return 0;
}

static int begin_mcp(struct exchange *ex, struct http_refusal *refusal)
{
    if (count(ex, refusal) < 0)
        return -1;
    if (ex->head.method == HTTP_GET)
        return open_get_stream(ex, refusal);
    if (ex->head.method == HTTP_DELETE)
        return end_session(ex, refusal);
    if (http_check_post(&ex->head, refusal) < 0)
        return -1;
    if (ex->conn->server->stopping) {
        *refusal = (struct http_refusal){.status = HTTP_UNAVAILABLE,
                                         .message = "The server is stopping",
                                         .close = true};
        return -1;
    }
    if (!ex->body.max)
        buf_init(&ex->body, ex->body_bytes + 1);
    return 0;
}

/* Once it is known whose it is. */
static int serve(struct exchange *ex, struct http_refusal *refusal)
{
    const struct http_head *head = &ex->head;
    bool for_browsers = ex->route == ROUTE_MCP || ex->route == ROUTE_METADATA;
    if (head->method == HTTP_OPTIONS && for_browsers) {
        answer_preflight(ex);
        return 0;
    }
    if (http_check_method(head, ex->route, refusal) < 0)
        return -1;
    ex->bare = head->method == HTTP_HEAD;
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
        refuse(ex, &refusal);
    else if (ex->body_ended)
        take_body(ex);
}

/* Its body may come meanwhile. */
static int hold(struct exchange *ex, struct http_refusal *refusal)
{
    lws_set_timeout(ex->conn->wsi, NO_PENDING_TIMEOUT, 0);
    if (ex->body_bytes > HELD_BODY) {
        *refusal = (struct http_refusal){.status = HTTP_UNAVAILABLE,
                                         .message = "The token cannot be checked now",
                                         .header = "Retry-After: 1\r\n"};
        return -1;
    }
    buf_init(&ex->body, ex->body_bytes + 1);
    return 0;
}

/* 0, or -1 with what to refuse it with. */
static int begin(struct exchange *ex, struct http_refusal *refusal)
{
    struct conn *conn = ex->conn;
    struct http_policy policy = web_policy(conn);
    const struct http_head *head = &ex->head;
    if (http_check_framing(head, conn->server->config.limits.body_bytes,
                           &ex->body_bytes, refusal) < 0 ||
        http_check_source(head, &policy, refusal) < 0)
        return -1;
    if (web_is_metadata(conn->server, head->path))
        ex->route = ROUTE_METADATA;
    else if (http_route(head, &ex->route, refusal) < 0)
        return -1;
    if (head->method == HTTP_OPTIONS ||
        (ex->route != ROUTE_MCP && ex->route != ROUTE_METRICS))
        return serve(ex, refusal);
    ex->later = (struct web_later){.fn = on_identified, .ctx = ex};
    int rc = web_authenticate(conn, head, &ex->later, refusal);
    return rc > 0 ? hold(ex, refusal) : rc < 0 ? -1 : serve(ex, refusal);
}

int http_on_request(struct conn *conn)
{
    struct http_refusal refusal;
    if (conn->exchange)
        return -1;
    struct exchange *ex = exchange_new(conn);
    head_read(conn->wsi, &ex->arena, &ex->head);
    if (ex->head.method != HTTP_POST && stop_reading(ex) < 0)
        return -1;
    if (begin(ex, &refusal) < 0) {
        refusal.close |= ex->head.method == HTTP_OTHER;
        refuse(ex, &refusal);
    }
    return 0;
}

int http_on_body(struct conn *conn, struct str bytes)
{
    struct exchange *ex = conn->exchange;
    if (!ex)
        return -1;
    if (ex->state == EXCHANGE_BODY) {
        buf_adds(&ex->body, bytes);
        if (ex->body.n < ex->body_bytes && !ex->deadline_ms)
            set_deadline(ex, conn->server->config.limits.body_s +
                                 ex->body_bytes / BODY_RATE);
        return 0;
    }
    ex->discarded += bytes.n;
    return ex->discarded > DISCARD_MAX ? -1 : 0;
}

static struct str find_header(void *ctx, const char *name)
{
    struct exchange *ex = ctx;
    return head_custom(ex->conn->wsi, &ex->arena, name);
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
    struct str text = ex->head.traceparent;
    if (!text.p && json_present(parent))
        text = arena_dup(&ex->arena, json_str(parent, &ex->arena));
    ex->trace = http_trace_id(text);
}

static void handle_message(struct exchange *ex, const struct json_doc *doc)
{
    struct conn *conn = ex->conn;
    struct body_refusal wrong;
    struct http_refusal refusal;
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
        reply_refusal(ex, &refusal);
}

static void take_body(struct exchange *ex)
{
    struct arena arena = {0};
    struct json_doc doc;
    struct err err;
    ex->conn->server->metrics.in_bytes += ex->body.n;
    if (json_parse(&doc, &arena, buf_str(&ex->body), &err) == 0)
        handle_message(ex, &doc);
    else
        reply_error(ex, HTTP_BAD_REQUEST, RPC_PARSE_ERROR, (struct str){0}, err.msg);
    arena_finish(&arena);
    release_body(ex);
}

/* A second one for a request means that bytes follow it while it is being answered:
 * 4.1.6 would repeat this call for ever. */
int http_on_body_end(struct conn *conn)
{
    struct exchange *ex = conn->exchange;
    if (ex && ex->body_ended && ex->close && ex->repeated++ < REPEATED_MAX)
        return 0; /* a refusal that has not gone yet: the next turn writes it */
    if (!ex || ex->body_ended)
        return -1;
    ex->body_ended = true;
    lws_set_timeout(conn->wsi, NO_PENDING_TIMEOUT, 0);
    ex->deadline_ms = 0;
    if (ex->state != EXCHANGE_BODY) {
        lws_callback_on_writable(conn->wsi); /* finish() may have waited for it */
        return 0;
    }
    if (ex->body.overflow)
        return -1;
    if (!ex->later.wait)
        take_body(ex);
    return 0;
}

/* The answer is gone. */
static int finish(struct conn *conn)
{
    struct exchange *ex = conn->exchange;
    bool unread = ex->unread;
    if (ex->close && !ex->body_ended && ex->head.method == HTTP_POST)
        return 0; /* the client is still sending: it would not see the answer */
    if (ex->close)
        return -1;
    http_release(conn);
    if (unread)
        lws_rx_flow_control(conn->wsi, 1);
    return lws_http_transaction_completed(conn->wsi) ? -1 : 0;
}

/* One write; libwebsockets keeps what the socket does not take. */
static int write_some(struct conn *conn)
{
    struct exchange *ex = conn->exchange;
    size_t n = ex->out.n - ex->sent;
    if (n > WEB_CHUNK)
        n = WEB_CHUNK;
    if (n == 0)
        return 0;
    if (lws_write(conn->wsi, (unsigned char *)ex->out.p + ex->sent, n, LWS_WRITE_HTTP) <
        0)
        return -1;
    ex->sent += n;
    ex->out_bytes += n;
    return 0;
}

int http_on_writable(struct conn *conn)
{
    struct exchange *ex = conn->exchange;
    if (!ex)
        return 0;
    if (write_some(conn) < 0)
        return -1;
    bool more = ex->sent < ex->out.n || lws_partial_buffered(conn->wsi);
    lws_set_timeout(conn->wsi, more ? PENDING_TIMEOUT_HTTP_CONTENT : NO_PENDING_TIMEOUT,
                    more ? (int)conn->server->config.limits.write_s : 0);
    if (!more && ex->state == EXCHANGE_ENDED)
        return finish(conn);
    if (more) {
        exchange_ask_writable(ex);
    } else {
        buf_reset(&ex->out, WEB_CHUNK);
        ex->sent = 0;
    }
    return 0;
}

/* A body that is too slow in coming, or the rest of a refused one. */
int http_on_timer(struct conn *conn)
{
    static const struct http_refusal late = {
        .status = HTTP_TIMEOUT, .message = "The body came too slowly", .close = true};
    struct exchange *ex = conn->exchange;
    if (!ex || !ex->deadline_ms)
        return 0;
    uint64_t now_ms = loop_now_ms(conn->server->loop);
    if (now_ms < ex->deadline_ms) {
        lws_set_timer_usecs(conn->wsi,
                            (lws_usec_t)(ex->deadline_ms - now_ms) * LWS_US_PER_MS);
        return 0;
    }
    if (ex->state != EXCHANGE_BODY)
        return -1;
    refuse(ex, &late);
    return 0;
}

void http_refuse_upgrade(struct conn *conn, const struct http_refusal *refusal)
{
    struct buf text;
    buf_init(&text, SMALL_BODY);
    reply_write_refusal(&text, refusal);
    conn->server->metrics.answers[(unsigned)refusal->status / 100]++;
    lws_write(conn->wsi, (unsigned char *)text.p, text.n, LWS_WRITE_HTTP);
    buf_finish(&text);
}

void http_stop(struct conn *conn)
{
    struct exchange *ex = conn->exchange;
    if (!ex) {
        conn_close(conn);
        return;
    }
    ex->close = true;
    if (ex->session)
        http_session_stop(ex);
}
