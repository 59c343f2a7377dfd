/* Look-ups, dialling, relays and what the routing tables say, over real sockets. */
#include "base/fd.h"
#include "base/mem.h"
#include "net/dial.h"
#include "net/lookup.h"
#include "net/relay.h"
#include "net/route.h"
#include "tests/unit/check.h"
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static struct address address(const char *text)
{
    struct address a;
    assert_true(address_parse(str_of(text), &a));
    return a;
}

static struct loop *new_loop(void)
{
    struct loop *loop;
    struct err err;
    assert_int_equal(loop_new(&loop, &err), 0);
    return loop;
}

struct answer {
    struct loop *loop;
    struct address list[LOOKUP_ADDRESSES_MAX];
    size_t count;
    int fd;
    struct err err;
    int calls;
};

static void on_lookup(void *ctx, const struct address *list, size_t count,
                      const struct err *err)
{
    struct answer *a = ctx;
    a->calls++;
    a->count = count;
    memcpy(a->list, list, count * sizeof *list);
    if (err)
        a->err = *err;
    loop_stop(a->loop);
}

static void names_are_looked_up(void **state)
{
    (void)state;
    struct answer a = {.loop = new_loop()};
    struct lookup *l = lookup_new(a.loop, "localhost", on_lookup, &a);
    loop_run(a.loop);
    lookup_free(l);
    assert_int_equal(a.calls, 1);
    assert_true(a.count > 0);
    assert_int_equal(address_class(&a.list[0]), ADDRESS_LOOPBACK);

    l = lookup_new(a.loop, "no-such-host.invalid", on_lookup, &a);
    loop_run(a.loop);
    lookup_free(l);
    assert_int_equal(a.calls, 2);
    assert_int_equal(a.count, 0);
    assert_true(a.err.kind == ERR_NOT_FOUND || a.err.kind == ERR_UNAVAILABLE);

    lookup_free(lookup_new(a.loop, "localhost", on_lookup, &a)); /* given up at once */
    loop_free(a.loop);
    assert_int_equal(a.calls, 2);
}

static int listener(const char *at, uint16_t *port)
{
    struct address a = address(at);
    struct sockaddr_storage sa;
    socklen_t n = address_to_sockaddr(&a, *port, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, n), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
    assert_true(address_from_sockaddr((struct sockaddr *)&sa, &a, port));
    return fd;
}

static void on_dial(void *ctx, int fd, const struct address *to, const struct err *err)
{
    struct answer *a = ctx;
    a->calls++;
    a->fd = fd;
    if (to)
        a->list[0] = *to;
    if (err)
        a->err = *err;
    loop_stop(a->loop);
}

static void the_first_that_answers_is_taken(void **state)
{
    (void)state;
    struct answer a = {.loop = new_loop()};
    uint16_t port = 0;
    int fd = listener("127.0.0.1", &port);
    struct address list[] = {address("127.0.0.9"), address("::1"),
                             address("127.0.0.1")};
    struct dial *d = dial_new(a.loop, list, 3, port, 5000, on_dial, &a);
    loop_run(a.loop);
    dial_free(d);
    assert_int_equal(a.calls, 1);
    assert_true(a.fd >= 0);
    assert_true(address_eq(&a.list[0], &list[2]));
    fd_close(&a.fd);
    fd_close(&fd);

    d = dial_new(a.loop, list, 3, port, 5000, on_dial, &a);
    loop_run(a.loop);
    dial_free(d);
    assert_int_equal(a.calls, 2);
    assert_int_equal(a.fd, -1);
    assert_int_equal(a.err.sys, ECONNREFUSED);

    dial_free(dial_new(a.loop, list, 3, port, 5000, on_dial, &a));
    dial_free(dial_new(a.loop, list, 0, port, 5000, on_dial, &a));
    loop_free(a.loop);
    assert_int_equal(a.calls, 2);
}

/* A full queue: connecting to it hangs, as to a host that does not answer. */
static void a_silent_host_takes_the_time_that_it_is_given(void **state)
{
    (void)state;
    struct answer a = {.loop = new_loop()};
    uint16_t port = 0;
    int fd = listener("127.0.0.1", &port), full[16];
    assert_int_equal(listen(fd, 0), 0);
    struct address to = address("127.0.0.1");
    struct sockaddr_storage sa;
    socklen_t n = address_to_sockaddr(&to, port, &sa);
    for (size_t i = 0; i < 16; i++) {
        full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(full[i], (struct sockaddr *)&sa, n);
    }
    struct dial *d = dial_new(a.loop, &to, 1, port, 50, on_dial, &a);
    loop_run(a.loop);
    dial_free(d);
    assert_int_equal(a.err.kind, ERR_TIMEOUT);
    for (size_t i = 0; i < 16; i++)
        fd_close(&full[i]);
    fd_close(&fd);
    loop_free(a.loop);
}

struct pair {
    struct loop *loop;
    int client, server; /* the outer ends */
    struct relay *relay;
    int done;
};

static void on_done(void *ctx)
{
    struct pair *p = ctx;
    p->done++;
    loop_stop(p->loop);
}

static void on_later(void *ctx)
{
    loop_stop(ctx);
}

/* One turn with what is ready now. */
static void turn(struct pair *p)
{
    struct loop_timer *timer = loop_timer_new(p->loop, on_later, p->loop);
    loop_timer_start(timer, 5);
    loop_run(p->loop);
    loop_timer_free(timer);
}

static void set_up(struct pair *p)
{
    int near[2], far[2];
    *p = (struct pair){.loop = new_loop()};
    int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    assert_int_equal(socketpair(AF_UNIX, type, 0, near), 0);
    assert_int_equal(socketpair(AF_UNIX, type, 0, far), 0);
    p->client = near[0];
    p->server = far[0];
    p->relay = relay_new(p->loop, near[1], far[1], on_done, p);
}

static void tear_down(struct pair *p)
{
    relay_free(p->relay);
    fd_close(&p->client);
    fd_close(&p->server);
    loop_free(p->loop);
}

static void expect(int fd, const char *text)
{
    char got[64];
    ssize_t n = recv(fd, got, sizeof got, 0);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, strlen(text));
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
}

static void bytes_go_both_ways_and_ends_are_passed_on(void **state)
{
    (void)state;
    struct pair p;
    uint64_t up, down;
    set_up(&p);
    relay_to_far(p.relay, STR("first "));
    relay_to_near(p.relay, STR("ready"));
    relay_start(p.relay);
    expect(p.client, "ready");
    expect(p.server, "first ");
    say(p.client, "question");
    shutdown(p.client, SHUT_WR);
    turn(&p);
    expect(p.server, "question");
    expect(p.server, ""); /* the end */
    assert_int_equal(p.done, 0);
    say(p.server, "answer");
    turn(&p);
    expect(p.client, "answer");
    fd_close(&p.server);
    loop_run(p.loop);
    assert_int_equal(p.done, 1);
    expect(p.client, "");
    relay_counts(p.relay, &up, &down);
    assert_int_equal(up, 14);
    assert_int_equal(down, 11);
    tear_down(&p);
}

static void a_slow_reader_stops_the_writer(void **state)
{
    (void)state;
    enum { MANY = 400 };
    struct pair p;
    static char block[16384];
    uint64_t sent = 0, got = 0;
    set_up(&p);
    relay_start(p.relay);
    for (int i = 0; i < MANY; i++) {
        ssize_t n = send(p.client, block, sizeof block, 0);
        sent += n > 0 ? (uint64_t)n : 0;
        if (n < 0)
            turn(&p);
    }
    /* What is under way: two socket buffers and what the relay holds. */
    assert_true(sent < MANY * sizeof block / 2);
    shutdown(p.client, SHUT_WR);
    for (;;) {
        ssize_t n = recv(p.server, block, sizeof block, 0);
        if (n == 0)
            break;
        if (n > 0)
            got += (uint64_t)n;
        else
            turn(&p);
    }
    assert_int_equal(got, sent);
    tear_down(&p);
}

static void a_limit_leaves_the_rest_unread(void **state)
{
    (void)state;
    struct pair p;
    set_up(&p);
    relay_limit(p.relay, 4);
    relay_start(p.relay);
    say(p.client, "bodyGET http://elsewhere/");
    turn(&p);
    expect(p.server, "body");
    say(p.server, "answer");
    fd_close(&p.server);
    loop_run(p.loop);
    expect(p.client, "answer");
    assert_int_equal(p.done, 1);
    tear_down(&p);
}

static void a_side_that_breaks_ends_it(void **state)
{
    (void)state;
    struct pair p;
    set_up(&p);
    relay_start(p.relay);
    fd_close(&p.server);
    turn(&p); /* it has ended, which is told to the client; writing to it fails */
    say(p.client, "hello");
    loop_run(p.loop);
    assert_int_equal(p.done, 1);
    tear_down(&p);
}

static void own_addresses(void **state)
{
    (void)state;
    struct address a = address("127.0.0.1");
    assert_true(route_is_own(&a));
    a = address("127.9.9.9");
    assert_true(route_is_own(&a));
    a = address("8.8.8.8");
    assert_false(route_is_own(&a));
    a = address("2606:4700::1111");
    assert_false(route_is_own(&a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_looked_up),
        cmocka_unit_test(the_first_that_answers_is_taken),
        cmocka_unit_test(a_silent_host_takes_the_time_that_it_is_given),
        cmocka_unit_test(bytes_go_both_ways_and_ends_are_passed_on),
        cmocka_unit_test(a_slow_reader_stops_the_writer),
        cmocka_unit_test(a_limit_leaves_the_rest_unread),
        cmocka_unit_test(a_side_that_breaks_ends_it),
        cmocka_unit_test(own_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
