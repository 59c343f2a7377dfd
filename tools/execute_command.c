/* execute_command: runs a command and answers when it has ended, after WAIT_MS at the
 * latest; in the background, as soon as it runs. Cancelling the call kills the command.
 */
#include "tools/common.h"
#include "tools/job.h"
#include "tools/output.h"
#include "tools/tools.h"

enum {
    WAIT_MS = 45000, /* clients give up at 60 s */
    TIMEOUT_MS = 10000,
    OUTPUT_BYTES = 20 * 1024,
    ALIVE_MS = 5000, /* progress at least this often: clients' idle timers */
};

struct execute {
    struct tool_job job;
    uint64_t command, watch;
    struct loop_timer *timer;
    uint64_t until_ms;
};

static void release(struct tool_job *job)
{
    struct execute *x = (struct execute *)job;
    if (x->watch)
        command_unwatch(job->tools->sandboxes, x->watch);
    loop_timer_free(x->timer);
}

static void cancelled(struct tool_job *job)
{
    struct execute *x = (struct execute *)job;
    if (x->command)
        command_kill(job->tools->sandboxes, x->command, COMMAND_KILLED);
}

static void answer(struct execute *x, struct call *call,
                   const struct command_info *info)
{
    size_t max = (size_t)tool_arg_i64(call, STR("maxOutputBytes"), OUTPUT_BYTES);
    output_result(call, info, max, x->job.notice);
    job_free(&x->job);
}

/* until_ms at the latest; for progress, alive_ms. */
static void wait_on(struct execute *x, struct call *call, uint64_t alive_ms)
{
    uint64_t now = loop_now_ms(x->job.tools->loop);
    uint64_t left = x->until_ms > now ? x->until_ms - now : 0;
    if (call_wants_progress(call) && left > alive_ms)
        left = alive_ms;
    loop_timer_start(x->timer, left);
}

/* Looks at the command: answers if it has ended (or must_answer), else tells how far it
 * is. */
static void look(struct execute *x, bool must_answer)
{
    struct call *call = job_resume(&x->job);
    struct sandboxes *set = x->job.tools->sandboxes;
    struct command_info info;
    struct err err;
    if (!call)
        return; /* it has freed the job */
    if (command_get(set, x->job.owner, x->command, &info, &err) < 0) {
        job_fail(&x->job, call, &err);
        return;
    }
    if (must_answer || info.status != COMMAND_RUNNING) {
        answer(x, call, &info);
        return;
    }
    if (call_wants_progress(call)) {
        struct arena a = {0};
        unsigned later_ms = call_progress(call, (double)info.duration_ms / 1000, -1,
                                          output_last_line(set, &info, &a),
                                          loop_now_ms(x->job.tools->loop));
        arena_finish(&a);
        if (later_ms)
            wait_on(x, call, later_ms);
    }
}

static void on_news(void *ctx, uint64_t command)
{
    (void)command;
    look(ctx, false);
}

static void on_timer(void *ctx)
{
    struct execute *x = ctx;
    struct call *call = job_resume(&x->job);
    if (!call)
        return;
    bool over = loop_now_ms(x->job.tools->loop) >= x->until_ms;
    if (!over)
        wait_on(x, call, ALIVE_MS);
    look(x, over);
}

static void on_start(void *ctx, uint64_t command, const struct err *err)
{
    struct execute *x = ctx;
    struct tool_job *job = &x->job;
    struct call *call = job_resume(job);
    if (!call) {
        if (!err)
            command_kill(job->tools->sandboxes, command, COMMAND_KILLED);
        job_free(job);
        return;
    }
    if (err) {
        struct err copy = *err;
        job_fail(job, call, &copy);
        return;
    }
    x->command = command;
    if (tool_arg_bool(call, STR("background"))) {
        look(x, true);
        return;
    }
    x->until_ms = loop_now_ms(job->tools->loop) + WAIT_MS;
    x->timer = loop_timer_new(job->tools->loop, on_timer, x);
    x->watch = command_watch(job->tools->sandboxes, command, on_news, x);
    wait_on(x, call, ALIVE_MS);
    look(x, false);
}

static int read_spec(struct call *call, struct command_spec *spec, struct err *err)
{
    bool background = tool_arg_bool(call, STR("background"));
    *spec = (struct command_spec){
        .command = tool_arg_str(call, STR("command")),
        .cwd = tool_arg_str(call, STR("cwd")),
        .timeout_ms =
            (uint64_t)tool_arg_i64(call, STR("timeoutMs"), background ? 0 : TIMEOUT_MS),
        .keep_stdin = background,
        .hold = background && tool_arg_bool(call, STR("hold")),
        .pty = tool_arg_size(call, STR("pty")),
    };
    if (spec->pty.cols && !background) {
        err_set(err, ERR_INVALID, "pty is for commands in the background");
        return err_remedy(err, "set background, too, and feed it with command_input");
    }
    if (tool_check_nul("command", spec->command, err) < 0 ||
        tool_check_nul("cwd", spec->cwd, err) < 0)
        return -1;
    if (spec->command.n > SANDBOX_COMMAND_MAX) {
        err_set(err, ERR_LIMIT, "the command has %zu bytes; at most %d can be run",
                spec->command.n, SANDBOX_COMMAND_MAX);
        return err_remedy(err, "put it into a script with write_file and run that");
    }
    return tool_env(call, &spec->env, &spec->env_count, err);
}

static void opened(struct tool_job *job, struct call *call)
{
    struct command_spec spec;
    struct err err;
    if (read_spec(call, &spec, &err) < 0) {
        job_fail(job, call, &err);
        return;
    }
    job->awaits = true;
    command_start(job->tools->sandboxes, job->sandbox, &spec, on_start, job);
}

void tool_execute_command(struct call *call)
{
    struct command_spec spec;
    struct err err;
    if (read_spec(call, &spec, &err) < 0) { /* before a sandbox is made for it */
        tool_fail(call, &err);
        return;
    }
    struct execute *x = job_new(call, sizeof *x);
    x->job.release = release;
    x->job.cancelled = cancelled;
    job_open(&x->job, call, opened);
}
