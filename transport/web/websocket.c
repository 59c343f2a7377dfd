/* A WebSocket: the socket is the session. One text message is one JSON-RPC message, in
 * both directions; both eras are spoken (mcp/classify.c). Pongs, masks, opcodes and
 * reserved bits are libwebsockets' business. */
#include "base/log.h"
#include "base/mem.h"
#include "transport/web/assembly.h"
#include "transport/web/flights.h"
#include "transport/web/server.h"

enum {
    OUTPUT_HIGH = 16 * 1024 * 1024, /* waiting: nothing more is read */
    SCRATCH_KEEP = 1024 * 1024,
    SWITCHING = 101, /* the status of an upgrade */
};

struct websocket {
    struct session *session;
    uint64_t owner;
    struct assembly assembly;
    struct arena arena; /* of the message in hand */
    size_t sent, next;  /* of the session's output: bytes, and messages */
    bool paused;        /* reading */
    bool ping;          /* is due */
    int close_code;     /* 0: it stays open */
    bool stopping;      /* the server is: close when nothing runs any more */
    struct flights flights;
    uint64_t last_stream;
};

static void log_upgrade(struct conn *conn, const struct http_head *head, int status)
{
    const char *who = conn->principal ? conn->principal->name : "";
    char client[WEB_CLIENT_MAX];
    const struct str none = {NULL, 0};
    if (!log_enabled(LOG_INFO))
        return;
    conn_client(conn, head, client);
    const struct log_field fields[] = {
        {"client", str_of(client), 0},
        {"name", who[0] ? str_of(who) : none, 0},
        {"path", head->path, 0},
        {"status", none, (uint64_t)status},
        {"trace", http_trace_id(head->traceparent), 0},
    };
    log_event(LOG_INFO, "websocket", fields, sizeof fields / sizeof fields[0]);
}

int websocket_on_upgrade(struct conn *conn)
{
    struct arena arena = {0};
    struct http_head head;
    struct http_refusal refusal;
    struct http_policy policy = web_policy(conn);
    head_read(conn->wsi, &arena, &head);
    int rc = http_check_source(&head, &policy, &refusal) < 0 ||
                     web_authenticate(conn, &head, NULL, &refusal) < 0 ||
                     http_check_upgrade(&head, &refusal) < 0
                 ? -1
                 : 0;
    if (rc < 0)
        http_refuse_upgrade(conn, &refusal);
    log_upgrade(conn, &head, rc < 0 ? (int)refusal.status : SWITCHING);
    arena_finish(&arena);
    return rc;
}

static void on_wake(void *ctx)
{
    struct conn *conn = ctx;
    lws_callback_on_writable(conn->wsi);
}

static void set_ping_timer(struct conn *conn)
{
    uint32_t ping_s = conn->server->config.limits.ping_s;
    if (ping_s)
        lws_set_timer_usecs(conn->wsi, (lws_usec_t)ping_s * LWS_US_PER_SEC);
}

void websocket_on_open(struct conn *conn)
{
    struct web_server *server = conn->server;
    struct websocket *ws = mem_new(struct websocket);
    ws->owner = web_owner(conn->principal->number, web_new_connection(server));
    struct session_config config = {.owner = ws->owner,
                                    .principal = conn->principal->name,
                                    .wake = on_wake,
                                    .wake_ctx = conn};
    ws->session = session_new(server->config.mcp, &config);
    assembly_init(&ws->assembly, server->config.limits.body_bytes);
    conn->websocket = ws;
    server->websocket_count++;
    server->metrics.websockets++;
    set_ping_timer(conn);
}

void websocket_release(struct conn *conn)
{
    struct websocket *ws = conn->websocket;
    struct web_server *server = conn->server;
    if (!ws)
        return;
    conn->websocket = NULL;
    server->websocket_count--;
    session_free(ws->session);
    mcp_server_drop_owner(server->config.mcp, ws->owner);
    server->config.owner_gone(server->config.ctx, ws->owner);
    assembly_finish(&ws->assembly);
    flights_finish(&ws->flights, &server->metrics);
    arena_finish(&ws->arena);
    mem_free(ws);
}

/* Says why to the client, after what is being written. */
static void close_with(struct conn *conn, int code)
{
    struct websocket *ws = conn->websocket;
    if (!ws->close_code)
        ws->close_code = code;
    lws_callback_on_writable(conn->wsi);
}

static size_t waiting(const struct websocket *ws)
{
    return session_output(ws->session).n - ws->sent;
}

static void read_or_pause(struct conn *conn)
{
    struct websocket *ws = conn->websocket;
    bool pause = waiting(ws) >= OUTPUT_HIGH || ws->close_code;
    if (pause == ws->paused)
        return;
    ws->paused = pause;
    lws_rx_flow_control(conn->wsi, !pause);
}

static void receive(struct conn *conn, struct str text)
{
    struct websocket *ws = conn->websocket;
    uint64_t now_us = loop_now_us(conn->server->loop);
    struct json_doc doc;
    struct err err;
    conn->server->metrics.in_bytes += text.n;
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
        lws_callback_on_writable(conn->wsi);
    read_or_pause(conn);
}

int websocket_on_receive(struct conn *conn, struct str bytes)
{
    struct websocket *ws = conn->websocket;
    struct str text;
    int code;
    if (!ws || ws->close_code)
        return 0;
    struct assembly_piece piece = {
        .bytes = bytes,
        .first = lws_is_first_fragment(conn->wsi),
        .last = lws_is_final_fragment(conn->wsi),
        .binary = lws_frame_is_binary(conn->wsi),
        .rest_bytes = lws_remaining_packet_payload(conn->wsi),
    };
    int rc = assembly_add(&ws->assembly, &piece, &text, &code);
    if (rc > 0)
        receive(conn, text);
    if (rc < 0)
        close_with(conn, code);
    return 0;
}

/* The next message as one text frame. libwebsockets wants room before it. */
static int write_message(struct conn *conn)
{
    struct websocket *ws = conn->websocket;
    struct buf *frame = &conn->server->scratch;
    size_t count;
    const struct mcp_message *m = session_messages(ws->session, &count);
    struct str output = session_output(ws->session);
    struct str text = {output.p + ws->sent, m[ws->next].end - ws->sent - 1};
    buf_reset(frame, SCRATCH_KEEP);
    char *to = buf_reserve(frame, LWS_PRE + text.n);
    memcpy(to + LWS_PRE, text.p, text.n);
    if (lws_write(conn->wsi, (unsigned char *)to + LWS_PRE, text.n, LWS_WRITE_TEXT) < 0)
        return -1;
    conn->server->metrics.out_bytes += text.n;
    if (m[ws->next].final)
        flights_end(&ws->flights, &conn->server->metrics, &m[ws->next],
                    loop_now_us(conn->server->loop));
    ws->sent = m[ws->next].end;
    if (++ws->next == count) {
        session_sent(ws->session);
        ws->sent = ws->next = 0;
    }
    lws_set_timeout(conn->wsi, PENDING_TIMEOUT_HTTP_CONTENT,
                    (int)conn->server->config.limits.write_s);
    return 0;
}

static int write_ping(struct conn *conn)
{
    unsigned char frame[LWS_PRE + 1];
    conn->websocket->ping = false;
    return lws_write(conn->wsi, frame + LWS_PRE, 0, LWS_WRITE_PING) < 0 ? -1 : 0;
}

static int close_now(struct conn *conn)
{
    lws_close_reason(conn->wsi, (enum lws_close_status)conn->websocket->close_code,
                     NULL, 0);
    return -1;
}

/* One write a callback: a message, or else a ping, or the end. */
int websocket_on_writable(struct conn *conn)
{
    struct websocket *ws = conn->websocket;
    if (!ws)
        return 0;
    if (session_broken(ws->session)) {
        log_warn("giving up on a client that does not read its answers");
        ws->close_code = WEBSOCKET_POLICY;
    }
    if (ws->stopping && session_calls(ws->session) == 0 && !ws->close_code)
        ws->close_code = WEBSOCKET_GOING_AWAY;
    if (waiting(ws) > 0 &&
        (!ws->close_code || ws->close_code == WEBSOCKET_GOING_AWAY)) {
        if (write_message(conn) < 0)
            return -1;
    } else if (ws->close_code) {
        return close_now(conn);
    } else if (ws->ping) {
        return write_ping(conn);
    }
    if (waiting(ws) == 0)
        session_sent(ws->session); /* it may have woken us with nothing to say */
    read_or_pause(conn);
    if (waiting(ws) > 0 || ws->close_code || lws_partial_buffered(conn->wsi))
        lws_callback_on_writable(conn->wsi);
    else
        lws_set_timeout(conn->wsi, NO_PENDING_TIMEOUT, 0);
    return 0;
}

int websocket_on_timer(struct conn *conn)
{
    conn->websocket->ping = true;
    lws_callback_on_writable(conn->wsi);
    set_ping_timer(conn);
    return 0;
}

void websocket_stop(struct conn *conn)
{
    struct websocket *ws = conn->websocket;
    session_end_listens(ws->session);
    ws->stopping = true;
    lws_callback_on_writable(conn->wsi);
}
