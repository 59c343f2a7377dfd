/* command_input: stdin bytes, end of input, a signal. Input goes into a bounded queue;
 * what does not fit waits here until the command has read, so that a sender that waits
 * for its answers is never faster than the command. */
#include "base/base64.h"
#include "tools/common.h"
#include "tools/job.h"
#include "tools/tools.h"
#include <signal.h>

enum {
    WAIT_MS = 45000,
    RETRY_FIRST_MS = 2,
    RETRY_LAST_MS = 100,
    INPUT_MAX = 8 * 1024 * 1024, /* of one call */
};

struct input {
    struct tool_job job;
    uint64_t command, watch, until_ms;
    struct loop_timer *timer;
    struct buf bytes;
    size_t taken;
    bool close;
    uint64_t retry_ms;
};

static int signal_number(struct str name)
{
    static const struct {
        const char *name;
        int number;
    } table[] = {
        {"SIGINT", SIGINT},     {"SIGTERM", SIGTERM}, {"SIGKILL", SIGKILL},
        {"SIGHUP", SIGHUP},     {"SIGQUIT", SIGQUIT}, {"SIGUSR1", SIGUSR1},
        {"SIGUSR2", SIGUSR2},   {"SIGSTOP", SIGSTOP}, {"SIGCONT", SIGCONT},
        {"SIGWINCH", SIGWINCH},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (str_eq(name, str_of(table[i].name)))
            return table[i].number;
    return 0;
}

static void release(struct tool_job *job)
{
    struct input *in = (struct input *)job;
    if (in->watch)
        command_unwatch(job->tools->sandboxes, in->watch);
    loop_timer_free(in->timer);
    buf_finish(&in->bytes);
}

/* Queues what fits. 1: all is queued, 0: not yet, -1: refused. */
static int push(struct input *in, const struct command_info *info, struct err *err)
{
    struct str rest = {"", 0};
    if (in->taken < in->bytes.n)
        rest = str_from(buf_str(&in->bytes), in->taken);
    else if (!in->close)
        return 1;
    size_t room = info->input_queued_bytes < SANDBOX_INPUT_QUEUE_MAX
                      ? (size_t)(SANDBOX_INPUT_QUEUE_MAX - info->input_queued_bytes)
                      : 0;
    bool last = rest.n <= room;
    if (!last)
        rest.n = room;
    size_t taken = 0;
    if ((rest.n || last) && command_input(in->job.tools->sandboxes, in->command, rest,
                                          last && in->close, &taken, err) < 0)
        return -1;
    in->taken += taken;
    return last && taken == rest.n;
}

static int send_signal(struct input *in, struct call *call, struct err *err)
{
    struct str name = tool_arg_str(call, STR("signal"));
    return name.n == 0 ? 0
                       : command_signal(in->job.tools->sandboxes, in->command,
                                        signal_number(name), err);
}

static int resize(struct input *in, struct call *call, struct err *err)
{
    struct pty_size size = tool_arg_size(call, STR("resize"));
    return size.cols == 0
               ? 0
               : command_resize(in->job.tools->sandboxes, in->command, size, err);
}

static void answer(struct input *in, struct call *call, const struct command_info *info)
{
    struct tool_id id = tool_command_id(info);
    struct buf text;
    struct json_writer w;
    buf_init(&text, 4096);
    jw_init(&w, &text);
    jw_object(&w);
    jw_key_cstr(&w, "commandId", id.text);
    jw_key_i64(&w, "takenBytes", (int64_t)in->taken);
    jw_key_i64(&w, "queuedBytes", (int64_t)info->input_queued_bytes);
    if (in->taken < in->bytes.n)
        jw_key_cstr(&w, "warning",
                    "The command does not read its stdin: only takenBytes bytes were "
                    "taken. Send the rest later.");
    jw_end_object(&w);
    job_free(&in->job);
    call_result_structured(call, buf_str(&text));
    buf_finish(&text);
}

/* Goes on until all is queued, the command refuses, or the time is over. */
static void go_on(struct input *in, bool must_answer)
{
    struct tool_job *job = &in->job;
    struct call *call = job_resume(job);
    struct command_info info;
    struct err err;
    if (!call)
        return;
    int rc = command_get(job->tools->sandboxes, job->owner, in->command, &info, &err);
    if (rc == 0)
        rc = push(in, &info, &err);
    if (rc > 0 && (resize(in, call, &err) < 0 || send_signal(in, call, &err) < 0))
        rc = -1;
    if (rc < 0) {
        job_fail(job, call, &err);
    } else if (rc > 0 || must_answer) {
        answer(in, call, &info);
    } else {
        loop_timer_start(in->timer, in->retry_ms);
        in->retry_ms =
            in->retry_ms * 2 < RETRY_LAST_MS ? in->retry_ms * 2 : RETRY_LAST_MS;
    }
}

static void on_timer(void *ctx)
{
    struct input *in = ctx;
    go_on(in, loop_now_ms(in->job.tools->loop) >= in->until_ms);
}

static void on_news(void *ctx, uint64_t command)
{
    (void)command;
    struct input *in = ctx;
    in->retry_ms = RETRY_FIRST_MS;
    go_on(in, false);
}

static int read_bytes(struct call *call, struct buf *bytes, struct err *err)
{
    bool text = tool_arg_given(call, STR("text"));
    bool base64 = tool_arg_given(call, STR("base64"));
    if (text && base64) {
        err_set(err, ERR_INVALID, "text and base64 exclude each other");
        return err_remedy(err, "send one of them");
    }
    if (!text && !base64 && !tool_arg_bool(call, STR("close")) &&
        !tool_arg_given(call, STR("signal")) && !tool_arg_given(call, STR("resize"))) {
        err_set(err, ERR_INVALID, "nothing to send");
        return err_remedy(err, "give text, base64, close, signal or resize");
    }
    struct str given = tool_arg_str(call, base64 ? STR("base64") : STR("text"));
    if (!base64)
        buf_adds(bytes, given);
    else if (base64_decode(bytes, given, err) < 0)
        return -1;
    if (bytes->overflow) {
        err_set(err, ERR_LIMIT, "more than %d MiB of input in one call",
                INPUT_MAX / (1024 * 1024));
        return err_remedy(err, "send it in parts, or write a file with write_file");
    }
    return 0;
}

static void begin(struct call *call, const struct command_info *info)
{
    struct buf bytes;
    struct err err;
    buf_init(&bytes, INPUT_MAX);
    if (read_bytes(call, &bytes, &err) < 0) {
        buf_finish(&bytes);
        tool_fail(call, &err);
        return;
    }
    struct input *in = job_new(call, sizeof *in);
    in->job.release = release;
    in->command = info->id;
    in->bytes = bytes;
    in->close = tool_arg_bool(call, STR("close"));
    in->retry_ms = RETRY_FIRST_MS;
    in->until_ms = loop_now_ms(in->job.tools->loop) + WAIT_MS;
    in->timer = loop_timer_new(in->job.tools->loop, on_timer, in);
    if (in->bytes.n > SANDBOX_INPUT_QUEUE_MAX - info->input_queued_bytes)
        in->watch = command_watch(in->job.tools->sandboxes, in->command, on_news, in);
    go_on(in, false);
}

void tool_command_input(struct call *call)
{
    tool_with_command(call, begin);
}
