/* tasks/ of both eras. In 2025-11-25 the client asks for a task and for its result; in
 * the extension of 2026 the server decides, and everything is in tasks/get. */
#include "base/mem.h"
#include "mcp/tasks.h"
#include <assert.h>

enum { POLL_INTERVAL_MS = 1000, PAGE_SIZE = 100, ID_MAX = 256 };

static const char *const statuses[] = {"working", "input_required", "completed",
                                       "failed", "cancelled"};

/* --- Writing --- */

void task_write(const struct task *task, struct json_writer *w, bool detailed)
{
    bool modern = task->era == MCP_MODERN;
    jw_key_cstr(w, "taskId", task->id);
    jw_key_cstr(w, "status", statuses[task->status]);
    if (task->message[0])
        jw_key_cstr(w, "statusMessage", task->message);
    jw_key_time(w, "createdAt", task->created_ms);
    jw_key_time(w, "lastUpdatedAt", task->updated_ms);
    jw_key_i64(w, modern ? "ttlMs" : "ttl", (int64_t)task->ttl_ms);
    jw_key_i64(w, modern ? "pollIntervalMs" : "pollInterval", POLL_INTERVAL_MS);
    if (!modern || !detailed)
        return;
    if (task->status == TASK_COMPLETED || task->status == TASK_FAILED)
        jw_key_raw(w, task->is_error ? "error" : "result", buf_str(&task->result));
    const struct call *call = tasks_call(task);
    if (task->status == TASK_INPUT_REQUIRED && call) {
        jw_key(w, "inputRequests");
        ask_write(call, w);
    }
}

void task_write_created(const struct task *task, struct session *s, struct str id,
                        const struct call *call)
{
    struct json_writer w;
    size_t start;
    if (task->era == MCP_MODERN) {
        start = session_begin_result_type(s, &w, id, "task");
        task_write(task, &w, false);
    } else {
        start = session_begin_result(s, &w, id, task->era);
        jw_key(&w, "task");
        jw_object(&w);
        task_write(task, &w, false);
        jw_end_object(&w);
    }
    session_end_result(s, &w, start, call);
}

static void tell_legacy(struct task *task, struct session *s)
{
    struct json_writer w;
    size_t start = session_begin_notification(s, &w, "notifications/tasks/status");
    task_write(task, &w, false);
    session_end_notification(s, &w, start, NULL);
}

void task_changed(struct task *task)
{
    if (task->era == MCP_MODERN) {
        subscriptions_tell_task(task);
        return;
    }
    for (struct session *s = task->server->sessions; s; s = s->next)
        if (s->config.owner == task->owner && s->initialized && s->version->tasks)
            tell_legacy(task, s);
}

/* --- Methods --- */

/* NULL: it is refused, and that is answered. */
static struct task *find(struct request *r)
{
    struct session *s = r->session;
    struct json id = json_get(r->params, STR("taskId"));
    if (r->era == MCP_MODERN && !(r->client & CAPABILITY_TASKS)) {
        calls_fail_capability(s, r->id, STR(CAPABILITY_TASKS_JSON), NULL);
        return NULL;
    }
    if (r->era == MCP_LEGACY && s->version && !s->version->tasks) {
        request_unknown(r, RPC_METHOD_NOT_FOUND, "Method not found", r->method);
        return NULL;
    }
    if (json_type(id) != JSON_STRING || json_raw(id).n > ID_MAX) {
        request_refuse(r, "params.taskId must be a string");
        return NULL;
    }
    struct task *task =
        tasks_find(s->server, s->config.owner, r->era, json_str(id, &s->arena));
    if (!task)
        request_unknown(r, RPC_INVALID_PARAMS, "Unknown task", id);
    return task;
}

static void answer_task(struct request *r, const struct task *task)
{
    struct json_writer w;
    size_t start = session_begin_result(r->session, &w, r->id, r->era);
    task_write(task, &w, true);
    session_end_result(r->session, &w, start, NULL);
}

void task_get(struct request *r)
{
    struct task *task = find(r);
    if (task)
        answer_task(r, task);
}

void task_cancel(struct request *r)
{
    struct task *task = find(r);
    if (!task)
        return;
    if (r->era == MCP_LEGACY && tasks_ended(task)) {
        request_refuse(r, "the task has ended already");
        return;
    }
    tasks_cancel(task);
    if (r->era == MCP_MODERN)
        request_acknowledge(r);
    else
        answer_task(r, task);
}

/* Keeps the answers that fit a question which is open. -1: no room. */
static int keep_answers(struct call *call, struct json responses)
{
    struct session *s = call->session;
    for (struct ask *ask = call->asks; ask; ask = ask->next) {
        struct json answer = json_get(responses, ask->key);
        struct str text = json_raw(answer);
        struct err err;
        if (ask->answered || json_type(answer) != JSON_OBJECT)
            continue;
        if (s->held_bytes + text.n > MCP_CALLS_BYTES_MAX)
            return -1;
        s->held_bytes += text.n;
        call->held_bytes += text.n;
        json_parse(&ask->answer, &call->arena, arena_dup(&call->arena, text), &err);
        ask->answered = true;
        call->open_asks--;
    }
    return 0;
}

void task_update(struct request *r)
{
    struct json responses = json_get(r->params, STR("inputResponses"));
    struct task *task = find(r);
    if (!task)
        return;
    if (json_type(responses) != JSON_OBJECT) {
        request_refuse(r, "params.inputResponses must be an object");
        return;
    }
    struct call *call = task->status == TASK_INPUT_REQUIRED ? tasks_call(task) : NULL;
    if (call && keep_answers(call, responses) < 0) {
        request_error(r, RPC_INTERNAL_ERROR, "there is no room for these answers");
        return;
    }
    request_acknowledge(r);
    if (call && call->open_asks == 0)
        tasks_resume(task);
}

/* Where to go on: behind the task whose id is the cursor. -1: it is refused. */
static int list_from(struct request *r, struct task **ret_task)
{
    struct session *s = r->session;
    struct json cursor = json_get(r->params, STR("cursor"));
    *ret_task = s->server->tasks;
    if (!json_present(cursor))
        return 0;
    struct task *last =
        tasks_find(s->server, s->config.owner, MCP_LEGACY, json_str(cursor, &s->arena));
    if (!last) {
        request_refuse(r, "unknown cursor, or its task has expired: start again");
        return -1;
    }
    *ret_task = last->next;
    return 0;
}

void task_list(struct request *r)
{
    struct session *s = r->session;
    struct task *task, *last = NULL;
    size_t count = 0;
    if (s->version && !s->version->tasks) {
        request_unknown(r, RPC_METHOD_NOT_FOUND, "Method not found", r->method);
        return;
    }
    if (list_from(r, &task) < 0)
        return;
    struct json_writer w;
    size_t start = session_begin_result(s, &w, r->id, r->era);
    jw_key(&w, "tasks");
    jw_array(&w);
    for (; task && count <= PAGE_SIZE; task = task->next) {
        if (task->owner != s->config.owner || task->era != MCP_LEGACY ||
            count++ == PAGE_SIZE)
            continue;
        last = task;
        jw_object(&w);
        task_write(task, &w, false);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    if (count > PAGE_SIZE)
        jw_key_cstr(&w, "nextCursor", last->id);
    session_end_result(s, &w, start, NULL);
}

/* --- tasks/result: waits --- */

static void write_related(struct json_writer *w, const struct task *task)
{
    jw_key(w, "_meta");
    jw_object(w);
    jw_key(w, MCP_META "related-task");
    jw_object(w);
    jw_key_cstr(w, "taskId", task->id);
    jw_end_object(w);
    jw_end_object(w);
}

/* The inside of an object that our writer wrote. */
static struct str members(struct str object)
{
    return (struct str){object.p + 1, object.n - 2};
}

static void answer_result(struct call *call, const struct task *task)
{
    struct session *s = call->session;
    struct json_writer w;
    if (task->status == TASK_CANCELLED) {
        struct err err;
        err_set(&err, ERR_CANCELLED, "the task was cancelled");
        call_fail(call, &err);
    } else if (task->is_error) {
        size_t start = session_begin(s, &w);
        jw_object(&w);
        jw_key_cstr(&w, "jsonrpc", "2.0");
        jw_key_raw(&w, "id", call->id);
        jw_key(&w, "error");
        jw_object(&w);
        jw_raw(&w, members(buf_str(&task->result)));
        session_end_error(s, &w, start, errors_rpc_status(0, MCP_LEGACY), call);
        calls_end(call);
    } else {
        size_t start = calls_begin_result(call, &w);
        write_related(&w, task);
        struct str inside = members(buf_str(&task->result));
        if (inside.n)
            jw_raw(&w, inside);
        calls_end_result(call, &w, start);
    }
}

/* The waiting call carries the questions of the task, as its own. */
static void carry_questions(struct call *call, struct task *task)
{
    const struct call *asking = tasks_call(task);
    task->asker = call->ref;
    for (const struct ask *ask = asking->asks; ask; ask = ask->next) {
        struct buf params;
        struct json_writer w;
        buf_init(&params, MCP_MESSAGE_OUT_MAX);
        jw_init(&w, &params);
        jw_object(&w);
        write_related(&w, task);
        if (ask->params.n > 2)
            jw_raw(&w, members(ask->params));
        jw_end_object(&w);
        ask_add(call, ask->what, ask->key, &params);
    }
    requests_send(call, (struct str){0});
}

static void bring_answers(struct call *call, struct task *task)
{
    struct call *asking = tasks_call(task);
    for (const struct ask *a = call->answers; a; a = a->next)
        for (struct ask *to = asking->asks; to; to = to->next)
            if (str_eq(to->key, a->key) && !to->answered) {
                struct err err;
                struct str text = arena_dup(&asking->arena, a->answer.text);
                json_parse(&to->answer, &asking->arena, text, &err);
                to->answered = true;
                asking->open_asks--;
            }
    call->answers = NULL;
    if (asking->open_asks == 0)
        tasks_resume(task);
}

static void wait_for_result(struct call *call)
{
    struct session *s = call->session;
    struct json id = json_get(call->params, STR("taskId"));
    struct task *task =
        tasks_find(s->server, s->config.owner, MCP_LEGACY, json_str(id, &call->arena));
    if (!task) {
        struct err err;
        err_set(&err, ERR_NOT_FOUND, "the task has expired");
        call_fail(call, &err);
        return;
    }
    if (call->answers && task->asker == call->ref && tasks_call(task))
        bring_answers(call, task);
    if (tasks_ended(task)) {
        answer_result(call, task);
        return;
    }
    tasks_wait(task, call);
    if (task->status == TASK_INPUT_REQUIRED &&
        (task->asker == 0 || !call_find(s->server, task->asker)))
        carry_questions(call, task);
}

void task_result(struct request *r)
{
    if (!find(r))
        return;
    struct call *call =
        calls_new(r, CALL_TASK_RESULT, wait_for_result, (struct json){0});
    if (call)
        calls_run(call);
}

bool task_questions_failed(struct call *waiter, const struct err *err)
{
    struct session *s = waiter->session;
    struct json id = json_get(waiter->params, STR("taskId"));
    struct task *task = tasks_find(s->server, s->config.owner, MCP_LEGACY,
                                   json_str(id, &waiter->arena));
    if (!task || task->asker != waiter->ref)
        return false;
    task->asker = 0;
    tasks_fail(task, err);
    return true;
}
