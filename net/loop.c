#include "net/loop.h"
#include "base/fd.h"
#include "base/mem.h"
#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

struct loop {
    uv_loop_t uv;
    uv_prepare_t prepare; /* runs what was asked for "later", before the loop sleeps */
    uv_idle_t awake; /* keeps the loop from sleeping while something is asked for */
    struct loop_later *asked;
    bool stopping;
    /* With a host: */
    struct loop_host host;
    bool due;     /* something changed since the last turn */
    int timer_fd; /* wakes the host at deadline_ms; it is watched here */
    uv_poll_t timer;
    uint64_t deadline_ms; /* uv_now()'s clock; 0: none */
};

struct loop_later {
    struct loop *loop;
    void (*fn)(void *ctx);
    void *ctx;
    struct loop_later *next;
    bool asked, freed;
};

struct loop_timer {
    uv_timer_t uv;
    uint64_t due_us;
    void (*fn)(void *ctx);
    void *ctx;
};

struct loop_io {
    union {
        uv_handle_t handle;
        uv_poll_t poll;
        uv_idle_t idle; /* a regular file: always ready */
    } uv;
    int fd;
    bool regular;
    unsigned wanted;
    void (*fn)(void *ctx, unsigned events);
    void *ctx;
};

struct loop_signal {
    uv_signal_t uv;
    void (*fn)(void *ctx, int signum);
    void *ctx;
};

static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct loop *loop = prepare->data;
    while (loop->asked) {
        struct loop_later *later = loop->asked;
        loop->asked = later->next;
        later->asked = false;
        if (later->freed)
            mem_free(later);
        else
            later->fn(later->ctx);
    }
    uv_idle_stop(&loop->awake);
}

int loop_new(struct loop **ret_loop, struct err *err)
{
    struct loop *loop = mem_new(struct loop);
    int rc = uv_loop_init(&loop->uv);
    if (rc < 0) {
        mem_free(loop);
        return err_sys(err, -rc, "event loop");
    }
    loop->uv.data = loop;
    loop->timer_fd = -1;
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_idle_init(&loop->uv, &loop->awake);
    loop->prepare.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    *ret_loop = loop;
    return 0;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    while (loop->asked) {
        struct loop_later *later = loop->asked;
        loop->asked = later->next;
        mem_free(later);
    }
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->awake, NULL);
    if (loop->timer_fd >= 0)
        uv_close((uv_handle_t *)&loop->timer, NULL);
    /* A loop_stop() that no loop_run() has taken ends the first of these at once. */
    while (uv_run(&loop->uv, UV_RUN_DEFAULT) != 0)
        ;
    uv_loop_close(&loop->uv);
    fd_close(&loop->timer_fd);
    mem_free(loop);
}

/* The number of expirations is of no interest, but it must be taken. */
static void on_deadline(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct loop *loop = poll->data;
    uint64_t expired;
    ssize_t n = read(loop->timer_fd, &expired, sizeof expired);
    (void)n;
    loop->deadline_ms = 0;
}

int loop_set_host(struct loop *loop, const struct loop_host *host, struct err *err)
{
    if (!host) {
        loop->host = (struct loop_host){0};
        return 0;
    }
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (loop->timer_fd < 0)
        return err_sys(err, errno, "timerfd");
    uv_poll_init(&loop->uv, &loop->timer, loop->timer_fd);
    loop->timer.data = loop;
    uv_poll_start(&loop->timer, UV_READABLE, on_deadline);
    loop->host = *host;
    loop->due = true;
    return 0;
}

int loop_host_fd(const struct loop *loop)
{
    return uv_backend_fd(&loop->uv);
}

void loop_due(struct loop *loop)
{
    loop->due = true;
}

/* Everything that libuv learns outside a turn (a watcher, a timer, a closed handle) it
 * acts upon in the next one. */
static void changed(uv_loop_t *uv)
{
    struct loop *loop = uv->data;
    loop->due = true;
}

/* The host sleeps without knowing of libuv's timers: a timerfd stands for them. */
static void arm(struct loop *loop, int wait_ms)
{
    uint64_t deadline_ms = wait_ms < 0 ? 0 : uv_now(&loop->uv) + (uint64_t)wait_ms;
    if (deadline_ms == loop->deadline_ms)
        return;
    struct itimerspec in = {.it_value = {wait_ms / 1000, wait_ms % 1000 * 1000000L}};
    if (wait_ms < 0)
        in.it_value = (struct timespec){0};
    timerfd_settime(loop->timer_fd, 0, &in, NULL);
    loop->deadline_ms = deadline_ms;
}

static void run_hosted(struct loop *loop)
{
    while (!loop->stopping) {
        if (loop->due) {
            loop->due = false;
            uv_run(&loop->uv, UV_RUN_NOWAIT);
            int wait_ms = uv_backend_timeout(&loop->uv);
            if (wait_ms == 0)
                loop->due = true;
            else
                arm(loop, wait_ms);
        }
        if (!loop->stopping)
            loop->host.service(loop->host.ctx, !loop->due);
    }
}

void loop_run(struct loop *loop)
{
    loop->stopping = false;
    if (loop->host.service)
        run_hosted(loop);
    /* The prepare handle counts as active, so this returns only after loop_stop(). */
    while (!loop->stopping)
        uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
    uv_stop(&loop->uv);
}

uint64_t loop_now_us(struct loop *loop)
{
    (void)loop;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t loop_now_ms(struct loop *loop)
{
    return loop_now_us(loop) / 1000;
}

struct loop_later *loop_later_new(struct loop *loop, void (*fn)(void *ctx), void *ctx)
{
    struct loop_later *later = mem_new(struct loop_later);
    *later = (struct loop_later){.loop = loop, .fn = fn, .ctx = ctx};
    return later;
}

void loop_later_ask(struct loop_later *later)
{
    if (later->asked)
        return;
    struct loop *loop = later->loop;
    loop->due = true;
    if (!loop->asked)
        uv_idle_start(&loop->awake, on_idle);
    later->asked = true;
    later->next = loop->asked;
    loop->asked = later;
}

void loop_later_free(struct loop_later *later)
{
    if (!later)
        return;
    if (later->asked)
        later->freed = true; /* it stands in the loop's list */
    else
        mem_free(later);
}

/* libuv's clock is the coarse one where that ticks every millisecond: it may be behind
 * when a timer is started, which is due too early then. */
static void on_timer(uv_timer_t *uv)
{
    struct loop_timer *timer = uv->data;
    uint64_t now_us = loop_now_us(uv->loop->data);
    if (now_us < timer->due_us)
        uv_timer_start(uv, on_timer, (timer->due_us - now_us + 999) / 1000, 0);
    else
        timer->fn(timer->ctx);
}

struct loop_timer *loop_timer_new(struct loop *loop, void (*fn)(void *ctx), void *ctx)
{
    struct loop_timer *timer = mem_new(struct loop_timer);
    timer->fn = fn;
    timer->ctx = ctx;
    uv_timer_init(&loop->uv, &timer->uv);
    timer->uv.data = timer;
    return timer;
}

void loop_timer_start(struct loop_timer *timer, uint64_t delay_ms)
{
    timer->due_us = loop_now_us(timer->uv.loop->data) + 1000 * delay_ms;
    uv_update_time(timer->uv.loop);
    uv_timer_start(&timer->uv, on_timer, delay_ms, 0);
    changed(timer->uv.loop);
}

void loop_timer_stop(struct loop_timer *timer)
{
    uv_timer_stop(&timer->uv);
}

static void free_data(uv_handle_t *handle)
{
    mem_free(handle->data);
}

void loop_timer_free(struct loop_timer *timer)
{
    if (!timer)
        return;
    changed(timer->uv.loop);
    uv_close((uv_handle_t *)&timer->uv, free_data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct loop_io *io = poll->data;
    if (status < 0) {
        /* POLLERR arrives as UV_EBADF with the watcher stopped: the next read or write
         * by the owner says why. If the owner goes on, it is started again. */
        unsigned wanted = io->wanted;
        io->wanted = 0;
        io->fn(io->ctx, wanted);
        return;
    }
    unsigned ready = (events & UV_READABLE ? LOOP_READ : 0u) |
                     (events & UV_WRITABLE ? LOOP_WRITE : 0u) |
                     (events & UV_DISCONNECT ? LOOP_HANGUP : 0u);
    io->fn(io->ctx, ready);
}

static void on_regular(uv_idle_t *idle)
{
    struct loop_io *io = idle->data;
    io->fn(io->ctx, io->wanted & (LOOP_READ | LOOP_WRITE));
}

struct loop_io *loop_io_new(struct loop *loop, int fd,
                            void (*fn)(void *ctx, unsigned events), void *ctx)
{
    struct loop_io *io = mem_new(struct loop_io);
    io->fd = fd;
    io->fn = fn;
    io->ctx = ctx;
    io->regular = uv_poll_init(&loop->uv, &io->uv.poll, fd) < 0;
    if (io->regular)
        uv_idle_init(&loop->uv, &io->uv.idle);
    io->uv.handle.data = io;
    return io;
}

void loop_io_want(struct loop_io *io, unsigned events)
{
    if (events == io->wanted)
        return;
    io->wanted = events;
    changed(io->uv.handle.loop);
    if (io->regular) {
        if (events & (LOOP_READ | LOOP_WRITE))
            uv_idle_start(&io->uv.idle, on_regular);
        else
            uv_idle_stop(&io->uv.idle);
        return;
    }
    int uv = (events & LOOP_READ ? UV_READABLE : 0) |
             (events & LOOP_WRITE ? UV_WRITABLE : 0) |
             (events & LOOP_HANGUP ? UV_DISCONNECT : 0);
    if (uv)
        uv_poll_start(&io->uv.poll, uv, on_poll);
    else
        uv_poll_stop(&io->uv.poll);
}

int loop_io_fd(const struct loop_io *io)
{
    return io->fd;
}

/* Only now libuv has let go of the descriptor. */
static void on_io_closed(uv_handle_t *handle)
{
    struct loop_io *io = handle->data;
    fd_close(&io->fd);
    mem_free(io);
}

void loop_io_free(struct loop_io *io)
{
    if (!io)
        return;
    changed(io->uv.handle.loop);
    uv_close(&io->uv.handle, on_io_closed);
}

int loop_io_release(struct loop_io *io)
{
    int fd = io ? io->fd : -1;
    if (io)
        io->fd = -1;
    loop_io_free(io); /* uv_close() ends the watching at once */
    return fd;
}

static void on_signal(uv_signal_t *uv, int signum)
{
    struct loop_signal *sig = uv->data;
    sig->fn(sig->ctx, signum);
}

struct loop_signal *loop_signal_new(struct loop *loop, int signum,
                                    void (*fn)(void *ctx, int signum), void *ctx)
{
    struct loop_signal *sig = mem_new(struct loop_signal);
    sig->fn = fn;
    sig->ctx = ctx;
    uv_signal_init(&loop->uv, &sig->uv);
    sig->uv.data = sig;
    uv_signal_start(&sig->uv, on_signal, signum);
    changed(&loop->uv);
    return sig;
}

void loop_signal_free(struct loop_signal *sig)
{
    if (!sig)
        return;
    changed(sig->uv.loop);
    uv_close((uv_handle_t *)&sig->uv, free_data);
}
