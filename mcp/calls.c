/* Calls in flight: from the request to the one answer, or to a cancellation. Handlers
 * that answer later know a call by its ref (slot and generation), so that a late answer
 * finds nothing. After a cancellation no message about the call is sent. */
#include "base/mem.h"
#include "mcp/session.h"
#include <assert.h>
#include <math.h>

enum {
    PROGRESS_INTERVAL_MS = 100,
#ifdef SANDQUAY_SANITIZED
    SPARE_MAX = 0, /* a stale pointer to a call is to be found */
#else
    SPARE_MAX = 16,
#endif
};

static void add_slots(struct mcp_server *server)
{
    uint32_t from = server->slot_count;
    server->slot_count = from ? 2 * from : 16;
    server->slots =
        mem_realloc(server->slots, server->slot_count * sizeof *server->slots);
    for (uint32_t i = from; i < server->slot_count; i++)
        server->slots[i] = (struct call_slot){.next_free = i + 1};
}

static void give_ref(struct mcp_server *server, struct call *call)
{
    if (server->free_slot == server->slot_count)
        add_slots(server);
    uint32_t slot = server->free_slot;
    server->free_slot = server->slots[slot].next_free;
    server->slots[slot].call = call;
    if (++server->generation == 0)
        server->generation = 1;
    call->ref = (uint64_t)server->generation << 32 | slot;
}

static void take_ref(struct mcp_server *server, const struct call *call)
{
    uint32_t slot = (uint32_t)call->ref;
    server->slots[slot] = (struct call_slot){.next_free = server->free_slot};
    server->free_slot = slot;
}

struct call *call_find(struct mcp_server *server, uint64_t ref)
{
    uint32_t slot = (uint32_t)ref;
    struct call *call = slot < server->slot_count ? server->slots[slot].call : NULL;
    return call && call->ref == ref && !call->ended ? call : NULL;
}

struct call *calls_by_id(struct session *s, struct str id)
{
    for (struct call *c = s->calls; c; c = c->next)
        if (str_eq(c->id, id))
            return c;
    return NULL;
}

void calls_finish(struct mcp_server *server)
{
    while (server->spare) {
        struct call *call = server->spare;
        server->spare = call->next;
        arena_finish(&call->arena);
        mem_free(call);
    }
    mem_free(server->slots);
}

static struct call *call_alloc(struct mcp_server *server)
{
    struct call *call = server->spare;
    if (!call)
        return mem_new(struct call);
    server->spare = call->next;
    server->spare_count--;
    struct arena arena = call->arena;
    *call = (struct call){.arena = arena};
    return call;
}

static void link_call(struct call *call, struct session *s)
{
    call->session = s;
    call->next = s->calls;
    s->calls = call;
    s->call_count++;
    s->held_bytes += call->held_bytes;
}

static void unlink_call(struct call *call)
{
    struct session *s = call->session;
    struct call **at = &s->calls;
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    s->call_count--;
    s->held_bytes -= call->held_bytes;
}

void calls_move(struct call *call, struct session *to)
{
    unlink_call(call);
    link_call(call, to);
    call->stream = 0;
}

static void call_release(struct call *call)
{
    struct mcp_server *server = call->session->server;
    unlink_call(call);
    take_ref(server, call);
    if (server->spare_count < SPARE_MAX) {
        arena_reset(&call->arena);
        call->next = server->spare;
        server->spare = call;
        server->spare_count++;
    } else {
        arena_finish(&call->arena);
        mem_free(call);
    }
}

void calls_cancel(struct call *call)
{
    assert(!call->in_handler);
    requests_withdraw(call);
    call->ended = true;
    if (call->on_cancel)
        call->on_cancel(call);
    call_release(call);
}

/* The message's text moves into the call: arguments live as long as it does. */
static void copy_message(struct call *call, const struct request *r)
{
    size_t token_bytes = r->doc->count * json_token_bytes();
    call->doc = *r->doc;
    call->doc.text = arena_dup(&call->arena, r->doc->text);
    call->doc.token = arena_alloc(&call->arena, token_bytes);
    memcpy(call->doc.token, r->doc->token, token_bytes);
    call->id = (struct str){call->doc.text.p + (r->id.p - r->doc->text.p), r->id.n};
}

struct json calls_own(const struct call *call, struct json of_request)
{
    return json_present(of_request) ? (struct json){&call->doc, of_request.i}
                                    : (struct json){0};
}

struct call *calls_new(struct request *r, enum call_kind kind, call_fn *handler,
                       struct json args)
{
    struct session *s = r->session;
    struct json responses = {0};
    struct str round = {0};
    if (r->era == MCP_MODERN && mrtr_read(r, &responses, &round) < 0)
        return NULL;
    if (s->call_count >= MCP_CALLS_MAX ||
        s->held_bytes + r->doc->text.n > MCP_CALLS_BYTES_MAX) {
        request_error(r, errors_rpc_code(ERR_LIMIT),
                      "too many requests in flight: wait for answers first");
        return NULL;
    }
    struct call *call = call_alloc(s->server);
    struct json token =
        json_get(json_get(r->params, STR("_meta")), STR("progressToken"));
    copy_message(call, r);
    call->kind = kind;
    call->handler = handler;
    call->stream = s->stream;
    call->era = r->era;
    call->log_level = r->log_level;
    call->started_ms = s->now_ms;
    call->params = calls_own(call, r->params);
    call->args =
        json_present(args) ? calls_own(call, args) : json_root(&s->server->empty);
    call->client = r->era == MCP_MODERN ? r->client : s->client;
    call->responses = calls_own(call, responses);
    call->round = arena_dup(&call->arena, round);
    if (rpc_legal_id(token))
        call->token = json_raw(calls_own(call, token));
    call->held_bytes = call->doc.text.n;
    link_call(call, s);
    give_ref(s->server, call);
    return call;
}

void calls_run(struct call *call)
{
    call->in_handler = true;
    call->handler(call);
    call->in_handler = false;
    if (call->ended)
        call_release(call);
}

uint64_t call_ref(const struct call *call)
{
    return call->ref;
}

void *call_ctx(const struct call *call)
{
    return call->session->server->config.ctx;
}

struct mcp_server *call_server(const struct call *call)
{
    return call->session->server;
}

uint64_t call_owner(const struct call *call)
{
    return call->session->config.owner;
}

bool call_close_stream(struct call *call)
{
    const struct session_config *config = &call->session->config;
    if (!config->close_stream || !call->stream || !session_polls(call->session))
        return false;
    config->close_stream(config->wake_ctx, call->stream);
    return true;
}

uint64_t call_started_ms(const struct call *call)
{
    return call->started_ms;
}

struct json call_args(const struct call *call)
{
    return call->args;
}

struct arena *call_arena(struct call *call)
{
    return &call->arena;
}

void call_set_state(struct call *call, void *state)
{
    call->state = state;
}

void *call_state(const struct call *call)
{
    return call->state;
}

void call_on_cancel(struct call *call, void (*fn)(struct call *call))
{
    call->on_cancel = fn;
}

bool call_wants_progress(const struct call *call)
{
    return call->token.n > 0;
}

/* 2024-11-05 has no text in progress notifications. */
static bool tells_message(const struct call *call)
{
    const struct mcp_version *version = call->session->version;
    return call->era == MCP_MODERN || !version || version->progress_message;
}

unsigned call_progress(struct call *call, double progress, double total,
                       struct str message, uint64_t now_ms)
{
    if (call->token.n == 0 || call->ended || !isfinite(progress))
        return 0;
    uint64_t next_ms = call->progress_ms + PROGRESS_INTERVAL_MS;
    if (call->progressed && now_ms < next_ms)
        return (unsigned)(next_ms - now_ms);
    if (call->progressed && progress <= call->progress)
        return 1;
    call->progressed = true;
    call->progress_ms = now_ms;
    call->progress = progress;
    struct json_writer w;
    size_t start =
        session_begin_notification(call->session, &w, "notifications/progress");
    jw_key_raw(&w, "progressToken", call->token);
    jw_key(&w, "progress");
    jw_f64(&w, progress);
    if (total >= 0 && isfinite(total)) {
        jw_key(&w, "total");
        jw_f64(&w, total);
    }
    if (message.n && tells_message(call))
        jw_key_str(&w, "message", message);
    session_end_notification(call->session, &w, start, call);
    return 0;
}

void call_log(struct call *call, enum mcp_log_level level, struct str text)
{
    struct session *s = call->session;
    enum mcp_log_level wanted =
        call->era == MCP_MODERN ? call->log_level : s->log_level;
    if (wanted == MCP_LOG_NONE || level > wanted || call->ended)
        return;
    struct json_writer w;
    size_t start = session_begin_notification(s, &w, "notifications/message");
    jw_key_cstr(&w, "level", protocol_log_name(level));
    jw_key_cstr(&w, "logger", s->server->config.name);
    jw_key_str(&w, "data", text);
    session_end_notification(s, &w, start, call);
}

/* The answer is out: the call is gone for everybody, though its memory lives until its
 * handler has returned. The transport is told last, when all is as it will be. */
void calls_end(struct call *call)
{
    struct session *s = call->session;
    assert(!call->ended);
    call->ended = true;
    if (!call->in_handler)
        call_release(call);
    session_wake(s);
}

const char *calls_method(const struct call *call)
{
    static const char *const methods[] = {
        [CALL_TOOL] = "tools/call",
        [CALL_RESOURCE] = "resources/read",
        [CALL_RESOURCE_LIST] = "resources/list",
        [CALL_PROMPT] = "prompts/get",
        [CALL_COMPLETION] = "completion/complete",
        [CALL_TASK_RESULT] = "tasks/result",
    };
    return methods[call->kind];
}

void calls_fail_capability(struct session *s, struct str id, struct str capability,
                           const struct call *call)
{
    struct json_writer w;
    size_t start = session_begin_error(s, &w, id, RPC_MISSING_CAPABILITY,
                                       "Missing required client capability");
    jw_key(&w, "data");
    jw_object(&w);
    jw_key_raw(&w, "requiredCapabilities", capability);
    jw_end_object(&w);
    session_end_error(s, &w, start,
                      errors_rpc_status(RPC_MISSING_CAPABILITY, MCP_MODERN), call);
}

size_t calls_begin_result(struct call *call, struct json_writer *w)
{
    assert(!call->ended);
    return session_begin_result(call->session, w, call->id, call->era);
}

static void write_error(struct call *call, const struct err *err)
{
    struct session *s = call->session;
    bool missing = call->kind == CALL_RESOURCE && err->kind == ERR_NOT_FOUND;
    int code = missing ? resources_missing_code(call->era) : errors_rpc_code(err->kind);
    struct json_writer w;
    size_t start = session_begin_error(s, &w, call->id, code, err->msg);
    if (missing) {
        resources_write_missing(&w, json_get(call->params, STR("uri")));
    } else {
        jw_key(&w, "data");
        errors_write(&w, err);
    }
    session_end_error(s, &w, start, errors_rpc_status(code, call->era), call);
}

static void write_failure(struct call *call, const struct err *err)
{
    if (call->kind == CALL_TOOL)
        toolcalls_write_failure(call->session, call->id, call->era, call, err);
    else
        write_error(call, err);
}

void calls_end_result(struct call *call, struct json_writer *w, size_t start)
{
    struct session *s = call->session;
    if (s->out.overflow || s->out.n - start > MCP_MESSAGE_OUT_MAX - 64) {
        struct err err;
        err_set(&err, ERR_LIMIT, "the answer would be over %d MiB",
                MCP_MESSAGE_OUT_MAX >> 20);
        err_remedy(&err, "ask for a smaller part");
        session_rollback(s, start);
        write_failure(call, &err);
    } else {
        session_end_result(s, w, start, call);
    }
    calls_end(call);
}

struct json_writer *calls_begin_items(struct call *call, const char *key)
{
    call->message_start = calls_begin_result(call, &call->writer);
    call->writing = true;
    jw_key(&call->writer, key);
    jw_array(&call->writer);
    return &call->writer;
}

void calls_end_items(struct call *call)
{
    assert(call->writing);
    jw_end_array(&call->writer);
    calls_end_result(call, &call->writer, call->message_start);
}

void call_fail_protocol(struct call *call, const struct err *err)
{
    assert(!call->ended);
    if (call->writing)
        session_rollback(call->session, call->message_start);
    write_error(call, err);
    calls_end(call);
}

void call_fail(struct call *call, const struct err *err)
{
    assert(!call->ended);
    if (call->writing)
        session_rollback(call->session, call->message_start);
    write_failure(call, err);
    calls_end(call);
}
