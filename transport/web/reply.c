#include "base/json_write.h"
#include "base/log.h"
#include "mcp/errors.h"
#include "mcp/jsonrpc.h"
#include "transport/web/exchange.h"
#include "transport/web/sessions.h"

enum {
    REFUSAL_MAX = 4096,
    STREAM_HIGH = 1024 * 1024, /* waiting: what can be done without is dropped */
    DROP_SENT = 1024 * 1024,   /* of what is gone, before more is added */
};

/* Pages of allowed origins may read the answer. */
static void write_cors(struct exchange *ex, struct buf *b)
{
    struct str origin = ex->head.origin;
    struct http_policy policy = web_policy(ex->conn);
    if (!origin.p || memchr(origin.p, '\r', origin.n) ||
        memchr(origin.p, '\n', origin.n) || !http_origin_allowed(origin, &policy))
        return;
    buf_addf(b,
             "Access-Control-Allow-Origin: %.*s\r\nVary: Origin\r\n"
             "Access-Control-Expose-Headers: Mcp-Session-Id, WWW-Authenticate\r\n",
             STR_FMT(origin));
}

/* Up to the line that says how long the answer is. */
static void begin_head(struct exchange *ex, enum web_status status, const char *type,
                       const char *header)
{
    struct web_server *server = ex->conn->server;
    struct buf *b = &ex->out;
    server->metrics.answers[(unsigned)status / 100]++;
    ex->status = status;
    if (!ex->head.keep_alive || server->stopping)
        ex->close = true;
    buf_addf(b, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
    if (type)
        buf_addf(b, "Content-Type: %s\r\n", type);
    if (header)
        buf_addz(b, header);
    if (ex->session && http_session_id(ex->session))
        buf_addf(b, "Mcp-Session-Id: %s\r\n", http_session_id(ex->session));
    write_cors(ex, b);
    if (ex->close)
        buf_addz(b, "Connection: close\r\n");
}

static void ended(struct exchange *ex)
{
    ex->state = EXCHANGE_ENDED;
    exchange_ask_writable(ex);
}

void reply_text(struct exchange *ex, enum web_status status, const char *type,
                struct str text, const char *header)
{
    begin_head(ex, status, type, header);
    if (status != HTTP_NO_CONTENT)
        buf_addf(&ex->out, "Content-Length: %zu\r\n", text.n);
    buf_addz(&ex->out, "\r\n");
    if (!ex->bare)
        buf_adds(&ex->out, text);
    ended(ex);
}

static void write_error(struct buf *to, int code, struct str id, const char *message)
{
    struct json_writer w;
    jw_init(&w, to);
    rpc_begin_error(&w, id, code, message);
    rpc_end_error(&w);
}

void reply_error(struct exchange *ex, enum web_status status, int code, struct str id,
                 const char *message)
{
    struct buf text;
    buf_init(&text, REFUSAL_MAX + id.n);
    write_error(&text, code, id, message);
    reply_text(ex, status, "application/json", buf_str(&text), NULL);
    buf_finish(&text);
}

void reply_refusal(struct exchange *ex, const struct http_refusal *refusal)
{
    struct buf text;
    ex->close |= refusal->close;
    buf_init(&text, REFUSAL_MAX);
    write_error(&text, RPC_INVALID_REQUEST, (struct str){0}, refusal->message);
    reply_text(ex, refusal->status, "application/json", buf_str(&text),
               refusal->header);
    buf_finish(&text);
}

void reply_write_refusal(struct buf *to, const struct http_refusal *refusal)
{
    struct buf text;
    buf_init(&text, REFUSAL_MAX);
    write_error(&text, RPC_INVALID_REQUEST, (struct str){0}, refusal->message);
    buf_addf(to,
             "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n%s"
             "Connection: close\r\nContent-Length: %zu\r\n\r\n",
             refusal->status, http_reason(refusal->status),
             refusal->header ? refusal->header : "", text.n);
    buf_adds(to, buf_str(&text));
    buf_finish(&text);
}

static void begin_chunk(struct exchange *ex, size_t n)
{
    if (ex->sent >= DROP_SENT) {
        buf_drop(&ex->out, ex->sent);
        ex->sent = 0;
    }
    if (ex->chunked)
        buf_addf(&ex->out, "%zx\r\n", n);
}

static void end_chunk(struct exchange *ex)
{
    if (ex->chunked)
        buf_addz(&ex->out, "\r\n");
    exchange_ask_writable(ex);
}

static void write_chunk(struct exchange *ex, struct str text)
{
    begin_chunk(ex, text.n);
    buf_adds(&ex->out, text);
    end_chunk(ex);
}

void reply_stream(struct exchange *ex)
{
    ex->state = EXCHANGE_STREAM;
    ex->chunked = ex->head.keep_alive;
    begin_head(ex, HTTP_OK, "text/event-stream",
               "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n");
    buf_addz(&ex->out, ex->chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
    exchange_ask_writable(ex);
}

void reply_event(struct exchange *ex, struct str text, bool must)
{
    static const struct str head = STR_INIT("event: message\ndata: "),
                            tail = STR_INIT("\n\n");
    if (ex->state != EXCHANGE_STREAM || (!must && ex->out.n - ex->sent > STREAM_HIGH))
        return;
    begin_chunk(ex, head.n + text.n + tail.n);
    buf_adds(&ex->out, head);
    buf_adds(&ex->out, text);
    buf_adds(&ex->out, tail);
    end_chunk(ex);
    if (ex->out.overflow) {
        log_warn("giving up on a client that does not read its stream");
        conn_close(ex->conn);
    }
}

void reply_keep_alive(struct exchange *ex)
{
    if (ex->out.n - ex->sent < STREAM_HIGH)
        write_chunk(ex, STR(": keep-alive\n\n"));
}

void reply_stream_end(struct exchange *ex)
{
    if (ex->state != EXCHANGE_STREAM)
        return;
    if (ex->chunked)
        buf_addz(&ex->out, "0\r\n\r\n");
    ended(ex);
}
