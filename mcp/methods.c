/* The methods of both eras: one row, one handler. What is not in the table, or needs a
 * feature that this server does not have, is not advertised either. Specification:
 * "Server Features" and "Utilities" of each revision. */
#include "mcp/session.h"

enum { LEGACY = 1 << MCP_LEGACY, MODERN = 1 << MCP_MODERN, BOTH = LEGACY | MODERN };
enum { ECHO_MAX = 100 };

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

void request_refuse(struct request *r, const char *message)
{
    request_error(r, RPC_INVALID_PARAMS, message);
}

void request_unknown(struct request *r, int code, const char *what, struct json name)
{
    struct err err;
    struct str raw = json_raw(name);
    err_set(&err, ERR_NOT_FOUND, "%s: %.*s", what,
            raw.n > ECHO_MAX ? ECHO_MAX : (int)raw.n, raw.p);
    request_error(r, code, err.msg);
}

void request_acknowledge(struct request *r)
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
    subscriptions_forget(s);
    s->initialized = false;
    s->log_level = MCP_LOG_WARNING;
}

static void initialize(struct request *r)
{
    struct session *s = r->session;
    const char *instructions = s->server->config.instructions;
    struct json wish = json_get(r->params, STR("protocolVersion"));
    if (json_present(wish) && json_type(wish) != JSON_STRING) {
        request_refuse(r, "params.protocolVersion must be a string");
        return;
    }
    if (s->version)
        forget_connection(s);
    s->version = protocol_choose(wish);
    s->client = capabilities_read(json_get(r->params, STR("capabilities")));
    struct json_writer w;
    size_t start = session_begin_result(s, &w, r->id, r->era);
    jw_key_str(&w, "protocolVersion", s->version->name);
    capabilities_write(s, &w, r->era);
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
    capabilities_write(s, &w, r->era);
    if (s->server->config.instructions)
        jw_key_cstr(&w, "instructions", s->server->config.instructions);
    lists_write_caching(&w, r->era, 0);
    session_end_result(s, &w, start, NULL);
}

static void set_level(struct request *r)
{
    struct json level = json_get(r->params, STR("level"));
    if (protocol_log_level(level, &r->session->log_level) < 0)
        request_refuse(r, "params.level must be one of the eight syslog levels");
    else
        request_acknowledge(r);
}

static const struct method {
    struct str name;
    unsigned eras;
    unsigned needs; /* enum mcp_feature: one of these, or 0 */
    method_fn *fn;
} methods[] = {
    {STR_INIT("ping"), LEGACY, 0, request_acknowledge},
    {STR_INIT("tools/call"), BOTH, 0, toolcalls_call},
    {STR_INIT("tools/list"), BOTH, 0, toolcalls_list},
    {STR_INIT("initialize"), LEGACY, 0, initialize},
    {STR_INIT("server/discover"), MODERN, 0, discover},
    {STR_INIT("resources/list"), BOTH, 0, resources_list},
    {STR_INIT("resources/templates/list"), BOTH, 0, resources_templates_list},
    {STR_INIT("resources/read"), BOTH, 0, resources_read},
    {STR_INIT("prompts/list"), BOTH, 0, prompts_list},
    {STR_INIT("prompts/get"), BOTH, 0, prompts_get},
    {STR_INIT("completion/complete"), BOTH, 0, completion_complete},
    {STR_INIT("logging/setLevel"), LEGACY, 0, set_level},
    {STR_INIT("resources/subscribe"), LEGACY, MCP_RESOURCES_SUBSCRIBE,
     subscriptions_subscribe},
    {STR_INIT("resources/unsubscribe"), LEGACY, MCP_RESOURCES_SUBSCRIBE,
     subscriptions_unsubscribe},
    {STR_INIT("subscriptions/listen"), MODERN, MCP_CHANGES | MCP_TASKS,
     subscriptions_listen},
    {STR_INIT("tasks/get"), BOTH, MCP_TASKS, task_get},
    {STR_INIT("tasks/cancel"), BOTH, MCP_TASKS, task_cancel},
    {STR_INIT("tasks/update"), MODERN, MCP_TASKS, task_update},
    {STR_INIT("tasks/result"), LEGACY, MCP_TASKS, task_result},
    {STR_INIT("tasks/list"), LEGACY, MCP_TASKS, task_list},
};

static bool is_offered(const struct method *m, const struct request *r)
{
    return (m->eras >> r->era & 1) &&
           (m->needs == 0 || (m->needs & r->session->server->config.features));
}

void methods_dispatch(struct request *r)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (rpc_is(r->method, methods[i].name) && is_offered(&methods[i], r)) {
            methods[i].fn(r);
            return;
        }
    request_unknown(r, RPC_METHOD_NOT_FOUND, "Method not found", r->method);
}
