/* Connections to ports inside: the guest makes one and passes the socket out. Who asked
 * is told once, when it is connected or cannot be. */
#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/local/local.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

enum { CONNECTING_MS = 5000 };

struct dial {
    struct box *box;
    struct dial *next;
    uint64_t number; /* what the guest's answer is for */
    uint16_t port;
    bool v6;
    struct loop_io *server;
    struct loop_timer *limit;
    struct loop_later *failed; /* tells it, when nothing could even be asked */
    local_dialled_fn *fn;
    void *ctx;
};

void local_dial_free(struct dial *d)
{
    if (!d)
        return;
    struct dial **at = &d->box->dials;
    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    loop_io_free(d->server);
    loop_timer_free(d->limit);
    loop_later_free(d->failed);
    mem_free(d);
}

static void finish(struct dial *d, int fd, enum local_dialled how)
{
    local_dialled_fn *fn = d->fn;
    void *ctx = d->ctx;
    local_dial_free(d);
    fn(ctx, fd, how);
}

static void on_limit(void *ctx)
{
    finish(ctx, -1, LOCAL_DIALLED_LATE);
}

static void on_failed(void *ctx)
{
    finish(ctx, -1, LOCAL_DIALLED_NOBODY);
}

static void ask(struct dial *d)
{
    if (local_guest_connect(d->box, d->number, d->port, d->v6) < 0)
        loop_later_ask(d->failed);
}

/* 127.0.0.1 does not answer: then ::1. */
static void refused(struct dial *d)
{
    loop_io_free(d->server);
    d->server = NULL;
    if (d->v6) {
        finish(d, -1, LOCAL_DIALLED_NOBODY);
        return;
    }
    d->v6 = true;
    ask(d);
}

static void on_server(void *ctx, unsigned events)
{
    struct dial *d = ctx;
    int failed = 0, on = 1;
    socklen_t n = sizeof failed;
    (void)events;
    int fd = loop_io_fd(d->server);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &n) < 0 || failed) {
        refused(d);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fd = loop_io_release(d->server);
    d->server = NULL;
    finish(d, fd, LOCAL_DIALLED);
}

static bool is_connected(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, 0) == 1;
}

void local_dial_answer(struct box *box, uint64_t number, int fd)
{
    for (struct dial *d = box->dials; d; d = d->next) {
        if (d->number != number || d->server)
            continue;
        if (fd < 0) {
            refused(d);
            return;
        }
        d->server = loop_io_new(box->local->set->loop, fd, on_server, d);
        if (is_connected(fd))
            on_server(d, LOOP_WRITE); /* the usual case costs no turn of the loop */
        else
            loop_io_want(d->server, LOOP_WRITE);
        return;
    }
    fd_close(&fd); /* who asked has gone */
}

struct dial *local_dial_new(struct box *box, uint16_t port, local_dialled_fn *fn,
                            void *ctx)
{
    static uint64_t last_number;
    struct dial *d = mem_new(struct dial);
    struct loop *loop = box->local->set->loop;
    *d = (struct dial){.box = box,
                       .next = box->dials,
                       .number = ++last_number,
                       .port = port,
                       .fn = fn,
                       .ctx = ctx};
    box->dials = d;
    d->limit = loop_timer_new(loop, on_limit, d);
    d->failed = loop_later_new(loop, on_failed, d);
    loop_timer_start(d->limit, CONNECTING_MS);
    ask(d);
    return d;
}

void local_dials_end(struct box *box)
{
    while (box->dials)
        finish(box->dials, -1, LOCAL_DIALLED_GONE);
}

/* A connection that sandbox_connect() asked for. */
struct connecting {
    struct sandboxes *set;
    uint16_t port;
    sandbox_connect_fn *fn;
    void *ctx;
};

static void on_dialled(void *ctx, int fd, enum local_dialled how)
{
    struct connecting c = *(struct connecting *)ctx;
    struct err err;
    mem_free(ctx);
    if (c.set->finishing) {
        fd_close(&fd);
        return;
    }
    if (how == LOCAL_DIALLED_GONE)
        err_set(&err, ERR_NOT_FOUND, "the sandbox is gone");
    else if (how == LOCAL_DIALLED_LATE)
        err_set(&err, ERR_TIMEOUT, "port %u of the sandbox does not answer", c.port);
    else if (how == LOCAL_DIALLED_NOBODY)
        err_set(&err, ERR_UNAVAILABLE, "nothing in the sandbox listens on port %u",
                c.port);
    c.fn(c.ctx, fd, how == LOCAL_DIALLED ? NULL : &err);
}

void local_connect(void *self, struct sandbox *sb, uint16_t port,
                   sandbox_connect_fn *fn, void *ctx)
{
    struct connecting *c = mem_new(struct connecting);
    (void)self;
    *c = (struct connecting){.set = sb->set, .port = port, .fn = fn, .ctx = ctx};
    local_dial_new(sb->impl, port, on_dialled, c);
}
