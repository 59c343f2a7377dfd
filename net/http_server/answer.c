#include "base/log.h"
#include "net/http_server/private.h"

enum {
    REFUSAL_MAX = 4096,
    DROP_SENT = 1024 * 1024, /* of what is gone, before more is added */
};

bool http_for_page(const struct http_exchange *ex)
{
    struct str origin = ex->head.origin;
    struct http_policy policy = http_conn_policy(ex->conn);
    return origin.p && !memchr(origin.p, '\r', origin.n) &&
           !memchr(origin.p, '\n', origin.n) && http_origin_allowed(origin, &policy);
}

static void add_line(struct buf *b, const char *name, const char *value)
{
    buf_addz(b, name);
    buf_addz(b, value);
    buf_addz(b, "\r\n");
}

static void write_cors(struct http_exchange *ex, struct buf *b)
{
    const char *exposed = ex->conn->server->config.exposed;
    if (!http_for_page(ex))
        return;
    buf_addf(b, "Access-Control-Allow-Origin: %.*s\r\nVary: Origin\r\n",
             STR_FMT(ex->head.origin));
    if (exposed)
        add_line(b, "Access-Control-Expose-Headers: ", exposed);
}

/* A number of any base, as digits: formatting is a good part of a short answer. */
static void add_number(struct buf *b, size_t value, unsigned base)
{
    char digits[3 * sizeof value], *at = digits + sizeof digits;
    do
        *--at = "0123456789abcdef"[value % base];
    while (value /= base);
    buf_add(b, at, (size_t)(digits + sizeof digits - at));
}

/* Up to the line that says how long the answer is. */
static void begin_head(struct http_exchange *ex, enum http_code status,
                       const char *type, const char *header)
{
    const struct http_server_config *config = &ex->conn->server->config;
    struct buf *b = &ex->out;
    ex->status = status;
    if (!ex->head.keep_alive || ex->conn->server->stopping || ex->chunks)
        ex->close = true;
    buf_addz(b, "HTTP/1.1 ");
    add_number(b, status, 10);
    add_line(b, " ", http_reason(status));
    if (type)
        add_line(b, "Content-Type: ", type);
    if (header)
        buf_addz(b, header);
    if (config->app->head)
        config->app->head(config->ctx, ex, status, b);
    write_cors(ex, b);
    if (ex->close)
        buf_addz(b, "Connection: close\r\n");
}

static void ended(struct http_exchange *ex)
{
    ex->state = HTTP_ENDED;
    http_ask_writable(ex);
}

void http_answer(struct http_exchange *ex, enum http_code status, const char *type,
                 struct str text, const char *header)
{
    begin_head(ex, status, type, header);
    if (status != HTTP_NO_CONTENT) {
        buf_addz(&ex->out, "Content-Length: ");
        add_number(&ex->out, text.n, 10);
        buf_addz(&ex->out, "\r\n");
    }
    buf_addz(&ex->out, "\r\n");
    if (!ex->bare)
        buf_adds(&ex->out, text);
    ended(ex);
}

static void write_refusal_body(const struct http_server *server, struct buf *to,
                               const struct http_refusal *refusal)
{
    server->config.app->write_refusal(server->config.ctx, to, refusal);
}

void http_answer_refused(struct http_exchange *ex, const struct http_refusal *refusal)
{
    struct buf text;
    ex->close |= refusal->close;
    buf_init(&text, REFUSAL_MAX);
    write_refusal_body(ex->conn->server, &text, refusal);
    http_answer(ex, refusal->status, "application/json", buf_str(&text),
                refusal->header);
    buf_finish(&text);
}

void http_write_refusal(const struct http_server *server, struct buf *to,
                        const struct http_refusal *refusal)
{
    struct buf text;
    buf_init(&text, REFUSAL_MAX);
    write_refusal_body(server, &text, refusal);
    buf_addf(to,
             "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n%s"
             "Connection: close\r\nContent-Length: %zu\r\n\r\n",
             refusal->status, http_reason(refusal->status),
             refusal->header ? refusal->header : "", text.n);
    buf_adds(to, buf_str(&text));
    buf_finish(&text);
}

void http_stream(struct http_exchange *ex, enum http_code status, const char *type,
                 const char *header)
{
    ex->state = HTTP_STREAM;
    ex->chunked = ex->head.keep_alive;
    if (!ex->chunked)
        ex->close = true;
    begin_head(ex, status, type, header);
    buf_addz(&ex->out, ex->chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
    http_ask_writable(ex);
}

void http_stream_add_parts(struct http_exchange *ex, const struct str *parts,
                           size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += parts[i].n;
    if (ex->state != HTTP_STREAM || n == 0)
        return;
    if (ex->sent >= DROP_SENT) {
        buf_drop(&ex->out, ex->sent);
        ex->sent = 0;
    }
    if (ex->chunked) {
        add_number(&ex->out, n, 16);
        buf_addz(&ex->out, "\r\n");
    }
    for (size_t i = 0; i < count; i++)
        buf_adds(&ex->out, parts[i]);
    if (ex->chunked)
        buf_addz(&ex->out, "\r\n");
    if (ex->out.overflow) {
        log_warn("giving up on a client that does not read its stream");
        http_stream_cut(ex);
        return;
    }
    http_ask_writable(ex);
}

void http_stream_add(struct http_exchange *ex, struct str bytes)
{
    http_stream_add_parts(ex, &bytes, 1);
}

void http_stream_end(struct http_exchange *ex)
{
    if (ex->state != HTTP_STREAM)
        return;
    if (ex->chunked)
        buf_addz(&ex->out, "0\r\n\r\n");
    ended(ex);
}

void http_stream_cut(struct http_exchange *ex)
{
    http_conn_close(ex->conn);
}

size_t http_waiting(const struct http_exchange *ex)
{
    return ex->out.n - ex->sent;
}
