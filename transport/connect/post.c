/* The client side of Streamable HTTP: every message is a POST of its own, answered with
 * JSON or a stream of events. Legacy eras have a session, which close() ends; in
 * 2026-07-28 headers mirror the body, and a request is cancelled by closing its
 * connection. Specification: "Transports" of each revision. */
#include "base/base64.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/module.h"
#include "mcp/jsonrpc.h"
#include "mcp/protocol.h"
#include "mcp/server.h"
#include "net/http/client.h"
#include "net/http/sse.h"
#include "transport/connector.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    HEAD_TIMEOUT_MS = 70000, /* a server's longest silence before its answer */
    IDLE_TIMEOUT_MS = 120000,
    CLOSE_MS = 2000,
    SESSION_MAX = 512,
    VERSION_MAX = 32,
    HEADERS_MAX = 8,
    HEADER_BYTES = 4096,
    REASON_MAX = 150,
};

struct connection {
    struct connector_config config;
    struct client *client;
    struct http_client *http;
    struct post *posts; /* under way */
    char session[SESSION_MAX], version[VERSION_MAX];
    bool is_lost, closing;
    struct loop_later *lost_later;
    struct err why;
};

struct post {
    struct connection *connection;
    struct post *next;
    struct http_call *call;
    struct buf body; /* the message that was sent */
    struct str id;   /* raw, in the body; empty: no request */
    bool is_initialize, is_stream;
    int status;
    struct sse sse;
    struct buf answer; /* that is no stream */
};

static void flush(struct connection *c);

static void unlink_post(struct post *p)
{
    struct post **at = &p->connection->posts;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
}

static void post_free(struct post *p)
{
    buf_finish(&p->body);
    buf_finish(&p->answer);
    sse_finish(&p->sse);
    mem_free(p);
}

static void on_lost(void *ctx)
{
    struct connection *c = ctx;
    client_lost(c->client, &c->why);
    c->config.lost(c->config.ctx, &c->why);
}

/* Told from the loop: not from inside a callback of the client's. */
static void lose(struct connection *c, const struct err *err)
{
    if (c->is_lost || c->closing)
        return;
    c->is_lost = true;
    c->why = *err;
    loop_later_ask(c->lost_later);
}

/* What initialize agreed upon goes into the head of all that follows. */
static void take_version(struct connection *c, struct str text)
{
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    if (json_parse(&doc, &a, text, &err) == 0) {
        struct str version =
            json_str(json_pointer(json_root(&doc), "/result/protocolVersion"), &a);
        if (version.n && version.n < sizeof c->version)
            snprintf(c->version, sizeof c->version, "%.*s", STR_FMT(version));
    }
    arena_finish(&a);
}

static void on_message(void *ctx, struct str text)
{
    struct post *p = ctx;
    struct err err;
    if (p->is_initialize)
        take_version(p->connection, text);
    if (client_recv(p->connection->client, text, &err) < 0)
        log_warn("ignoring a message of the server: %s", err.msg);
    flush(p->connection); /* what the client says to that */
}

static void on_head(void *ctx, int status)
{
    struct post *p = ctx;
    struct connection *c = p->connection;
    struct str type = http_header(p->call, "Content-Type");
    struct str session = http_header(p->call, "Mcp-Session-Id");
    p->status = status;
    p->is_stream = str_starts(type, STR("text/event-stream"));
    if (p->is_initialize && session.n && session.n < sizeof c->session &&
        !memchr(session.p, '\0', session.n))
        snprintf(c->session, sizeof c->session, "%.*s", STR_FMT(session));
}

static void on_event(void *ctx, struct str name, struct str data)
{
    (void)name; /* MCP knows one type of event */
    if (data.n) /* else it is only an id to come back with */
        on_message(ctx, data);
}

static void on_body(void *ctx, struct str bytes)
{
    struct post *p = ctx;
    struct err err;
    if (!p->is_stream) {
        buf_adds(&p->answer, bytes);
    } else if (sse_feed(&p->sse, bytes, on_event, p) < 0) {
        err_set(&err, ERR_LIMIT, "an event of the server is over %d MiB",
                MCP_MESSAGE_IN_MAX >> 20);
        lose(p->connection, &err);
    }
}

/* An answer that is not of MCP: the status says why, or the body does. */
static void refused(struct post *p)
{
    struct arena a = {0};
    struct json_doc doc;
    struct err err, ignored;
    struct str reason = {0};
    if (json_parse(&doc, &a, buf_str(&p->answer), &ignored) == 0)
        reason = json_str(json_pointer(json_root(&doc), "/error/message"), &a);
    if (reason.n > REASON_MAX)
        reason.n = REASON_MAX;
    err_set(&err, p->status == 401 || p->status == 403 ? ERR_DENIED : ERR_UNAVAILABLE,
            "the server answers with status %d%s%.*s", p->status, reason.n ? ": " : "",
            STR_FMT(reason));
    if (p->status == 401)
        err_remedy(&err, "its token goes into --token-file, --token-env or "
                         "SANDQUAY_TOKEN");
    arena_finish(&a);
    lose(p->connection, &err);
}

/* Does the body answer the request? Also errors do, whatever the status. */
static bool answers(struct post *p)
{
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    bool yes = p->id.n && json_parse(&doc, &a, buf_str(&p->answer), &err) == 0 &&
               str_eq(json_raw(json_get(json_root(&doc), STR("id"))), p->id);
    arena_finish(&a);
    return yes;
}

static void on_done(void *ctx, const struct err *failed, enum http_reach reach)
{
    (void)reach;
    struct post *p = ctx;
    struct connection *c = p->connection;
    struct err err;
    unlink_post(p);
    if (failed) {
        lose(c, failed);
    } else if (p->answer.overflow) {
        err_set(&err, ERR_LIMIT, "an answer of the server is over %d MiB",
                MCP_MESSAGE_IN_MAX >> 20);
        lose(c, &err);
    } else if (answers(p)) {
        on_message(p, buf_str(&p->answer));
    } else if (p->status / 100 != 2) {
        refused(p);
    }
    post_free(p);
}

/* A header's value as 2026-07-28 wants it: plain where it can be. */
static void add_value(struct buf *b, struct str value)
{
    bool plain = value.n > 0 && value.p[0] != ' ' && value.p[value.n - 1] != ' ' &&
                 !str_starts(value, STR("=?base64?"));
    for (size_t i = 0; i < value.n; i++)
        plain &= value.p[i] >= 0x20 && value.p[i] < 0x7f;
    if (plain) {
        buf_adds(b, value);
        return;
    }
    buf_addz(b, "=?base64?");
    base64_encode(b, value);
    buf_addz(b, "?=");
}

struct headers {
    struct buf text; /* all of them, each ended by a NUL */
    size_t ends[HEADERS_MAX];
    size_t count;
};

static void end_header(struct headers *h)
{
    h->ends[h->count++] = h->text.n;
}

static void mirror(struct headers *h, struct json message, struct str method,
                   struct str version, struct arena *a)
{
    static const char *const names[] = {"/params/name", "/params/uri",
                                        "/params/taskId"};
    buf_addf(&h->text, "MCP-Protocol-Version: %.*s", STR_FMT(version));
    end_header(h);
    buf_addf(&h->text, "Mcp-Method: %.*s", STR_FMT(method));
    end_header(h);
    for (size_t i = 0; i < 3; i++) {
        struct json name = json_pointer(message, names[i]);
        if (json_type(name) != JSON_STRING)
            continue;
        buf_addz(&h->text, "Mcp-Name: ");
        add_value(&h->text, json_str(name, a));
        end_header(h);
        return;
    }
}

static void make_headers(const struct connection *c, struct headers *h,
                         struct json message, struct arena *a)
{
    struct str method = json_str(json_get(message, STR("method")), a);
    struct str version = json_str(json_get(json_pointer(message, "/params/_meta"),
                                           STR(MCP_META "protocolVersion")),
                                  a);
    buf_init(&h->text, HEADER_BYTES);
    buf_addz(&h->text, "Content-Type: application/json");
    end_header(h);
    buf_addz(&h->text, "Accept: application/json, text/event-stream");
    end_header(h);
    if (version.n) {
        mirror(h, message, method, version, a);
        return;
    }
    if (c->session[0]) {
        buf_addf(&h->text, "Mcp-Session-Id: %s", c->session);
        end_header(h);
    }
    if (c->version[0]) {
        buf_addf(&h->text, "MCP-Protocol-Version: %s", c->version);
        end_header(h);
    }
}

static void start(struct connection *c, struct post *p, const char *method,
                  const struct headers *h)
{
    static const struct http_events events = {on_head, on_body, on_done};
    struct str rows[HEADERS_MAX + CONNECTOR_HEADERS_MAX];
    for (size_t i = 0, from = 0; i < h->count; from = h->ends[i++])
        rows[i] = (struct str){h->text.p + from, h->ends[i] - from};
    for (size_t i = 0; i < c->config.header_count; i++)
        rows[h->count + i] = c->config.headers[i];
    struct http_request request = {
        .method = method,
        .url = str_of(c->config.url),
        .headers = rows,
        .header_count = h->count + c->config.header_count,
        .bearer = c->config.token,
        .body = buf_str(&p->body),
        .head_timeout_ms = HEAD_TIMEOUT_MS,
        .idle_timeout_ms = IDLE_TIMEOUT_MS,
    };
    p->next = c->posts;
    c->posts = p;
    p->call = http_start(c->http, &request, &events, p);
}

static struct post *post_new(struct connection *c, struct str text)
{
    struct post *p = mem_new(struct post);
    p->connection = c;
    buf_init(&p->body, text.n + 1);
    buf_adds(&p->body, text);
    buf_init(&p->answer, MCP_MESSAGE_IN_MAX);
    sse_init(&p->sse, MCP_MESSAGE_IN_MAX);
    return p;
}

/* In 2026-07-28 the end of its connection is what cancels a request. */
static void cancel(struct connection *c, struct json message)
{
    struct str id = json_raw(json_pointer(message, "/params/requestId"));
    for (struct post *p = c->posts; p; p = p->next)
        if (str_eq(p->id, id)) {
            unlink_post(p);
            http_cancel(p->call);
            post_free(p);
            return;
        }
}

static void send_message(struct connection *c, struct str text)
{
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    struct post *p = post_new(c, text);
    if (json_parse(&doc, &a, buf_str(&p->body), &err) < 0) {
        log_error("giving up on a message of ours: %s", err.msg);
        post_free(p);
        arena_finish(&a);
        return;
    }
    struct json message = json_root(&doc), method = json_get(message, STR("method"));
    struct headers headers = {0};
    p->id =
        json_present(method) ? json_raw(json_get(message, STR("id"))) : (struct str){0};
    p->is_initialize = rpc_is(method, STR("initialize"));
    if (client_is_modern(c->client) && rpc_is(method, STR("notifications/cancelled"))) {
        cancel(c, message);
        post_free(p);
    } else {
        make_headers(c, &headers, message, &a);
        start(c, p, "POST", &headers);
    }
    buf_finish(&headers.text);
    arena_finish(&a);
}

static void flush(struct connection *c)
{
    struct str rest = client_output(c->client);
    while (rest.n && !c->is_lost) {
        ptrdiff_t end = str_find(rest, '\n');
        struct str line = {rest.p, end < 0 ? rest.n : (size_t)end};
        send_message(c, line);
        rest = str_from(rest, line.n + 1);
    }
    client_sent(c->client);
}

static int open_connection(struct connection **ret_connection, struct loop *loop,
                           struct client *client, const struct connector_config *config,
                           struct err *err)
{
    if ((config->token || config->header_count) &&
        strncasecmp(config->url, "http:", 5) == 0 && !connector_is_local(config->url)) {
        err_set(err, ERR_DENIED, "%.150s: %s would go over the network in the clear",
                config->url,
                config->token ? "the token" : "headers, which may hold a secret,");
        return err_remedy(err, "use https:");
    }
    if (config->header_count > CONNECTOR_HEADERS_MAX)
        return err_set(err, ERR_LIMIT, "more than %d headers", CONNECTOR_HEADERS_MAX);
    struct connection *c = mem_new(struct connection);
    struct http_config http = {.user_agent = "sandquay/" SANDQUAY_VERSION,
                               .ca_file = config->ca_file};
    c->config = *config;
    c->client = client;
    if (http_client_new(&c->http, loop, &http, err) < 0) {
        mem_free(c);
        return -1;
    }
    c->lost_later = loop_later_new(loop, on_lost, c);
    *ret_connection = c;
    return 0;
}

/* The server need not keep the session and its sandbox until they expire. */
static void end_session(struct connection *c)
{
    struct headers headers = {0};
    buf_init(&headers.text, HEADER_BYTES);
    buf_addf(&headers.text, "Mcp-Session-Id: %s", c->session);
    end_header(&headers);
    buf_addf(&headers.text, "MCP-Protocol-Version: %s", c->version);
    end_header(&headers);
    start(c, post_new(c, (struct str){0}), "DELETE", &headers);
    http_client_drain(c->http, CLOSE_MS);
    buf_finish(&headers.text);
}

static void close_connection(struct connection *c)
{
    if (!c)
        return;
    c->closing = true;
    while (c->posts) {
        struct post *p = c->posts;
        c->posts = p->next;
        http_cancel(p->call);
        post_free(p);
    }
    if (c->session[0])
        end_session(c);
    while (c->posts) {
        struct post *p = c->posts;
        c->posts = p->next;
        http_cancel(p->call);
        post_free(p);
    }
    http_client_free(c->http);
    loop_later_free(c->lost_later);
    mem_free(c);
}

static const struct connector connector = {open_connection, flush, close_connection};
MODULE_EXPORT("connect", &connector);
