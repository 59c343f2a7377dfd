/* One command. It is `bash --rcfile sandquay-NONCE -c TEXT /bin/bash`: an option that
 * means nothing to a shell without a terminal, so that after a lost answer the command
 * is found in the session's list and never started twice, and $0 and $1 are what they
 * are elsewhere. Its environment has the nonce, too, so that all its descendants are
 * found when it must be killed.
 *
 *   attached   short ones: the answer to the start is the stream of its output
 *   following  long ones, and those whose stream broke: the output from its first byte
 *              (what was fed already is skipped), then a request that waits for the end
 *
 * Hosted streams are cut after some minutes: following simply begins again. */
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/file_error.h"
#include "sandbox/vercel/private.h"
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>

enum {
    ATTACHED_MOST_MS = 120 * 1000, /* a longer limit: detached from the start */
    GRACE_MS = 5000, /* the VM's own limit, behind ours: also when we are gone */
    LOOK_MS = 500,   /* between two looks for a command whose start was lost */
    LOOKS = 3,
    FOLLOW_AGAIN_MS = 500,
    FOLLOW_TRIES = 20,         /* in a row without a byte: then nobody knows */
    SILENCE_MS = 60 * 1000,    /* of a stream: then it is asked whether it still runs */
    FIRST_LINE_MS = 10 * 1000, /* of a stream that has begun */
    LAST_BYTES_MS = 2000,      /* for the stream's end, when the command has ended */
    KILL_LOOK_MS = 2000,       /* after killing: is it dead? */
    KILL_LOOKS = 7,
    NONCE_BYTES = 12,
};

enum { NONCE_AT = 1, FIXED_ARGS = 5 };

static const char nonce_variable[] = "SANDQUAY_COMMAND=";

/* $1: the variable. Twice, for what was forked meanwhile. */
static const char kill_script[] =
    "for i in 1 2; do\n"
    "  for f in $(grep -lzxF -- \"$1\" /proc/[0-9]*/environ 2>/dev/null); do\n"
    "    f=${f#/proc/}; kill -9 \"${f%/environ}\" 2>/dev/null\n"
    "  done\n"
    "done; true";

struct run {
    struct machine *machine;
    struct command *command;
    char nonce[10 + 2 * NONCE_BYTES]; /* "sandquay-..." */
    char id[VERCEL_ID_MAX + 1];       /* "" until it is known */
    char session[VERCEL_ID_MAX + 1];
    char cwd[104]; /* for its error */
    struct exchange *starting, *logs, *waiting, *asking, *signalling;
    struct script *killing;
    struct vercel_stream stream;
    struct loop_timer *timer;   /* begin or look again */
    struct loop_timer *silence; /* of the stream that is open; after killing: of it */
    uint64_t fed[2], skip[2];
    int looks, failures, kill_looks, sent_signal;
    bool attached, logs_over, exited, killed;
    uint64_t last_byte_ms;
    uint64_t duration_ms; /* of one that had ended when it was taken over */
    int exit_code;
};

static void follow(struct run *r);
static void look(struct run *r);
static void watch_silence(struct run *r, uint64_t ms);

static void make_nonce(struct run *r)
{
    unsigned char random[NONCE_BYTES] = {0};
    if (getrandom(random, sizeof random, 0) != sizeof random)
        memcpy(random, &r, sizeof r);
    int n = snprintf(r->nonce, sizeof r->nonce, "sandquay-");
    for (int i = 0; i < NONCE_BYTES; i++)
        n += snprintf(r->nonce + n, sizeof r->nonce - (size_t)n, "%02x", random[i]);
}

static void stop_all(struct run *r)
{
    struct exchange **all[] = {&r->starting, &r->logs, &r->waiting, &r->asking,
                               &r->signalling};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        exchange_cancel(*all[i]);
        *all[i] = NULL;
    }
    loop_timer_free(r->timer);
    loop_timer_free(r->silence);
    r->timer = r->silence = NULL;
    vercel_stream_finish(&r->stream);
}

void run_forget(struct command *c)
{
    struct run *r = c->impl;
    if (!r)
        return;
    c->impl = NULL;
    stop_all(r);
    script_cancel(r->killing);
    mem_free(r);
}

/* The end, one way or the other. Killing goes on by itself if it is not done. */
static void ended(struct run *r, struct command_end end)
{
    struct command *c = r->command;
    stop_all(r);
    end.duration_ms = r->duration_ms;
    if (r->sent_signal && end.exit_code == 128 + r->sent_signal)
        end.signal = r->sent_signal;
    command_ended(c, &end);
}

static void unknown(struct run *r, const char *why)
{
    command_warn(r->command,
                 "Its outcome is unknown: %s. It may have run; look at what it did "
                 "before running it again.",
                 why);
    ended(r, (struct command_end){.unknown = true});
}

static void session_over(struct run *r)
{
    if (r->command->wanted == COMMAND_RUNNING)
        r->command->wanted = COMMAND_KILLED;
    command_warn(r->command, "The sandbox was stopped while it ran.");
    ended(r, (struct command_end){.exit_code = 128 + SIGKILL, .signal = SIGKILL});
}

/* Output */

static void started(struct run *r, struct str id)
{
    bool resumed = strcmp(r->session, r->machine->session) != 0;
    snprintf(r->id, sizeof r->id, "%.*s", STR_FMT(id));
    memcpy(r->session, r->machine->session, sizeof r->session);
    snprintf(r->command->remote, sizeof r->command->remote, "%s", r->id);
    if (resumed)
        command_warn(r->command, "The sandbox had been stopped and was resumed: files "
                                 "kept, processes of before are gone.");
    if (!r->command->started)
        command_started(r->command);
}

static void on_command(void *ctx, const struct vercel_command *c)
{
    struct run *r = ctx;
    if (!r->id[0])
        started(r, c->id);
    if (!c->running) {
        r->exited = true;
        r->exit_code = c->exit_code;
        watch_silence(r, LAST_BYTES_MS); /* the stream's end is due */
    }
}

static void on_output(void *ctx, enum command_stream stream, struct str bytes)
{
    struct run *r = ctx;
    size_t skipped = r->skip[stream] < bytes.n ? (size_t)r->skip[stream] : bytes.n;
    r->skip[stream] -= skipped;
    bytes = str_from(bytes, skipped);
    r->fed[stream] += bytes.n;
    r->failures = 0;
    command_feed(r->command, stream, bytes);
}

static void on_stream_error(void *ctx, struct str code, struct str message)
{
    const struct run *r = ctx;
    log_info("vercel: %s: the stream: %.*s %.*s", r->id, STR_FMT(code),
             STR_FMT(message));
}

static const struct vercel_stream_events stream_events = {on_command, on_output,
                                                          on_stream_error};

static void begin_stream(struct run *r)
{
    r->last_byte_ms = loop_now_ms(r->machine->vercel->loop);
    watch_silence(r, r->id[0] ? SILENCE_MS : FIRST_LINE_MS);
    vercel_stream_finish(&r->stream);
    vercel_stream_init(&r->stream, &stream_events, r);
    memcpy(r->skip, r->fed, sizeof r->skip);
}

static void on_body(void *ctx, struct str bytes)
{
    struct run *r = ctx;
    struct err err;
    r->last_byte_ms = loop_now_ms(r->machine->vercel->loop);
    if (r->stream.stopped)
        return;
    if (vercel_stream_feed(&r->stream, bytes, &err) < 0) {
        log_info("vercel: %s: %s", r->id, err.msg);
        vercel_stream_stop(&r->stream);
    }
}

/* A stream that is open and says nothing: the command may be quiet, or the stream dead.
 */

static void on_asked(void *ctx, const struct exchange_result *result)
{
    struct run *r = ctx;
    struct vercel_command c;
    struct err err;
    r->asking = NULL;
    bool known =
        !result->err && vercel_read_command(json_get(result->root, STR("command")),
                                            result->arena, &c, &err) == 0;
    if (result->status == 410) {
        session_over(r);
    } else if (known && !c.running) {
        r->exited = true;
        r->exit_code = c.exit_code;
        watch_silence(r, LAST_BYTES_MS);
    } else if (r->killed && ++r->kill_looks >= KILL_LOOKS) {
        unknown(r, "it was killed, but Vercel does not say that it has ended");
    } else {
        watch_silence(r, r->killed ? KILL_LOOK_MS : SILENCE_MS);
    }
}

static void on_silence(void *ctx)
{
    struct run *r = ctx;
    struct vercel *v = r->machine->vercel;
    struct vercel_scope scope = vercel_scope_of(v);
    uint64_t quiet_ms = loop_now_ms(v->loop) - r->last_byte_ms;
    if (r->exited && quiet_ms >= LAST_BYTES_MS) {
        command_warn(r->command, "The end of its output may be missing.");
        ended(r, (struct command_end){.exit_code = r->exit_code});
    } else if (r->exited) {
        watch_silence(r, LAST_BYTES_MS - quiet_ms);
    } else if (!r->id[0] && r->starting && exchange_answering(r->starting) &&
               quiet_ms >= FIRST_LINE_MS) {
        exchange_cancel(r->starting); /* it may run all the same */
        r->starting = NULL;
        look(r);
    } else if (!r->id[0]) {
        watch_silence(r, quiet_ms < FIRST_LINE_MS ? FIRST_LINE_MS - quiet_ms
                                                  : FIRST_LINE_MS);
    } else if (r->command->paused || r->asking ||
               (!r->killed && quiet_ms < SILENCE_MS)) {
        watch_silence(r, r->killed ? KILL_LOOK_MS : SILENCE_MS);
    } else {
        r->asking =
            exchange_start(v, &(struct exchange_spec){.request = vercel_command(
                                                          &scope, str_of(r->id), false),
                                                      .machine = r->machine,
                                                      .done = on_asked,
                                                      .ctx = r});
    }
}

static void watch_silence(struct run *r, uint64_t ms)
{
    if (!r->silence)
        r->silence = loop_timer_new(r->machine->vercel->loop, on_silence, r);
    loop_timer_start(r->silence, ms);
}

/* Following */

static void on_timer(void *ctx)
{
    follow(ctx);
}

static void follow_after(struct run *r, uint64_t ms)
{
    if (!r->timer)
        r->timer = loop_timer_new(r->machine->vercel->loop, on_timer, r);
    loop_timer_start(r->timer, ms);
}

/* What is to be thought of an answer about a command that has been started. true: the
 * command is over, or it is tried again later. */
static bool lost(struct run *r, const struct exchange_result *result)
{
    if (!result->err)
        return false;
    if (result->status == 410 || result->status == 422 ||
        strcmp(r->session, r->machine->session) != 0)
        session_over(r);
    else if (result->status >= 400 && result->status < 500 && result->status != 429)
        unknown(r, result->err->msg);
    else if (++r->failures > FOLLOW_TRIES)
        unknown(r, result->err->msg);
    else
        follow_after(r, (uint64_t)FOLLOW_AGAIN_MS * (uint64_t)r->failures);
    return true;
}

static void on_waited(void *ctx, const struct exchange_result *result)
{
    struct run *r = ctx;
    struct vercel_command c;
    struct err err;
    r->waiting = NULL;
    if (result->err && result->err->kind == ERR_TIMEOUT) {
        follow(r); /* it takes longer than a request may */
        return;
    }
    if (lost(r, result))
        return;
    if (vercel_read_command(json_get(result->root, STR("command")), result->arena, &c,
                            &err) < 0) {
        unknown(r, err.msg);
    } else if (c.running) {
        r->logs_over = false; /* there is more to come */
        follow_after(r, FOLLOW_AGAIN_MS);
    } else {
        ended(r, (struct command_end){.exit_code = c.exit_code});
    }
}

static void on_logs(void *ctx, const struct exchange_result *result)
{
    struct run *r = ctx;
    struct err err;
    r->logs = NULL;
    if (lost(r, result))
        return;
    bool whole = !r->stream.stopped && vercel_stream_end(&r->stream, &err) == 0;
    if (whole && r->exited) {
        ended(r, (struct command_end){.exit_code = r->exit_code});
        return;
    }
    r->logs_over = whole;
    if (!whole && ++r->failures > FOLLOW_TRIES)
        unknown(r, "its output cannot be read");
    else if (!whole)
        follow_after(r, FOLLOW_AGAIN_MS);
    else
        follow(r);
}

/* The next request: its output, then its end. */
static void follow(struct run *r)
{
    struct vercel *v = r->machine->vercel;
    struct vercel_scope scope = vercel_scope_of(v);
    if (strcmp(r->session, r->machine->session) != 0) {
        session_over(r); /* resumed meanwhile, without it */
        return;
    }
    if (!r->logs_over) {
        begin_stream(r);
        r->logs = exchange_start(
            v, &(struct exchange_spec){.request = vercel_logs(&scope, str_of(r->id)),
                                       .machine = r->machine,
                                       .once = true,
                                       .body = on_body,
                                       .done = on_logs,
                                       .ctx = r});
        exchange_pause(r->logs, r->command->paused);
    } else {
        r->waiting =
            exchange_start(v, &(struct exchange_spec){.request = vercel_command(
                                                          &scope, str_of(r->id), true),
                                                      .machine = r->machine,
                                                      .once = true,
                                                      .done = on_waited,
                                                      .ctx = r});
    }
}

/* Starting */

static void start_failed(struct run *r, const struct exchange_result *result)
{
    struct command *c = r->command;
    struct err err = *result->err;
    int sys = file_error_in_text(str_of(err.msg));
    if (result->status == 400 && r->cwd[0] && sys) {
        err_set(&err, ERR_INVALID, "the working directory %s: %s", r->cwd,
                strerror(sys));
        err_remedy(&err, "give a directory that exists in the sandbox as cwd");
    } else if (str_eq(result->code, STR("executable_not_found"))) {
        err_remedy(&err, "the sandbox's image has no bash: use another image");
    }
    command_failed(c, &err); /* which forgets r */
}

static void on_look_timer(void *ctx)
{
    look(ctx);
}

static bool is_ours(const struct run *r, struct json command)
{
    struct json args = json_get(command, STR("args"));
    return json_str_is(json_at(args, NONCE_AT), str_of(r->nonce));
}

static void not_started(struct run *r)
{
    struct err err;
    err_set(&err, ERR_UNAVAILABLE,
            "the connection to Vercel broke; the command is not in the sandbox's list "
            "and did not start");
    err_remedy(&err, "call again");
    command_failed(r->command, &err);
}

static void on_listed(void *ctx, const struct exchange_result *result)
{
    struct run *r = ctx;
    struct vercel_command c;
    struct err err;
    r->asking = NULL;
    if (!result->err) {
        struct json list = json_get(result->root, STR("commands"));
        for (struct json j = json_first(list); json_present(j); j = json_next(j))
            if (is_ours(r, j) && vercel_read_command(j, result->arena, &c, &err) == 0) {
                started(r, c.id);
                follow(r);
                return;
            }
    }
    if (++r->looks < LOOKS) {
        if (!r->timer)
            r->timer = loop_timer_new(r->machine->vercel->loop, on_look_timer, r);
        loop_timer_start(r->timer, LOOK_MS);
    } else if (!result->err) {
        not_started(r);
    } else {
        if (!r->command->started)
            command_started(r->command);
        unknown(r, "the connection to Vercel broke when it was started");
    }
}

/* The answer to the start was lost: is it in the list? */
static void look(struct run *r)
{
    struct vercel_scope scope = vercel_scope_of(r->machine->vercel);
    loop_timer_free(r->timer);
    r->timer = NULL;
    r->asking = exchange_start(
        r->machine->vercel, &(struct exchange_spec){.request = vercel_commands(&scope),
                                                    .machine = r->machine,
                                                    .done = on_listed,
                                                    .ctx = r});
}

static void on_stream_over(void *ctx, const struct exchange_result *result)
{
    struct run *r = ctx;
    struct err err;
    r->starting = NULL;
    if (!result->err && !r->stream.stopped)
        vercel_stream_end(&r->stream, &err);
    if (r->exited) {
        ended(r, (struct command_end){.exit_code = r->exit_code});
    } else if (r->id[0]) {
        log_info("vercel: %s: the stream ended early, following", r->id);
        follow(r);
    } else if (result->err && !result->unknown) {
        start_failed(r, result);
    } else {
        look(r);
    }
}

static void on_detached(void *ctx, const struct exchange_result *result)
{
    struct run *r = ctx;
    struct vercel_command c;
    struct err err;
    r->starting = NULL;
    if (result->err && !result->unknown) {
        start_failed(r, result);
    } else if (result->err ||
               vercel_read_command(json_get(result->root, STR("command")),
                                   result->arena, &c, &err) < 0) {
        look(r);
    } else {
        started(r, c.id);
        follow(r);
    }
}

/* bash's arguments: the text, or a line that becomes the program. */
static size_t collect_args(struct run *r, const struct command_spec *spec,
                           struct arena *a, const struct str **ret_args)
{
    struct str *args = arena_alloc(a, (spec->argv_count + FIXED_ARGS) * sizeof *args);
    args[0] = STR("--rcfile");
    args[NONCE_AT] = str_of(r->nonce);
    args[2] = STR("-c");
    args[3] = spec->argv_count ? STR("exec \"$@\"") : spec->command;
    args[4] = STR("/bin/bash");
    for (size_t i = 0; i < spec->argv_count; i++)
        args[FIXED_ARGS + i] = spec->argv[i];
    *ret_args = args;
    return spec->argv_count + FIXED_ARGS;
}

static size_t collect_env(struct run *r, const struct command_spec *spec,
                          struct arena *a, const struct str **ret_env)
{
    struct str *env = arena_alloc(a, (spec->env_count + 1) * sizeof *env);
    char *variable = arena_alloc(a, sizeof nonce_variable + sizeof r->nonce);
    int n = snprintf(variable, sizeof nonce_variable + sizeof r->nonce, "%s%s",
                     nonce_variable, r->nonce);
    for (size_t i = 0; i < spec->env_count; i++)
        env[i] = spec->env[i];
    env[spec->env_count] = (struct str){variable, (size_t)n};
    *ret_env = env;
    return spec->env_count + 1;
}

void run_start(struct machine *m, struct command *c, const struct command_spec *spec)
{
    struct vercel_scope scope = vercel_scope_of(m->vercel);
    struct arena a = {0};
    struct run *r = mem_new(struct run);
    r->machine = m;
    r->command = c;
    c->impl = r;
    make_nonce(r);
    snprintf(r->cwd, sizeof r->cwd, "%.*s",
             (int)(spec->cwd.n < 100 ? spec->cwd.n : 100),
             spec->cwd.p ? spec->cwd.p : "");
    memcpy(r->session, m->session, sizeof r->session);
    r->attached = spec->timeout_ms && spec->timeout_ms <= ATTACHED_MOST_MS;
    struct vercel_run run = {
        .cwd = spec->cwd,
        .wait = r->attached,
        .timeout_ms = spec->timeout_ms ? spec->timeout_ms + GRACE_MS : 0,
    };
    run.arg_count = collect_args(r, spec, &a, &run.args);
    run.env_count = collect_env(r, spec, &a, &run.env);
    begin_stream(r);
    r->starting = exchange_start(
        m->vercel,
        &(struct exchange_spec){.request = vercel_run(&scope, &run),
                                .machine = m,
                                .resumes = true,
                                .body = r->attached ? on_body : NULL,
                                .done = r->attached ? on_stream_over : on_detached,
                                .ctx = r});
    exchange_pause(r->starting, c->paused);
    arena_finish(&a);
}

/* Taking over */

/* As collect_args() has made them; else of another program, which has no nonce. */
static struct str take_args(struct run *r, struct json args, struct arena *a)
{
    struct str nonce = json_str(json_at(args, NONCE_AT), a);
    bool ours = json_str_is(json_at(args, 0), STR("--rcfile")) &&
                json_str_is(json_at(args, 2), STR("-c")) &&
                str_starts(nonce, STR("sandquay-")) && nonce.n < sizeof r->nonce;
    if (ours)
        snprintf(r->nonce, sizeof r->nonce, "%.*s", STR_FMT(nonce));
    if (ours && json_len(args) <= FIXED_ARGS)
        return json_str(json_at(args, 3), a);
    struct buf text;
    buf_init(&text, SANDBOX_COMMAND_MAX);
    for (size_t i = ours ? FIXED_ARGS : 0; i < json_len(args); i++) {
        if (text.n)
            buf_addc(&text, ' ');
        buf_adds(&text, json_str(json_at(args, i), a));
    }
    struct str copy = arena_dup(a, buf_str(&text));
    buf_finish(&text);
    return copy;
}

static void on_adopted(void *ctx, const struct exchange_result *result)
{
    struct run *r = ctx;
    struct vercel_command c;
    struct err err;
    r->asking = NULL;
    if (result->err && result->status >= 400 && result->status < 500 &&
        result->status != 429) {
        err_set(&err, ERR_NOT_FOUND, "there is no such command in the sandbox %s",
                r->command->sandbox_name);
        err_remedy(&err, "those of before end when their sandbox is stopped");
    } else if (result->err) {
        err = *result->err;
    } else if (vercel_read_command(json_get(result->root, STR("command")),
                                   result->arena, &c, &err) == 0) {
        int64_t age_ms = (int64_t)sandbox_unix_ms() - c.started_ms;
        command_adopted(r->command, take_args(r, c.args, result->arena),
                        c.started_ms > 0 && age_ms > 0 ? (uint64_t)age_ms : 0);
        r->exited = !c.running;
        r->exit_code = c.exit_code;
        r->duration_ms = c.running || c.duration_ms < 0 ? 0 : (uint64_t)c.duration_ms;
        started(r, c.id);
        follow(r);
        return;
    }
    command_failed(r->command, &err); /* which forgets r */
}

void run_adopt(struct machine *m, struct command *c)
{
    struct vercel_scope scope = vercel_scope_of(m->vercel);
    struct run *r = mem_new(struct run);
    *r = (struct run){.machine = m, .command = c};
    c->impl = r;
    memcpy(r->session, m->session, sizeof r->session);
    r->asking = exchange_start(
        m->vercel, &(struct exchange_spec){
                       .request = vercel_command(&scope, str_of(c->remote), false),
                       .machine = m,
                       .done = on_adopted,
                       .ctx = r});
}

/* Killing */

static void on_killed(void *ctx, const struct script_result *result)
{
    struct run *r = ctx;
    r->killing = NULL;
    if (result->err)
        log_info("vercel: %s: killing: %s", r->id, result->err->msg);
}

static void on_signalled(void *ctx, const struct exchange_result *result)
{
    struct run *r = ctx;
    r->signalling = NULL;
    if (result->err && !r->killed)
        command_warn(r->command, "A signal was not delivered: %s.", result->err->msg);
}

static void send_signal(struct run *r, int signum)
{
    struct vercel_scope scope = vercel_scope_of(r->machine->vercel);
    exchange_cancel(r->signalling);
    r->sent_signal = signum;
    r->signalling = exchange_start(
        r->machine->vercel,
        &(struct exchange_spec){.request = vercel_kill(&scope, str_of(r->id), signum),
                                .machine = r->machine,
                                .done = on_signalled,
                                .ctx = r});
}

/* The command itself by its id, its descendants by their environment. */
void run_kill(struct command *c)
{
    struct run *r = c->impl;
    char variable[sizeof nonce_variable + sizeof r->nonce];
    if (!r || r->killed)
        return;
    r->killed = true;
    snprintf(variable, sizeof variable, "%s%s", nonce_variable, r->nonce);
    struct str argument = str_of(variable);
    if (r->id[0])
        send_signal(r, SIGKILL);
    if (r->nonce[0])
        r->killing =
            script_start(r->machine, kill_script, &argument, 1, true, on_killed, r);
    watch_silence(r, KILL_LOOK_MS);
}

int run_signal(struct command *c, int signum, struct err *err)
{
    struct run *r = c->impl;
    if (!r || !r->id[0]) {
        err_set(err, ERR_CONFLICT, "the command is being started");
        return err_remedy(err, "try again in a moment");
    }
    send_signal(r, signum);
    return 0;
}

void run_flow(struct command *c)
{
    struct run *r = c->impl;
    struct exchange *x = r ? r->starting ? r->starting : r->logs : NULL;
    if (x)
        exchange_pause(x, c->paused);
}
