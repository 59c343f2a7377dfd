/* The event loop: libuv behind the few shapes that sandquay uses, with the guards that
 * docs/architecture.md ("The loop") lists. One thread, no tick: with nothing to do the
 * process makes no system calls.
 *
 * Lifetime rule for all handles here: after foo_free() returns, no callback of that foo
 * runs and the caller's pointers are no longer used; the memory goes when libuv lets go
 * of it. A handle may be freed inside its own callback. */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

struct loop;

int loop_new(struct loop **ret_loop, struct err *err);
/* Every handle must have been freed; runs the loop until libuv has closed them. */
void loop_free(struct loop *loop);
/* Runs until loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
uint64_t loop_now_ms(struct loop *loop); /* monotonic, fresh (no cached time) */
uint64_t loop_now_us(struct loop *loop);

/* Another library's loop as the one that sleeps (libwebsockets in network mode):
 * loop_run() then alternates between short turns of its own and service(ctx, sleep),
 * which runs the other loop until anything happened there; it may sleep only if
 * `sleep`. The other loop must watch loop_host_fd() (borrowed) for reading and call
 * loop_due() when it is readable; it need not read from it. NULL: alone again. */
struct loop_host {
    void (*service)(void *ctx, bool sleep);
    void *ctx;
};
int loop_set_host(struct loop *loop, const struct loop_host *host, struct err *err);
int loop_host_fd(const struct loop *loop);
void loop_due(struct loop *loop);

/* Calls fn(ctx) once, after the callbacks that are due now and before the loop sleeps;
 * asking again before it ran changes nothing. For flushing output once a turn. */
struct loop_later;
struct loop_later *loop_later_new(struct loop *loop, void (*fn)(void *ctx), void *ctx);
void loop_later_ask(struct loop_later *later);
void loop_later_free(struct loop_later *later); /* accepts NULL */

/* One-shot timer. */
struct loop_timer;
struct loop_timer *loop_timer_new(struct loop *loop, void (*fn)(void *ctx), void *ctx);
void loop_timer_start(struct loop_timer *timer, uint64_t delay_ms); /* restarts */
void loop_timer_stop(struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer); /* accepts NULL */

/* A descriptor that is watched. Regular files, which epoll refuses, count as always
 * ready. */
enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HANGUP = 4 };
struct loop_io;
/* Takes fd: loop_io_free() closes it. The open file description becomes O_NONBLOCK (an
 * inherited one that others share must be reopened by the caller first). events: LOOP_*
 * bits that are ready; errors arrive as all wanted bits, so that the next read or write
 * says why. */
struct loop_io *loop_io_new(struct loop *loop, int fd,
                            void (*fn)(void *ctx, unsigned events), void *ctx);
void loop_io_want(struct loop_io *io, unsigned events); /* 0 stops watching */
int loop_io_fd(const struct loop_io *io);
void loop_io_free(struct loop_io *io); /* accepts NULL */
/* The same, but the descriptor is the caller's again; -1 for NULL. */
int loop_io_release(struct loop_io *io);

/* Signals of this process, as loop callbacks (never async-signal context). */
struct loop_signal;
struct loop_signal *loop_signal_new(struct loop *loop, int signum,
                                    void (*fn)(void *ctx, int signum), void *ctx);
void loop_signal_free(struct loop_signal *sig); /* accepts NULL */
