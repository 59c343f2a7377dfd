#include "mcp/tasks.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/utf8.h"
#include <assert.h>
#include <stdio.h>

enum {
    TTL_DEFAULT_MS = 10 * 60 * 1000,
    TTL_MIN_MS = 1000,
    TTL_MAX_MS = 60 * 60 * 1000,
    RESULT_BYTES_MAX = MCP_MESSAGE_OUT_MAX - 256 * 1024, /* tasks/get adds to it */
    RESULTS_BYTES_MAX = 256 * 1024 * 1024,               /* kept, of all tasks */
};

static uint64_t unix_ms(const struct mcp_server *server)
{
    return server->config.host->unix_ms(server->config.host->ctx);
}

/* Not to be guessed: a MAC over what never comes twice. */
static void make_id(struct mcp_server *server, char *to)
{
    const struct mcp_host *host = server->config.host;
    uint64_t unique[2] = {++server->last_task, unix_ms(server)};
    unsigned char mac[SHA256_SIZE];
    struct hmac256 m;
    hmac256_init(&m, (struct str){(const char *)host->key, MCP_KEY_SIZE});
    hmac256_add(&m, STR("task"));
    hmac256_add(&m, (struct str){(const char *)unique, sizeof unique});
    hmac256_end(&m, mac);
    for (int i = 0; i < (TASK_ID_SIZE - 1) / 2; i++)
        snprintf(to + 2 * (size_t)i, 3, "%02x", mac[i]);
}

struct task *tasks_find(struct mcp_server *server, uint64_t owner, enum mcp_era era,
                        struct str id)
{
    for (struct task *t = server->tasks; t; t = t->next)
        if (t->owner == owner && t->era == era && str_eq(str_of(t->id), id))
            return t;
    return NULL;
}

struct call *tasks_call(const struct task *task)
{
    return call_find(task->server, task->call);
}

bool tasks_ended(const struct task *task)
{
    return task->status > TASK_INPUT_REQUIRED;
}

/* --- Waiting --- */

/* Those that were cancelled meanwhile give their place away: there are no more than
 * calls in flight. */
static bool is_waiting(struct task *task, uint64_t ref)
{
    size_t count = 0;
    bool found = false;
    for (size_t i = 0; i < task->waiting_count; i++) {
        found = found || task->waiting[i] == ref;
        if (call_find(task->server, task->waiting[i]))
            task->waiting[count++] = task->waiting[i];
    }
    task->waiting_count = count;
    return found;
}

void tasks_wait(struct task *task, struct call *waiter)
{
    if (is_waiting(task, waiter->ref))
        return;
    task->waiting =
        mem_realloc(task->waiting, (task->waiting_count + 1) * sizeof *task->waiting);
    task->waiting[task->waiting_count++] = waiter->ref;
}

static void run_waiting(struct task *task)
{
    uint64_t *waiting = task->waiting;
    size_t count = task->waiting_count;
    struct mcp_server *server = task->server;
    task->waiting = NULL;
    task->waiting_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct call *waiter = call_find(server, waiting[i]);
        if (!waiter || waiter->in_handler) /* it looks for itself */
            continue;
        if (tasks_ended(task))
            requests_withdraw(waiter);
        if (waiter->open_asks)
            tasks_wait(task, waiter);
        else
            calls_run(waiter);
    }
    mem_free(waiting);
}

static void set_status(struct task *task, enum task_status status)
{
    task->status = status;
    task->updated_ms = unix_ms(task->server);
    task_changed(task);
    if (status != TASK_WORKING)
        run_waiting(task);
}

/* --- Results --- */

static void write_no_room(struct buf *to)
{
    struct json_writer w;
    jw_init(&w, to);
    jw_object(&w);
    jw_key_i64(&w, "code", RPC_INTERNAL_ERROR);
    jw_key_cstr(&w, "message", "there is no room for the result of this task");
    jw_end_object(&w);
}

/* Keeps the response that its session gave; one that there is no room for becomes an
 * error. */
static void keep(struct task *task, struct json message)
{
    struct json result = json_get(message, STR("result"));
    task->is_error = !json_present(result);
    struct str text =
        json_raw(task->is_error ? json_get(message, STR("error")) : result);
    buf_init(&task->result, MCP_MESSAGE_OUT_MAX);
    if (text.n > RESULT_BYTES_MAX ||
        task->server->task_bytes + text.n > RESULTS_BYTES_MAX) {
        task->is_error = true;
        write_no_room(&task->result);
    } else {
        buf_adds(&task->result, text);
    }
    task->server->task_bytes += task->result.n;
}

static bool is_failure(const struct task *task, struct json message)
{
    struct json is_error = json_pointer(message, "/result/isError");
    return task->is_error || (task->era == MCP_LEGACY && json_is_true(is_error));
}

/* What its progress says becomes its statusMessage. */
static void take_note(struct task *task, struct json note)
{
    struct arena a = {0};
    struct str text = json_str(note, &a);
    if (text.n >= TASK_MESSAGE_SIZE)
        text.n = utf8_valid_prefix((struct str){text.p, TASK_MESSAGE_SIZE - 1});
    if (text.n && !memchr(text.p, 0, text.n)) {
        memcpy(task->message, text.p, text.n);
        task->message[text.n] = 0;
    }
    arena_finish(&a);
}

static void take_message(struct task *task, struct json message)
{
    struct json note = json_pointer(message, "/params/message");
    if (json_present(note))
        take_note(task, note);
    if (!json_present(json_get(message, STR("id"))))
        return;
    keep(task, message);
    set_status(task, is_failure(task, message) ? TASK_FAILED : TASK_COMPLETED);
}

/* What the call says goes nowhere else. */
static void on_output(void *ctx)
{
    struct task *task = ctx;
    struct arena a = {0};
    struct err err;
    size_t count, from = 0;
    const struct mcp_message *m = session_messages(task->session, &count);
    struct str out = arena_dup(&a, session_output(task->session));
    size_t *ends = arena_alloc(&a, count * sizeof *ends + 1);
    for (size_t i = 0; i < count; i++)
        ends[i] = m[i].end;
    session_sent(task->session);
    buf_reset(&task->session->out, 0); /* many tasks wait with their results */
    for (size_t i = 0; i < count; from = ends[i++]) {
        struct json_doc doc;
        if (json_parse(&doc, &a, (struct str){out.p + from, ends[i] - from}, &err) == 0)
            take_message(task, json_root(&doc));
    }
    arena_finish(&a);
}

/* --- Life --- */

static struct task *task_new(struct call *call, uint64_t ttl_ms)
{
    struct mcp_server *server = call->session->server;
    const struct mcp_host *host = server->config.host;
    struct task *task = mem_new(struct task);
    struct session_config config = call->session->config;
    config.wake = on_output;
    config.wake_ctx = task;
    make_id(server, task->id);
    task->server = server;
    task->owner = call->session->config.owner;
    task->era = call->era;
    task->session = session_new(server, &config);
    task->session->version = call->session->version;
    task->session->log_level = MCP_LOG_NONE;
    task->call = call->ref;
    task->created_ms = task->updated_ms = unix_ms(server);
    task->ttl_ms = ttl_ms < TTL_MIN_MS   ? TTL_DEFAULT_MS
                   : ttl_ms > TTL_MAX_MS ? TTL_MAX_MS
                                         : ttl_ms;
    task->due_ms = host->now_ms(host->ctx) + task->ttl_ms;
    task->next = server->tasks;
    server->tasks = task;
    server_due(server, task->due_ms);
    return task;
}

static bool is_room(const struct mcp_server *server, uint64_t owner)
{
    size_t all = 0, mine = 0;
    for (const struct task *t = server->tasks; t; t = t->next) {
        all++;
        mine += t->owner == owner;
    }
    return all < MCP_TASKS_MAX && mine < MCP_OWNER_TASKS_MAX;
}

struct task *tasks_adopt(struct call *call, uint64_t ttl_ms)
{
    struct session *s = call->session;
    if (!is_room(s->server, s->config.owner))
        return NULL;
    struct task *task = task_new(call, ttl_ms);
    task_write_created(task, s, call->id, call);
    calls_move(call, task->session);
    call->task = task;
    session_wake(s);
    return task;
}

bool call_become_task(struct call *call)
{
    if (call->task)
        return true;
    return call->era == MCP_MODERN && (call->client & CAPABILITY_TASKS) &&
           (call->session->server->config.features & MCP_TASKS) && tasks_adopt(call, 0);
}

void tasks_cancel(struct task *task)
{
    struct call *call = tasks_call(task);
    if (tasks_ended(task))
        return;
    if (call)
        calls_cancel(call);
    set_status(task, TASK_CANCELLED);
}

static void task_free(struct task *task)
{
    task->server->task_bytes -= task->result.n;
    task->session->config.wake = NULL;
    session_free(task->session);
    buf_finish(&task->result);
    mem_free(task->waiting);
    mem_free(task);
}

/* Ended or not: its time is over. */
static void drop(struct mcp_server *server, struct task **at)
{
    struct task *task = *at;
    tasks_cancel(task);
    at = &server->tasks; /* who was told may have changed the list */
    while (*at != task)
        at = &(*at)->next;
    *at = task->next;
    task_free(task);
}

void tasks_expire(struct mcp_server *server, uint64_t now_ms)
{
    struct task **at = &server->tasks;
    while (*at)
        if ((*at)->due_ms <= now_ms) {
            drop(server, at);
            at = &server->tasks;
        } else {
            at = &(*at)->next;
        }
}

void mcp_server_drop_owner(struct mcp_server *server, uint64_t owner)
{
    struct task **at = &server->tasks;
    while (*at)
        if ((*at)->owner == owner) {
            drop(server, at);
            at = &server->tasks;
        } else {
            at = &(*at)->next;
        }
}

uint64_t tasks_due(const struct mcp_server *server)
{
    uint64_t due_ms = UINT64_MAX;
    for (const struct task *t = server->tasks; t; t = t->next)
        if (t->due_ms < due_ms)
            due_ms = t->due_ms;
    return due_ms;
}

void tasks_finish(struct mcp_server *server)
{
    while (server->tasks)
        drop(server, &server->tasks);
}

/* --- Questions --- */

void tasks_ask(struct call *call, struct str state)
{
    call->round = arena_dup(&call->arena, state);
    call->open_asks = call->ask_count;
    call->asks_due_ms = UINT64_MAX; /* until the task's own end */
    set_status(call->task, TASK_INPUT_REQUIRED);
}

void tasks_resume(struct task *task)
{
    struct call *call = tasks_call(task);
    task->asker = 0;
    set_status(task, TASK_WORKING);
    ask_next_round(call);
}

void tasks_fail(struct task *task, const struct err *err)
{
    struct call *call = tasks_call(task);
    if (!call)
        return;
    call->open_asks = 0;
    call_fail(call, err);
}
