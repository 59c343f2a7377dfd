#include "net/dial.h"
#include "base/fd.h"
#include "base/mem.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

enum { STAGGER_MS = 250 };

struct attempt {
    struct dial *dial;
    struct loop_io *io;
};

struct dial {
    struct loop *loop;
    struct address list[DIAL_ADDRESSES_MAX];
    struct attempt attempt[DIAL_ADDRESSES_MAX];
    size_t count, begun, running;
    uint16_t port;
    uint64_t until_ms;
    struct loop_timer *timer; /* the next attempt, then the end */
    int last_errno;
    dial_fn *fn;
    void *ctx;
};

/* Families alternate, beginning with the first one's; else the order stays. */
static void order(struct dial *d, const struct address *list, size_t count)
{
    bool used[DIAL_ADDRESSES_MAX] = {false};
    bool v4 = count && address_is_v4(&list[0]);
    d->count = count < DIAL_ADDRESSES_MAX ? count : DIAL_ADDRESSES_MAX;
    for (size_t n = 0; n < d->count; n++, v4 = !v4) {
        size_t pick = d->count;
        for (size_t i = 0; i < d->count; i++) {
            if (used[i])
                continue;
            if (pick == d->count)
                pick = i;
            if (address_is_v4(&list[i]) == v4) {
                pick = i;
                break;
            }
        }
        used[pick] = true;
        d->list[n] = list[pick];
    }
}

static void stop(struct dial *d)
{
    for (size_t i = 0; i < d->count; i++) {
        loop_io_free(d->attempt[i].io);
        d->attempt[i].io = NULL;
    }
    loop_timer_stop(d->timer);
}

static void fail(struct dial *d, bool late)
{
    struct err err;
    stop(d);
    if (late)
        err_set(&err, ERR_TIMEOUT, "no answer within the time limit");
    else
        err_sys(&err, d->last_errno, "connecting");
    d->fn(d->ctx, -1, NULL, &err);
}

static void next(struct dial *d);

static void on_connect(void *ctx, unsigned events)
{
    struct attempt *a = ctx;
    struct dial *d = a->dial;
    int failed = 0, fd = loop_io_fd(a->io);
    socklen_t n = sizeof failed;
    (void)events;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &n) < 0)
        failed = errno;
    if (failed == 0) {
        int on = 1;
        struct address to = d->list[a - d->attempt];
        fd = loop_io_release(a->io);
        a->io = NULL;
        stop(d);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        d->fn(d->ctx, fd, &to, NULL);
        return;
    }
    d->last_errno = failed;
    loop_io_free(a->io);
    a->io = NULL;
    d->running--;
    next(d);
}

/* false: this address cannot even be tried. */
static bool begin(struct dial *d, size_t i)
{
    struct sockaddr_storage to;
    socklen_t n = address_to_sockaddr(&d->list[i], d->port, &to);
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 ||
        (connect(fd, (const struct sockaddr *)&to, n) < 0 && errno != EINPROGRESS)) {
        d->last_errno = errno;
        fd_close(&fd);
        return false;
    }
    struct attempt *a = &d->attempt[i];
    a->dial = d;
    a->io = loop_io_new(d->loop, fd, on_connect, a);
    loop_io_want(a->io, LOOP_WRITE);
    d->running++;
    return true;
}

/* Begins the next address that can be tried; with none left and none running it has
 * failed. */
static void next(struct dial *d)
{
    while (d->begun < d->count && !begin(d, d->begun++))
        ;
    uint64_t now = loop_now_ms(d->loop);
    if (d->running == 0 || now >= d->until_ms) {
        fail(d, d->running > 0);
        return;
    }
    uint64_t left = d->until_ms - now;
    bool more = d->begun < d->count && left > STAGGER_MS;
    loop_timer_start(d->timer, more ? STAGGER_MS : left);
}

static void on_timer(void *ctx)
{
    next(ctx);
}

struct dial *dial_new(struct loop *loop, const struct address *list, size_t count,
                      uint16_t port, uint64_t limit_ms, dial_fn *fn, void *ctx)
{
    struct dial *d = mem_new(struct dial);
    *d = (struct dial){.loop = loop,
                       .port = port,
                       .until_ms = loop_now_ms(loop) + limit_ms,
                       .last_errno = EHOSTUNREACH,
                       .fn = fn,
                       .ctx = ctx};
    order(d, list, count);
    d->timer = loop_timer_new(loop, on_timer, d);
    while (d->begun < d->count && !begin(d, d->begun++))
        ;
    if (d->running == 0)
        loop_timer_start(d->timer, 0); /* fails, but later */
    else
        loop_timer_start(d->timer, d->begun < d->count ? STAGGER_MS : limit_ms);
    return d;
}

void dial_free(struct dial *d)
{
    if (!d)
        return;
    stop(d);
    loop_timer_free(d->timer);
    mem_free(d);
}
