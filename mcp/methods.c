/* The methods of both eras: one row, one handler. What is not in the table is not
 * advertised either; subscriptions/listen among them, because no list ever changes
 * while the server runs. Specification: "Server Features" and "Utilities" of each
 * revision. */
#include "mcp/session.h"

enum { LEGACY = 1 << MCP_LEGACY, MODERN = 1 << MCP_MODERN, BOTH = LEGACY | MODERN };
enum { ECHO_MAX = 100, ECHO_URI_MAX = 4096 };

typedef void method_fn(struct request *r);

static void write_capabilities(struct json_writer *w)
{
    jw_key_raw(w, "capabilities",
               STR("{\"tools\":{},\"resources\":{},\"prompts\":{},\"completions\":{},"
                   "\"logging\":{}}"));
}

static void write_server_info(struct request *r, struct json_writer *w)
{
    const struct mcp_server_config *config = &r->session->server->config;
    jw_key(w, "serverInfo");
    jw_object(w);
    jw_key_cstr(w, "name", config->name);
    jw_key_cstr(w, "title", config->title);
    jw_key_cstr(w, "version", config->version);
    jw_end_object(w);
}

/* What clients may cache: lists are static, but another build may answer the next
 * start. */
static void write_caching(struct request *r, struct json_writer *w)
{
    if (r->era != MCP_MODERN)
        return;
    jw_key_i64(w, "ttlMs", 0);
    jw_key_cstr(w, "cacheScope", "private");
}

static void refuse(struct request *r, const char *message)
{
    request_error(r, RPC_INVALID_PARAMS, message);
}

/* "what: name", for a name that is not known. */
static void refuse_name(struct request *r, int code, const char *what, struct json name)
{
    struct err err;
    struct str raw = json_raw(name);
    err_set(&err, ERR_NOT_FOUND, "%s: %.*s", what,
            raw.n > ECHO_MAX ? ECHO_MAX : (int)raw.n, raw.p);
    request_error(r, code, err.msg);
}

static void empty_result(struct request *r)
{
    struct json_writer w;
    size_t start = session_begin_result(r->session, &w, r->id, r->era);
    session_end_result(r->session, &w, start, NULL);
}

/* A second initialize negotiates afresh: Claude Desktop may send two. Whoever does that
 * has forgotten its requests. */
static void forget_connection(struct session *s)
{
    for (struct call *c = s->calls, *next; c; c = next) {
        next = c->next;
        if (c->era == MCP_LEGACY) {
            calls_cancel(c);
            next = s->calls; /* on_cancel may have ended others */
        }
    }
    s->log_level = MCP_LOG_WARNING;
}

static void initialize(struct request *r)
{
    struct session *s = r->session;
    const char *instructions = s->server->config.instructions;
    struct json wish = json_get(r->params, STR("protocolVersion"));
    if (json_present(wish) && json_type(wish) != JSON_STRING) {
        refuse(r, "params.protocolVersion must be a string");
        return;
    }
    if (s->version)
        forget_connection(s);
    s->version = protocol_choose(wish);
    struct json_writer w;
    size_t start = session_begin_result(s, &w, r->id, r->era);
    jw_key_str(&w, "protocolVersion", s->version->name);
    write_capabilities(&w);
    write_server_info(r, &w);
    if (instructions)
        jw_key_cstr(&w, "instructions", instructions);
    session_end_result(s, &w, start, NULL);
}

static void discover(struct request *r)
{
    struct session *s = r->session;
    struct json_writer w;
    size_t start = session_begin_result(s, &w, r->id, r->era);
    jw_key_raw(&w, "supportedVersions", STR("[\"" MCP_MODERN_VERSION "\"]"));
    write_capabilities(&w);
    if (s->server->config.instructions)
        jw_key_cstr(&w, "instructions", s->server->config.instructions);
    write_caching(r, &w);
    session_end_result(s, &w, start, NULL);
}

/* Everything fits one page, so no cursor was ever given out. */
static bool refuse_cursor(struct request *r)
{
    if (!json_present(json_get(r->params, STR("cursor"))))
        return false;
    refuse(r, "unknown cursor");
    return true;
}

static void list_result(struct request *r, const char *key, struct str items)
{
    if (refuse_cursor(r))
        return;
    struct json_writer w;
    size_t start = session_begin_result(r->session, &w, r->id, r->era);
    jw_key_raw(&w, key, items);
    write_caching(r, &w);
    session_end_result(r->session, &w, start, NULL);
}

static void tools_list(struct request *r)
{
    list_result(r, "tools", buf_str(&r->session->server->tools_list));
}

static void resources_list(struct request *r)
{
    list_result(r, "resources", STR("[]"));
}

static void templates_list(struct request *r)
{
    list_result(r, "resourceTemplates", STR("[]"));
}

static void prompts_list(struct request *r)
{
    list_result(r, "prompts", STR("[]"));
}

static void tools_call(struct request *r)
{
    const struct mcp_server_config *config = &r->session->server->config;
    struct json name = json_get(r->params, STR("name"));
    struct json args = json_get(r->params, STR("arguments"));
    if (json_type(name) != JSON_STRING) {
        refuse(r, "params.name must be a string");
        return;
    }
    if (json_present(args) && json_type(args) != JSON_OBJECT) {
        refuse(r, "params.arguments must be an object");
        return;
    }
    for (size_t i = 0; i < config->tool_count; i++)
        if (rpc_is(name, str_of(config->tools[i].name))) {
            calls_start(r, &config->tools[i], args);
            return;
        }
    refuse_name(r, RPC_INVALID_PARAMS, "Unknown tool", name);
}

static void resources_read(struct request *r)
{
    struct json uri = json_get(r->params, STR("uri"));
    struct str raw = json_raw(uri);
    if (json_type(uri) != JSON_STRING || raw.n > ECHO_URI_MAX) {
        refuse(r, "params.uri must be a string of at most 4 KiB");
        return;
    }
    int code = r->era == MCP_MODERN ? RPC_INVALID_PARAMS : RPC_RESOURCE_NOT_FOUND;
    struct json_writer w;
    size_t start = request_begin_error(r, &w, code, "Resource not found");
    jw_key(&w, "data");
    jw_object(&w);
    jw_key_raw(&w, "uri", raw);
    jw_end_object(&w);
    request_end_error(r, &w, start, code);
}

static void prompts_get(struct request *r)
{
    struct json name = json_get(r->params, STR("name"));
    if (json_type(name) != JSON_STRING)
        refuse(r, "params.name must be a string");
    else
        refuse_name(r, RPC_INVALID_PARAMS, "Unknown prompt", name);
}

/* There is neither a prompt nor a resource template whose arguments could be completed.
 */
static void complete(struct request *r)
{
    struct json ref = json_get(r->params, STR("ref"));
    struct json type = json_get(ref, STR("type"));
    if (rpc_is(type, STR("ref/prompt")))
        refuse_name(r, RPC_INVALID_PARAMS, "Unknown prompt",
                    json_get(ref, STR("name")));
    else if (rpc_is(type, STR("ref/resource")))
        refuse_name(r, RPC_INVALID_PARAMS, "Unknown resource template",
                    json_get(ref, STR("uri")));
    else
        refuse(r, "params.ref.type must be \"ref/prompt\" or \"ref/resource\"");
}

static void set_level(struct request *r)
{
    struct json level = json_get(r->params, STR("level"));
    if (protocol_log_level(level, &r->session->log_level) < 0)
        refuse(r, "params.level must be one of the eight syslog levels");
    else
        empty_result(r);
}

static const struct method {
    struct str name;
    unsigned eras;
    method_fn *fn;
} methods[] = {
    {STR_INIT("ping"), LEGACY, empty_result},
    {STR_INIT("tools/call"), BOTH, tools_call},
    {STR_INIT("tools/list"), BOTH, tools_list},
    {STR_INIT("initialize"), LEGACY, initialize},
    {STR_INIT("server/discover"), MODERN, discover},
    {STR_INIT("resources/list"), BOTH, resources_list},
    {STR_INIT("resources/templates/list"), BOTH, templates_list},
    {STR_INIT("resources/read"), BOTH, resources_read},
    {STR_INIT("prompts/list"), BOTH, prompts_list},
    {STR_INIT("prompts/get"), BOTH, prompts_get},
    {STR_INIT("completion/complete"), BOTH, complete},
    {STR_INIT("logging/setLevel"), LEGACY, set_level},
};

void methods_dispatch(struct request *r)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if ((methods[i].eras >> r->era & 1) && rpc_is(r->method, methods[i].name)) {
            methods[i].fn(r);
            return;
        }
    refuse_name(r, RPC_METHOD_NOT_FOUND, "Method not found", r->method);
}
