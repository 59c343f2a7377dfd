/* One connection: takes texts, has each classified by itself (both eras may be mixed),
 * collects the answers. A session survives whatever its peer sends. Specification:
 * "Base Protocol" and "Lifecycle" of each revision. */
#include "mcp/session.h"
#include "base/mem.h"
#include <assert.h>

enum {
    OUT_MAX = 256 * 1024 * 1024, /* transports stop reading long before */
    OUT_KEEP = 256 * 1024,
    MESSAGES_KEEP = 1024,
    BATCH_MAX = 100,
};

struct session *session_new(struct mcp_server *server,
                            const struct session_config *config)
{
    struct session *s = mem_new(struct session);
    s->server = server;
    s->config = *config;
    s->log_level = MCP_LOG_WARNING;
    buf_init(&s->out, OUT_MAX);
    s->next = server->sessions;
    if (s->next)
        s->next->previous = s;
    server->sessions = s;
    return s;
}

void session_free(struct session *s)
{
    if (!s)
        return;
    s->receiving = true; /* no wake from here on */
    while (s->calls)
        calls_cancel(s->calls);
    subscriptions_finish(s);
    if (s->next)
        s->next->previous = s->previous;
    *(s->previous ? &s->previous->next : &s->server->sessions) = s->next;
    buf_finish(&s->out);
    arena_finish(&s->arena);
    mem_free(s->messages);
    mem_free(s);
}

size_t session_calls(const struct session *s)
{
    return s->call_count;
}

size_t session_stream_requests(const struct session *s, uint64_t stream)
{
    size_t count = 0;
    for (const struct call *c = s->calls; c; c = c->next)
        count += c->stream == stream;
    return count + subscriptions_on(s, stream);
}

bool session_polls(const struct session *s)
{
    return s->version && s->version->polls;
}

bool session_broken(const struct session *s)
{
    return s->broken;
}

struct str session_output(const struct session *s)
{
    return buf_str(&s->out);
}

const struct mcp_message *session_messages(const struct session *s, size_t *ret_count)
{
    *ret_count = s->message_count;
    return s->messages;
}

void session_sent(struct session *s)
{
    buf_reset(&s->out, OUT_KEEP);
    s->message_count = 0;
    s->woken = false;
    if (s->message_cap > MESSAGES_KEEP) {
        mem_free(s->messages);
        s->messages = NULL;
        s->message_cap = 0;
    }
}

size_t session_begin(struct session *s, struct json_writer *w)
{
    jw_init(w, &s->out);
    s->out.max = s->out.n + MCP_MESSAGE_OUT_MAX;
    return s->out.n;
}

void session_rollback(struct session *s, size_t start)
{
    s->out.n = start;
    s->out.overflow = false;
}

void session_end(struct session *s, size_t start, const struct mcp_message *record)
{
    buf_addc(&s->out, '\n');
    if (s->out.overflow || s->out.n > OUT_MAX)
        s->broken = true;
    if (s->broken) {
        /* A peer that does not read: nothing more can be said to it. */
        session_rollback(s, start);
        return;
    }
    if (s->message_count == s->message_cap) {
        s->message_cap = s->message_cap ? 2 * s->message_cap : 64;
        s->messages = mem_realloc(s->messages, s->message_cap * sizeof *s->messages);
    }
    s->messages[s->message_count] = *record;
    s->messages[s->message_count++].end = s->out.n;
}

void session_wake(struct session *s)
{
    if (s->receiving || s->woken || !s->config.wake)
        return;
    s->woken = true;
    s->config.wake(s->config.wake_ctx);
}

static void write_server_info(struct session *s, struct json_writer *w)
{
    jw_key(w, "_meta");
    jw_object(w);
    jw_key(w, MCP_META "serverInfo");
    jw_object(w);
    jw_key_cstr(w, "name", s->server->config.name);
    jw_key_cstr(w, "version", s->server->config.version);
    jw_end_object(w);
    jw_end_object(w);
}

static size_t begin_response(struct session *s, struct json_writer *w, struct str id)
{
    size_t start = session_begin(s, w);
    jw_object(w);
    jw_key_raw(w, "jsonrpc", STR("\"2.0\""));
    jw_key_raw(w, "id", id);
    jw_key(w, "result");
    jw_object(w);
    return start;
}

size_t session_begin_result(struct session *s, struct json_writer *w, struct str id,
                            enum mcp_era era)
{
    return era == MCP_MODERN ? session_begin_result_type(s, w, id, "complete")
                             : begin_response(s, w, id);
}

size_t session_begin_result_type(struct session *s, struct json_writer *w,
                                 struct str id, const char *type)
{
    size_t start = begin_response(s, w, id);
    jw_key_cstr(w, "resultType", type);
    write_server_info(s, w);
    return start;
}

void session_end_result(struct session *s, struct json_writer *w, size_t start,
                        const struct call *call)
{
    jw_end_object(w);
    jw_end_object(w);
    session_end(s, start,
                &(struct mcp_message){.request = call ? call->ref : 0,
                                      .stream = call ? call->stream : s->stream,
                                      .final = true,
                                      .status = 200});
}

size_t session_begin_error(struct session *s, struct json_writer *w, struct str id,
                           int code, const char *message)
{
    size_t start = session_begin(s, w);
    rpc_begin_error(w, id, code, message);
    return start;
}

void session_end_error(struct session *s, struct json_writer *w, size_t start,
                       int status, const struct call *call)
{
    rpc_end_error(w);
    session_end(s, start,
                &(struct mcp_message){.request = call ? call->ref : 0,
                                      .stream = call ? call->stream : s->stream,
                                      .final = true,
                                      .failed = true,
                                      .status = status});
}

void session_error(struct session *s, struct str id, int code, const char *message)
{
    struct json_writer w;
    size_t start = session_begin_error(s, &w, id, code, message);
    session_end_error(s, &w, start, errors_rpc_status(code, MCP_LEGACY), NULL);
}

size_t request_begin_error(struct request *r, struct json_writer *w, int code,
                           const char *message)
{
    return session_begin_error(r->session, w, r->id, code, message);
}

void request_end_error(struct request *r, struct json_writer *w, size_t start, int code)
{
    int status =
        r->classified ? errors_rpc_status(code, r->era) : ERRORS_ENVELOPE_STATUS;
    session_end_error(r->session, w, start, status, NULL);
}

void request_error(struct request *r, int code, const char *message)
{
    struct json_writer w;
    size_t start = request_begin_error(r, &w, code, message);
    request_end_error(r, &w, start, code);
}

size_t session_begin_notification(struct session *s, struct json_writer *w,
                                  const char *method)
{
    size_t start = session_begin(s, w);
    jw_object(w);
    jw_key_cstr(w, "jsonrpc", "2.0");
    jw_key_cstr(w, "method", method);
    jw_key(w, "params");
    jw_object(w);
    return start;
}

static void end_notification(struct session *s, struct json_writer *w, size_t start,
                             const struct mcp_message *record)
{
    jw_end_object(w);
    jw_end_object(w);
    if (s->out.overflow) /* it can be done without */
        session_rollback(s, start);
    else
        session_end(s, start, record);
    session_wake(s);
}

void session_end_notification(struct session *s, struct json_writer *w, size_t start,
                              const struct call *call)
{
    end_notification(s, w, start,
                     &(struct mcp_message){.request = call ? call->ref : 0,
                                           .stream = call ? call->stream : 0});
}

void session_end_notification_on(struct session *s, struct json_writer *w, size_t start,
                                 uint64_t stream)
{
    end_notification(s, w, start, &(struct mcp_message){.stream = stream});
}

void session_log(struct session *s, enum mcp_log_level level, struct str text)
{
    if (!s->version || level > s->log_level)
        return;
    struct json_writer w;
    size_t start = session_begin_notification(s, &w, "notifications/message");
    jw_key_cstr(&w, "level", protocol_log_name(level));
    jw_key_cstr(&w, "logger", s->server->config.name);
    jw_key_str(&w, "data", text);
    session_end_notification(s, &w, start, NULL);
}

static void receive_request(struct session *s, const struct rpc *rpc,
                            const struct json_doc *doc, bool in_batch)
{
    struct request r = {.session = s,
                        .doc = doc,
                        .id = rpc->id,
                        .method = rpc->method,
                        .params = rpc->params,
                        .in_batch = in_batch};
    if (classify_request(&r) < 0)
        return;
    r.classified = true;
    if (calls_by_id(s, r.id) || subscriptions_has(s, r.id))
        request_error(&r, RPC_INVALID_REQUEST, "a request with this id is in flight");
    else
        methods_dispatch(&r);
}

/* Ids are one space for both eras. Unknown and finished ones are nobody's fault. */
static void receive_notification(struct session *s, const struct rpc *rpc)
{
    if (rpc_is(rpc->method, STR("notifications/initialized")))
        s->initialized = s->version != NULL;
    if (!rpc_is(rpc->method, STR("notifications/cancelled")))
        return;
    struct json id = json_get(rpc->params, STR("requestId"));
    struct call *call = json_present(id) ? calls_by_id(s, json_raw(id)) : NULL;
    if (call)
        calls_cancel(call);
    else if (json_present(id))
        subscriptions_cancel(s, json_raw(id));
}

static void receive_message(struct session *s, const struct json_doc *doc,
                            bool in_batch)
{
    struct rpc rpc;
    struct err err;
    int code;
    if (rpc_read(json_root(doc), &rpc, &code, &err) < 0) {
        session_error(s, rpc.id, code, err.msg);
        return;
    }
    switch (rpc.kind) {
    case RPC_REQUEST:
        receive_request(s, &rpc, doc, in_batch);
        break;
    case RPC_NOTIFICATION:
        receive_notification(s, &rpc);
        break;
    case RPC_RESPONSE:
        requests_answer(s, &rpc);
        break;
    }
}

/* Only 2025-03-26 has batches. Answers go out one by one: clients refuse arrays. Each
 * element becomes a document of its own, so that a call keeps no more than itself. */
static void receive_batch(struct session *s, struct json batch)
{
    if (!s->version || !s->version->batches || json_len(batch) == 0 ||
        json_len(batch) > BATCH_MAX) {
        session_error(
            s, (struct str){0}, RPC_INVALID_REQUEST,
            "batches are not part of this protocol revision (2025-03-26: 1 to 100)");
        return;
    }
    for (struct json m = json_first(batch); json_present(m); m = json_next(m)) {
        struct json_doc doc;
        struct err err;
        if (json_parse(&doc, &s->arena, json_raw(m), &err) == 0)
            receive_message(s, &doc, true);
    }
}

void session_recv_json(struct session *s, const struct json_doc *doc, uint64_t stream,
                       uint64_t now_ms)
{
    s->now_ms = now_ms;
    s->stream = stream;
    s->receiving = true;
    if (doc->text.n > MCP_MESSAGE_IN_MAX)
        session_error(s, (struct str){0}, RPC_INVALID_REQUEST,
                      "the message is too long");
    else if (json_type(json_root(doc)) == JSON_ARRAY)
        receive_batch(s, json_root(doc));
    else
        receive_message(s, doc, false);
    s->receiving = false;
    arena_reset(&s->arena);
}

void session_recv_on(struct session *s, struct str text, uint64_t stream,
                     uint64_t now_ms)
{
    struct json_doc doc = {.text = text};
    struct err err;
    if (text.n > MCP_MESSAGE_IN_MAX || json_parse(&doc, &s->arena, text, &err) == 0) {
        session_recv_json(s, &doc, stream, now_ms);
        return;
    }
    s->stream = stream;
    session_error(s, (struct str){0}, RPC_PARSE_ERROR, err.msg);
    arena_reset(&s->arena);
}

void session_recv(struct session *s, struct str text, uint64_t now_ms)
{
    session_recv_on(s, text, 0, now_ms);
}

void session_recv_bad(struct session *s, const struct err *err)
{
    s->receiving = true;
    s->stream = 0;
    session_error(s, (struct str){0}, errors_rpc_code(err->kind), err->msg);
    s->receiving = false;
}
