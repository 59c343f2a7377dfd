/* The stdio transport over a socketpair: framing, limits, slow readers, the end. The
 * server runs in a child process, the test is its client. */
#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "tests/unit/check.h"
#include "transport/stdio.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER_MAX = 128 * 1024 * 1024, BIG_BYTES = 1024 * 1024, PATIENCE_MS = 20000 };

static const char big_definition[] =
    "{\"name\":\"big\",\"inputSchema\":{\"type\":\"object\",\"properties\":{}}}";

static void tool_big(struct call *call)
{
    char *bytes = arena_alloc(call_arena(call), BIG_BYTES);
    memset(bytes, 'b', BIG_BYTES);
    call_content_text(call_content_begin(call), (struct str){bytes, BIG_BYTES});
    call_content_end(call);
}

static void on_done(void *ctx)
{
    loop_stop(ctx);
}

static _Noreturn void serve(struct stdio_fds fds)
{
    struct loop *loop;
    struct stdio *stdio;
    struct arena arena = {0};
    struct json_doc doc;
    struct schema *schema;
    struct err err;
    struct mcp_tool tool = {
        .name = "big", .definition = STR(big_definition), .call = tool_big};
    if (json_parse(&doc, &arena, tool.definition, &err) < 0 ||
        schema_compile(&schema, json_get(json_root(&doc), STR("inputSchema")), &arena,
                       &err) < 0)
        _exit(90);
    tool.input = schema;
    struct mcp_server *server = mcp_server_new(&(struct mcp_server_config){
        .name = "test", .version = "1", .tools = &tool, .tool_count = 1});
    if (loop_new(&loop, &err) < 0 ||
        stdio_new(&stdio, loop, server, fds, 1, on_done, loop, &err) < 0)
        _exit(91);
    loop_run(loop);
    stdio_free(stdio);
    mcp_server_free(server);
    loop_free(loop);
    arena_finish(&arena);
    _exit(0);
}

struct peer {
    pid_t pid;
    int fd;
    struct buf got;
    size_t seen; /* lines before this were looked at */
};

static void peer_init(struct peer *p)
{
    int ends[2];
    assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), errno);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        fd_close(&ends[1]);
        serve((struct stdio_fds){ends[0], dup(ends[0])});
    }
    fd_close(&ends[0]);
    p->fd = ends[1];
    p->seen = 0;
    buf_init(&p->got, ANSWER_MAX);
}

/* Waits for its end; returns its exit status. */
static int peer_finish(struct peer *p)
{
    int status = -1;
    fd_close(&p->fd);
    buf_finish(&p->got);
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Reads once; false at the end. */
static bool peer_read(struct peer *p)
{
    struct pollfd poll_fd = {.fd = p->fd, .events = POLLIN};
    assert_int_equal(poll(&poll_fd, 1, PATIENCE_MS), 1);
    char *to = buf_reserve(&p->got, 65536);
    assert_non_null(to);
    ssize_t n = read(p->fd, to, 65536);
    if (n > 0)
        p->got.n += (size_t)n;
    return n > 0;
}

/* The next line of the server, without its LF. */
static struct str peer_line(struct peer *p)
{
    size_t searched = p->seen;
    for (;;) {
        struct str rest = str_from(buf_str(&p->got), searched);
        ptrdiff_t lf = str_find(rest, '\n');
        if (lf >= 0) {
            size_t start = p->seen, end = searched + (size_t)lf;
            p->seen = end + 1;
            return (struct str){p->got.p + start, end - start};
        }
        searched = p->got.n;
        assert_true(peer_read(p));
    }
}

static void peer_send(struct peer *p, struct str s)
{
    while (s.n) {
        ssize_t n = send(p->fd, s.p, s.n, MSG_NOSIGNAL);
        assert_true(n > 0);
        s = str_from(s, (size_t)n);
    }
}

static void assert_contains(struct str s, const char *part)
{
    if (!memmem(s.p, s.n, part, strlen(part)))
        fail_msg("\"%.*s\" does not contain %s", (int)(s.n < 300 ? s.n : 300), s.p,
                 part);
}

#define PING(id) "{\"jsonrpc\":\"2.0\",\"id\":" #id ",\"method\":\"ping\"}"

static void test_framing(void **state)
{
    (void)state;
    struct peer p;
    peer_init(&p);
    peer_send(&p, STR(PING(1) "\n" PING(2) "\r\n\n \t\n\r\n" PING(3) "\n"));
    assert_contains(peer_line(&p), "\"id\":1");
    assert_contains(peer_line(&p), "\"id\":2");
    assert_contains(peer_line(&p), "\"id\":3");
    peer_send(&p, STR("not json\n" PING(4) "\n"));
    assert_contains(peer_line(&p), "-32700");
    assert_contains(peer_line(&p), "\"id\":4");
    assert_int_equal(p.seen, p.got.n); /* nothing answers a blank line */
    assert_int_equal(peer_finish(&p), 0);
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    struct peer p;
    struct str text = STR(PING(17) "\r\n");
    peer_init(&p);
    for (size_t i = 0; i < text.n; i++)
        peer_send(&p, (struct str){text.p + i, 1});
    assert_contains(peer_line(&p), "\"id\":17");
    assert_int_equal(peer_finish(&p), 0);
}

static void test_too_long(void **state)
{
    (void)state;
    struct peer p;
    char *chunk = mem_alloc(BIG_BYTES);
    memset(chunk, ' ', BIG_BYTES);
    peer_init(&p);
    for (int i = 0; i < MCP_MESSAGE_IN_MAX / BIG_BYTES + 2; i++)
        peer_send(&p, (struct str){chunk, BIG_BYTES});
    peer_send(&p, STR("\n" PING(5) "\n"));
    assert_contains(peer_line(&p), "-32600");
    assert_contains(peer_line(&p), "\"id\":5");
    mem_free(chunk);
    assert_int_equal(peer_finish(&p), 0);
}

/* Far more answers than any pipe holds, read only when all is asked: none is lost. */
static void test_slow_reader(void **state)
{
    (void)state;
    enum { CALLS = 40 };
    struct peer p;
    peer_init(&p);
    for (int i = 0; i < CALLS; i++)
        peer_send(&p, STR("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\","
                          "\"params\":{\"name\":\"big\",\"arguments\":{}}}\n"));
    for (int i = 0; i < CALLS; i++)
        assert_true(peer_line(&p).n > BIG_BYTES);
    peer_send(&p, STR(PING(8) "\n"));
    assert_contains(peer_line(&p), "\"id\":8");
    assert_int_equal(peer_finish(&p), 0);
}

/* What was sent is answered before the end, also without a last LF. */
static void test_eof(void **state)
{
    (void)state;
    struct peer p;
    peer_init(&p);
    peer_send(&p, STR(PING(1) "\n" PING(2)));
    assert_return_code(shutdown(p.fd, SHUT_WR), errno);
    assert_contains(peer_line(&p), "\"id\":1");
    assert_contains(peer_line(&p), "\"id\":2");
    assert_false(peer_read(&p));
    assert_int_equal(peer_finish(&p), 0);
}

static void test_signals(void **state)
{
    (void)state;
    static const int signums[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < sizeof signums / sizeof signums[0]; i++) {
        struct peer p;
        peer_init(&p);
        peer_send(&p, STR(PING(1) "\n"));
        assert_contains(peer_line(&p), "\"id\":1");
        assert_return_code(kill(p.pid, signums[i]), errno);
        assert_false(peer_read(&p));
        assert_int_equal(peer_finish(&p), 0);
    }
}

/* A client that does not read and goes away. */
static void test_gone(void **state)
{
    (void)state;
    struct peer p;
    peer_init(&p);
    for (int i = 0; i < 4; i++)
        peer_send(&p, STR("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\","
                          "\"params\":{\"name\":\"big\",\"arguments\":{}}}\n"));
    assert_int_equal(peer_finish(&p), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_framing),  cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_too_long), cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_eof),      cmocka_unit_test(test_signals),
        cmocka_unit_test(test_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
