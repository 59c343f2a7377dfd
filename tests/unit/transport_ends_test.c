/* What stdin and stdout may be (pipes, files, a shared socket) and how a server ends
 * that still has work: beside transport_stdio_test.c, which is about framing. Also the
 * client side: a spawned server. The server runs in a child process. */
#include "base/fd.h"
#include "base/mem.h"
#include "tests/unit/check.h"
#include "transport/spawn.h"
#include "transport/stdio.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALL(tool)                                                                     \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"                                \
    "call\",\"params\":{\"name\":\"" tool "\"}}\n"
#define PING "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}\n"

static struct loop *serving;
static struct mcp_server *server;
static struct loop_timer *later;
static uint64_t late_call;

static void on_late(void *ctx)
{
    (void)ctx;
    struct call *call = call_find(server, late_call);
    if (call)
        call_result_structured(call, STR("{\"late\":true}"));
}

static void tool_late(struct call *call) /* answers in 100 ms */
{
    late_call = call_ref(call);
    loop_timer_start(later, 100);
}

static void tool_wait(struct call *call) /* never answers */
{
    (void)call;
}

static void on_done(void *ctx)
{
    loop_stop(ctx);
}

static _Noreturn void serve(int in, int out)
{
    struct arena a = {0};
    struct json_doc doc;
    struct schema *schema;
    struct stdio *stdio;
    struct err err;
    if (json_parse(&doc, &a, STR("{\"type\":\"object\"}"), &err) < 0 ||
        schema_compile(&schema, json_root(&doc), &a, &err) < 0)
        _exit(90);
    struct mcp_tool tools[2] = {
        {.name = "late", .definition = STR("{}"), .input = schema, .call = tool_late},
        {.name = "wait", .definition = STR("{}"), .input = schema, .call = tool_wait},
    };
    struct mcp_server_config config = {
        .name = "test", .version = "1", .tools = tools, .tool_count = 2};
    server = mcp_server_new(&config);
    if (loop_new(&serving, &err) < 0 ||
        stdio_new(&stdio, serving, server, (struct stdio_fds){in, out}, 1, on_done,
                  serving, &err) < 0)
        _exit(91);
    later = loop_timer_new(serving, on_late, NULL);
    loop_run(serving);
    stdio_free(stdio);
    loop_timer_free(later);
    mcp_server_free(server);
    loop_free(serving);
    arena_finish(&a);
    _exit(0);
}

/* The exit status of a process that must end by itself; -1 if it does not. */
static int end_of(pid_t pid)
{
    enum { PATIENCE_MS = 30000 };
    struct pollfd p = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    bool ended = poll(&p, 1, PATIENCE_MS) == 1;
    int status = 0;
    if (!ended)
        kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    fd_close(&p.fd);
    if (!ended)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* Until the process waits in its loop: its pipes never make it sleep. */
static void wait_until_it_sleeps(pid_t pid)
{
    char path[40], line[256], state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    while (state != 'S') {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = read(fd, line, sizeof line - 1);
        fd_close(&fd);
        assert_true(n > 0);
        line[n] = '\0';
        const char *name_end = strrchr(line, ')');
        assert_non_null(name_end);
        state = name_end[2];
        sched_yield();
    }
}

static void put(int fd, const char *text)
{
    size_t n = strlen(text);
    assert_int_equal(write(fd, text, n), n);
}

/* Everything up to EOF or `lines` lines; their number. */
static size_t take(int fd, struct buf *b, size_t lines)
{
    size_t seen = 0;
    while (seen < lines) {
        char *to = buf_reserve(b, 65536);
        ssize_t n = read(fd, to, 65536);
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            seen += to[i] == '\n';
        b->n += (size_t)n;
    }
    return seen;
}

static size_t count(const struct buf *b, const char *what)
{
    size_t n = 0, len = strlen(what);
    const char *end = b->p + b->n;
    for (const char *at = b->p; at; n++) {
        at = memmem(at, (size_t)(end - at), what, len);
        if (!at)
            break;
        at += len;
    }
    return n;
}

struct pipes {
    pid_t pid;
    int to, from;
    struct buf got;
};

/* first: what is in the pipe before the server starts; closed: and nothing follows. */
static void start(struct pipes *p, const char *first, bool closed)
{
    int in[2], out[2];
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    put(in[1], first);
    if (closed)
        fd_close(&in[1]);
    *p = (struct pipes){.to = in[1], .from = out[0]};
    buf_init(&p->got, 1 << 26);
    p->pid = fork();
    if (p->pid == 0) {
        fd_close(&in[1]);
        fd_close(&out[0]);
        serve(in[0], out[1]);
    }
    fd_close(&in[0]);
    fd_close(&out[1]);
}

static void stop(struct pipes *p)
{
    fd_close(&p->to);
    assert_int_equal(end_of(p->pid), 0);
    fd_close(&p->from);
    buf_finish(&p->got);
}

static void eof_cancels_what_runs(void **state)
{
    (void)state;
    struct pipes p;
    start(&p, CALL("late") PING, false);
    assert_int_equal(take(p.from, &p.got, 1), 1);
    wait_until_it_sleeps(p.pid); /* EOF is no part of the input any more */
    fd_close(&p.to);
    assert_int_equal(take(p.from, &p.got, 1), 0);
    stop(&p);
}

static void input_that_came_at_once_is_answered(void **state)
{
    (void)state;
    struct pipes p;
    start(&p, CALL("late") PING, true);
    assert_int_equal(take(p.from, &p.got, 3), 2);
    assert_int_equal(count(&p.got, "\"structuredContent\":{\"late\":true}"), 1);
    stop(&p);
}

static void but_not_waited_for_in_vain(void **state)
{
    (void)state;
    struct pipes p;
    start(&p, CALL("wait") PING, true);
    assert_int_equal(take(p.from, &p.got, 3), 1);
    stop(&p);
}

static void output_that_nobody_takes(void **state)
{
    (void)state;
    struct pipes p;
    start(&p, PING, false);
    assert_int_equal(take(p.from, &p.got, 1), 1);
    for (int i = 0; i < 4000; i++) /* more than the pipe of answers holds */
        put(p.to, PING);
    fd_close(&p.to);
    assert_int_equal(end_of(p.pid), 0);
    fd_close(&p.from);
    buf_finish(&p.got);
}

/* The server's parent is a process between us; stdin stays open. */
static void the_parents_death_ends_it(void **state)
{
    (void)state;
    int in[2], out[2], alive[2], go[2];
    char c;
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC) |
                         pipe2(alive, O_CLOEXEC) | pipe2(go, O_CLOEXEC),
                     0);
    pid_t between = fork();
    if (between == 0) {
        fd_close(&go[1]);
        if (fork() == 0) {
            fd_close(&in[1]);
            serve(in[0], out[1]);
        }
        _exit(read(go[0], &c, 1) == 0 ? 0 : 1);
    }
    fd_close(&alive[1]);
    put(in[1], PING);
    struct buf got;
    buf_init(&got, 1 << 20);
    assert_int_equal(take(out[0], &got, 1), 1);
    fd_close(&go[1]);
    assert_int_equal(end_of(between), 0);
    struct pollfd p = {.fd = alive[0], .events = POLLIN};
    assert_int_equal(poll(&p, 1, 30000), 1); /* HUP: the server was its last holder */
    buf_finish(&got);
    int *all[] = {in, out, alive, go};
    for (int i = 0; i < 8; i++)
        fd_close(&all[i / 2][i % 2]);
}

static int temporary(void)
{
    char name[] = "/tmp/sandquay-test-XXXXXX";
    int fd = mkostemp(name, O_CLOEXEC);
    assert_true(fd >= 0);
    unlink(name);
    return fd;
}

static void files_as_stdin_and_stdout(void **state)
{
    (void)state;
    int in = temporary(), out = temporary();
    for (int i = 0; i < 2000; i++)
        put(in, PING);
    put(in, CALL("late"));
    lseek(in, 0, SEEK_SET);
    pid_t pid = fork();
    if (pid == 0)
        serve(in, out);
    assert_int_equal(end_of(pid), 0);
    lseek(out, 0, SEEK_SET);
    struct buf got;
    buf_init(&got, 1 << 24);
    assert_int_equal(take(out, &got, SIZE_MAX), 2001);
    assert_int_equal(count(&got, "\"structuredContent\":{\"late\":true}"), 1);
    buf_finish(&got);
    fd_close(&in);
    fd_close(&out);
}

/* A socket that others share is left as it was found. */
static void shared_flags_are_put_back(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    put(pair[1], PING);
    pid_t pid = fork();
    if (pid == 0) {
        fd_close(&pair[1]);
        serve(pair[0], fcntl(pair[0], F_DUPFD_CLOEXEC, 3));
    }
    struct buf got;
    buf_init(&got, 1 << 20);
    assert_int_equal(take(pair[1], &got, 1), 1);
    assert_true(fcntl(pair[0], F_GETFL) & O_NONBLOCK);
    shutdown(pair[1], SHUT_WR);
    assert_int_equal(end_of(pid), 0);
    assert_int_equal(fcntl(pair[0], F_GETFL) & O_NONBLOCK, 0);
    buf_finish(&got);
    fd_close(&pair[0]);
    fd_close(&pair[1]);
}

/* Of a pipe we have a description of our own: nobody else's flags change. */
static void pipes_are_opened_anew(void **state)
{
    (void)state;
    int in[2], out[2];
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    put(in[1], PING);
    pid_t pid = fork();
    if (pid == 0) {
        fd_close(&in[1]);
        serve(in[0], out[1]);
    }
    struct buf got;
    buf_init(&got, 1 << 20);
    assert_int_equal(take(out[0], &got, 1), 1);
    assert_int_equal(fcntl(in[0], F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(fcntl(out[1], F_GETFL) & O_NONBLOCK, 0);
    fd_close(&in[1]);
    assert_int_equal(end_of(pid), 0);
    buf_finish(&got);
    fd_close(&in[0]);
    fd_close(&out[0]);
    fd_close(&out[1]);
}

struct spawned {
    struct loop *loop;
    struct client *client;
    struct spawn *spawn;
    bool answered, refused;
    int exit_code, signal;
};

static void on_answer(void *ctx, struct json result, const struct err *err)
{
    struct spawned *s = ctx;
    (void)result;
    s->answered = !err;
    s->refused = err && err->kind == ERR_UNAVAILABLE;
    if (!err)
        loop_stop(s->loop);
}

static void on_lost(void *ctx, int exit_code, int signum)
{
    struct spawned *s = ctx;
    s->exit_code = exit_code;
    s->signal = signum;
    loop_stop(s->loop);
}

/* What a server's script leaves behind: it writes to "$LAST", also after its pipes are
 * closed. */
static char last_words[] = "LAST=/tmp/sandquay-test-XXXXXX";

static void assert_last_words(const char *expected)
{
    char text[100] = "";
    int fd = open(last_words + 5, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, text, sizeof text - 1) >= 0);
    fd_close(&fd);
    assert_string_equal(text, expected);
}

static int make_last_words(void **state)
{
    (void)state;
    memset(last_words + sizeof last_words - 7, 'X', 6);
    int fd = mkostemp(last_words + 5, O_CLOEXEC);
    return close(fd);
}

static int remove_last_words(void **state)
{
    (void)state;
    return unlink(last_words + 5);
}

static int spawn(struct spawned *s, const char *const *argv, struct err *err)
{
    static const char *const env[] = {"PATH=/usr/bin:/bin", last_words, NULL};
    struct spawn_config config = {.argv = argv, .env = env, .lost = on_lost, .ctx = s};
    struct client_config client = {.name = "test", .version = "1"};
    *s = (struct spawned){.exit_code = -99};
    assert_int_equal(loop_new(&s->loop, err), 0);
    s->client = client_new(&client);
    return spawn_new(&s->spawn, s->loop, s->client, &config, err);
}

static void finish(struct spawned *s)
{
    spawn_free(s->spawn);
    client_free(s->client);
    loop_free(s->loop);
}

#define ANSWER_PING "read line; echo '{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}'; "

static void ping(struct spawned *s)
{
    struct client_request request = {.method = "ping", .fn = on_answer, .ctx = s};
    client_send(s->client, &request);
    spawn_flush(s->spawn);
    loop_run(s->loop);
}

static void a_server_ends_with_its_stdin(void **state)
{
    (void)state;
    static const char *const argv[] = {
        "sh", "-c", ANSWER_PING "trap 'echo TERM > $LAST' TERM; cat; echo EOF > $LAST",
        NULL};
    struct spawned s;
    struct err err;
    assert_int_equal(spawn(&s, argv, &err), 0);
    ping(&s);
    assert_true(s.answered);
    finish(&s);
    assert_last_words("EOF\n");
}

static void a_server_that_ends(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        int exit_code, signal;
    } rows[] = {{"exit 7", 7, 0}, {"kill -9 $$", -1, 9}, {"exec >&-; exit 3", 3, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const argv[] = {"sh", "-c", rows[i].script, NULL};
        struct spawned s;
        struct err err;
        assert_int_equal(spawn(&s, argv, &err), 0);
        ping(&s);
        assert_true(s.refused);
        assert_int_equal(s.exit_code, rows[i].exit_code);
        assert_int_equal(s.signal, rows[i].signal);
        finish(&s);
    }
}

/* First SIGTERM, then SIGKILL. */
static void a_server_that_does_not_end(void **state)
{
    (void)state;
    static const char *const argv[] = {"bash", "-c",
                                       "trap 'echo TERM > $LAST' TERM; " ANSWER_PING
                                       "exec 9<> <(:); while :; do read <&9; done",
                                       NULL};
    struct spawned s;
    struct err err;
    assert_int_equal(spawn(&s, argv, &err), 0);
    ping(&s);
    assert_true(s.answered);
    finish(&s);
    assert_last_words("TERM\n");
}

static void a_program_that_is_not_there(void **state)
{
    (void)state;
    static const char *const argv[] = {"/no/such/program", NULL};
    struct spawned s;
    struct err err;
    assert_int_equal(spawn(&s, argv, &err), -1);
    assert_int_equal(err.sys, ENOENT);
    client_free(s.client);
    loop_free(s.loop);
}

#define WITH_LAST_WORDS(test)                                                          \
    cmocka_unit_test_setup_teardown(test, make_last_words, remove_last_words)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eof_cancels_what_runs),
        cmocka_unit_test(input_that_came_at_once_is_answered),
        cmocka_unit_test(but_not_waited_for_in_vain),
        cmocka_unit_test(output_that_nobody_takes),
        cmocka_unit_test(the_parents_death_ends_it),
        cmocka_unit_test(files_as_stdin_and_stdout),
        cmocka_unit_test(shared_flags_are_put_back),
        cmocka_unit_test(pipes_are_opened_anew),
        WITH_LAST_WORDS(a_server_ends_with_its_stdin),
        cmocka_unit_test(a_server_that_ends),
        WITH_LAST_WORDS(a_server_that_does_not_end),
        cmocka_unit_test(a_program_that_is_not_there),
    };
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
