#include "net/http_server/tls_relay.h"
#include "base/buf.h"
#include "base/mem.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

enum { TURNS = 8, PIECE = 16 * 1024, CLOSING_MS = 2000 };

struct tls_relay {
    struct loop *loop;
    SSL *ssl;
    struct loop_io *near, *far;
    struct loop_timer *limit; /* of the handshake, and of the end after an answer */
    struct loop_later *first; /* what had come before we watched */
    struct buf to_near, to_far;
    bool open, answering;
    bool moved;                 /* bytes, in this turn */
    bool near_ended, far_ended; /* nothing more comes from it */
    bool near_shut, far_shut;   /* it was told that nothing more comes */
    unsigned wants;             /* what OpenSSL waits for on the near side */
    const struct tls_relay_events *events;
    void *ctx;
};

enum outcome { OUTCOME_OK, OUTCOME_WAIT, OUTCOME_END, OUTCOME_LOST };

static enum outcome outcome(struct tls_relay *r, int rc)
{
    switch (SSL_get_error(r->ssl, rc)) {
    case SSL_ERROR_NONE:
        return OUTCOME_OK;
    case SSL_ERROR_WANT_READ:
        r->wants |= LOOP_READ;
        return OUTCOME_WAIT;
    case SSL_ERROR_WANT_WRITE:
        r->wants |= LOOP_WRITE;
        return OUTCOME_WAIT;
    case SSL_ERROR_ZERO_RETURN:
        return OUTCOME_END;
    default:
        return OUTCOME_LOST;
    }
}

/* Sends what waits for the near side. -1: it is lost. */
static int write_near(struct tls_relay *r)
{
    while (r->to_near.n) {
        size_t n = 0;
        ERR_clear_error();
        int rc = SSL_write_ex(r->ssl, r->to_near.p, r->to_near.n, &n);
        enum outcome o = rc > 0 ? OUTCOME_OK : outcome(r, rc);
        if (o != OUTCOME_OK)
            return o == OUTCOME_WAIT ? 0 : -1;
        buf_drop(&r->to_near, n);
        r->moved = true;
    }
    if ((r->far_ended || r->answering) && !r->near_shut) {
        r->near_shut = true;
        SSL_shutdown(r->ssl);
        shutdown(loop_io_fd(r->near), SHUT_WR);
    }
    return 0;
}

static int read_near(struct tls_relay *r)
{
    while (!r->near_ended && r->to_far.n < TLS_RELAY_BYTES) {
        size_t n = 0;
        char *to = buf_reserve(&r->to_far, PIECE);
        ERR_clear_error();
        int rc = to ? SSL_read_ex(r->ssl, to, PIECE, &n) : 0;
        enum outcome o = rc > 0 ? OUTCOME_OK : outcome(r, rc);
        if (o == OUTCOME_LOST)
            return -1;
        if (o == OUTCOME_WAIT)
            return 0;
        r->to_far.n += n;
        r->near_ended = o == OUTCOME_END;
        r->moved = true;
    }
    return 0;
}

static int write_far(struct tls_relay *r)
{
    while (r->to_far.n) {
        ssize_t n = send(loop_io_fd(r->far), r->to_far.p, r->to_far.n,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        buf_drop(&r->to_far, (size_t)n);
        r->moved = true;
    }
    if (r->near_ended && !r->far_shut) {
        r->far_shut = true;
        shutdown(loop_io_fd(r->far), SHUT_WR);
    }
    return 0;
}

static int read_far(struct tls_relay *r)
{
    while (!r->far_ended && r->to_near.n < TLS_RELAY_BYTES) {
        char *to = buf_reserve(&r->to_near, PIECE);
        ssize_t n = to ? recv(loop_io_fd(r->far), to, PIECE, MSG_DONTWAIT) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        r->to_near.n += (size_t)n;
        r->far_ended = n == 0;
        r->moved = true;
    }
    return 0;
}

static bool is_over(const struct tls_relay *r)
{
    bool near_done = r->near_shut && r->to_near.n == 0;
    if (r->answering)
        return near_done && r->near_ended;
    return near_done && r->far_shut && r->to_far.n == 0;
}

static void want(struct tls_relay *r)
{
    if (r->far)
        loop_io_want(
            r->far, (!r->far_ended && r->to_near.n < TLS_RELAY_BYTES ? LOOP_READ : 0u) |
                        (r->to_far.n ? LOOP_WRITE : 0u));
    loop_io_want(r->near, r->wants);
}

static void done(struct tls_relay *r)
{
    loop_io_want(r->near, 0);
    if (r->far)
        loop_io_want(r->far, 0);
    r->events->done(r->ctx);
}

/* What can pass now, passes. */
static void pump(struct tls_relay *r)
{
    int rc = 0;
    r->moved = true;
    for (int turn = 0; turn < TURNS && rc == 0 && r->moved; turn++) {
        r->moved = false;
        r->wants = 0;
        rc = read_near(r);
        if (r->answering)
            r->to_far.n = 0; /* nobody takes it */
        if (rc == 0 && r->far)
            rc = write_far(r) < 0 ? -1 : read_far(r);
        if (rc == 0)
            rc = write_near(r);
    }
    if (rc < 0 || is_over(r)) {
        done(r);
        return;
    }
    if (r->moved)
        loop_later_ask(r->first); /* others first */
    want(r);
}

static void handshake(struct tls_relay *r)
{
    ERR_clear_error();
    r->wants = 0;
    int rc = SSL_accept(r->ssl);
    enum outcome o = rc > 0 ? OUTCOME_OK : outcome(r, rc);
    if (o == OUTCOME_OK) {
        loop_timer_stop(r->limit);
        loop_io_want(r->near, 0);
        r->open = true;
        r->events->open(r->ctx);
    } else if (o == OUTCOME_WAIT) {
        want(r);
    } else {
        done(r);
    }
}

static void on_near(void *ctx, unsigned events)
{
    struct tls_relay *r = ctx;
    (void)events;
    if (r->open)
        pump(r);
    else
        handshake(r);
}

static void on_far(void *ctx, unsigned events)
{
    (void)events;
    pump(ctx);
}

static void on_limit(void *ctx)
{
    done(ctx);
}

static void on_first(void *ctx)
{
    on_near(ctx, LOOP_READ);
}

struct tls_relay *tls_relay_new(struct loop *loop, int fd, void *tls_ctx,
                                uint32_t patience_ms,
                                const struct tls_relay_events *events, void *ctx)
{
    struct tls_relay *r = mem_new(struct tls_relay);
    *r = (struct tls_relay){.loop = loop, .events = events, .ctx = ctx};
    buf_init(&r->to_near, TLS_RELAY_BYTES + 2 * PIECE);
    buf_init(&r->to_far, TLS_RELAY_BYTES + 2 * PIECE);
    r->near = loop_io_new(loop, fd, on_near, r);
    r->limit = loop_timer_new(loop, on_limit, r);
    r->first = loop_later_new(loop, on_first, r);
    r->ssl = SSL_new(tls_ctx);
    if (r->ssl && SSL_set_fd(r->ssl, fd) == 1) {
        SSL_set_mode(r->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        loop_timer_start(r->limit, patience_ms);
        loop_later_ask(r->first);
    } else {
        loop_timer_start(r->limit, 0);
    }
    return r;
}

void tls_relay_to(struct tls_relay *r, int far)
{
    r->far = loop_io_new(r->loop, far, on_far, r);
    loop_later_ask(r->first);
}

void tls_relay_answer(struct tls_relay *r, struct str text)
{
    r->answering = true;
    buf_adds(&r->to_near, text);
    loop_timer_start(r->limit, CLOSING_MS);
    loop_later_ask(r->first);
}

void tls_relay_free(struct tls_relay *r)
{
    if (!r)
        return;
    SSL_free(r->ssl);
    loop_io_free(r->near);
    loop_io_free(r->far);
    loop_timer_free(r->limit);
    loop_later_free(r->first);
    buf_finish(&r->to_near);
    buf_finish(&r->to_far);
    mem_free(r);
}
