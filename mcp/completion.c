/* Completion of a prompt's arguments and of a template's variables. Specification:
 * "Completion" of each revision. */
#include "mcp/session.h"
#include "mcp/template.h"
#include <assert.h>

enum { VALUES_MAX = 100 };

static void write_values(struct json_writer *w, const struct str *values, size_t count)
{
    jw_key(w, "completion");
    jw_object(w);
    jw_key(w, "values");
    jw_array(w);
    for (size_t i = 0; i < count && i < VALUES_MAX; i++)
        jw_str(w, values[i]);
    jw_end_array(w);
    jw_key_i64(w, "total", (int64_t)count);
    jw_key_bool(w, "hasMore", count > VALUES_MAX);
    jw_end_object(w);
}

/* Finds who completes what the request refers to: -1, and it is refused; or *ret_fn,
 * NULL when there is nothing to suggest. */
static int find_prompt(struct request *r, struct json name, struct json argument,
                       call_fn **ret_fn)
{
    const struct mcp_prompt *prompt = prompts_find(r->session->server, name);
    if (!prompt) {
        request_unknown(r, RPC_INVALID_PARAMS, "Unknown prompt", name);
        return -1;
    }
    *ret_fn = prompts_declare(r->session, prompt, argument) ? prompt->complete : NULL;
    return 0;
}

static int find_template(struct request *r, struct json uri, struct json argument,
                         call_fn **ret_fn)
{
    const struct mcp_server_config *config = &r->session->server->config;
    struct arena *a = &r->session->arena;
    *ret_fn = NULL;
    for (size_t i = 0; i < config->template_count; i++) {
        const struct mcp_template *t = &config->templates[i];
        if (!rpc_is(uri, str_of(t->uri)))
            continue;
        if (template_has(str_of(t->uri), json_str(argument, a)))
            *ret_fn = t->complete;
        return 0;
    }
    for (size_t i = 0; i < config->resource_count; i++)
        if (rpc_is(uri, str_of(config->resources[i].uri)))
            return 0;
    request_unknown(r, RPC_INVALID_PARAMS, "Unknown resource template", uri);
    return -1;
}

static int find(struct request *r, struct json argument, call_fn **ret_fn)
{
    struct json ref = json_get(r->params, STR("ref"));
    struct json type = json_get(ref, STR("type"));
    if (rpc_is(type, STR("ref/prompt")))
        return find_prompt(r, json_get(ref, STR("name")), argument, ret_fn);
    if (rpc_is(type, STR("ref/resource")))
        return find_template(r, json_get(ref, STR("uri")), argument, ret_fn);
    request_refuse(r, "params.ref.type must be \"ref/prompt\" or \"ref/resource\"");
    return -1;
}

void completion_complete(struct request *r)
{
    struct json argument = json_get(r->params, STR("argument"));
    struct json name = json_get(argument, STR("name"));
    call_fn *fn;
    if (find(r, name, &fn) < 0)
        return;
    if (json_type(name) != JSON_STRING ||
        json_type(json_get(argument, STR("value"))) != JSON_STRING) {
        request_refuse(r, "params.argument must have a name and a value: strings");
        return;
    }
    if (!fn) {
        struct json_writer w;
        size_t start = session_begin_result(r->session, &w, r->id, r->era);
        write_values(&w, NULL, 0);
        session_end_result(r->session, &w, start, NULL);
        return;
    }
    struct call *call = calls_new(r, CALL_COMPLETION, fn, (struct json){0});
    if (call)
        calls_run(call);
}

static struct str argument_part(struct call *call, struct str key)
{
    struct json argument = json_get(call->params, STR("argument"));
    return json_str(json_get(argument, key), &call->arena);
}

struct str call_argument_name(struct call *call)
{
    return argument_part(call, STR("name"));
}

struct str call_argument_value(struct call *call)
{
    return argument_part(call, STR("value"));
}

struct str call_argument_context(struct call *call, struct str name)
{
    struct json context = json_get(call->params, STR("context"));
    return json_str(json_get(json_get(context, STR("arguments")), name), &call->arena);
}

void call_complete(struct call *call, const struct str *values, size_t count)
{
    struct json_writer w;
    assert(call->kind == CALL_COMPLETION);
    size_t start = calls_begin_result(call, &w);
    write_values(&w, values, count);
    calls_end_result(call, &w, start);
}
