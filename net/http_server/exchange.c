/* HTTP/1.1 on a connection: one request after the other, each an exchange. The answer
 * is written into `out` by answer.c and leaves here, one lws_write() a callback. */
#include "base/mem.h"
#include "net/http_server/chunks.h"
#include "net/http_server/private.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    DISCARD_MAX = 1024 * 1024, /* of the body of a refused request */
    DISCARD_S = 2,
    SMALL_BODY = 64 * 1024, /* is read to its end, so that the connection lives on */
    BODY_RATE = 64 * 1024,  /* bytes a second that a slow client must reach */
    REPEATED_MAX = 16,
};

/* 4.1.6 takes "cancel" for "at once", so a timer is never cancelled: when it is called,
 * it looks whether its time has come. */
static void set_deadline(struct http_exchange *ex, uint64_t seconds)
{
    ex->deadline_ms = loop_now_ms(ex->conn->server->loop) + 1000 * seconds;
    lws_set_timer_usecs(ex->conn->wsi, (lws_usec_t)seconds * LWS_US_PER_SEC);
}

static const struct http_app *app_of(const struct http_conn *conn)
{
    return conn->server->config.app;
}

static struct http_exchange *exchange_new(struct http_conn *conn)
{
    struct http_exchange *ex = mem_new(struct http_exchange);
    ex->conn = conn;
    ex->started_us = loop_now_us(conn->server->loop);
    buf_init(&ex->out, conn->server->config.limits.out_bytes + SMALL_BODY);
    conn->exchange = ex;
    return ex;
}

void http_release(struct http_conn *conn)
{
    struct http_exchange *ex = conn->exchange;
    if (!ex)
        return;
    conn->exchange = NULL;
    app_of(conn)->release(conn->server->config.ctx, ex);
    loop_io_free(ex->watch);
    loop_later_free(ex->look_away);
    buf_finish(&ex->body);
    buf_finish(&ex->out);
    arena_finish(&ex->arena);
    mem_free(ex->chunks);
    mem_free(ex);
}

void http_answer_refusal(struct http_exchange *ex, const struct http_refusal *refusal)
{
    struct http_refusal r = *refusal;
    bool coming = ex->state == HTTP_BODY && !ex->body_ended;
    if (coming && ex->body_bytes > SMALL_BODY)
        r.close = true;
    if (coming)
        buf_finish(&ex->body);
    http_answer_refused(ex, &r);
    if (ex->close && !ex->body_ended && !ex->unread)
        set_deadline(ex, DISCARD_S);
}

/* What the client of an answer that is awaited sends, also its end, ends it. */
static bool client_left(struct http_exchange *ex, unsigned events)
{
    char byte;
    ssize_t n = recv(loop_io_fd(ex->watch), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n >= 0 || (errno != EAGAIN && errno != EINTR) || events & LOOP_HANGUP;
}

static void on_watch(void *ctx, unsigned events)
{
    struct http_exchange *ex = ctx;
    if (events & LOOP_WRITE) {
        loop_io_want(ex->watch, LOOP_READ | LOOP_HANGUP);
        lws_rx_flow_control(ex->conn->wsi, 1);
        lws_callback_on_writable(ex->conn->wsi);
        loop_later_ask(ex->look_away);
    } else if (client_left(ex, events)) {
        loop_io_want(ex->watch, 0);
        http_conn_close(ex->conn);
    }
}

static void on_look_away(void *ctx)
{
    struct http_exchange *ex = ctx;
    lws_rx_flow_control(ex->conn->wsi, 0);
    if (ex->sent < ex->out.n || ex->state == HTTP_ENDED ||
        lws_partial_buffered(ex->conn->wsi))
        http_ask_writable(ex);
}

/* 4.1.6 polls for input on what has no body but does not read it: a client that goes
 * away or sends more would keep it busy for ever. So its receiving is off (and with it,
 * its writable callbacks), a duplicate of the socket is watched here, and it looks for
 * one turn when that is writable. */
static int stop_reading(struct http_exchange *ex)
{
    int fd = fcntl(lws_get_socket_fd(ex->conn->wsi), F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return -1;
    ex->unread = true;
    ex->watch = loop_io_new(ex->conn->server->loop, fd, on_watch, ex);
    ex->look_away = loop_later_new(ex->conn->server->loop, on_look_away, ex);
    lws_rx_flow_control(ex->conn->wsi, 0);
    loop_io_want(ex->watch, LOOP_READ | LOOP_HANGUP);
    return 0;
}

void http_ask_writable(struct http_exchange *ex)
{
    if (ex->unread)
        loop_io_want(ex->watch, LOOP_READ | LOOP_HANGUP | LOOP_WRITE);
    else
        lws_callback_on_writable(ex->conn->wsi);
}

static int begin(struct http_exchange *ex, struct http_refusal *refusal)
{
    struct http_conn *conn = ex->conn;
    const struct http_server_config *config = &conn->server->config;
    struct http_policy policy = http_conn_policy(conn);
    struct http_framing framing;
    ex->bare = ex->head.method == HTTP_HEAD;
    if (http_check_framing(&ex->head, config->limits.body_bytes, config->chunked_bodies,
                           &framing, refusal) < 0 ||
        http_check_source(&ex->head, &policy, refusal) < 0)
        return -1;
    ex->body_bytes = framing.body_bytes;
    if (framing.chunked) {
        ex->chunks = mem_new(struct chunks);
        ex->body_bytes = config->limits.body_bytes;
    } else if (framing.body_bytes == 0 && !ex->unread && stop_reading(ex) < 0) {
        return http_refuse(refusal, HTTP_UNAVAILABLE, "Too many connections");
    }
    buf_init(&ex->body, ex->body_bytes + 1);
    if (app_of(conn)->request(config->ctx, ex, refusal) < 0)
        return -1;
    if (ex->state != HTTP_BODY)
        buf_finish(&ex->body);
    return 0;
}

static void end_body(struct http_exchange *ex)
{
    struct http_conn *conn = ex->conn;
    ex->body_ended = true;
    ex->deadline_ms = 0;
    if (ex->state != HTTP_BODY) {
        http_ask_writable(ex); /* finish() may have waited for it */
        return;
    }
    ex->state = HTTP_WAITING;
    app_of(conn)->body_end(conn->server->config.ctx, ex);
}

static int go_on(struct http_conn *conn)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    unsigned char copy[sizeof text];
    memcpy(copy, text, sizeof text);
    return lws_write(conn->wsi, copy, sizeof text - 1, LWS_WRITE_HTTP) < 0 ? -1 : 0;
}

int http_on_request(struct http_conn *conn)
{
    struct http_refusal refusal = {0};
    if (conn->exchange)
        return -1;
    struct http_exchange *ex = exchange_new(conn);
    http_head_read(conn->wsi, &ex->arena, &ex->head);
    if (!http_has_body(ex->head.method) && stop_reading(ex) < 0)
        return -1;
    if (begin(ex, &refusal) < 0) {
        refusal.close |= ex->head.method == HTTP_OTHER;
        http_answer_refusal(ex, &refusal);
        return 0;
    }
    if (ex->unread) {
        lws_set_timeout(conn->wsi, NO_PENDING_TIMEOUT, 0);
        end_body(ex);
    } else if (ex->state == HTTP_BODY &&
               http_is_type(ex->head.expect, STR("100-continue"))) {
        return go_on(conn);
    }
    return 0;
}

/* libwebsockets waits for more of a body that has ended, but not for ever: it has just
 * set its limit when this is called. */
static void on_settled(void *ctx)
{
    struct http_exchange *ex = ctx;
    lws_set_timeout(ex->conn->wsi, NO_PENDING_TIMEOUT, 0);
}

static void end_chunks(struct http_exchange *ex)
{
    ex->look_away = loop_later_new(ex->conn->server->loop, on_settled, ex);
    loop_later_ask(ex->look_away);
    end_body(ex); /* the connection ends after the answer */
}

static int take_chunks(struct http_exchange *ex, struct str bytes)
{
    static const struct http_refusal wrong = {.status = HTTP_BAD_REQUEST,
                                              .message = "The body is not in chunks",
                                              .close = true},
                                     large = {.status = HTTP_TOO_LARGE,
                                              .message = "The body is too large",
                                              .close = true};
    int rc = chunks_feed(ex->chunks, bytes, &ex->body);
    if (ex->body.overflow || ex->body.n > ex->body_bytes)
        http_answer_refusal(ex, &large);
    else if (rc < 0)
        http_answer_refusal(ex, &wrong);
    else if (rc > 0)
        end_chunks(ex);
    return 0;
}

int http_on_body(struct http_conn *conn, struct str bytes)
{
    struct http_exchange *ex = conn->exchange;
    if (!ex)
        return -1;
    if (bytes.n == 0)
        return 0;
    if (ex->state == HTTP_BODY) {
        if (!ex->deadline_ms && (ex->chunks || bytes.n < ex->body_bytes))
            set_deadline(ex, conn->server->config.limits.body_s +
                                 ex->body_bytes / BODY_RATE);
        if (ex->chunks)
            return take_chunks(ex, bytes);
        buf_adds(&ex->body, bytes);
        return 0;
    }
    ex->discarded += bytes.n;
    return ex->discarded > DISCARD_MAX ? -1 : 0;
}

/* A second one for a request means that bytes follow it while it is being answered:
 * 4.1.6 would repeat this call for ever. */
int http_on_body_end(struct http_conn *conn)
{
    struct http_exchange *ex = conn->exchange;
    if (ex && ex->unread)
        return 0; /* an empty one, which has ended at once */
    if (ex && ex->body_ended && ex->close && ex->repeated++ < REPEATED_MAX)
        return 0; /* a refusal that has not gone yet: the next turn writes it */
    if (!ex || ex->body_ended || ex->chunks)
        return -1;
    lws_set_timeout(conn->wsi, NO_PENDING_TIMEOUT, 0);
    if (ex->body.overflow)
        return -1;
    end_body(ex);
    return 0;
}

/* The answer is gone. */
static int finish(struct http_conn *conn)
{
    struct http_exchange *ex = conn->exchange;
    bool unread = ex->unread;
    if (ex->close && !ex->body_ended && !ex->unread)
        return 0; /* the client is still sending: it would not see the answer */
    if (ex->close)
        return -1;
    http_release(conn);
    if (unread)
        lws_rx_flow_control(conn->wsi, 1);
    return lws_http_transaction_completed(conn->wsi) ? -1 : 0;
}

/* One write; libwebsockets keeps what the socket does not take. */
static int write_some(struct http_conn *conn)
{
    struct http_exchange *ex = conn->exchange;
    size_t n = ex->out.n - ex->sent;
    if (n > HTTP_WRITE_BYTES)
        n = HTTP_WRITE_BYTES;
    if (n == 0)
        return 0;
    if (lws_write(conn->wsi, (unsigned char *)ex->out.p + ex->sent, n, LWS_WRITE_HTTP) <
        0)
        return -1;
    ex->sent += n;
    ex->out_bytes += n;
    return 0;
}

int http_on_writable(struct http_conn *conn)
{
    struct http_exchange *ex = conn->exchange;
    if (!ex)
        return 0;
    if (!lws_partial_buffered(conn->wsi) && write_some(conn) < 0)
        return -1;
    bool more = ex->sent < ex->out.n || lws_partial_buffered(conn->wsi);
    http_limit_writing(conn, more);
    if (!more && ex->state == HTTP_ENDED)
        return finish(conn);
    if (more) {
        http_ask_writable(ex);
        return 0;
    }
    bool wrote = ex->out.n > 0;
    buf_reset(&ex->out, HTTP_WRITE_BYTES);
    ex->sent = 0;
    if (wrote && ex->state == HTTP_STREAM && app_of(conn)->drained)
        app_of(conn)->drained(conn->server->config.ctx, ex);
    return 0;
}

/* A body that is too slow in coming, or the rest of a refused one. */
int http_on_timer(struct http_conn *conn)
{
    static const struct http_refusal late = {
        .status = HTTP_TIMEOUT, .message = "The body came too slowly", .close = true};
    struct http_exchange *ex = conn->exchange;
    if (!ex || !ex->deadline_ms)
        return 0;
    uint64_t now_ms = loop_now_ms(conn->server->loop);
    if (now_ms < ex->deadline_ms) {
        lws_set_timer_usecs(conn->wsi,
                            (lws_usec_t)(ex->deadline_ms - now_ms) * LWS_US_PER_MS);
        return 0;
    }
    if (ex->state != HTTP_BODY)
        return -1;
    http_answer_refusal(ex, &late);
    return 0;
}

/* What is running may finish. */
void http_on_stop(struct http_conn *conn)
{
    struct http_exchange *ex = conn->exchange;
    if (!ex) {
        http_conn_close(conn);
        return;
    }
    ex->close = true;
    if (app_of(conn)->stop)
        app_of(conn)->stop(conn->server->config.ctx, ex);
}

struct str http_header(struct http_exchange *ex, const char *name)
{
    return http_head_custom(ex->conn->wsi, &ex->arena, name);
}
