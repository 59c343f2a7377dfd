#include "base/json_write.h"
#include "mcp/errors.h"
#include "mcp/jsonrpc.h"
#include "transport/web/exchange.h"

enum {
    ERROR_MAX = 4096,
    STREAM_HIGH = 1024 * 1024, /* waiting: what can be done without is dropped */
};

static void write_error(struct buf *to, int code, struct str id, const char *message)
{
    struct json_writer w;
    jw_init(&w, to);
    rpc_begin_error(&w, id, code, message);
    rpc_end_error(&w);
}

void reply_write_refusal(void *ctx, struct buf *to, const struct http_refusal *refusal)
{
    (void)ctx;
    write_error(to, RPC_INVALID_REQUEST, (struct str){0}, refusal->message);
}

void reply_error(struct exchange *ex, enum http_code status, int code, struct str id,
                 const char *message)
{
    struct buf text;
    buf_init(&text, ERROR_MAX + id.n);
    write_error(&text, code, id, message);
    http_answer(ex->http, status, "application/json", buf_str(&text), NULL);
    buf_finish(&text);
}

void reply_stream(struct exchange *ex)
{
    http_stream(ex->http, HTTP_OK, "text/event-stream",
                "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n");
}

void reply_event(struct exchange *ex, struct str text, bool must)
{
    const struct str parts[] = {STR_INIT("event: message\ndata: "), text,
                                STR_INIT("\n\n")};
    if (must || http_waiting(ex->http) <= STREAM_HIGH)
        http_stream_add_parts(ex->http, parts, sizeof parts / sizeof parts[0]);
}

void reply_keep_alive(struct exchange *ex)
{
    if (http_waiting(ex->http) < STREAM_HIGH)
        http_stream_add(ex->http, STR(": keep-alive\n\n"));
}
