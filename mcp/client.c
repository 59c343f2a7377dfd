/* The client side: numbers its requests, matches the answers, answers what servers ask.
 * Requests have numbers of ours as ids, and the same numbers as progress tokens.
 * Specification: "Lifecycle" of the legacy revisions, "Versioning" of 2026-07-28. */
#include "base/mem.h"
#include "mcp/client_internal.h"

enum { OUT_MAX = 128 * 1024 * 1024, OUT_KEEP = 1024 * 1024 };

struct client *client_new(const struct client_config *config)
{
    struct client *c = mem_new(struct client);
    c->config = *config;
    c->era = config->era == CLIENT_LEGACY ? MCP_LEGACY : MCP_MODERN;
    buf_init(&c->out, OUT_MAX);
    return c;
}

static void free_pending(struct pending *p)
{
    mem_free(p->method);
    mem_free(p->state);
    buf_finish(&p->params);
    buf_finish(&p->round);
    mem_free(p);
}

void client_lost(struct client *c, const struct err *err)
{
    client_forget_questions(c, 0);
    struct pending *all = c->pending;
    c->pending = NULL; /* what callbacks send now is not of the lost connection */
    while (all) {
        struct pending *p = all;
        all = p->next;
        p->fn(p->ctx, (struct json){0}, err);
        free_pending(p);
    }
}

void client_free(struct client *c)
{
    if (!c)
        return;
    struct err err;
    c->receiving = true; /* no wake from here on */
    c->closing = true;
    err_set(&err, ERR_CANCELLED, "the client is closing");
    client_lost(c, &err);
    buf_finish(&c->out);
    arena_finish(&c->arena);
    mem_free(c);
}

struct str client_output(const struct client *c)
{
    return buf_str(&c->out);
}

void client_sent(struct client *c)
{
    buf_reset(&c->out, OUT_KEEP);
    c->woken = false;
}

bool client_is_modern(const struct client *c)
{
    return c->era == MCP_MODERN;
}

/* In a JSON text of the caller's, raw newlines are space between tokens. */
static void blank_newlines(char *p, size_t n)
{
    char *at;
    for (char *from = p; (at = memchr(from, '\n', n - (size_t)(from - p))); from = at)
        *at = ' ';
    for (char *from = p; (at = memchr(from, '\r', n - (size_t)(from - p))); from = at)
        *at = ' ';
}

int client_end_message(struct client *c, size_t start)
{
    buf_addc(&c->out, '\n');
    if (c->out.overflow) {
        c->out.overflow = false;
        c->out.n = start;
        return -1;
    }
    if (!c->receiving && !c->woken && c->config.wake) {
        c->woken = true;
        c->config.wake(c->config.ctx);
    }
    return 0;
}

static void write_client_info(struct client *c, struct json_writer *w, const char *key)
{
    jw_key(w, key);
    jw_object(w);
    jw_key_cstr(w, "name", c->config.name);
    jw_key_cstr(w, "version", c->config.version);
    jw_end_object(w);
}

static void write_meta(struct client *c, struct json_writer *w, uint64_t progress_token)
{
    if (c->era == MCP_LEGACY && !progress_token)
        return;
    jw_key(w, "_meta");
    jw_object(w);
    if (c->era == MCP_MODERN) {
        jw_key_cstr(w, MCP_META "protocolVersion", MCP_MODERN_VERSION);
        write_client_info(c, w, MCP_META "clientInfo");
        jw_key(w, MCP_META "clientCapabilities");
        client_write_capabilities(c, w);
    }
    if (progress_token)
        jw_key_i64(w, "progressToken", (int64_t)progress_token);
    jw_end_object(w);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The members of a JSON object text, without its braces and the space around them. */
static struct str members(struct str s)
{
    for (int round = 0; round < 2; round++) {
        while (s.n && is_space(s.p[0]))
            s = str_from(s, 1);
        while (s.n && is_space(s.p[s.n - 1]))
            s.n--;
        if (round == 0) {
            if (s.n < 2)
                return (struct str){0};
            s = (struct str){s.p + 1, s.n - 2};
        }
    }
    return s;
}

/* What a request says besides its id and its answers. */
struct said {
    const char *method;
    struct str params;
    bool progress;
};

static void write_request(struct client *c, const struct pending *p,
                          const struct said *said)
{
    struct json_writer w;
    size_t start = c->out.n;
    jw_init(&w, &c->out);
    jw_object(&w);
    jw_key_cstr(&w, "jsonrpc", "2.0");
    jw_key_i64(&w, "id", (int64_t)p->id);
    jw_key_cstr(&w, "method", said->method);
    jw_key(&w, "params");
    jw_object(&w);
    write_meta(c, &w, said->progress ? p->id : 0);
    struct str inside = members(said->params);
    if (inside.n)
        jw_raw(&w, inside);
    if (p->round.n) {
        jw_key_raw(&w, "inputResponses", buf_str(&p->round));
        buf_addc(&c->out, '}');
    }
    if (p->state)
        jw_key_raw(&w, "requestState", str_of(p->state));
    jw_end_object(&w);
    jw_end_object(&w);
    blank_newlines(c->out.p + start, c->out.n - start);
}

struct pending *client_pending(struct client *c, uint64_t number)
{
    struct pending *p = c->pending;
    while (p && p->number != number)
        p = p->next;
    return p;
}

static struct pending *take_pending(struct client *c, uint64_t number)
{
    for (struct pending **at = &c->pending; *at; at = &(*at)->next)
        if ((*at)->number == number) {
            struct pending *p = *at;
            *at = p->next;
            return p;
        }
    return NULL;
}

/* By what is on the wire. */
static struct pending *find_id(struct client *c, struct json id)
{
    int64_t number = 0;
    struct pending *p = json_i64(id, &number) ? c->pending : NULL;
    while (p && (int64_t)p->id != number)
        p = p->next;
    return p;
}

void client_fail(struct client *c, uint64_t number, const struct err *err)
{
    client_forget_questions(c, number);
    struct pending *p = take_pending(c, number);
    if (!p)
        return;
    p->fn(p->ctx, (struct json){0}, err);
    free_pending(p);
}

static void refuse_request(struct client *c, uint64_t number)
{
    struct err err;
    if (c->closing)
        err_set(&err, ERR_CANCELLED, "the client is closing");
    else
        err_set(&err, ERR_LIMIT, "the server does not read: over %d MiB wait for it",
                OUT_MAX >> 20);
    client_fail(c, number, &err);
}

static void send(struct client *c, struct pending *p, const struct said *said)
{
    size_t start = c->out.n;
    p->id = ++c->last_number;
    write_request(c, p, said);
    uint64_t number = p->number;
    if (client_end_message(c, start) < 0 || c->closing)
        refuse_request(c, number);
}

void client_resend(struct client *c, struct pending *p)
{
    send(c, p,
         &(struct said){.method = p->method,
                        .params = buf_str(&p->params),
                        .progress = p->progress});
}

/* A modern server may ask for it to be sent again. */
static void keep_request(struct client *c, struct pending *p,
                         const struct client_request *request)
{
    if (c->era != MCP_MODERN || !client_can_be_asked(c))
        return;
    p->method = mem_strndup(request->method, str_of(request->method).n);
    buf_init(&p->params, OUT_MAX);
    buf_adds(&p->params, request->params);
    p->progress = request->progress;
}

uint64_t client_send(struct client *c, const struct client_request *request)
{
    struct pending *p = mem_new(struct pending);
    uint64_t number = p->number = c->last_number + 1; /* its first id, too */
    p->fn = request->fn;
    p->on_progress = request->on_progress;
    p->ctx = request->ctx;
    p->next = c->pending;
    c->pending = p;
    keep_request(c, p, request);
    send(c, p,
         &(struct said){.method = request->method,
                        .params = request->params,
                        .progress = request->progress});
    return number;
}

uint64_t client_call_tool(struct client *c, const char *tool, struct str arguments,
                          client_result_fn *fn, void *ctx)
{
    struct buf params;
    struct json_writer w;
    buf_init(&params, OUT_MAX);
    jw_init(&w, &params);
    jw_object(&w);
    jw_key_cstr(&w, "name", tool);
    jw_key_raw(&w, "arguments", arguments.n ? arguments : STR("{}"));
    jw_end_object(&w);
    uint64_t number = client_send(
        c,
        &(struct client_request){
            .method = "tools/call", .params = buf_str(&params), .fn = fn, .ctx = ctx});
    buf_finish(&params);
    return number;
}

static void notify(struct client *c, const char *method, struct str params)
{
    struct json_writer w;
    size_t start = c->out.n;
    jw_init(&w, &c->out);
    jw_object(&w);
    jw_key_cstr(&w, "jsonrpc", "2.0");
    jw_key_cstr(&w, "method", method);
    if (params.n)
        jw_key_raw(&w, "params", params);
    jw_end_object(&w);
    client_end_message(c, start); /* one that does not fit is lost, as the server is */
}

void client_cancel(struct client *c, uint64_t request)
{
    struct pending *p = client_pending(c, request);
    if (!p)
        return;
    struct buf params;
    struct err err;
    buf_init(&params, 256);
    buf_addf(&params, "{\"requestId\":%llu}", (unsigned long long)p->id);
    notify(c, "notifications/cancelled", buf_str(&params));
    buf_finish(&params);
    err_set(&err, ERR_CANCELLED, "cancelled");
    client_fail(c, request, &err);
}

static void on_initialized(void *ctx, struct json result, const struct err *err)
{
    struct client *c = ctx;
    struct json version = json_get(result, STR("protocolVersion"));
    struct err unknown;
    if (!err && !protocol_legacy(version)) {
        struct str raw = json_raw(version);
        err_set(&unknown, ERR_PROTOCOL, "the server speaks an unknown revision: %.*s",
                raw.n > 40 ? 40 : (int)raw.n, raw.p ? raw.p : "");
        err = &unknown;
        result = (struct json){0};
    }
    if (!err)
        notify(c, "notifications/initialized", (struct str){0});
    c->open_fn(c->open_ctx, result, err);
}

static void send_initialize(struct client *c)
{
    struct buf params;
    struct json_writer w;
    buf_init(&params, 4096);
    jw_init(&w, &params);
    jw_object(&w);
    jw_key_str(&w, "protocolVersion", protocol_newest_legacy()->name);
    jw_key(&w, "capabilities");
    client_write_capabilities(c, &w);
    write_client_info(c, &w, "clientInfo");
    jw_end_object(&w);
    c->era = MCP_LEGACY;
    client_send(c, &(struct client_request){.method = "initialize",
                                            .params = buf_str(&params),
                                            .fn = on_initialized,
                                            .ctx = c});
    buf_finish(&params);
}

static bool speaks_modern(struct json discovered)
{
    struct json versions = json_get(discovered, STR("supportedVersions"));
    for (struct json v = json_first(versions); json_present(v); v = json_next(v))
        if (json_str_is(v, STR(MCP_MODERN_VERSION)))
            return true;
    return false;
}

/* An older server refuses the method or its shape, in one of many ways; a lost
 * connection is another matter. */
static void on_discovered(void *ctx, struct json result, const struct err *err)
{
    struct client *c = ctx;
    bool refused = err ? err->kind == ERR_PROTOCOL : !speaks_modern(result);
    struct err unknown;
    if (refused && c->config.era == CLIENT_AUTO) {
        send_initialize(c);
        return;
    }
    if (refused && !err) {
        err_set(&unknown, ERR_PROTOCOL,
                "the server does not speak " MCP_MODERN_VERSION);
        err = &unknown;
        result = (struct json){0};
    }
    c->open_fn(c->open_ctx, result, err);
}

void client_open(struct client *c, client_result_fn *fn, void *ctx)
{
    c->open_fn = fn;
    c->open_ctx = ctx;
    if (c->config.era == CLIENT_LEGACY)
        send_initialize(c);
    else
        client_send(c, &(struct client_request){
                           .method = "server/discover", .fn = on_discovered, .ctx = c});
}

static void receive_response(struct client *c, const struct rpc *rpc, struct json id)
{
    struct pending *p = find_id(c, id);
    if (!p)
        return; /* cancelled meanwhile, or not ours */
    if (json_type(rpc->error) == JSON_OBJECT || !json_present(rpc->result)) {
        struct err err;
        struct str text = json_str(json_get(rpc->error, STR("message")), &c->arena);
        int64_t code = 0;
        json_i64(json_get(rpc->error, STR("code")), &code);
        err_set(&err, ERR_PROTOCOL, "the server answered: %.*s (%lld)",
                text.n > 180 ? 180 : (int)text.n, text.p ? text.p : "",
                (long long)code);
        client_fail(c, p->number, &err);
    } else if (c->era == MCP_MODERN && rpc_is(json_get(rpc->result, STR("resultType")),
                                              STR("input_required"))) {
        client_input_required(c, p, rpc->result);
    } else {
        take_pending(c, p->number);
        p->fn(p->ctx, rpc->result, NULL);
        free_pending(p);
    }
}

static void receive_notification(struct client *c, const struct rpc *rpc)
{
    struct str method = json_str(rpc->method, &c->arena);
    int64_t number = 0;
    if (str_eq(method, STR("notifications/progress")) &&
        json_i64(json_get(rpc->params, STR("progressToken")), &number)) {
        double progress = 0, total = -1;
        json_f64(json_get(rpc->params, STR("progress")), &progress);
        json_f64(json_get(rpc->params, STR("total")), &total);
        for (struct pending *p = c->pending; p; p = p->next)
            if ((int64_t)p->id == number && p->on_progress) {
                p->on_progress(
                    p->ctx, progress, total,
                    json_str(json_get(rpc->params, STR("message")), &c->arena));
                break;
            }
    }
    if (str_eq(method, STR("notifications/cancelled")))
        client_withdrawn(c, json_raw(json_get(rpc->params, STR("requestId"))));
    if (c->config.on_notification)
        c->config.on_notification(c->config.ctx, method, rpc->params);
}

int client_recv(struct client *c, struct str text, struct err *err)
{
    struct json_doc doc;
    struct rpc rpc;
    int code;
    /* The callbacks may send and cancel, so the document has an arena of its own. */
    struct arena mine = c->arena;
    c->arena = (struct arena){0};
    bool outer = c->receiving;
    c->receiving = true;
    int rc = json_parse(&doc, &mine, text, err);
    if (rc == 0)
        rc = rpc_read(json_root(&doc), &rpc, &code, err);
    if (rc == 0) {
        switch (rpc.kind) {
        case RPC_RESPONSE:
            receive_response(c, &rpc, json_get(json_root(&doc), STR("id")));
            break;
        case RPC_REQUEST:
            client_asked(c, &rpc);
            break;
        case RPC_NOTIFICATION:
            receive_notification(c, &rpc);
            break;
        }
    } else {
        err->kind = ERR_PROTOCOL;
    }
    c->receiving = outer;
    arena_finish(&c->arena);
    arena_reset(&mine);
    c->arena = mine;
    return rc;
}
