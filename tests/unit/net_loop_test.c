/* The guards of the loop: what is freed when, and that nothing is left (leak checks of
 * the asan build). */
#include "net/loop.h"
#include "tests/unit/check.h"
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

struct t {
    struct loop *loop;
    struct loop_timer *timer;
    struct loop_io *io;
    struct loop_later *later;
    int calls, services;
};

static int set_up(void **state)
{
    static struct t t;
    struct err err;
    t = (struct t){0};
    *state = &t;
    return loop_new(&t.loop, &err);
}

/* Stands for libwebsockets' loop. */
static void service(void *ctx, bool sleep)
{
    struct t *t = ctx;
    struct pollfd p = {.fd = loop_host_fd(t->loop), .events = POLLIN};
    t->services++;
    if (poll(&p, 1, sleep ? -1 : 0) > 0)
        loop_due(t->loop);
}

static int set_up_hosted(void **state)
{
    set_up(state);
    struct t *t = *state;
    struct err err;
    return loop_set_host(t->loop, &(struct loop_host){service, t}, &err);
}

static int tear_down(void **state)
{
    struct t *t = *state;
    loop_free(t->loop);
    return 0;
}

static void count_and_stop(void *ctx)
{
    struct t *t = ctx;
    t->calls++;
    loop_stop(t->loop);
}

/* loop_stop() outside of loop_run(): neither the next run nor the end takes it. */
static void a_stop_that_came_too_early(void **state)
{
    struct t *t = *state;
    t->timer = loop_timer_new(t->loop, count_and_stop, t);
    loop_stop(t->loop);
    loop_timer_start(t->timer, 1);
    loop_run(t->loop);
    assert_int_equal(t->calls, 1);
    loop_timer_free(t->timer);
    loop_stop(t->loop);
}

static void free_timer(void *ctx)
{
    struct t *t = ctx;
    loop_timer_free(t->timer);
    count_and_stop(t);
}

static void a_timer_that_frees_itself(void **state)
{
    struct t *t = *state;
    t->timer = loop_timer_new(t->loop, free_timer, t);
    loop_timer_start(t->timer, 0);
    loop_run(t->loop);
    assert_int_equal(t->calls, 1);
}

static void a_timer_is_never_early(void **state)
{
    struct t *t = *state;
    t->timer = loop_timer_new(t->loop, count_and_stop, t);
    for (uint64_t delay_ms = 0; delay_ms < 20; delay_ms++) {
        uint64_t start_us = loop_now_us(t->loop);
        loop_timer_start(t->timer, delay_ms);
        loop_run(t->loop);
        assert_true(loop_now_us(t->loop) - start_us >= 1000 * delay_ms);
    }
    loop_timer_free(t->timer);
}

static void ask_again(void *ctx)
{
    struct t *t = ctx;
    if (++t->calls == 3)
        loop_stop(t->loop);
    else
        loop_later_ask(t->later);
}

static void later_may_ask_again(void **state)
{
    struct t *t = *state;
    t->later = loop_later_new(t->loop, ask_again, t);
    loop_later_ask(t->later);
    loop_later_ask(t->later);
    loop_run(t->loop);
    assert_int_equal(t->calls, 3);
    loop_later_ask(t->later);
    loop_later_free(t->later); /* asked for, and never called */
}

static void take_all(void *ctx, unsigned events)
{
    struct t *t = ctx;
    char bytes[8];
    assert_true(events & LOOP_READ);
    if (read(loop_io_fd(t->io), bytes, sizeof bytes) > 0)
        return;
    loop_io_free(t->io);
    count_and_stop(t);
}

static void read_to_the_end(struct t *t, int fd)
{
    t->io = loop_io_new(t->loop, fd, take_all, t);
    loop_io_want(t->io, LOOP_READ);
    loop_run(t->loop);
}

static void pipes_and_files_have_an_end(void **state)
{
    struct t *t = *state;
    int pipe_fds[2];
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    assert_int_equal(write(pipe_fds[1], "some bytes", 10), 10);
    close(pipe_fds[1]);
    read_to_the_end(t, pipe_fds[0]);
    read_to_the_end(t, open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    assert_int_equal(t->calls, 2);
}

/* The descriptor is the loop's, and is closed when libuv has let go of it. */
static void the_descriptor_is_closed(void **state)
{
    struct t *t = *state;
    int pipe_fds[2];
    char c;
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    t->io = loop_io_new(t->loop, pipe_fds[1], take_all, t);
    loop_io_want(t->io, LOOP_WRITE);
    loop_io_free(t->io);
    t->timer = loop_timer_new(t->loop, free_timer, t);
    loop_timer_start(t->timer, 0);
    loop_run(t->loop);
    assert_int_equal(read(pipe_fds[0], &c, 1), 0);
    close(pipe_fds[0]);
}

/* Idle means asleep: what happens in the meantime is one timer. */
static void a_hosted_loop_sleeps(void **state)
{
    struct t *t = *state;
    t->timer = loop_timer_new(t->loop, count_and_stop, t);
    for (int i = 0; i < 3; i++) {
        loop_timer_start(t->timer, 20);
        loop_run(t->loop);
    }
    assert_int_equal(t->calls, 3);
    assert_true(t->services <= 3 * 4);
    loop_timer_free(t->timer);
}

#define IN_LOOP(test)                                                                  \
    cmocka_unit_test_setup_teardown(test, set_up, tear_down),                          \
        cmocka_unit_test_setup_teardown(test, set_up_hosted, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_LOOP(a_stop_that_came_too_early),
        IN_LOOP(a_timer_that_frees_itself),
        IN_LOOP(a_timer_is_never_early),
        IN_LOOP(later_may_ask_again),
        IN_LOOP(pipes_and_files_have_an_end),
        IN_LOOP(the_descriptor_is_closed),
        cmocka_unit_test_setup_teardown(a_hosted_loop_sleeps, set_up_hosted, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
