/* Addresses as users write them, and sockets that are really connected to. */
#include "base/fd.h"
#include "net/listen.h"
#include "tests/unit/check.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int family; /* 0: refused */
        bool local;
    } rows[] = {
        {"127.0.0.1:7777", AF_INET, true},
        {"127.9.9.9:1", AF_INET, true},
        {"localhost:0", AF_INET, true},
        {":7777", AF_INET, true},
        {"0.0.0.0:80", AF_INET, false},
        {"192.0.2.1:65535", AF_INET, false},
        {"[::1]:7777", AF_INET6, true},
        {"[::]:7777", AF_INET6, false},
        {"[2001:db8::1]:1", AF_INET6, false},
        {"unix:/tmp/x", AF_UNIX, true},
        {"", 0, false},
        {"7777", 0, false},
        {"127.0.0.1", 0, false},
        {"127.0.0.1:", 0, false},
        {"127.0.0.1:65536", 0, false},
        {"127.0.0.1:99999999999", 0, false},
        {"127.0.0.1:-1", 0, false},
        {"127.0.0.1:80x", 0, false},
        {"::1:7777", 0, false},
        {"[::1]", 0, false},
        {"[]:1", 0, false},
        {"[::g]:1", 0, false},
        {"example.com:80", 0, false},
        {"unix:relative", 0, false},
        {"unix:", 0, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct listen_address a = {0};
        struct err err;
        int rc = listen_parse(&a, rows[i].text, &err);
        assert_int_equal(rc, rows[i].family ? 0 : -1);
        assert_int_equal(a.addr.ss_family, rows[i].family);
        assert_int_equal(a.local, rows[i].local);
        if (rc < 0)
            assert_int_equal(err.kind, ERR_INVALID);
    }
    char long_path[300] = "unix:/";
    struct listen_address a;
    struct err err;
    memset(long_path + 6, 'x', sizeof long_path - 7);
    assert_int_equal(listen_parse(&a, long_path, &err), -1);
}

struct t {
    struct loop *loop;
    int accepted;
};

static void on_accepted(void *ctx, int fd)
{
    struct t *t = ctx;
    t->accepted++;
    fd_close(&fd);
    loop_stop(t->loop);
}

static int connect_to(const struct listen_address *a, struct listener *l)
{
    struct listen_address real = *a;
    struct err err;
    if (!a->is_unix)
        assert_int_equal(listen_parse(&real, listener_text(l), &err), 0);
    int fd = socket(real.addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&real.addr, real.length), 0);
    return fd;
}

static void connections_are_accepted(void **state)
{
    (void)state;
    char path[100];
    snprintf(path, sizeof path, "unix:/tmp/sandquay-listen-%d", getpid());
    const char *texts[] = {"127.0.0.1:0", path};
    for (size_t i = 0; i < 2; i++) {
        struct t t = {0};
        struct listen_address a;
        struct listener *l, *second;
        struct err err;
        assert_int_equal(listen_parse(&a, texts[i], &err), 0);
        assert_int_equal(loop_new(&t.loop, &err), 0);
        struct listener_config config = {on_accepted, &t};
        assert_int_equal(listener_new(&l, t.loop, &a, &config, &err), 0);
        struct listen_address taken = a;
        if (!a.is_unix)
            listen_parse(&taken, listener_text(l), &err);
        assert_int_equal(listener_new(&second, t.loop, &taken, &config, &err), -1);
        assert_int_equal(err.kind, ERR_CONFLICT);
        listener_pause(l, true);
        int fd = connect_to(&a, l);
        listener_pause(l, false);
        loop_run(t.loop);
        /* The second one asked at the unix socket whether somebody is there. */
        assert_int_equal(t.accepted, a.is_unix ? 2 : 1);
        fd_close(&fd);
        listener_free(l);
        loop_free(t.loop);
        assert_int_equal(access(path + 5, F_OK), -1);
    }
}

/* The socket of a server that was killed is replaced; the file of somebody else not. */
static void unix_paths(void **state)
{
    (void)state;
    char text[100];
    snprintf(text, sizeof text, "unix:/tmp/sandquay-listen-dead-%d", getpid());
    struct t t = {0};
    struct listen_address a;
    struct listener *l;
    struct stat st;
    struct err err;
    struct listener_config config = {on_accepted, &t};
    assert_int_equal(listen_parse(&a, text, &err), 0);
    assert_int_equal(loop_new(&t.loop, &err), 0);
    int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(dead, (struct sockaddr *)&a.addr, a.length), 0);
    fd_close(&dead);
    assert_int_equal(listener_new(&l, t.loop, &a, &config, &err), 0);
    assert_int_equal(stat(text + 5, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    listener_free(l);
    FILE *file = fopen(text + 5, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(listener_new(&l, t.loop, &a, &config, &err), -1);
    assert_int_equal(err.kind, ERR_CONFLICT);
    assert_int_equal(unlink(text + 5), 0);
    loop_free(t.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(connections_are_accepted),
        cmocka_unit_test(unix_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
