/* --output json: one object when the task is over. --output stream-json: a line for
 * everything, as it happens. The lines are named as those of other agents' streams are:
 * system, assistant, user, result. */
#include "agent/journal.h"
#include "agent/view.h"
#include "base/json_write.h"
#include "base/mem.h"

enum { LINE_MAX = 512 * 1024 * 1024, LINE_KEEP = 256 * 1024 };

struct json_view {
    struct view view;
    struct view_config config;
    bool stream, gone;
    struct buf line;
};

static struct json_view *of(struct view *v)
{
    return (struct json_view *)v; /* its first member */
}

static void begin(struct json_view *j, struct json_writer *w, const char *type)
{
    buf_reset(&j->line, LINE_KEEP);
    jw_init(w, &j->line);
    jw_object(w);
    jw_key_cstr(w, "type", type);
}

static void put(struct json_view *j, struct json_writer *w)
{
    jw_end_object(w);
    buf_addc(&j->line, '\n');
    if (j->gone || view_write(j->config.out_fd, buf_str(&j->line)))
        return;
    j->gone = true;
    j->config.gone(j->config.ctx);
}

static void on_start(struct view *v, const struct view_start *start)
{
    struct json_view *j = of(v);
    struct json_writer w;
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    if (!j->stream)
        return;
    begin(j, &w, "system");
    jw_key_cstr(&w, "subtype", "init");
    jw_key_cstr(&w, "session_id", start->session);
    jw_key_cstr(&w, "model", start->model);
    jw_key_bool(&w, "resumed", start->resumed);
    jw_key(&w, "tools");
    jw_array(&w);
    if (json_parse(&doc, &a, start->tools, &err) == 0)
        for (struct json tool = json_first(json_root(&doc)); json_present(tool);
             tool = json_next(tool))
            jw_json(&w, json_get(tool, STR("name")));
    jw_end_array(&w);
    put(j, &w);
    arena_finish(&a);
}

static void on_waiting(struct view *v, const char *what)
{
    (void)v;
    (void)what;
}

static void put_delta(struct json_view *j, const char *kind, struct str delta)
{
    struct json_writer w;
    if (!j->stream)
        return;
    begin(j, &w, kind);
    jw_key_str(&w, "text", delta);
    put(j, &w);
}

static void on_text(struct view *v, struct str delta)
{
    put_delta(of(v), "text_delta", delta);
}

static void on_thinking(struct view *v, struct str delta)
{
    if (of(v)->config.thinking)
        put_delta(of(v), "thinking_delta", delta);
}

static void on_writing(struct view *v, struct str tool)
{
    (void)v;
    (void)tool;
}

static void on_again(struct view *v, const char *why, uint64_t wait_ms)
{
    struct json_view *j = of(v);
    struct json_writer w;
    if (!j->stream)
        return;
    begin(j, &w, "retry");
    jw_key_cstr(&w, "reason", why);
    jw_key_i64(&w, "wait_ms", (int64_t)wait_ms);
    put(j, &w);
}

static void on_message(struct view *v, const struct message *m, bool is_last)
{
    struct json_view *j = of(v);
    struct json_writer w;
    (void)is_last;
    if (!j->stream)
        return;
    begin(j, &w, "assistant");
    jw_key(&w, "message");
    jw_object(&w);
    jw_key_str(&w, "id", m->id);
    jw_key_cstr(&w, "role", "assistant");
    jw_key_str(&w, "model", m->model);
    jw_key_raw(&w, "content", m->content);
    jw_key_str(&w, "stop_reason", m->stop_text);
    jw_key(&w, "usage");
    journal_write_usage(&w, &m->usage);
    jw_end_object(&w);
    jw_key_str(&w, "request_id", m->request_id);
    put(j, &w);
}

static void write_call(struct json_writer *w, const struct view_call *call)
{
    jw_key_str(w, "tool_use_id", call->id);
    jw_key_str(w, "name", call->name);
}

static void on_call(struct view *v, const struct view_call *call)
{
    struct json_view *j = of(v);
    struct json_writer w;
    if (!j->stream)
        return;
    begin(j, &w, "tool_call");
    write_call(&w, call);
    put(j, &w);
}

static void on_progress(struct view *v, const struct view_call *call, struct str line)
{
    struct json_view *j = of(v);
    struct json_writer w;
    if (!j->stream)
        return;
    begin(j, &w, "tool_progress");
    write_call(&w, call);
    jw_key_str(&w, "text", line);
    put(j, &w);
}

static void on_result(struct view *v, const struct view_call *call)
{
    struct json_view *j = of(v);
    struct json_writer w;
    if (!j->stream)
        return;
    begin(j, &w, "user");
    jw_key(&w, "message");
    jw_object(&w);
    jw_key_cstr(&w, "role", "user");
    jw_key(&w, "content");
    jw_array(&w);
    jw_raw(&w, call->result);
    jw_end_array(&w);
    jw_end_object(&w);
    jw_key_str(&w, "name", call->name);
    jw_key_i64(&w, "duration_ms", (int64_t)call->duration_ms);
    jw_key_i64(&w, "bytes", (int64_t)call->facts.bytes);
    if (call->facts.has_exit)
        jw_key_i64(&w, "exit_code", call->facts.exit_code);
    put(j, &w);
}

static void put_notice(struct json_view *j, const char *name, struct str text)
{
    struct json_writer w;
    if (!j->stream)
        return;
    begin(j, &w, "system");
    jw_key_cstr(&w, "subtype", "notice");
    if (name)
        jw_key_cstr(&w, "server", name);
    jw_key_str(&w, "text", text);
    put(j, &w);
}

static void on_note(struct view *v, struct str text)
{
    put_notice(of(v), NULL, text);
}

static void on_server(struct view *v, const char *name, struct str line)
{
    put_notice(of(v), name, line);
}

static void write_answer(struct json_writer *w, const struct view_end *end)
{
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    jw_key_str(w, "result", end->text);
    if (end->is_json && json_parse(&doc, &a, end->text, &err) == 0) {
        jw_key(w, "structured_output");
        jw_json(w, json_root(&doc));
    }
    arena_finish(&a);
}

static void on_end(struct view *v, const struct view_end *end)
{
    struct json_view *j = of(v);
    struct json_writer w;
    begin(j, &w, "result");
    jw_key_cstr(&w, "subtype", view_outcome_name(end->outcome));
    jw_key_bool(&w, "is_error", end->outcome != TASK_DONE);
    write_answer(&w, end);
    if (end->outcome != TASK_DONE) {
        jw_key_cstr(&w, "error",
                    end->err ? end->err->msg : view_outcome_text(end->outcome));
        if (end->err && end->err->remedy[0])
            jw_key_cstr(&w, "remedy", end->err->remedy);
    }
    if (end->stop_details.n)
        jw_key_raw(&w, "stop_details", end->stop_details);
    jw_key_cstr(&w, "session_id", end->session);
    jw_key_cstr(&w, "model", end->model);
    if (end->kept)
        jw_key_cstr(&w, "kept", end->kept);
    jw_key_i64(&w, "num_turns", end->turns);
    jw_key_i64(&w, "duration_ms", (int64_t)end->duration_ms);
    jw_key(&w, "usage");
    journal_write_usage(&w, &end->usage);
    if (end->has_dollars) {
        jw_key(&w, "total_cost_usd");
        jw_f64(&w, end->dollars);
    }
    put(j, &w);
}

static void on_close(struct view *v)
{
    struct json_view *j = of(v);
    buf_finish(&j->line);
    mem_free(j);
}

struct view *view_json_new(const struct view_config *config, bool stream)
{
    static const struct view_ops ops = {
        .start = on_start,
        .waiting = on_waiting,
        .text = on_text,
        .thinking = on_thinking,
        .writing = on_writing,
        .again = on_again,
        .message = on_message,
        .call = on_call,
        .progress = on_progress,
        .result = on_result,
        .note = on_note,
        .server = on_server,
        .end = on_end,
        .close = on_close,
    };
    struct json_view *j = mem_new(struct json_view);
    j->view.ops = &ops;
    j->config = *config;
    j->stream = stream;
    buf_init(&j->line, LINE_MAX);
    return &j->view;
}
