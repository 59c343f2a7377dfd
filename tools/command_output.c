/* command_output: any part of a command's kept output, or its next part as soon as
 * there is one.
 *
 * A stream is given from an offset: the caller's, or where the last answer ended. Kept
 * are its head and its end; what was dropped between them is told. Text is cut between
 * characters; the beginning of a character whose rest has not come yet waits for it. */
#include "base/utf8.h"
#include "tools/common.h"
#include "tools/job.h"
#include "tools/output.h"
#include "tools/tools.h"
#include <stdio.h>

enum {
    OUTPUT_BYTES = 20 * 1024,
    LIST_MAX = 100,
    LIST_COMMAND_BYTES = 200,
    RESULT_MAX = 4 * 1024 * 1024,
};

struct follow {
    struct tool_job job;
    uint64_t command, watch;
    struct loop_timer *timer;
};

/* One stream of an answer. */
struct part {
    bool wanted;
    uint64_t offset, next;
    struct str bytes;
};

static struct tools_cursor *cursor_of(struct tools_ctx *tools, uint64_t command,
                                      bool make)
{
    for (size_t i = 0; i < TOOLS_CURSORS; i++)
        if (tools->cursors[i].command == command)
            return &tools->cursors[i];
    if (!make)
        return NULL;
    struct tools_cursor *c = &tools->cursors[tools->cursor_count++ % TOOLS_CURSORS];
    *c = (struct tools_cursor){.command = command};
    return c;
}

/* From the arguments; a position inside the dropped middle moves behind it. */
static void place(struct call *call, const struct command_info *info,
                  struct part part[2])
{
    static const struct str keys[2] = {{"stdoutOffset", 12}, {"stderrOffset", 12}};
    static const char *const only[2] = {"stdout", "stderr"};
    struct tools_cursor *cursor = cursor_of(call_ctx(call), info->id, false);
    struct str stream = tool_arg_str(call, STR("stream"));
    for (size_t i = 0; i < 2; i++) {
        const struct command_output *out = &info->out[i];
        int64_t at = tool_arg_i64(call, keys[i], 0);
        part[i].wanted = stream.n == 0 || str_eq(stream, STR("both")) ||
                         str_eq(stream, str_of(only[i]));
        if (!tool_arg_given(call, keys[i]))
            part[i].offset = cursor ? cursor->next[i] : 0;
        else if (at >= 0)
            part[i].offset = (uint64_t)at;
        else if ((uint64_t) - (at + 1) < out->total_bytes)
            part[i].offset = out->total_bytes - (uint64_t) - (at + 1) - 1;
        if (part[i].offset > out->total_bytes)
            part[i].offset = out->total_bytes;
        if (out->dropped_bytes && part[i].offset >= out->head_bytes &&
            part[i].offset < out->head_bytes + out->dropped_bytes)
            part[i].offset = out->head_bytes + out->dropped_bytes;
        part[i].next = part[i].offset;
    }
}

static bool is_base64(struct call *call)
{
    return str_eq(tool_arg_str(call, STR("encoding")), STR("base64"));
}

static void take(struct call *call, const struct command_info *info, int stream,
                 struct part *part, size_t budget)
{
    enum { LEAST = 16 }; /* so that any character fits */
    struct tools_ctx *tools = call_ctx(call);
    uint64_t total = info->out[stream].total_bytes;
    bool text = !is_base64(call);
    if (text && budget < LEAST)
        budget = LEAST;
    if (!part->wanted || part->offset >= total)
        return;
    size_t max =
        total - part->offset < budget ? (size_t)(total - part->offset) : budget;
    char *to = arena_alloc(call_arena(call), max);
    size_t n = command_read(tools->sandboxes, info->id, (enum command_stream)stream,
                            part->offset, to, max);
    if (n == 0) { /* not kept any more: there is nothing to wait for */
        part->next = total;
        return;
    }
    part->bytes = (struct str){to, n};
    if (text) {
        part->bytes = output_head(part->bytes, budget);
        bool at_end = part->offset + part->bytes.n == total;
        size_t tail = utf8_incomplete_tail(part->bytes);
        if (tail && (at_end ? info->status == COMMAND_RUNNING : part->bytes.n > tail))
            part->bytes.n -= tail;
    }
    part->next = part->offset + part->bytes.n;
}

/* How much of the budget the rest of a stream would use. */
static size_t want_of(struct call *call, const struct command_info *info, int stream,
                      const struct part *part, size_t budget)
{
    struct tools_ctx *tools = call_ctx(call);
    uint64_t rest = info->out[stream].total_bytes - part->offset;
    size_t n = !part->wanted ? 0 : rest < budget ? (size_t)rest : budget;
    if (n == 0 || is_base64(call))
        return n;
    char *to = arena_alloc(call_arena(call), n);
    n = command_read(tools->sandboxes, info->id, (enum command_stream)stream,
                     part->offset, to, n);
    return json_escaped_len((struct str){to, n});
}

static void take_both(struct call *call, const struct command_info *info,
                      struct part part[2])
{
    size_t budget = (size_t)tool_arg_i64(call, STR("maxBytes"), OUTPUT_BYTES);
    size_t want[2], share[2];
    for (int i = 0; i < 2; i++)
        want[i] = want_of(call, info, i, &part[i], budget);
    output_share(budget, want, share);
    for (int i = 0; i < 2; i++)
        take(call, info, i, &part[i], share[i]);
}

/* Is there output that this answer has not given? */
static bool is_behind(const struct part *part, const struct command_output *out)
{
    return part->wanted && part->next < out->total_bytes;
}

static void write_part(struct json_writer *w, struct call *call, int stream,
                       const struct part *part, const struct command_output *out)
{
    static const char *const keys[2][3] = {{"stdout", "stdoutOffset", "stdoutBytes"},
                                           {"stderr", "stderrOffset", "stderrBytes"}};
    const char *const *key = keys[stream];
    if (!part->wanted)
        return;
    jw_key(w, key[0]);
    if (is_base64(call))
        jw_base64(w, part->bytes);
    else
        jw_str(w, part->bytes);
    jw_key_i64(w, key[1], (int64_t)part->next);
    jw_key_i64(w, key[2], (int64_t)out->total_bytes);
}

/* What is gone for good, so that the text before and after it does not touch. */
static void write_dropped(struct json_writer *w, const struct command_info *info)
{
    static const char *const keys[2] = {"stdout", "stderr"};
    if (!info->out[0].dropped_bytes && !info->out[1].dropped_bytes)
        return;
    jw_key(w, "dropped");
    jw_object(w);
    for (size_t i = 0; i < 2; i++) {
        char key[24];
        if (!info->out[i].dropped_bytes)
            continue;
        snprintf(key, sizeof key, "%sFrom", keys[i]);
        jw_key_i64(w, key, (int64_t)info->out[i].head_bytes);
        snprintf(key, sizeof key, "%sBytes", keys[i]);
        jw_key_i64(w, key, (int64_t)info->out[i].dropped_bytes);
    }
    jw_end_object(w);
}

static void answer(struct call *call, const struct command_info *info,
                   struct part part[2])
{
    struct tools_cursor *cursor = cursor_of(call_ctx(call), info->id, true);
    struct buf text;
    struct json_writer w;
    buf_init(&text, RESULT_MAX);
    jw_init(&w, &text);
    jw_object(&w);
    for (int i = 0; i < 2; i++) {
        write_part(&w, call, i, &part[i], &info->out[i]);
        if (part[i].wanted)
            cursor->next[i] = part[i].next;
    }
    output_status(&w, info, output_hint(call, info));
    jw_key_bool(&w, "eof",
                info->status != COMMAND_RUNNING &&
                    !is_behind(&part[0], &info->out[0]) &&
                    !is_behind(&part[1], &info->out[1]));
    write_dropped(&w, info);
    if (info->status == COMMAND_RUNNING)
        jw_key_bool(&w, "stdinOpen", info->input_open);
    jw_end_object(&w);
    call_result_structured(call, buf_str(&text));
    buf_finish(&text);
}

/* Answers when there is news: bytes to give, or the end. */
static bool answer_news(struct call *call, const struct command_info *info,
                        bool must_answer)
{
    struct part part[2] = {0};
    place(call, info, part);
    if (!must_answer && info->status == COMMAND_RUNNING &&
        !is_behind(&part[0], &info->out[0]) && !is_behind(&part[1], &info->out[1]))
        return false;
    take_both(call, info, part);
    bool news = info->status != COMMAND_RUNNING || part[0].next != part[0].offset ||
                part[1].next != part[1].offset;
    if (!news && !must_answer)
        return false;
    answer(call, info, part);
    return true;
}

static void write_row(struct json_writer *w, const struct command_info *info)
{
    struct str command = output_head(info->command, LIST_COMMAND_BYTES);
    jw_object(w);
    jw_key_str(w, "command", command);
    output_status(w, info, (struct str){0});
    jw_key_i64(w, "stdoutBytes", (int64_t)info->out[0].total_bytes);
    jw_key_i64(w, "stderrBytes", (int64_t)info->out[1].total_bytes);
    jw_end_object(w);
}

/* The newest LIST_MAX commands, newest first. */
static void answer_list(struct call *call)
{
    struct tools_ctx *tools = call_ctx(call);
    struct str sandbox = tool_arg_str(call, STR("sandbox"));
    size_t count = command_list(tools->sandboxes, call_owner(call), NULL, 0);
    uint64_t *ids = arena_alloc(call_arena(call), (count + 1) * sizeof *ids);
    count = command_list(tools->sandboxes, call_owner(call), ids, count);
    struct buf text;
    struct json_writer w;
    buf_init(&text, RESULT_MAX);
    jw_init(&w, &text);
    jw_object(&w);
    jw_key(&w, "commands");
    jw_array(&w);
    size_t shown = 0;
    for (size_t i = count; i-- > 0 && shown < LIST_MAX;) {
        struct command_info info;
        struct err err;
        if (command_get(tools->sandboxes, call_owner(call), ids[i], &info, &err) < 0 ||
            (sandbox.n && !str_eq(sandbox, info.sandbox_name)))
            continue;
        write_row(&w, &info);
        shown++;
    }
    jw_end_array(&w);
    if (shown < count && sandbox.n == 0)
        jw_key_i64(&w, "total", (int64_t)count);
    jw_end_object(&w);
    call_result_structured(call, buf_str(&text));
    buf_finish(&text);
}

static void release(struct tool_job *job)
{
    struct follow *f = (struct follow *)job;
    if (f->watch)
        command_unwatch(job->tools->sandboxes, f->watch);
    loop_timer_free(f->timer);
}

static void look(struct follow *f, bool must_answer)
{
    struct tool_job *job = &f->job;
    struct call *call = job_resume(job);
    struct command_info info;
    struct err err;
    if (!call)
        return;
    if (command_get(job->tools->sandboxes, job->owner, f->command, &info, &err) < 0)
        job_fail(job, call, &err);
    else if (answer_news(call, &info, must_answer))
        job_free(job);
}

static void on_news(void *ctx, uint64_t command)
{
    (void)command;
    look(ctx, false);
}

static void on_timer(void *ctx)
{
    look(ctx, true);
}

static void wait_for_news(struct call *call, uint64_t command, uint64_t wait_ms)
{
    struct follow *f = job_new(call, sizeof *f);
    f->job.release = release;
    f->command = command;
    f->timer = loop_timer_new(f->job.tools->loop, on_timer, f);
    loop_timer_start(f->timer, wait_ms);
    f->watch = command_watch(f->job.tools->sandboxes, command, on_news, f);
}

/* From here on nothing is dropped that lies behind what the caller has read. */
static void apply_hold(struct call *call, const struct command_info *info)
{
    struct tools_ctx *tools = call_ctx(call);
    struct part part[2] = {0};
    if (!tool_arg_given(call, STR("hold")))
        return;
    place(call, info, part);
    uint64_t from[2] = {part[0].offset, part[1].offset};
    command_hold(tools->sandboxes, info->id, tool_arg_bool(call, STR("hold")), from);
}

static void begin(struct call *call, const struct command_info *info)
{
    apply_hold(call, info);
    int64_t wait_ms = tool_arg_i64(call, STR("waitMs"), 0);
    if (!answer_news(call, info, wait_ms == 0))
        wait_for_news(call, info->id, (uint64_t)wait_ms);
}

void tool_command_output(struct call *call)
{
    if (tool_arg_given(call, STR("commandId")))
        tool_with_command(call, begin);
    else
        answer_list(call);
}
