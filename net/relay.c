#include "net/relay.h"
#include "base/buf.h"
#include "base/mem.h"
#include <errno.h>
#include <sys/socket.h>

enum { TURNS = 8 };

/* One loop, one thread: what a read brings goes out again before the next one. */
static char chunk[RELAY_BYTES];

struct side {
    struct relay *relay;
    struct side *other;
    struct loop_io *io;
    struct buf waiting; /* for this side, which does not take it now */
    uint64_t sent;      /* to this side */
    uint64_t left;      /* that may still be read from it */
    bool ended;         /* it sends nothing more */
    bool shut;          /* it was told that nothing more comes */
};

struct relay {
    struct side near, far;
    void (*done)(void *ctx);
    void *ctx;
};

static void want(struct side *s)
{
    bool read = !s->ended && s->left && s->other->waiting.n == 0;
    loop_io_want(s->io, (read ? LOOP_READ : 0u) | (s->waiting.n ? LOOP_WRITE : 0u));
}

/* Sends what it can; keeps the rest. -1: this side is gone. */
static int send_to(struct side *s, struct str bytes)
{
    while (bytes.n && s->waiting.n == 0) {
        ssize_t n =
            send(loop_io_fd(s->io), bytes.p, bytes.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return -1;
        if (n < 0)
            break;
        s->sent += (uint64_t)n;
        bytes = str_from(bytes, (size_t)n);
    }
    buf_adds(&s->waiting, bytes);
    return 0;
}

static int flush(struct side *s)
{
    while (s->waiting.n) {
        ssize_t n = send(loop_io_fd(s->io), s->waiting.p, s->waiting.n,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        s->sent += (uint64_t)n;
        buf_drop(&s->waiting, (size_t)n);
    }
    buf_finish(&s->waiting);
    buf_init(&s->waiting, RELAY_BYTES);
    return 0;
}

/* From s to the other side, while that takes it. */
static int pump(struct side *s)
{
    for (int i = 0; i < TURNS && !s->ended && s->left && s->other->waiting.n == 0;
         i++) {
        size_t most = s->left < sizeof chunk ? (size_t)s->left : sizeof chunk;
        ssize_t n = recv(loop_io_fd(s->io), chunk, most, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        s->ended = n == 0;
        s->left -= (uint64_t)n;
        if (send_to(s->other, (struct str){chunk, (size_t)n}) < 0)
            return -1;
        if ((size_t)n < most / 2)
            break; /* most likely all there was */
    }
    return 0;
}

static void pass_end_on(struct side *from)
{
    struct side *to = from->other;
    if (!from->ended || to->waiting.n || to->shut)
        return;
    shutdown(loop_io_fd(to->io), SHUT_WR);
    to->shut = true;
}

/* The relay may be gone when it returns. */
static void settle(struct relay *r, bool broken)
{
    if (!broken) {
        pass_end_on(&r->near);
        pass_end_on(&r->far);
        /* A near side that may send nothing more has, for us, ended. */
        bool near_over = r->near.ended || r->near.left == 0;
        broken = near_over && r->far.ended && r->near.waiting.n == 0 &&
                 r->far.waiting.n == 0;
    }
    if (broken) {
        loop_io_want(r->near.io, 0);
        loop_io_want(r->far.io, 0);
        r->done(r->ctx);
        return;
    }
    want(&r->near);
    want(&r->far);
}

static void on_side(void *ctx, unsigned events)
{
    struct side *s = ctx;
    int rc = 0;
    if (events & LOOP_WRITE)
        rc = flush(s);
    if (rc == 0 && events & LOOP_READ)
        rc = pump(s);
    settle(s->relay, rc < 0);
}

static void side_init(struct relay *r, struct side *s, struct side *other,
                      struct loop *loop, int fd)
{
    *s = (struct side){.relay = r, .other = other, .left = UINT64_MAX};
    buf_init(&s->waiting, RELAY_BYTES);
    s->io = loop_io_new(loop, fd, on_side, s);
}

struct relay *relay_new(struct loop *loop, int near, int far, void (*done)(void *ctx),
                        void *ctx)
{
    struct relay *r = mem_new(struct relay);
    r->done = done;
    r->ctx = ctx;
    side_init(r, &r->near, &r->far, loop, near);
    side_init(r, &r->far, &r->near, loop, far);
    return r;
}

void relay_to_far(struct relay *r, struct str bytes)
{
    buf_adds(&r->far.waiting, bytes);
}

void relay_to_near(struct relay *r, struct str bytes)
{
    buf_adds(&r->near.waiting, bytes);
}

void relay_limit(struct relay *r, uint64_t bytes)
{
    r->near.left = bytes;
}

void relay_start(struct relay *r)
{
    /* What fails here shows again at the next event. */
    flush(&r->far);
    flush(&r->near);
    want(&r->near);
    want(&r->far);
}

void relay_counts(const struct relay *r, uint64_t *ret_to_far, uint64_t *ret_to_near)
{
    *ret_to_far = r->far.sent;
    *ret_to_near = r->near.sent;
}

void relay_free(struct relay *r)
{
    if (!r)
        return;
    loop_io_free(r->near.io);
    loop_io_free(r->far.io);
    buf_finish(&r->near.waiting);
    buf_finish(&r->far.waiting);
    mem_free(r);
}
