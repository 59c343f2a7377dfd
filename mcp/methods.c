/* The methods of both eras: one row, one handler. */
#include "mcp/session.h"

enum { LEGACY = 1 << MCP_LEGACY, MODERN = 1 << MCP_MODERN, BOTH = LEGACY | MODERN };

typedef void method_fn(struct request *r);

static void write_capabilities(struct json_writer *w)
{
    /* Lists never change while the server runs: no listChanged, and so nothing to
     * listen to. */
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

static void empty_result(struct request *r)
{
    struct json_writer w;
    size_t start = session_begin_result(r->session, &w, r->id, r->era);
    session_end_result(r->session, &w, start, 0);
}

/* A second initialize on one connection negotiates afresh: Claude Desktop may send two.
 */
static void initialize(struct request *r)
{
    struct session *s = r->session;
    const char *instructions = s->server->config.instructions;
    s->version = protocol_choose(json_get(r->params, STR("protocolVersion")));
    s->log_level = MCP_LOG_WARNING;
    struct json_writer w;
    size_t start = session_begin_result(s, &w, r->id, r->era);
    jw_key_str(&w, "protocolVersion", s->version->name);
    write_capabilities(&w);
    write_server_info(r, &w);
    if (instructions)
        jw_key_cstr(&w, "instructions", instructions);
    session_end_result(s, &w, start, 0);
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
    session_end_result(s, &w, start, 0);
}

/* Everything fits one page, so no cursor was ever given out. */
static bool refuse_cursor(struct request *r)
{
    if (!json_present(json_get(r->params, STR("cursor"))))
        return false;
    session_error(r->session, r->id, RPC_INVALID_PARAMS, "unknown cursor");
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
    session_end_result(r->session, &w, start, 0);
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
    struct session *s = r->session;
    const struct mcp_server_config *config = &s->server->config;
    struct json name = json_get(r->params, STR("name"));
    struct json args = json_get(r->params, STR("arguments"));
    if (json_type(name) != JSON_STRING) {
        session_error(s, r->id, RPC_INVALID_PARAMS, "params.name must be a string");
        return;
    }
    if (json_present(args) && json_type(args) != JSON_OBJECT) {
        session_error(s, r->id, RPC_INVALID_PARAMS,
                      "params.arguments must be an object");
        return;
    }
    for (size_t i = 0; i < config->tool_count; i++)
        if (json_str_is(name, str_of(config->tools[i].name))) {
            calls_start(r, &config->tools[i], args);
            return;
        }
    struct err err;
    struct str raw = json_raw(name);
    err_set(&err, ERR_NOT_FOUND, "Unknown tool: %.*s", raw.n > 100 ? 100 : (int)raw.n,
            raw.p);
    session_error(s, r->id, RPC_INVALID_PARAMS, err.msg);
}

static void resources_read(struct request *r)
{
    struct session *s = r->session;
    struct json uri = json_get(r->params, STR("uri"));
    if (json_type(uri) != JSON_STRING) {
        session_error(s, r->id, RPC_INVALID_PARAMS, "params.uri must be a string");
        return;
    }
    struct json_writer w;
    size_t start = session_begin(s, &w);
    rpc_begin_error(&w, r->id,
                    r->era == MCP_MODERN ? RPC_INVALID_PARAMS : RPC_RESOURCE_NOT_FOUND,
                    "Resource not found");
    jw_key(&w, "data");
    jw_object(&w);
    jw_key_raw(&w, "uri", json_raw(uri));
    jw_end_object(&w);
    rpc_end_error(&w);
    session_end(s, start, 0, true);
}

static void prompts_get(struct request *r)
{
    session_error(r->session, r->id, RPC_INVALID_PARAMS,
                  "Unknown prompt: this server has none");
}

static void complete(struct request *r)
{
    struct session *s = r->session;
    struct json ref = json_get(r->params, STR("ref"));
    if (json_type(json_get(r->params, STR("argument"))) != JSON_OBJECT ||
        !json_str_is(json_get(ref, STR("type")), STR("ref/resource")) ||
        json_type(json_get(ref, STR("uri"))) != JSON_STRING) {
        session_error(s, r->id, RPC_INVALID_PARAMS,
                      "Unknown completion reference: this server has no prompts");
        return;
    }
    struct json_writer w;
    size_t start = session_begin_result(s, &w, r->id, r->era);
    jw_key_raw(&w, "completion", STR("{\"values\":[],\"total\":0,\"hasMore\":false}"));
    session_end_result(s, &w, start, 0);
}

static void set_level(struct request *r)
{
    if (protocol_log_level(json_get(r->params, STR("level")), &r->session->log_level) <
        0)
        session_error(r->session, r->id, RPC_INVALID_PARAMS,
                      "params.level must be one of the eight syslog levels");
    else
        empty_result(r);
}

static const struct method {
    const char *name;
    unsigned eras;
    method_fn *fn;
} methods[] = {
    {"ping", LEGACY, empty_result},
    {"tools/call", BOTH, tools_call},
    {"tools/list", BOTH, tools_list},
    {"initialize", LEGACY, initialize},
    {"server/discover", MODERN, discover},
    {"resources/list", BOTH, resources_list},
    {"resources/templates/list", BOTH, templates_list},
    {"resources/read", BOTH, resources_read},
    {"prompts/list", BOTH, prompts_list},
    {"prompts/get", BOTH, prompts_get},
    {"completion/complete", BOTH, complete},
    {"logging/setLevel", LEGACY, set_level},
};

void methods_dispatch(struct request *r)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if ((methods[i].eras >> r->era & 1) &&
            json_str_is(r->method, str_of(methods[i].name))) {
            methods[i].fn(r);
            return;
        }
    struct err err;
    struct str raw = json_raw(r->method);
    err_set(&err, ERR_NOT_FOUND, "Method not found: %.*s",
            raw.n > 100 ? 100 : (int)raw.n, raw.p);
    session_error(r->session, r->id, RPC_METHOD_NOT_FOUND, err.msg);
}
