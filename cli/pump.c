#include "cli/pump.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { KEEP_BYTES = 1024 * 1024 };

static void on_writable(void *ctx, unsigned events)
{
    (void)events;
    struct pump *p = ctx;
    pump_flush(p);
    p->changed(p->ctx);
}

void pump_init(struct pump *p, struct loop *loop, int fd, void (*changed)(void *ctx),
               void *ctx)
{
    *p = (struct pump){.changed = changed, .ctx = ctx};
    buf_init(&p->bytes, PUMP_MAX);
    p->fd = inherited_claim(fd, O_WRONLY);
    p->io = loop_io_new(loop, p->fd.fd, on_writable, p);
}

size_t pump_waiting(const struct pump *p)
{
    return p->bytes.n - p->sent;
}

void pump_flush(struct pump *p)
{
    bool blocked = false;
    while (!p->gone && !blocked && pump_waiting(p) > 0) {
        ssize_t n = write(p->fd.fd, p->bytes.p + p->sent, pump_waiting(p));
        if (n >= 0)
            p->sent += (size_t)n;
        else if (errno == EAGAIN)
            blocked = true;
        else if (errno != EINTR)
            p->gone = true;
    }
    if (!blocked) {
        buf_reset(&p->bytes, KEEP_BYTES);
        p->sent = 0;
    } else if (p->sent > pump_waiting(p)) {
        /* A reader that is always behind never empties the queue. */
        buf_drop(&p->bytes, p->sent);
        p->sent = 0;
    }
    loop_io_want(p->io, blocked ? LOOP_WRITE : 0);
}

void pump_finish(struct pump *p)
{
    inherited_restore(&p->fd);
    loop_io_free(p->io);
    buf_finish(&p->bytes);
}
