/* Bytes on their way to our own stdout or stderr: a bounded queue in front of a
 * descriptor that may be slow. */
#pragma once
#include "base/buf.h"
#include "net/loop.h"
#include "transport/inherit.h"

enum { PUMP_MAX = 16 * 1024 * 1024 };

struct pump {
    struct inherited fd;
    struct loop_io *io;
    struct buf bytes; /* append here, then pump_flush() */
    size_t sent;
    bool gone;                  /* nobody reads it any more: what is added is dropped */
    void (*changed)(void *ctx); /* it was blocked and has moved on, or is gone */
    void *ctx;
};

/* Takes fd. */
void pump_init(struct pump *p, struct loop *loop, int fd, void (*changed)(void *ctx),
               void *ctx);
/* Writes what the descriptor takes; the rest follows by itself. */
void pump_flush(struct pump *p);
size_t pump_waiting(const struct pump *p);
void pump_finish(struct pump *p);
