/* The way out of a sandbox, over real sockets on 127.0.0.1: which here is named, as a
 * network that may be reached. */
#include "base/fd.h"
#include "sandbox/egress/egress.h"
#include "tests/unit/check.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct world {
    struct loop *loop;
    struct egress *egress;
    struct network_policy limit;
    struct host_proxy host_proxy;
    uint16_t proxy_port, server_port;
    int server; /* listens */
    int told;
    char target[300], reason[300];
    bool refused;
};

static int listen_here(uint16_t *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, n), 0);
    assert_int_equal(listen(fd, 300), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static void on_told(void *ctx, bool refused, const char *target, const char *reason)
{
    struct world *w = ctx;
    w->told++;
    w->refused = refused;
    snprintf(w->target, sizeof w->target, "%s", target);
    snprintf(w->reason, sizeof w->reason, "%s", reason);
}

static void set_up(struct world *w, const char *allow)
{
    struct err err;
    bool given = false;
    *w = (struct world){0};
    assert_int_equal(loop_new(&w->loop, &err), 0);
    assert_int_equal(network_policy_allow(&w->limit, &given, str_of(allow), &err), 0);
    w->server = listen_here(&w->server_port);
    w->egress = egress_new(&(struct egress_config){.loop = w->loop,
                                                   .limit = &w->limit,
                                                   .host_proxy = &w->host_proxy,
                                                   .told = on_told,
                                                   .ctx = w});
    egress_serve_proxy(w->egress, listen_here(&w->proxy_port));
}

static void tear_down(struct world *w)
{
    egress_free(w->egress);
    host_proxy_finish(&w->host_proxy);
    network_policy_finish(&w->limit);
    fd_close(&w->server);
    loop_free(w->loop);
}

static void on_stop(void *ctx)
{
    loop_stop(ctx);
}

static void on_readable(void *ctx, unsigned events)
{
    (void)events;
    loop_stop(ctx);
}

/* Runs the loop until fd can be read (or accepted from), a few seconds at most. */
static bool wait_for(struct world *w, int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    struct loop_timer *limit = loop_timer_new(w->loop, on_stop, w->loop);
    struct loop_io *io =
        loop_io_new(w->loop, fcntl(fd, F_DUPFD_CLOEXEC, 3), on_readable, w->loop);
    loop_io_want(io, LOOP_READ);
    loop_timer_start(limit, 20000); /* a look-up may take so long */
    loop_run(w->loop);
    loop_timer_free(limit);
    loop_io_free(io);
    return poll(&p, 1, 0) == 1;
}

static int open_client(struct world *w)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(w->proxy_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* {} in the text becomes the port. */
static int ask(struct world *w, const char *text, unsigned port)
{
    struct buf b;
    int fd = open_client(w);
    buf_init(&b, 4096);
    for (const char *c = text; *c; c++) {
        if (c[0] == '{' && c[1] == '}')
            buf_addf(&b, "%u", port);
        else if (c[0] != '}')
            buf_addc(&b, *c);
    }
    assert_int_equal(send(fd, b.p, b.n, 0), b.n);
    buf_finish(&b);
    return fd;
}

/* All that comes until the end, or what is there when it pauses. */
static const char *hear(struct world *w, int fd, bool to_the_end)
{
    static char text[8192];
    size_t n = 0;
    while (n < sizeof text - 1 && wait_for(w, fd)) {
        ssize_t got = recv(fd, text + n, sizeof text - 1 - n, 0);
        if (got <= 0)
            break;
        n += (size_t)got;
        if (!to_the_end)
            break;
    }
    text[n] = '\0';
    return text;
}

static int accepted(struct world *w)
{
    assert_true(wait_for(w, w->server));
    int fd = accept4(w->server, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static const struct egress_row *last_row(struct world *w)
{
    struct egress_log *log = egress_log_of(w->egress);
    return egress_log_row(log, log->last);
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
}

static void a_tunnel_carries_bytes(void **state)
{
    (void)state;
    struct world w;
    set_up(&w, "127.0.0.1");
    int client = ask(&w, "CONNECT 127.0.0.1:{} HTTP/1.1\r\n\r\nearly", w.server_port);
    int server = accepted(&w);
    assert_string_equal(hear(&w, client, false),
                        "HTTP/1.1 200 Connection established\r\n\r\n");
    assert_string_equal(hear(&w, server, false), "early");
    say(server, "hello");
    assert_string_equal(hear(&w, client, false), "hello");
    assert_true(last_row(&w)->open);
    assert_int_equal(last_row(&w)->sent_bytes, 5);
    assert_int_equal(last_row(&w)->received_bytes, 5);
    shutdown(client, SHUT_WR);
    assert_string_equal(hear(&w, server, false), ""); /* the end is passed on */
    say(server, " and bye");
    fd_close(&server);
    assert_string_equal(hear(&w, client, true), " and bye");
    const struct egress_row *row = last_row(&w);
    assert_false(row->open);
    assert_int_equal(row->outcome, EGRESS_ALLOWED);
    assert_int_equal(row->received_bytes, 13);
    assert_string_equal(row->way, "connect");
    assert_string_equal(row->host, "127.0.0.1");
    assert_string_equal(row->address, "127.0.0.1");
    assert_int_equal(row->port, w.server_port);
    assert_int_equal(w.told, 0);
    fd_close(&client);
    tear_down(&w);
}

static void a_request_goes_on_without_what_was_for_us(void **state)
{
    (void)state;
    struct world w;
    char want[200];
    set_up(&w, "127.0.0.1");
    int client = ask(&w,
                     "POST http://127.0.0.1:{}/x HTTP/1.1\r\nHost: elsewhere\r\n"
                     "Proxy-Connection: keep-alive\r\nContent-Length: 4\r\n\r\nbody"
                     "GET http://127.0.0.1:{}/second HTTP/1.1\r\n\r\n",
                     w.server_port);
    int server = accepted(&w);
    snprintf(want, sizeof want,
             "POST /x HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Length: 4\r\n"
             "Connection: close\r\n\r\nbody",
             w.server_port);
    assert_string_equal(hear(&w, server, false), want);
    say(server, "HTTP/1.1 200 OK\r\n\r\nanswer");
    fd_close(&server);
    assert_string_equal(hear(&w, client, true), "HTTP/1.1 200 OK\r\n\r\nanswer");
    fd_close(&client);
    tear_down(&w);
}

static void what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *allow, *request, *status, *reason;
    } rows[] = {
        {"allow-all", "CONNECT 127.0.0.1:{} HTTP/1.1\r\n\r\n", "403",
         "127.0.0.1 is a loopback address, which must be named to be allowed"},
        {"allow-all", "GET http://127.0.0.1:{}/ HTTP/1.1\r\n\r\n", "403",
         "127.0.0.1 is a loopback address, which must be named to be allowed"},
        {"allow-all", "CONNECT localhost:{} HTTP/1.1\r\n\r\n", "403",
         "is a loopback address, which must be named to be allowed"},
        {"allow-all", "CONNECT [::ffff:169.254.169.254]:{} HTTP/1.1\r\n\r\n", "403",
         "169.254.169.254 is the address of a metadata service"},
        {"allow-all,127.0.0.1", "CONNECT [::1]:{} HTTP/1.1\r\n\r\n", "403",
         "::1 is a loopback address"},
        {"a.com", "CONNECT b.com:{} HTTP/1.1\r\n\r\n", "403",
         "the network policy does not allow it"},
        {"a.com", "CONNECT 8.8.8.8:{} HTTP/1.1\r\n\r\n", "403",
         "the network policy does not allow it"},
        {"deny-all", "CONNECT 127.0.0.1:{} HTTP/1.1\r\n\r\n", "403",
         "the network policy is deny-all"},
        {"deny-all", "CONNECT a.com:{} HTTP/1.1\r\n\r\n", "403",
         "the network policy is deny-all"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        char status[40];
        set_up(&w, rows[i].allow);
        int client = ask(&w, rows[i].request, w.server_port);
        const char *answer = hear(&w, client, true);
        snprintf(status, sizeof status, "HTTP/1.1 %s ", rows[i].status);
        if (strncmp(answer, status, strlen(status)) != 0 ||
            !strstr(answer, rows[i].reason))
            fail_msg("row %zu: %s", i, answer);
        assert_int_equal(w.told, 1);
        assert_true(w.refused);
        assert_non_null(strstr(w.reason, rows[i].reason));
        assert_int_equal(last_row(&w)->outcome, EGRESS_REFUSED);
        fd_close(&client);
        tear_down(&w);
    }
}

static void what_fails(void **state)
{
    (void)state;
    struct world w;
    set_up(&w, "allow-all,127.0.0.1");
    int client = ask(&w, "CONNECT 127.0.0.1:{} HTTP/1.1\r\n\r\n", 1);
    assert_non_null(strstr(hear(&w, client, true), "502 Bad Gateway"));
    assert_non_null(strstr(w.reason, "Connection refused"));
    assert_false(w.refused);
    fd_close(&client);
    client = ask(&w, "CONNECT no-such-host.invalid:{} HTTP/1.1\r\n\r\n", 1);
    assert_non_null(strstr(hear(&w, client, true), "HTTP/1.1 50")); /* or 504 */
    assert_string_equal(w.target, "no-such-host.invalid:1");
    assert_int_equal(last_row(&w)->outcome, EGRESS_FAILED);
    fd_close(&client);
    client = ask(&w, "GET /{} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 1);
    assert_non_null(strstr(hear(&w, client, true), "400 Bad Request"));
    fd_close(&client);
    tear_down(&w);
}

static void socks(void **state)
{
    (void)state;
    struct world w;
    set_up(&w, "127.0.0.1");
    unsigned char request[] = {5, 1, 0, 1, 127, 0, 0, 1, 0, 0};
    request[8] = (unsigned char)(w.server_port >> 8);
    request[9] = (unsigned char)w.server_port;
    int client = open_client(&w);
    assert_int_equal(send(client, "\x05\x01\x00", 3, 0), 3);
    assert_memory_equal(hear(&w, client, false), "\x05\x00", 2);
    assert_int_equal(send(client, request, sizeof request, 0), sizeof request);
    int server = accepted(&w);
    assert_memory_equal(hear(&w, client, false), "\x05\x00\x00\x01\0\0\0\0\0\0", 10);
    say(client, "hello");
    assert_string_equal(hear(&w, server, false), "hello");
    fd_close(&client);
    fd_close(&server);

    client = open_client(&w); /* all at once, and not allowed */
    assert_int_equal(
        send(client, "\x05\x01\x00\x05\x01\x00\x01\x0a\0\0\x01\0\x50", 13, 0), 13);
    assert_memory_equal(hear(&w, client, true), "\x05\x00\x05\x02\x00\x01", 6);
    assert_string_equal(w.target, "10.0.0.1:80");
    fd_close(&client);
    client = open_client(&w); /* without an authentication method that we have */
    assert_int_equal(send(client, "\x05\x01\x02", 3, 0), 3);
    assert_memory_equal(hear(&w, client, true), "\x05\xff", 2);
    fd_close(&client);
    tear_down(&w);
}

static void a_policy_can_change_while_it_runs(void **state)
{
    (void)state;
    struct world w;
    struct network_policy off = {.mode = NETWORK_DENY_ALL}, all = {0};
    set_up(&w, "127.0.0.1");
    int client = ask(&w, "CONNECT 127.0.0.1:{} HTTP/1.1\r\n\r\n", w.server_port);
    int server = accepted(&w);
    hear(&w, client, false);
    assert_false(egress_is_off(w.egress));
    egress_set_policy(w.egress, &off);
    assert_true(egress_is_off(w.egress));
    assert_string_equal(hear(&w, client, true), "");
    assert_non_null(strstr(last_row(&w)->reason, "cut"));
    fd_close(&client);
    fd_close(&server);
    client = ask(&w, "CONNECT 127.0.0.1:{} HTTP/1.1\r\n\r\n", w.server_port);
    assert_non_null(strstr(hear(&w, client, true), "403 "));
    fd_close(&client);
    /* It cannot give what the limit does not: 127.0.0.1 is named there, not here. */
    egress_set_policy(w.egress, &all);
    client = ask(&w, "CONNECT 127.0.0.1:{} HTTP/1.1\r\n\r\n", w.server_port);
    assert_non_null(strstr(hear(&w, client, true), "403 "));
    fd_close(&client);
    egress_set_policy(w.egress, NULL);
    client = ask(&w, "CONNECT 127.0.0.1:{} HTTP/1.1\r\n\r\n", w.server_port);
    assert_non_null(strstr(hear(&w, client, false), "200 "));
    fd_close(&client);
    tear_down(&w);
}

static void connections_are_counted(void **state)
{
    (void)state;
    struct world w;
    static int open[EGRESS_TUNNELS_MAX];
    set_up(&w, "127.0.0.1");
    for (int i = 0; i < EGRESS_TUNNELS_MAX; i++)
        open[i] = open_client(&w); /* and say nothing */
    int client = ask(&w, "CONNECT 127.0.0.1:{} HTTP/1.1\r\n\r\n", w.server_port);
    assert_string_equal(hear(&w, client, true), "");
    fd_close(&client);
    assert_non_null(strstr(last_row(&w)->reason, "the limit"));
    for (int i = 0; i < EGRESS_TUNNELS_MAX; i++)
        fd_close(&open[i]);
    client = ask(&w, "CONNECT 127.0.0.1:{} HTTP/1.1\r\n\r\n", w.server_port);
    int server = accepted(&w);
    assert_non_null(strstr(hear(&w, client, false), "200 "));
    fd_close(&client);
    fd_close(&server);
    tear_down(&w);
}

/* The world's server plays the host's proxy. */
static void use_host_proxy(struct world *w, const char *no_proxy)
{
    char url[100];
    struct err err;
    snprintf(url, sizeof url, "http://user:p%%40ss@127.0.0.1:%u/", w->server_port);
    struct host_proxy_config config = {.http = url, .https = url, .no_proxy = no_proxy};
    assert_int_equal(host_proxy_init(&w->host_proxy, &config, &err), 0);
}

static void through_the_hosts_proxy(void **state)
{
    (void)state;
    struct world w;
    set_up(&w, "allow-all");
    use_host_proxy(&w, "10.0.0.0/8, .internal.example");
    int client = ask(&w, "CONNECT 8.8.8.8:{} HTTP/1.1\r\n\r\nearly", 443);
    int server = accepted(&w);
    assert_string_equal(hear(&w, server, false),
                        "CONNECT 8.8.8.8:443 HTTP/1.1\r\nHost: 8.8.8.8:443\r\n"
                        "Proxy-Authorization: Basic dXNlcjpwQHNz\r\n\r\n");
    say(server, "HTTP/1.1 200 OK\r\n\r\nbanner");
    assert_non_null(strstr(hear(&w, client, false), "200 Connection established"));
    assert_string_equal(hear(&w, server, false), "early");
    fd_close(&server);
    hear(&w, client, true);
    fd_close(&client);

    client = ask(&w, "GET http://8.8.8.8:{}/x HTTP/1.1\r\n\r\n", 81);
    server = accepted(&w);
    assert_string_equal(hear(&w, server, false),
                        "GET http://8.8.8.8:81/x HTTP/1.1\r\nHost: 8.8.8.8:81\r\n"
                        "Connection: close\r\n"
                        "Proxy-Authorization: Basic dXNlcjpwQHNz\r\n\r\n");
    fd_close(&server);
    fd_close(&client);

    client = ask(&w, "CONNECT 8.8.8.8:{} HTTP/1.1\r\n\r\n", 443);
    server = accepted(&w);
    hear(&w, server, false);
    say(server, "HTTP/1.1 407 Authentication\r\n\r\n");
    assert_non_null(strstr(hear(&w, client, true), "502 "));
    assert_non_null(strstr(w.reason, "407"));
    assert_null(strstr(w.reason, "dXNl"));
    fd_close(&server);
    fd_close(&client);

    /* Only our hop to it may be private. */
    client = ask(&w, "CONNECT 127.0.0.1:{} HTTP/1.1\r\n\r\n", w.server_port);
    assert_non_null(strstr(hear(&w, client, true), "403 "));
    fd_close(&client);
    client = ask(&w, "CONNECT localhost:{} HTTP/1.1\r\n\r\n", w.server_port);
    assert_non_null(strstr(hear(&w, client, true), "403 "));
    fd_close(&client);
    tear_down(&w);
}

/* What the proxy is to hear and to say, in turn; the last thing heard is the program's.
 */
struct exchange {
    const char *heard;
    size_t heard_bytes;
    const char *said;
    size_t said_bytes;
};
#define EXCHANGE(heard, said)                                                          \
    {                                                                                  \
        heard, sizeof(heard) - 1, said, sizeof(said) - 1                               \
    }

static int play_socks(struct world *w, const struct exchange *all, size_t count)
{
    int server = accepted(w);
    for (size_t i = 0; i < count; i++) {
        const char *heard = hear(w, server, false);
        assert_memory_equal(heard, all[i].heard, all[i].heard_bytes);
        assert_int_equal(send(server, all[i].said, all[i].said_bytes, 0),
                         all[i].said_bytes);
    }
    return server;
}

static void use_socks_proxy(struct world *w, const char *user)
{
    char url[100];
    struct err err;
    snprintf(url, sizeof url, "socks5h://%s127.0.0.1:%u", user, w->server_port);
    struct host_proxy_config config = {.http = url, .https = url};
    assert_int_equal(host_proxy_init(&w->host_proxy, &config, &err), 0);
}

static void through_the_hosts_socks_proxy(void **state)
{
    (void)state;
    static const struct exchange address[] = {
        EXCHANGE("\5\1\0", "\5\0"),
        EXCHANGE("\5\1\0\1\10\10\10\10\1\273", "\5\0\0\1\0\0\0\0\0\0banner"),
        EXCHANGE("early", ""),
    };
    static const struct exchange request[] = {
        EXCHANGE("\5\1\0", "\5\0"),
        EXCHANGE("\5\1\0\1\10\10\10\10\0\121", "\5\0\0\3\3abc\0\0"),
        EXCHANGE("GET /x HTTP/1.1\r\nHost: 8.8.8.8:81\r\nConnection: close\r\n\r\n",
                 ""),
    };
    struct world w;
    set_up(&w, "allow-all");
    use_socks_proxy(&w, "");
    int client = ask(&w, "CONNECT 8.8.8.8:{} HTTP/1.1\r\n\r\nearly", 443);
    int server = play_socks(&w, address, 3);
    fd_close(&server);
    const char *heard = hear(&w, client, true);
    assert_non_null(strstr(heard, "200 Connection established"));
    assert_non_null(strstr(heard, "banner"));
    fd_close(&client);

    client = ask(&w, "GET http://8.8.8.8:{}/x HTTP/1.1\r\n\r\n", 81);
    server = play_socks(&w, request, 3);
    fd_close(&server);
    fd_close(&client);

    client = ask(&w, "CONNECT 127.0.0.1:{} HTTP/1.1\r\n\r\n", w.server_port);
    assert_non_null(strstr(hear(&w, client, true), "403 "));
    fd_close(&client);
    tear_down(&w);
}

static void what_a_socks_proxy_refuses(void **state)
{
    (void)state;
    static const struct exchange password[] = {
        EXCHANGE("\5\2\0\2", "\5\2"),
        EXCHANGE("\1\4user\4p@ss", "\1\0"),
        EXCHANGE("\5\1\0\1\10\10\10\10\1\273", "\5\2\0\1\0\0\0\0\0\0"),
    };
    static const struct exchange wrong[] = {
        EXCHANGE("\5\2\0\2", "\5\2"),
        EXCHANGE("\1\4user\4p@ss", "\1\1"),
    };
    static const struct exchange other[] = {EXCHANGE("\5\2\0\2", "HTTP/1.1 400\r\n")};
    static const struct exchange picky[] = {EXCHANGE("\5\2\0\2", "\5\377")};
    static const struct {
        const struct exchange *all;
        size_t count;
        const char *reason;
    } rows[] = {
        {password, 3, "does not allow the connection"},
        {wrong, 2, "refused the user name"},
        {other, 1, "does not speak SOCKS5"},
        {picky, 1, "does not take a user name"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        set_up(&w, "allow-all");
        use_socks_proxy(&w, "user:p%40ss@");
        int client = ask(&w, "CONNECT 8.8.8.8:{} HTTP/1.1\r\n\r\n", 443);
        int server = play_socks(&w, rows[i].all, rows[i].count);
        assert_non_null(strstr(hear(&w, client, true), "502 "));
        assert_non_null(strstr(w.reason, rows[i].reason));
        assert_null(strstr(w.reason, "p@ss"));
        fd_close(&server);
        fd_close(&client);
        tear_down(&w);
    }
}

static void whom_the_hosts_proxy_is_for(void **state)
{
    (void)state;
    static const struct {
        const char *no_proxy, *target;
        bool proxied;
    } rows[] = {
        {NULL, "a.com", true},
        {"", "a.com", true},
        {"*", "a.com", false},
        {"a.com", "a.com", false},
        {"A.com", "x.a.com", false},
        {".a.com", "x.a.com", false},
        {"*.a.com", "x.a.com", false},
        {"a.com", "ba.com", true},
        {"x, a.com:443", "a.com", false},
        {"10.0.0.0/8", "10.1.1.1", false},
        {"10.0.0.0/8", "11.1.1.1", true},
        {"::1", "[::1]", false},
        {"localhost,127.0.0.1", "127.0.0.1", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct host_proxy p;
        struct egress_ask ask = {.kind = EGRESS_CONNECT};
        struct err err;
        struct host_proxy_config config = {.https = "proxy.example:3128",
                                           .no_proxy = rows[i].no_proxy};
        assert_int_equal(host_proxy_init(&p, &config, &err), 0);
        assert_int_equal(
            egress_target_parse(str_of(rows[i].target), 443, &ask.target, &err), 0);
        if ((host_proxy_for(&p, &ask) != NULL) != rows[i].proxied)
            fail_msg("row %zu", i);
        ask.kind = EGRESS_REQUEST;
        assert_null(host_proxy_for(&p, &ask));
        host_proxy_finish(&p);
    }
    static const char *const bad[] = {
        "https://p:1",    "socks4://p:1", "http://",           "socks5://u:@p:1",
        "socks5://u@p:1", "http://a b",   "http://u:secret@[p"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct host_proxy p;
        struct err err;
        struct host_proxy_config config = {.https = bad[i]};
        assert_int_equal(host_proxy_init(&p, &config, &err), -1);
        assert_null(strstr(err.msg, "secret"));
    }
}

/* The listener is shared with the guest, which could have us wait in accept() for ever
 * by taking O_NONBLOCK away. */
static void a_listener_that_blocks_holds_up_nobody(void **state)
{
    (void)state;
    struct world w;
    set_up(&w, "127.0.0.1");
    int listener = listen_here(&w.proxy_port),
        guests = fcntl(listener, F_DUPFD_CLOEXEC, 3);
    egress_serve_proxy(w.egress, listener);
    assert_int_equal(fcntl(guests, F_SETFL, fcntl(guests, F_GETFL) & ~O_NONBLOCK), 0);
    alarm(30);
    int client = ask(&w, "CONNECT 127.0.0.1:{} HTTP/1.1\r\n\r\n", w.server_port);
    int server = accepted(&w);
    assert_non_null(strstr(hear(&w, client, false), "200 "));
    alarm(0);
    fd_close(&client);
    fd_close(&server);
    fd_close(&guests);
    tear_down(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tunnel_carries_bytes),
        cmocka_unit_test(a_request_goes_on_without_what_was_for_us),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(what_fails),
        cmocka_unit_test(socks),
        cmocka_unit_test(a_policy_can_change_while_it_runs),
        cmocka_unit_test(connections_are_counted),
        cmocka_unit_test(a_listener_that_blocks_holds_up_nobody),
        cmocka_unit_test(through_the_hosts_proxy),
        cmocka_unit_test(through_the_hosts_socks_proxy),
        cmocka_unit_test(what_a_socks_proxy_refuses),
        cmocka_unit_test(whom_the_hosts_proxy_is_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
