#include "base/json_write.h"
#include "mcp/errors.h"
#include "mcp/jsonrpc.h"
#include "transport/web/exchange.h"
#include "transport/web/replay.h"
#include <stdio.h>

enum {
    ERROR_MAX = 4096,
    STREAM_HIGH = 1024 * 1024, /* waiting: what can be done without is dropped */
    RETRY_MS = 500,            /* before a client comes back for a closed stream */
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

enum { HEAD_MAX = REPLAY_ID_MAX + 64 };

void reply_event(struct exchange *ex, uint64_t number, struct str text, bool must)
{
    char id[REPLAY_ID_MAX], head[HEAD_MAX] = "event: message\ndata: ";
    if (number) {
        replay_id(ex->stream, number, id);
        snprintf(head, sizeof head, "event: message\nid: %s\ndata: ", id);
    }
    const struct str parts[] = {str_of(head), text, STR_INIT("\n\n")};
    if (must || http_waiting(ex->http) <= STREAM_HIGH)
        http_stream_add_parts(ex->http, parts, sizeof parts / sizeof parts[0]);
}

void reply_prime(struct exchange *ex, uint64_t number)
{
    char id[REPLAY_ID_MAX], event[HEAD_MAX];
    replay_id(ex->stream, number, id);
    snprintf(event, sizeof event, "id: %s\nretry: %d\ndata: \n\n", id, RETRY_MS);
    http_stream_add(ex->http, str_of(event));
}

void reply_keep_alive(struct exchange *ex)
{
    if (http_waiting(ex->http) < STREAM_HIGH)
        http_stream_add(ex->http, STR(": keep-alive\n\n"));
}
