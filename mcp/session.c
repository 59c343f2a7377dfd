/* One connection: takes texts, classifies each by itself (both eras may be mixed),
 * collects the answers. Specification: "Base Protocol" and "Lifecycle" of each
 * revision. */
#include "mcp/session.h"
#include "base/mem.h"
#include <assert.h>

enum {
    OUT_MAX = 256 * 1024 * 1024, /* transports stop reading long before */
    OUT_KEEP = 1024 * 1024,
    BATCH_MAX = 100,
};

/* --- server
 * ------------------------------------------------------------------------------ */

struct mcp_server *mcp_server_new(const struct mcp_server_config *config)
{
    struct mcp_server *server = mem_new(struct mcp_server);
    server->config = *config;
    struct json_writer w;
    buf_init(&server->tools_list, MCP_MESSAGE_OUT_MAX);
    jw_init(&w, &server->tools_list);
    jw_array(&w);
    for (size_t i = 0; i < config->tool_count; i++)
        jw_raw(&w, config->tools[i].definition);
    jw_end_array(&w);
    return server;
}

void mcp_server_free(struct mcp_server *server)
{
    if (!server)
        return;
    assert(server->sessions == 0);
    buf_finish(&server->tools_list);
    mem_free(server->slots);
    mem_free(server);
}

/* --- session
 * ----------------------------------------------------------------------------- */

struct session *session_new(struct mcp_server *server,
                            const struct session_config *config)
{
    struct session *s = mem_new(struct session);
    s->server = server;
    s->config = *config;
    s->log_level = MCP_LOG_WARNING;
    buf_init(&s->out, OUT_MAX);
    server->sessions++;
    return s;
}

static void cancel_all(struct session *s)
{
    while (s->calls)
        calls_cancel(s->calls);
}

void session_free(struct session *s)
{
    if (!s)
        return;
    s->receiving = true; /* no wake from here on */
    cancel_all(s);
    s->server->sessions--;
    buf_finish(&s->out);
    arena_finish(&s->arena);
    mem_free(s->messages);
    mem_free(s);
}

size_t session_calls(const struct session *s)
{
    return s->call_count;
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
}

/* --- messages out
 * ------------------------------------------------------------------------ */

size_t session_begin(struct session *s, struct json_writer *w)
{
    jw_init(w, &s->out);
    return s->out.n;
}

void session_rollback(struct session *s, size_t start)
{
    s->out.n = start;
    s->out.overflow = false;
}

void session_end(struct session *s, size_t start, uint64_t request, bool final)
{
    buf_addc(&s->out, '\n');
    if (s->out.overflow) {
        /* A peer that does not read: nothing more can be said to it. */
        session_rollback(s, start);
        s->broken = true;
    }
    if (s->out.n > start) {
        if (s->message_count == s->message_cap) {
            s->message_cap = s->message_cap ? 2 * s->message_cap : 64;
            s->messages =
                mem_realloc(s->messages, s->message_cap * sizeof *s->messages);
        }
        s->messages[s->message_count++] =
            (struct mcp_message){.end = s->out.n, .request = request, .final = final};
    }
    if (!s->receiving && !s->woken && s->config.wake) {
        s->woken = true;
        s->config.wake(s->config.wake_ctx);
    }
}

size_t session_begin_result(struct session *s, struct json_writer *w, struct str id,
                            enum mcp_era era)
{
    size_t start = session_begin(s, w);
    jw_object(w);
    jw_key_cstr(w, "jsonrpc", "2.0");
    jw_key_raw(w, "id", id);
    jw_key(w, "result");
    jw_object(w);
    if (era == MCP_MODERN) {
        jw_key_cstr(w, "resultType", "complete");
        jw_key(w, "_meta");
        jw_object(w);
        jw_key(w, MCP_META "serverInfo");
        jw_object(w);
        jw_key_cstr(w, "name", s->server->config.name);
        jw_key_cstr(w, "version", s->server->config.version);
        jw_end_object(w);
        jw_end_object(w);
    }
    return start;
}

void session_end_result(struct session *s, struct json_writer *w, size_t start,
                        uint64_t request)
{
    jw_end_object(w);
    jw_end_object(w);
    session_end(s, start, request, true);
}

void session_error(struct session *s, struct str id, int code, const char *message)
{
    struct json_writer w;
    size_t start = session_begin(s, &w);
    rpc_begin_error(&w, id, code, message);
    rpc_end_error(&w);
    session_end(s, start, 0, true);
}

/* --- messages in
 * ------------------------------------------------------------------------- */

/* The modern envelope, where its key is present. -1: refused and answered. */
static int read_modern_meta(struct request *r, struct json meta)
{
    struct session *s = r->session;
    struct json version = json_get(meta, STR(MCP_META "protocolVersion"));
    struct json level = json_get(meta, STR(MCP_META "logLevel"));
    if (json_type(version) != JSON_STRING) {
        session_error(s, r->id, RPC_INVALID_PARAMS,
                      "_meta." MCP_META "protocolVersion must be a string");
        return -1;
    }
    if (!json_str_is(version, STR(MCP_MODERN_VERSION))) {
        struct json_writer w;
        size_t start = session_begin(s, &w);
        rpc_begin_error(&w, r->id, RPC_UNSUPPORTED_VERSION,
                        "Unsupported protocol version");
        jw_key(&w, "data");
        jw_object(&w);
        jw_key_raw(&w, "supported", STR("[\"" MCP_MODERN_VERSION "\"]"));
        jw_key_raw(&w, "requested", json_raw(version));
        jw_end_object(&w);
        rpc_end_error(&w);
        session_end(s, start, 0, true);
        return -1;
    }
    if (json_type(json_get(meta, STR(MCP_META "clientCapabilities"))) != JSON_OBJECT) {
        session_error(s, r->id, RPC_INVALID_PARAMS,
                      "_meta." MCP_META "clientCapabilities is required: an object");
        return -1;
    }
    r->log_level = MCP_LOG_NONE;
    if (json_present(level) && protocol_log_level(level, &r->log_level) < 0) {
        session_error(s, r->id, RPC_INVALID_PARAMS,
                      "_meta." MCP_META
                      "logLevel must be one of the eight syslog levels");
        return -1;
    }
    return 0;
}

/* Which era a request speaks; MCP 2026-07-28, "Versioning": its _meta alone decides. */
static void receive_request(struct session *s, const struct rpc *rpc,
                            const struct json_doc *doc)
{
    struct request r = {.session = s,
                        .doc = doc,
                        .id = rpc->id,
                        .method = rpc->method,
                        .params = rpc->params,
                        .era = MCP_LEGACY,
                        .log_level = s->log_level};
    struct json meta = json_get(rpc->params, STR("_meta"));
    if (json_present(json_get(meta, STR(MCP_META "protocolVersion")))) {
        r.era = MCP_MODERN;
        if (read_modern_meta(&r, meta) < 0)
            return;
    } else if (json_str_is(rpc->method, STR("server/discover"))) {
        session_error(s, r.id, RPC_INVALID_PARAMS,
                      "server/discover needs params._meta with " MCP_META
                      "protocolVersion and " MCP_META "clientCapabilities");
        return;
    }
    if (calls_by_id(s, r.id)) {
        session_error(s, r.id, RPC_INVALID_REQUEST,
                      "a request with this id is in flight");
        return;
    }
    methods_dispatch(&r);
}

static void receive_notification(struct session *s, const struct rpc *rpc)
{
    if (!json_str_is(rpc->method, STR("notifications/cancelled")))
        return;
    struct json id = json_get(rpc->params, STR("requestId"));
    struct call *call = json_present(id) ? calls_by_id(s, json_raw(id)) : NULL;
    if (call)
        calls_cancel(call);
}

static void receive_message(struct session *s, struct json message,
                            const struct json_doc *doc)
{
    struct rpc rpc;
    struct err err;
    int code;
    if (rpc_read(message, &rpc, &code, &err) < 0) {
        session_error(s, rpc.id, code, err.msg);
        return;
    }
    switch (rpc.kind) {
    case RPC_REQUEST:
        receive_request(s, &rpc, doc);
        break;
    case RPC_NOTIFICATION:
        receive_notification(s, &rpc);
        break;
    case RPC_RESPONSE: /* we ask nothing of clients yet */
        break;
    }
}

/* Only 2025-03-26 has batches. Answers go out one by one: clients refuse arrays. */
static void receive_batch(struct session *s, struct json batch,
                          const struct json_doc *doc)
{
    if (!s->version || !s->version->batches || json_len(batch) == 0 ||
        json_len(batch) > BATCH_MAX) {
        session_error(
            s, (struct str){0}, RPC_INVALID_REQUEST,
            "batches are not part of this protocol revision (2025-03-26: 1 to 100)");
        return;
    }
    for (struct json m = json_first(batch); json_present(m); m = json_next(m))
        receive_message(s, m, doc);
}

void session_recv(struct session *s, struct str text, uint64_t now_ms)
{
    struct json_doc doc;
    struct err err;
    s->now_ms = now_ms;
    s->receiving = true;
    if (json_parse(&doc, &s->arena, text, &err) < 0)
        session_error(s, (struct str){0}, RPC_PARSE_ERROR, err.msg);
    else if (json_type(json_root(&doc)) == JSON_ARRAY)
        receive_batch(s, json_root(&doc), &doc);
    else
        receive_message(s, json_root(&doc), &doc);
    s->receiving = false;
    arena_reset(&s->arena);
}

void session_recv_bad(struct session *s, const struct err *err)
{
    s->receiving = true;
    session_error(s, (struct str){0}, errors_rpc_code(err->kind), err->msg);
    s->receiving = false;
}
