/* WebSockets. Pongs, masks, opcodes and reserved bits are libwebsockets' business; the
 * messages are the application's. */
#include "net/http_server/private.h"

enum { SCRATCH_KEEP = 1024 * 1024, REFUSAL_BYTES = 8192 };

/* There is no writable callback for what is refused. */
static void refuse(struct http_conn *conn, const struct http_refusal *refusal)
{
    struct buf text;
    buf_init(&text, REFUSAL_BYTES);
    http_write_refusal(conn->server, &text, refusal);
    lws_write(conn->wsi, (unsigned char *)text.p, text.n, LWS_WRITE_HTTP);
    buf_finish(&text);
}

int http_socket_on_upgrade(struct http_conn *conn)
{
    const struct http_server_config *config = &conn->server->config;
    struct arena arena = {0};
    struct http_head head;
    struct http_refusal refusal = {.status = HTTP_NOT_FOUND,
                                   .message = "There are no WebSockets here"};
    struct http_policy policy = http_conn_policy(conn);
    http_head_read(conn->wsi, &arena, &head);
    int rc =
        !config->app->upgrade || http_check_source(&head, &policy, &refusal) < 0 ||
                http_check_upgrade(&head, str_of(config->protocol), &refusal) < 0 ||
                config->app->upgrade(config->ctx, conn, &head, &refusal) < 0
            ? -1
            : 0;
    if (rc < 0)
        refuse(conn, &refusal);
    if (config->app->upgraded)
        config->app->upgraded(config->ctx, conn, &head,
                              rc < 0 ? refusal.status : HTTP_SWITCHING);
    arena_finish(&arena);
    return rc;
}

static void set_ping_timer(struct http_conn *conn)
{
    uint32_t ping_s = conn->server->config.limits.ping_s;
    if (ping_s)
        lws_set_timer_usecs(conn->wsi, (lws_usec_t)ping_s * LWS_US_PER_SEC);
}

void http_socket_on_open(struct http_conn *conn)
{
    conn->is_socket = true;
    conn->server->config.app->socket_open(conn->server->config.ctx, conn);
    set_ping_timer(conn);
}

int http_socket_on_timer(struct http_conn *conn)
{
    conn->ping = true;
    lws_callback_on_writable(conn->wsi);
    set_ping_timer(conn);
    return 0;
}

void http_socket_gone(struct http_conn *conn)
{
    if (!conn->socket_app)
        return;
    conn->server->config.app->socket_release(conn->server->config.ctx, conn);
    conn->socket_app = NULL;
}

static int write_ping(struct http_conn *conn)
{
    unsigned char frame[LWS_PRE + 1];
    conn->ping = false;
    return lws_write(conn->wsi, frame + LWS_PRE, 0, LWS_WRITE_PING) < 0 ? -1 : 0;
}

/* One write a callback: a message, or else the end, or a ping. */
int http_socket_on_writable(struct http_conn *conn)
{
    if (!conn->socket_app)
        return 0;
    if (lws_partial_buffered(conn->wsi)) {
        lws_callback_on_writable(conn->wsi);
        return 0;
    }
    conn->wrote = false;
    conn->server->config.app->socket_writable(conn->server->config.ctx, conn);
    if (!conn->wrote && conn->close_code) {
        lws_close_reason(conn->wsi, (enum lws_close_status)conn->close_code, NULL, 0);
        return -1;
    }
    if (!conn->wrote && conn->ping && write_ping(conn) < 0)
        return -1;
    if (conn->wrote && (conn->close_code || conn->ping))
        lws_callback_on_writable(conn->wsi);
    if (lws_partial_buffered(conn->wsi))
        lws_callback_on_writable(conn->wsi);
    http_limit_writing(conn, lws_partial_buffered(conn->wsi));
    return 0;
}

/* What is said to a message at once, goes at once: libwebsockets holds nothing back, so
 * a turn of it that tells that the socket is writable would tell nothing new. */
int http_socket_on_receive(struct http_conn *conn, struct str bytes)
{
    if (!conn->socket_app || conn->close_code)
        return 0;
    /* There are no extensions that could give them a meaning; 4.3 lets one pass. */
    if (lws_get_reserved_bits(conn->wsi)) {
        http_socket_close(conn, WEBSOCKET_PROTOCOL);
        return 0;
    }
    struct http_piece piece = {
        .bytes = bytes,
        .first = lws_is_first_fragment(conn->wsi),
        .last = lws_is_final_fragment(conn->wsi),
        .binary = lws_frame_is_binary(conn->wsi),
        .rest_bytes = lws_remaining_packet_payload(conn->wsi),
    };
    conn->receiving = true;
    conn->server->config.app->socket_receive(conn->server->config.ctx, conn, &piece);
    conn->receiving = false;
    if (!conn->asked)
        return 0;
    conn->asked = false;
    if (!conn->close_code && !conn->closing && !lws_partial_buffered(conn->wsi))
        return http_socket_on_writable(conn);
    lws_callback_on_writable(conn->wsi);
    return 0;
}

/* libwebsockets wants room before what it writes. */
void http_socket_send(struct http_conn *conn, struct str bytes, bool binary)
{
    struct buf *frame = &conn->server->scratch;
    buf_reset(frame, SCRATCH_KEEP);
    char *to = buf_reserve(frame, LWS_PRE + bytes.n);
    if (!to)
        return;
    memcpy(to + LWS_PRE, bytes.p, bytes.n);
    conn->wrote = true;
    if (lws_write(conn->wsi, (unsigned char *)to + LWS_PRE, bytes.n,
                  binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT) < 0)
        http_conn_close(conn);
}

void http_socket_pause(struct http_conn *conn, bool paused)
{
    if (conn->paused == paused)
        return;
    conn->paused = paused;
    lws_rx_flow_control(conn->wsi, !paused);
}

void http_socket_close(struct http_conn *conn, int code)
{
    if (!conn->close_code)
        conn->close_code = code;
    lws_callback_on_writable(conn->wsi);
}

void http_socket_on_stop(struct http_conn *conn)
{
    const struct http_server_config *config = &conn->server->config;
    if (config->app->socket_stop && conn->socket_app)
        config->app->socket_stop(config->ctx, conn);
    else
        http_socket_close(conn, WEBSOCKET_GOING_AWAY);
}

void http_socket_ask_writable(struct http_conn *conn)
{
    if (conn->receiving)
        conn->asked = true;
    else
        lws_callback_on_writable(conn->wsi);
}

void *http_socket_app(const struct http_conn *conn)
{
    return conn->socket_app;
}

void http_socket_set_app(struct http_conn *conn, void *app)
{
    conn->socket_app = app;
}
