/* A short program of ours in the session, with what it says. Its text must bear being
 * run twice: when an answer is lost it is. */
#include "base/mem.h"
#include "sandbox/vercel/private.h"

enum { TIME_MS = 60 * 1000, TRIES = 3, ARGS_MAX = 8 };

struct script {
    struct machine *machine;
    struct exchange *exchange;
    struct vercel_stream stream;
    struct arena arena;
    const char *text;
    struct str args[ARGS_MAX];
    size_t arg_count;
    bool sudo, ended;
    int tries, exit_code;
    struct buf out[2];
    void (*done)(void *ctx, const struct script_result *r);
    void *ctx;
};

static void run(struct script *s);

static void script_free(struct script *s)
{
    exchange_cancel(s->exchange);
    vercel_stream_finish(&s->stream);
    buf_finish(&s->out[0]);
    buf_finish(&s->out[1]);
    arena_finish(&s->arena);
    mem_free(s);
}

void script_cancel(struct script *s)
{
    if (s)
        script_free(s);
}

static void on_command(void *ctx, const struct vercel_command *c)
{
    struct script *s = ctx;
    s->ended = !c->running;
    s->exit_code = c->exit_code;
}

static void on_output(void *ctx, enum command_stream stream, struct str bytes)
{
    struct script *s = ctx;
    buf_adds(&s->out[stream], bytes);
}

static void on_failed(void *ctx, struct str code, struct str message)
{
    (void)ctx;
    (void)code;
    (void)message; /* the stream ends, too */
}

static const struct vercel_stream_events events = {on_command, on_output, on_failed};

static void on_body(void *ctx, struct str bytes)
{
    struct script *s = ctx;
    struct err err;
    if (vercel_stream_feed(&s->stream, bytes, &err) < 0)
        vercel_stream_stop(&s->stream);
}

static void finish(struct script *s, const struct err *err)
{
    struct script_result r = {.err = err,
                              .exit_code = s->exit_code,
                              .tries = s->tries + 1,
                              .out = buf_str(&s->out[COMMAND_STDOUT]),
                              .error = buf_str(&s->out[COMMAND_STDERR])};
    s->exchange = NULL;
    s->done(s->ctx, &r);
    script_free(s);
}

static void on_done(void *ctx, const struct exchange_result *r)
{
    struct script *s = ctx;
    struct err err;
    s->exchange = NULL;
    if (!r->err)
        vercel_stream_end(&s->stream, &err);
    if (s->ended) {
        finish(s, NULL);
    } else if ((!r->err || r->unknown) && s->machine->sandbox && ++s->tries < TRIES) {
        run(s);
    } else if (r->err) {
        err = *r->err;
        finish(s, &err);
    } else {
        err_set(&err, ERR_UNAVAILABLE, "Vercel's stream ended early");
        err_remedy(&err, "try again");
        finish(s, &err);
    }
}

static void run(struct script *s)
{
    struct vercel_scope scope = vercel_scope_of(s->machine->vercel);
    struct str args[ARGS_MAX + 3] = {STR("-c"), str_of(s->text), STR("sandquay")};
    for (size_t i = 0; i < s->arg_count; i++)
        args[3 + i] = s->args[i];
    vercel_stream_finish(&s->stream);
    vercel_stream_init(&s->stream, &events, s);
    for (int i = 0; i < 2; i++) {
        buf_finish(&s->out[i]);
        buf_init(&s->out[i], SCRIPT_OUT_MAX);
    }
    s->exchange = exchange_start(
        s->machine->vercel,
        &(struct exchange_spec){
            .request =
                vercel_run(&scope, &(struct vercel_run){.args = args,
                                                        .arg_count = 3 + s->arg_count,
                                                        .sudo = s->sudo,
                                                        .wait = true,
                                                        .timeout_ms = TIME_MS}),
            .machine = s->machine,
            .resumes = true,
            .idle_limit = true,
            .body = on_body,
            .done = on_done,
            .ctx = s});
}

struct script *script_start(struct machine *m, const char *text, const struct str *args,
                            size_t arg_count, bool sudo,
                            void (*done)(void *ctx, const struct script_result *r),
                            void *ctx)
{
    struct script *s = mem_new(struct script);
    *s = (struct script){.machine = m,
                         .text = text,
                         .arg_count = arg_count,
                         .sudo = sudo,
                         .done = done,
                         .ctx = ctx};
    for (size_t i = 0; i < arg_count && i < ARGS_MAX; i++)
        s->args[i] = arena_dup(&s->arena, args[i]);
    run(s);
    return s;
}
