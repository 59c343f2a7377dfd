#include "cli/ask.h"
#include "cli/answer.h"
#include "cli/places.h"
#include "net/loop.h"
#include "transport/spawn.h"
#include <unistd.h>

struct asking {
    const struct ask_call *calls;
    size_t count, next;
    ask_fn *fn;
    void *ctx;
    struct loop *loop;
    struct loop_later *flush;
    struct client *client;
    struct spawn *spawn;
    bool done;
    struct err *err; /* why no call could be made */
    int rc;
};

static void end(struct asking *a, const struct err *err)
{
    if (a->done)
        return;
    a->done = true;
    if (err) {
        *a->err = *err;
        a->rc = -1;
    }
    loop_stop(a->loop);
}

static void go_on(struct asking *a);

static void on_answer(void *ctx, struct json result, const struct err *failed)
{
    struct asking *a = ctx;
    struct arena arena = {0};
    struct err err;
    if (a->done)
        return;
    struct json content = answer_content(result, failed, &arena, &err);
    a->fn(a->ctx, a->next, content, json_present(content) ? NULL : &err);
    arena_finish(&arena);
    a->next++;
    go_on(a);
}

static void go_on(struct asking *a)
{
    if (a->next == a->count) {
        end(a, NULL);
        return;
    }
    const struct ask_call *call = &a->calls[a->next];
    client_call_tool(a->client, call->tool, buf_str(&call->arguments), on_answer, a);
}

static void on_open(void *ctx, struct json result, const struct err *failed)
{
    struct asking *a = ctx;
    (void)result;
    if (failed)
        end(a, failed);
    else
        go_on(a);
}

static void on_lost(void *ctx, int exit_code, int signum)
{
    struct asking *a = ctx;
    struct err err;
    err_set(&err, ERR_UNAVAILABLE, "the server ended early (%s %d)",
            signum ? "signal" : "status", signum ? signum : exit_code);
    end(a, &err);
}

static void on_flush(void *ctx)
{
    struct asking *a = ctx;
    if (a->spawn)
        spawn_flush(a->spawn);
}

static void on_wake(void *ctx)
{
    struct asking *a = ctx;
    loop_later_ask(a->flush);
}

static int start(struct asking *a, const struct options *o, const char *executable,
                 struct err *err)
{
    static const char name[] = "serve";
    const char *argv[OPTIONS_SERVER_ARGS_MAX + 3] = {executable, name};
    memcpy(argv + 2, o->server_args, o->server_arg_count * sizeof argv[0]);
    struct spawn_config config = {
        .argv = argv, .env = (const char *const *)environ, .lost = on_lost, .ctx = a};
    struct client_config client = {.name = "sandquay",
                                   .version = SANDQUAY_VERSION,
                                   .era = CLIENT_MODERN,
                                   .wake = on_wake,
                                   .ctx = a};
    if (loop_new(&a->loop, err) < 0)
        return -1;
    a->flush = loop_later_new(a->loop, on_flush, a);
    a->client = client_new(&client);
    return spawn_new(&a->spawn, a->loop, a->client, &config, err);
}

int ask(const struct options *o, const struct ask_call *calls, size_t count, ask_fn *fn,
        void *ctx, struct err *err)
{
    struct places places;
    struct asking a = {
        .calls = calls, .count = count, .fn = fn, .ctx = ctx, .err = err};
    if (places_find(&places, err) < 0)
        return -1;
    a.rc = start(&a, o, places.executable, err);
    if (a.rc == 0) {
        client_open(a.client, on_open, &a);
        loop_run(a.loop);
    }
    a.done = true;
    spawn_free(a.spawn);
    client_free(a.client);
    loop_later_free(a.flush);
    loop_free(a.loop);
    return a.rc;
}
