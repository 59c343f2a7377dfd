/* The HTTP client against a server of one thread that follows a script: connections are
 * kept, a request is repeated only when it may be, a paused answer holds the peer back,
 * and after a cancel nothing is heard. */
#include "base/buf.h"
#include "base/fd.h"
#include "net/http/client.h"
#include "tests/unit/check.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* One step a request. */
enum action {
    OVER,         /* close the listener, end */
    ANSWER,       /* 200 and "hello", the connection stays */
    ANSWER_CLOSE, /* the same, then the connection is closed */
    SWALLOW,      /* read the request, close without an answer */
    CUT,          /* half a body, then close */
    FLOOD,        /* FLOOD_BYTES of body */
    HANG,         /* no answer until the client goes away */
    STALL,        /* the head, then nothing until the client goes away */
    ECHO,         /* the request's body */
    HUGE_HEAD,
};
enum { FLOOD_BYTES = 64 * 1024 * 1024 };

struct server {
    int listener, port;
    const enum action *script;
    pthread_t thread;
    atomic_int requests, connections;
    atomic_size_t flooded;
    char last[64 * 1024];
};

/* Head and body of one request into s->last; 0 at the end of the connection. */
static size_t read_request(struct server *s, int fd)
{
    size_t n = 0, want = 0;
    while (n < sizeof s->last - 1) {
        ssize_t got = read(fd, s->last + n, sizeof s->last - 1 - n);
        if (got <= 0)
            return 0;
        n += (size_t)got;
        s->last[n] = '\0';
        char *head = strstr(s->last, "\r\n\r\n");
        if (!head)
            continue;
        const char *length = strcasestr(s->last, "content-length: ");
        want = (size_t)(head + 4 - s->last);
        if (length && length < head)
            want += strtoul(length + 16, NULL, 10);
        if (strcasestr(s->last, "transfer-encoding: chunked")) {
            if (strstr(head, "\r\n0\r\n\r\n") || strstr(head, "\n0\r\n\r\n"))
                return n;
        } else if (n >= want) {
            return n;
        }
    }
    return n;
}

static void say(int fd, const char *text)
{
    size_t n = strlen(text);
    if (send(fd, text, n, MSG_NOSIGNAL) < 0)
        return;
}

static void flood(struct server *s, int fd)
{
    static char block[64 * 1024];
    memset(block, 'x', sizeof block);
    char head[100];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
             FLOOD_BYTES);
    say(fd, head);
    for (size_t sent = 0; sent < FLOOD_BYTES;) {
        ssize_t n = send(fd, block, sizeof block, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        sent += (size_t)n;
        atomic_store(&s->flooded, sent);
    }
}

static void wait_gone(int fd)
{
    char byte;
    while (read(fd, &byte, 1) > 0)
        ;
}

/* false: the connection is over. */
static bool act(struct server *s, int fd, enum action action)
{
    static const char hello[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Word: spoken\r\n\r\nhello";
    switch (action) {
    case ANSWER:
        say(fd, hello);
        return true;
    case ANSWER_CLOSE:
        say(fd, hello);
        return false;
    case CUT:
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        return false;
    case FLOOD:
        flood(s, fd);
        return true;
    case HANG:
        wait_gone(fd);
        return false;
    case STALL:
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
        wait_gone(fd);
        return false;
    case ECHO: {
        const char *body = strstr(s->last, "\r\n\r\n") + 4;
        char head[100];
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
                 strlen(body));
        say(fd, head);
        say(fd, body);
        return true;
    }
    case HUGE_HEAD: {
        char line[1024];
        memset(line, 'h', sizeof line);
        memcpy(line, "X-H: ", 5);
        memcpy(line + sizeof line - 3, "\r\n", 3);
        say(fd, "HTTP/1.1 200 OK\r\n");
        for (int i = 0; i < 1000; i++)
            say(fd, line);
        wait_gone(fd);
        return false;
    }
    default:
        return false;
    }
}

static void *serve(void *ctx)
{
    struct server *s = ctx;
    while (*s->script != OVER) {
        int fd = accept(s->listener, NULL, NULL);
        if (fd < 0)
            break;
        atomic_fetch_add(&s->connections, 1);
        bool more = true;
        while (more && *s->script != OVER && read_request(s, fd) > 0) {
            atomic_fetch_add(&s->requests, 1);
            more = act(s, fd, *s->script++);
        }
        close(fd);
    }
    return NULL;
}

/* What a call told. */
struct heard {
    struct loop *loop;
    struct http_call *call;
    int status, dones, bodies;
    char word[32];
    struct buf body;
    size_t bytes;
    bool keep, stop_at_head, cancel_at_body, pause_at_body;
    bool failed;
    struct err err;
    enum http_reach reach;
};

static void on_head(void *ctx, int status)
{
    struct heard *h = ctx;
    h->status = status;
    struct str word = http_header(h->call, "x-word");
    snprintf(h->word, sizeof h->word, "%.*s", STR_FMT(word));
    if (h->stop_at_head) {
        http_cancel(h->call);
        loop_stop(h->loop);
    }
}

static void on_body(void *ctx, struct str bytes)
{
    struct heard *h = ctx;
    h->bodies++;
    h->bytes += bytes.n;
    if (h->keep)
        buf_adds(&h->body, bytes);
    if (h->cancel_at_body) {
        http_cancel(h->call);
        loop_stop(h->loop);
    }
    if (h->pause_at_body) {
        h->pause_at_body = false;
        http_pause(h->call, true);
        loop_stop(h->loop);
    }
}

static void on_done(void *ctx, const struct err *err, enum http_reach reach)
{
    struct heard *h = ctx;
    h->dones++;
    h->failed = err != NULL;
    if (err)
        h->err = *err;
    h->reach = reach;
    loop_stop(h->loop);
}

static const struct http_events events = {on_head, on_body, on_done};

struct world {
    struct loop *loop;
    struct http_client *client;
    struct server server;
    struct heard heard;
};

static int listen_on(int *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t n = sizeof a;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

static void set_up(struct world *w, const enum action *script)
{
    struct err err;
    struct http_config config = {.user_agent = "test/1"};
    memset(w, 0, sizeof *w);
    assert_int_equal(loop_new(&w->loop, &err), 0);
    assert_int_equal(http_client_new(&w->client, w->loop, &config, &err), 0);
    w->heard = (struct heard){.loop = w->loop, .keep = true};
    buf_init(&w->heard.body, 1024 * 1024);
    w->server.script = script;
    w->server.listener = listen_on(&w->server.port);
    pthread_create(&w->server.thread, NULL, serve, &w->server);
}

static void tear_down(struct world *w)
{
    http_client_free(w->client);
    shutdown(w->server.listener, SHUT_RDWR);
    pthread_join(w->server.thread, NULL);
    fd_close(&w->server.listener);
    buf_finish(&w->heard.body);
    loop_free(w->loop);
}

static struct http_request request_to(struct world *w, const char *method, char url[64])
{
    snprintf(url, 64, "http://127.0.0.1:%d/x", w->server.port);
    return (struct http_request){.method = method, .url = str_of(url)};
}

static void send_request(struct world *w, const struct http_request *request)
{
    struct heard *h = &w->heard;
    buf_reset(&h->body, 1024 * 1024);
    h->status = h->dones = 0;
    h->call = http_start(w->client, request, &events, h);
    loop_run(w->loop);
}

static void two_requests_one_connection(void **state)
{
    (void)state;
    static const enum action script[] = {ANSWER, ANSWER, OVER};
    struct world w;
    char url[64];
    set_up(&w, script);
    struct http_request request = request_to(&w, "GET", url);
    struct secret *token = secret_new(STR("tok"));
    struct str header = STR("Content-Type: application/json");
    request.headers = &header;
    request.header_count = 1;
    request.bearer = token;
    for (int i = 0; i < 2; i++) {
        send_request(&w, &request);
        assert_int_equal(w.heard.status, 200);
        assert_string_equal(w.heard.word, "spoken");
        assert_true(str_eq(buf_str(&w.heard.body), STR("hello")));
        assert_false(w.heard.failed);
    }
    assert_int_equal(w.server.connections, 1);
    assert_non_null(strstr(w.server.last, "GET /x HTTP/1.1\r\n"));
    assert_non_null(strstr(w.server.last, "Authorization: Bearer tok\r\n"));
    assert_non_null(strstr(w.server.last, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(w.server.last, "User-Agent: test/1\r\n"));
    assert_null(strcasestr(w.server.last, "expect:"));
    secret_free(token);
    tear_down(&w);
}

/* The server takes a request from a kept connection and closes it: libcurl alone would
 * send it again. */
static void not_repeated(void **state)
{
    (void)state;
    static const enum action script[] = {ANSWER, SWALLOW, ANSWER, OVER};
    struct world w;
    char url[64];
    set_up(&w, script);
    struct http_request request = request_to(&w, "POST", url);
    request.body = STR("{}");
    send_request(&w, &request);
    assert_false(w.heard.failed);
    send_request(&w, &request);
    assert_true(w.heard.failed);
    assert_int_equal(w.heard.reach, HTTP_SENT);
    assert_int_equal(w.heard.err.kind, ERR_IO);
    assert_int_equal(w.server.requests, 2);
    tear_down(&w);
}

static void repeated_where_allowed(void **state)
{
    (void)state;
    static const enum action script[] = {ANSWER, SWALLOW, ANSWER, OVER};
    struct world w;
    char url[64];
    set_up(&w, script);
    struct http_request request = request_to(&w, "POST", url);
    request.body = STR("{}");
    request.repeatable = true;
    send_request(&w, &request);
    send_request(&w, &request);
    assert_false(w.heard.failed);
    assert_int_equal(w.heard.status, 200);
    assert_int_equal(w.server.requests, 3);
    tear_down(&w);
}

static void swallowed_at_first(void **state)
{
    (void)state;
    static const enum action script[] = {SWALLOW, OVER};
    struct world w;
    char url[64];
    set_up(&w, script);
    struct http_request request = request_to(&w, "POST", url);
    request.repeatable = true;
    send_request(&w, &request);
    assert_true(w.heard.failed);
    assert_int_equal(w.heard.reach, HTTP_SENT);
    tear_down(&w);
}

static void refused(void **state)
{
    (void)state;
    static const enum action script[] = {OVER};
    struct world w;
    char url[64];
    set_up(&w, script);
    fd_close(&w.server.listener);
    struct http_request request = request_to(&w, "POST", url);
    send_request(&w, &request);
    assert_true(w.heard.failed);
    assert_int_equal(w.heard.reach, HTTP_NOT_SENT);
    assert_int_equal(w.heard.err.kind, ERR_UNAVAILABLE);
    tear_down(&w);
}

static void cut_in_the_body(void **state)
{
    (void)state;
    static const enum action script[] = {CUT, OVER};
    struct world w;
    char url[64];
    set_up(&w, script);
    struct http_request request = request_to(&w, "GET", url);
    send_request(&w, &request);
    assert_int_equal(w.heard.status, 200);
    assert_true(w.heard.failed);
    assert_int_equal(w.heard.reach, HTTP_ANSWERED);
    assert_true(str_eq(buf_str(&w.heard.body), STR("half")));
    tear_down(&w);
}

/* A reader that pauses holds the server back; nothing is lost when it goes on. */
static void paused(void **state)
{
    (void)state;
    static const enum action script[] = {FLOOD, OVER};
    struct world w;
    char url[64];
    set_up(&w, script);
    w.heard.keep = false;
    w.heard.pause_at_body = true;
    struct http_request request = request_to(&w, "GET", url);
    send_request(&w, &request);
    assert_int_equal(w.heard.dones, 0);
    size_t before = w.heard.bytes;
    for (size_t last = 1; last != atomic_load(&w.server.flooded);) {
        last = atomic_load(&w.server.flooded);
        http_client_drain(w.client, 50); /* libcurl works, nobody takes */
    }
    assert_int_equal(w.heard.bytes, before);
    assert_true(atomic_load(&w.server.flooded) < FLOOD_BYTES / 2);
    http_pause(w.heard.call, false);
    loop_run(w.loop);
    assert_int_equal(w.heard.dones, 1);
    assert_false(w.heard.failed);
    assert_int_equal(w.heard.bytes, FLOOD_BYTES);
    tear_down(&w);
}

static void silent_after_cancel(void **state)
{
    (void)state;
    static const enum action script[] = {FLOOD, FLOOD, HANG, ANSWER, OVER};
    struct world w;
    char url[64];
    set_up(&w, script);
    struct http_request request = request_to(&w, "GET", url);
    w.heard.keep = false;
    w.heard.stop_at_head = true;
    send_request(&w, &request);
    assert_int_equal(w.heard.bodies, 0);
    w.heard.stop_at_head = false;
    w.heard.cancel_at_body = true;
    send_request(&w, &request);
    assert_int_equal(w.heard.bodies, 1);
    http_cancel(http_start(w.client, &request, &events, &w.heard));
    assert_false(http_client_busy(w.client));
    assert_int_equal(w.heard.dones, 0);
    tear_down(&w);
}

static void time_limits(void **state)
{
    (void)state;
    static const enum action script[] = {HANG, STALL, OVER};
    struct world w;
    char url[64];
    set_up(&w, script);
    struct http_request request = request_to(&w, "GET", url);
    request.head_timeout_ms = request.idle_timeout_ms = 100;
    send_request(&w, &request);
    assert_int_equal(w.heard.status, 0);
    assert_int_equal(w.heard.err.kind, ERR_TIMEOUT);
    assert_int_equal(w.heard.reach, HTTP_SENT);
    send_request(&w, &request);
    assert_int_equal(w.heard.status, 200);
    assert_int_equal(w.heard.err.kind, ERR_TIMEOUT);
    assert_int_equal(w.heard.reach, HTTP_ANSWERED);
    tear_down(&w);
}

static size_t three_pieces(void *ctx, char *to, size_t max)
{
    static int piece;
    (void)ctx;
    (void)max;
    if (piece == 3)
        return 0;
    piece++;
    memcpy(to, "piece ", 6);
    return 6;
}

static void body_in_pieces(void **state)
{
    (void)state;
    static const enum action script[] = {ECHO, OVER};
    struct world w;
    char url[64];
    set_up(&w, script);
    struct http_request request = request_to(&w, "POST", url);
    request.read_body = three_pieces;
    send_request(&w, &request);
    assert_false(w.heard.failed);
    assert_non_null(memmem(w.heard.body.p, w.heard.body.n, "piece ", 6));
    tear_down(&w);
}

static void head_too_large(void **state)
{
    (void)state;
    static const enum action script[] = {HUGE_HEAD, OVER};
    struct world w;
    char url[64];
    set_up(&w, script);
    struct http_request request = request_to(&w, "GET", url);
    send_request(&w, &request);
    assert_true(w.heard.failed);
    assert_int_equal(w.heard.err.kind, ERR_LIMIT);
    tear_down(&w);
}

/* Nothing of it may reach a program that this process starts. */
static void sockets_are_cloexec(void **state)
{
    (void)state;
    static const enum action script[] = {ANSWER, OVER};
    struct world w;
    char url[64];
    set_up(&w, script);
    struct http_request request = request_to(&w, "GET", url);
    send_request(&w, &request);
    int sockets = 0;
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_in peer;
        socklen_t n = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &n) < 0 ||
            ntohs(peer.sin_port) != w.server.port)
            continue;
        sockets++;
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    assert_true(sockets > 0);
    tear_down(&w);
}

static void drained(void **state)
{
    (void)state;
    static const enum action script[] = {ANSWER, HANG, OVER};
    struct world w;
    char url[64];
    set_up(&w, script);
    struct http_request request = request_to(&w, "DELETE", url);
    w.heard.call = http_start(w.client, &request, &events, &w.heard);
    http_client_drain(w.client, 5000);
    assert_int_equal(w.heard.dones, 1);
    assert_int_equal(w.heard.status, 200);
    http_start(w.client, &request, &events, &w.heard);
    http_client_drain(w.client, 50); /* and it is left behind */
    assert_int_equal(w.heard.dones, 1);
    tear_down(&w);
}

/* A TLS server with a certificate that only the file in `dir` vouches for. */
static pid_t start_tls(const char *dir, int *ret_port, int *ret_out)
{
    static const char script[] =
        "cd \"$0\" && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
        "-nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 "
        "-keyout key.pem -out cert.pem 2>/dev/null && "
        "exec openssl s_server -accept 127.0.0.1:0 -cert cert.pem -key key.pem -www "
        "2>/dev/null";
    int out[2];
    char line[200];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], 1);
        execlp("sh", "sh", "-c", script, dir, (char *)NULL);
        _exit(127);
    }
    fd_close(&out[1]);
    FILE *in = fdopen(out[0], "r");
    *ret_port = 0;
    while (*ret_port == 0 && fgets(line, sizeof line, in)) {
        const char *colon = strrchr(line, ':');
        if (strncmp(line, "ACCEPT", 6) == 0 && colon)
            *ret_port = (int)strtol(colon + 1, NULL, 10);
    }
    *ret_out = dup(out[0]);
    fclose(in);
    return pid;
}

static void tls_is_verified(void **state)
{
    (void)state;
    static const enum action script[] = {OVER};
    struct world w;
    char dir[] = "/tmp/sq-tls-XXXXXX", url[64], file[64];
    int port, out;
    struct err err;
    assert_non_null(mkdtemp(dir));
    pid_t pid = start_tls(dir, &port, &out);
    assert_true(port > 0);
    snprintf(url, sizeof url, "https://127.0.0.1:%d/", port);
    set_up(&w, script);
    struct http_request request = {.method = "GET", .url = str_of(url)};
    send_request(&w, &request);
    assert_true(w.heard.failed);
    assert_int_equal(w.heard.reach, HTTP_NOT_SENT);
    assert_non_null(strstr(w.heard.err.msg, "no trusted TLS connection"));
    http_client_free(w.client);
    snprintf(file, sizeof file, "%s/cert.pem", dir);
    struct http_config config = {.user_agent = "test/1", .ca_file = file};
    assert_int_equal(http_client_new(&w.client, w.loop, &config, &err), 0);
    w.heard.keep = false;
    send_request(&w, &request);
    assert_int_equal(w.heard.status, 200);
    tear_down(&w);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    fd_close(&out);
    char clean[100];
    snprintf(clean, sizeof clean, "%s/key.pem", dir);
    unlink(clean);
    unlink(file);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_requests_one_connection),
        cmocka_unit_test(not_repeated),
        cmocka_unit_test(repeated_where_allowed),
        cmocka_unit_test(swallowed_at_first),
        cmocka_unit_test(refused),
        cmocka_unit_test(cut_in_the_body),
        cmocka_unit_test(paused),
        cmocka_unit_test(silent_after_cancel),
        cmocka_unit_test(time_limits),
        cmocka_unit_test(body_in_pieces),
        cmocka_unit_test(head_too_large),
        cmocka_unit_test(sockets_are_cloexec),
        cmocka_unit_test(drained),
        cmocka_unit_test(tls_is_verified),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
