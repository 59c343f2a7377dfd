/* Calls in flight: from the request to the one answer, or to a cancellation. */
#include "base/mem.h"
#include "mcp/session.h"
#include <assert.h>

enum { PROGRESS_INTERVAL_MS = 100 };

/* --- numbers
 * ----------------------------------------------------------------------------- */

static void give_ref(struct mcp_server *server, struct call *call)
{
    uint32_t slot = 0;
    while (slot < server->slot_count && server->slots[slot])
        slot++;
    if (slot == server->slot_count) {
        server->slot_count = slot ? 2 * slot : 16;
        server->slots =
            mem_realloc(server->slots, server->slot_count * sizeof(struct call *));
        memset(server->slots + slot, 0,
               (server->slot_count - slot) * sizeof(struct call *));
    }
    server->slots[slot] = call;
    call->ref = (uint64_t)++server->generation << 32 | slot;
}

struct call *call_find(struct mcp_server *server, uint64_t ref)
{
    uint32_t slot = (uint32_t)ref;
    struct call *call = slot < server->slot_count ? server->slots[slot] : NULL;
    return call && call->ref == ref && !call->ended ? call : NULL;
}

struct call *calls_by_id(struct session *s, struct str id)
{
    for (struct call *c = s->calls; c; c = c->next)
        if (str_eq(c->id, id))
            return c;
    return NULL;
}

/* --- life
 * -------------------------------------------------------------------------------- */

static void call_release(struct call *call)
{
    struct session *s = call->session;
    struct call **at = &s->calls;
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    s->call_count--;
    s->server->slots[(uint32_t)call->ref] = NULL;
    arena_finish(&call->arena);
    mem_free(call);
}

/* The answer is out: the call is gone for everybody, though its memory lives until its
 * handler has returned. */
static void call_ended(struct call *call)
{
    assert(!call->ended);
    call->ended = true;
    if (!call->in_handler)
        call_release(call);
}

void calls_cancel(struct call *call)
{
    assert(!call->in_handler);
    if (call->on_cancel)
        call->on_cancel(call);
    call->ended = true;
    call_release(call);
}

/* The message's text moves into the call: arguments live as long as it does. */
static struct call *call_new(struct request *r, const struct mcp_tool *tool,
                             struct json args)
{
    struct session *s = r->session;
    struct call *call = mem_new(struct call);
    call->session = s;
    call->tool = tool;
    call->era = r->era;
    call->log_level = r->log_level;
    call->started_ms = s->now_ms;
    call->doc = *r->doc;
    call->doc.text = arena_dup(&call->arena, r->doc->text);
    size_t token_bytes = r->doc->count * json_token_bytes();
    call->doc.token =
        memcpy(arena_alloc(&call->arena, token_bytes), r->doc->token, token_bytes);
    call->args = json_present(args) ? (struct json){&call->doc, args.i} : args;
    call->id = arena_dup(&call->arena, r->id);
    struct json token = json_pointer(r->params, "/_meta/progressToken");
    if (json_type(token) == JSON_STRING || json_type(token) == JSON_NUMBER)
        call->token = arena_dup(&call->arena, json_raw(token));
    call->next = s->calls;
    s->calls = call;
    s->call_count++;
    give_ref(s->server, call);
    return call;
}

/* A call without arguments has an empty object of them. */
static struct json no_arguments(struct call *call)
{
    struct json_doc *doc = arena_alloc(&call->arena, sizeof *doc);
    struct err err;
    json_parse(doc, &call->arena, STR("{}"), &err);
    return json_root(doc);
}

void calls_start(struct request *r, const struct mcp_tool *tool, struct json args)
{
    struct session *s = r->session;
    struct err err;
    if (s->call_count >= MCP_CALLS_MAX) {
        session_error(s, r->id, RPC_INVALID_REQUEST,
                      "too many requests in flight: wait for answers first");
        return;
    }
    struct call *call = call_new(r, tool, args);
    if (!json_present(call->args))
        call->args = no_arguments(call);
    call->in_handler = true;
    if (schema_check(tool->input, call->args, &err) < 0) {
        err_remedy(&err, "correct the arguments of %s and call it again", tool->name);
        call_fail(call, &err);
    } else {
        tool->call(call);
    }
    call->in_handler = false;
    if (call->ended)
        call_release(call);
}

/* --- what handlers ask
 * ------------------------------------------------------------------- */

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

/* --- notifications on the way
 * ------------------------------------------------------------ */

static size_t begin_notification(struct call *call, struct json_writer *w,
                                 const char *method)
{
    size_t start = session_begin(call->session, w);
    jw_object(w);
    jw_key_cstr(w, "jsonrpc", "2.0");
    jw_key_cstr(w, "method", method);
    jw_key(w, "params");
    jw_object(w);
    return start;
}

static void end_notification(struct call *call, struct json_writer *w, size_t start)
{
    jw_end_object(w);
    jw_end_object(w);
    session_end(call->session, start, call->ref, false);
}

bool call_wants_progress(const struct call *call)
{
    return call->token.n > 0;
}

void call_progress(struct call *call, double progress, double total, struct str message,
                   uint64_t now_ms)
{
    bool first = call->progress_ms == 0;
    if (call->token.n == 0 ||
        (!first && now_ms < call->progress_ms + PROGRESS_INTERVAL_MS) ||
        (!first && progress <= call->progress))
        return;
    call->progress_ms = now_ms;
    call->progress = progress;
    struct json_writer w;
    size_t start = begin_notification(call, &w, "notifications/progress");
    jw_key_raw(&w, "progressToken", call->token);
    jw_key(&w, "progress");
    jw_f64(&w, progress);
    if (total >= 0) {
        jw_key(&w, "total");
        jw_f64(&w, total);
    }
    if (message.n)
        jw_key_str(&w, "message", message);
    end_notification(call, &w, start);
}

void call_log(struct call *call, enum mcp_log_level level, struct str text)
{
    if (call->log_level == MCP_LOG_NONE || level > call->log_level)
        return;
    struct json_writer w;
    size_t start = begin_notification(call, &w, "notifications/message");
    jw_key_cstr(&w, "level", protocol_log_name(level));
    jw_key_cstr(&w, "logger", call->session->server->config.name);
    jw_key_str(&w, "data", text);
    end_notification(call, &w, start);
}

/* --- answers
 * ----------------------------------------------------------------------------- */

/* Too large to be sent: the caller is told instead. */
static bool too_large(struct call *call, size_t start)
{
    struct session *s = call->session;
    if (!s->out.overflow && s->out.n - start <= MCP_MESSAGE_OUT_MAX - 64)
        return false;
    session_rollback(s, start);
    struct err err;
    err_set(&err, ERR_LIMIT, "the answer would be over %d MiB",
            MCP_MESSAGE_OUT_MAX >> 20);
    err_remedy(&err, "ask for a smaller part");
    call_fail(call, &err);
    return true;
}

void call_result_structured(struct call *call, struct str object)
{
    struct session *s = call->session;
    struct json_writer w;
    size_t start = session_begin_result(s, &w, call->id, call->era);
    jw_key(&w, "content");
    jw_array(&w);
    call_content_text(&w, object);
    jw_end_array(&w);
    jw_key_raw(&w, "structuredContent", object);
    if (too_large(call, start))
        return;
    session_end_result(s, &w, start, call->ref);
    call_ended(call);
}

struct json_writer *call_content_begin(struct call *call)
{
    call->message_start =
        session_begin_result(call->session, &call->writer, call->id, call->era);
    jw_key(&call->writer, "content");
    jw_array(&call->writer);
    return &call->writer;
}

void call_content_text(struct json_writer *w, struct str text)
{
    jw_object(w);
    jw_key_cstr(w, "type", "text");
    jw_key_str(w, "text", text);
    jw_end_object(w);
}

void call_content_image(struct json_writer *w, struct str mime_type, struct str bytes)
{
    jw_object(w);
    jw_key_cstr(w, "type", "image");
    jw_key_str(w, "mimeType", mime_type);
    jw_key(w, "data");
    jw_base64(w, bytes);
    jw_end_object(w);
}

void call_content_blob(struct json_writer *w, struct str uri, struct str mime_type,
                       struct str bytes)
{
    jw_object(w);
    jw_key_cstr(w, "type", "resource");
    jw_key(w, "resource");
    jw_object(w);
    jw_key_str(w, "uri", uri);
    jw_key_str(w, "mimeType", mime_type);
    jw_key(w, "blob");
    jw_base64(w, bytes);
    jw_end_object(w);
    jw_end_object(w);
}

void call_content_end(struct call *call)
{
    jw_end_array(&call->writer);
    if (too_large(call, call->message_start))
        return;
    session_end_result(call->session, &call->writer, call->message_start, call->ref);
    call_ended(call);
}

void call_fail(struct call *call, const struct err *err)
{
    struct session *s = call->session;
    struct buf text;
    struct json_writer inner, w;
    buf_init(&text, 4096);
    jw_init(&inner, &text);
    errors_write(&inner, err);
    size_t start = session_begin_result(s, &w, call->id, call->era);
    jw_key(&w, "content");
    jw_array(&w);
    call_content_text(&w, buf_str(&text));
    jw_end_array(&w);
    jw_key_bool(&w, "isError", true);
    session_end_result(s, &w, start, call->ref);
    buf_finish(&text);
    call_ended(call);
}
