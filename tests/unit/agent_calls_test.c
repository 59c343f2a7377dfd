/* The agent's servers and calls with real children that do not answer. */
#include "agent/calls.h"
#include "tests/unit/check.h"
#include <stdlib.h>
#include <unistd.h>

enum { SOON_MS = 100 };

/* Answers initialize and tools/list, then nothing. */
static const char silent_server[] =
    "while read -r line; do case $line in"
    " *server/discover*) echo "
    "'{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"no\"}}';; "
    " *initialize\\\"*) echo "
    "'{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"protocolVersion\":\"2025-06-18\","
    "\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":\"s\",\"version\":\"1\"}}"
    "}';; "
    " *tools/list*) echo "
    "'{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"tools\":[{\"name\":\"wait\"}]}}';; "
    "esac; done";

struct world {
    struct loop *loop;
    struct servers *servers;
    struct catalog catalog;
    struct server_spec specs[2];
    bool ready, done;
    unsigned lost, results;
    struct err why;
    char result[4096];
};

static void on_ready(void *ctx)
{
    struct world *w = ctx;
    w->ready = true;
    loop_stop(w->loop);
}

static void on_lost(void *ctx, const char *name, const struct err *err)
{
    struct world *w = ctx;
    (void)name;
    w->lost++;
    w->why = *err;
}

static void on_said(void *ctx, const char *name, struct str line)
{
    (void)ctx;
    (void)name;
    (void)line;
}

static int on_find(void *ctx, bool http, const struct connector **ret_connector,
                   struct err *err)
{
    (void)ctx;
    (void)http;
    (void)ret_connector;
    return err_set(err, ERR_UNAVAILABLE, "no network here");
}

static void open_world(struct world *w, const char *const *a, const char *const *b,
                       uint64_t open_ms)
{
    static const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
    struct err err;
    *w = (struct world){.specs = {{.name = "a", .argv = a, .env = env},
                                  {.name = "b", .prefix = "b", .argv = b, .env = env}}};
    assert_int_equal(loop_new(&w->loop, &err), 0);
    catalog_init(&w->catalog);
    struct servers_config config = {
        .loop = w->loop,
        .specs = w->specs,
        .count = 2,
        .find = on_find,
        .open_ms = open_ms,
        .ready = on_ready,
        .lost = on_lost,
        .said = on_said,
        .ctx = w,
    };
    w->servers = servers_new(&config);
    while (!w->ready)
        loop_run(w->loop);
    servers_fill(w->servers, &w->catalog);
}

static void close_world(struct world *w)
{
    servers_free(w->servers);
    catalog_finish(&w->catalog);
    loop_free(w->loop);
}

static const char *const good[] = {"bash", "-c", silent_server, NULL};
static const char *const mute[] = {"bash", "-c", "exec sleep 1000", NULL};

static void a_server_that_never_answers(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, mute, mute, SOON_MS);
    assert_int_equal(w.lost, 2);
    assert_int_equal(w.why.kind, ERR_TIMEOUT);
    assert_non_null(servers_failure(w.servers, 0));
    assert_int_equal(w.catalog.count, 0);
    close_world(&w);
}

/* A view that keeps the last result. */
struct seen {
    struct view view;
    struct world *world;
};

static void see_call(struct view *v, const struct view_call *call)
{
    (void)v;
    (void)call;
}

static void see_result(struct view *v, const struct view_call *call)
{
    struct world *w = ((struct seen *)v)->world;
    w->results++;
    assert_true(call->result.n < sizeof w->result);
    memcpy(w->result, call->result.p, call->result.n);
}

static void on_done(void *ctx)
{
    struct world *w = ctx;
    w->done = true;
    loop_stop(w->loop);
}

static struct calls *make_calls(struct world *w, struct seen *seen,
                                struct approval *approval, uint64_t silence_ms)
{
    static const struct view_ops ops = {.call = see_call, .result = see_result};
    static const struct message_block blocks[] = {
        {.type = BLOCK_TEXT, .text = STR_INIT("now")},
        {.type = BLOCK_TOOL_USE,
         .id = STR_INIT("1"),
         .name = STR_INIT("wait"),
         .input = STR_INIT("{}")},
        {.type = BLOCK_TOOL_USE,
         .id = STR_INIT("2"),
         .name = STR_INIT("b__wait"),
         .input = STR_INIT("{}")},
    };
    static const struct message message = {.blocks = blocks, .block_count = 3};
    *seen = (struct seen){.view = {&ops}, .world = w};
    struct calls_config config = {
        .loop = w->loop,
        .servers = w->servers,
        .specs = w->specs,
        .catalog = &w->catalog,
        .approval = approval,
        .view = &seen->view,
        .silence_ms = silence_ms,
        .done = on_done,
        .ctx = w,
    };
    return calls_new(&config, &message);
}

static void calls_without_a_sign_of_life(void **state)
{
    (void)state;
    struct world w;
    struct seen seen;
    struct approval_config config = {.mode = APPROVAL_AUTO, .in_fd = -1};
    open_world(&w, good, good, 30 * 1000);
    assert_int_equal(w.catalog.count, 2);
    config.loop = w.loop;
    struct approval *approval = approval_new(&config);
    struct calls *calls = make_calls(&w, &seen, approval, SOON_MS);
    while (!w.done)
        loop_run(w.loop);
    assert_int_equal(w.results, 2);
    assert_non_null(strstr(w.result, "neither an answer nor progress"));
    assert_false(calls_all_lost(calls));
    calls_free(calls);
    approval_free(approval);
    close_world(&w);
}

/* Everything has a result when it returns, and nothing is heard of it afterwards. */
static void calls_that_are_cancelled(void **state)
{
    (void)state;
    struct world w;
    struct seen seen;
    struct approval_config config = {.mode = APPROVAL_AUTO, .in_fd = -1};
    open_world(&w, good, good, 30 * 1000);
    config.loop = w.loop;
    struct approval *approval = approval_new(&config);
    for (int started = 0; started < 2; started++) {
        struct calls *calls = make_calls(&w, &seen, approval, 1000 * 1000);
        struct loop_timer *stop = loop_timer_new(w.loop, on_done, &w);
        loop_timer_start(stop, 1);
        w.done = false;
        while (started && !w.done)
            loop_run(w.loop);
        w.results = 0;
        calls_cancel(calls);
        assert_int_equal(w.results, 2);
        assert_non_null(strstr(w.result, "cancelled by the user"));
        struct str all = calls_results(calls);
        assert_true(all.n > 2 && all.p[0] == '[' && all.p[all.n - 1] == ']');
        w.done = false;
        loop_timer_start(stop, 10);
        while (!w.done)
            loop_run(w.loop);
        assert_int_equal(w.results, 2);
        loop_timer_free(stop);
        calls_free(calls);
    }
    approval_free(approval);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_that_never_answers),
        cmocka_unit_test(calls_without_a_sign_of_life),
        cmocka_unit_test(calls_that_are_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
