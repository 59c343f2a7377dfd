/* Prompts: their list, the check of their arguments, messages. Specification: "Prompts"
 * of each revision. */
#include "mcp/session.h"
#include <assert.h>

void prompts_list(struct request *r)
{
    const struct mcp_server_config *config = &r->session->server->config;
    lists_answer(r,
                 &(struct list){.key = "prompts",
                                .rows = config->prompts,
                                .count = config->prompt_count,
                                .stride = sizeof(struct mcp_prompt),
                                .definition = offsetof(struct mcp_prompt, definition)});
}

const struct mcp_prompt *prompts_find(const struct mcp_server *server, struct json name)
{
    for (size_t i = 0; i < server->config.prompt_count; i++)
        if (rpc_is(name, str_of(server->config.prompts[i].name)))
            return &server->config.prompts[i];
    return NULL;
}

static struct json declared_arguments(struct session *s,
                                      const struct mcp_prompt *prompt)
{
    struct json_doc *doc = arena_alloc(&s->arena, sizeof *doc);
    struct err err;
    if (json_parse(doc, &s->arena, prompt->definition, &err) < 0)
        return (struct json){0};
    return json_get(json_root(doc), STR("arguments"));
}

bool prompts_declare(struct session *s, const struct mcp_prompt *prompt,
                     struct json name)
{
    struct str wanted = json_str(name, &s->arena);
    struct json declared = declared_arguments(s, prompt);
    for (struct json a = json_first(declared); json_present(a); a = json_next(a))
        if (json_str_is(json_get(a, STR("name")), wanted))
            return true;
    return false;
}

/* -1: one is missing or no string; that is answered. */
static int check_arguments(struct request *r, const struct mcp_prompt *prompt,
                           struct json args)
{
    struct session *s = r->session;
    if (json_present(args) && json_type(args) != JSON_OBJECT) {
        request_refuse(r, "params.arguments must be an object");
        return -1;
    }
    for (struct json k = json_first(args); json_present(k); k = json_next(k))
        if (json_type(json_value(k)) != JSON_STRING) {
            request_unknown(r, RPC_INVALID_PARAMS, "Not a string: the argument", k);
            return -1;
        }
    struct json declared = declared_arguments(s, prompt);
    for (struct json a = json_first(declared); json_present(a); a = json_next(a)) {
        struct json name = json_get(a, STR("name"));
        if (json_is_true(json_get(a, STR("required"))) &&
            !json_present(json_get(args, json_str(name, &s->arena)))) {
            request_unknown(r, RPC_INVALID_PARAMS, "Missing argument", name);
            return -1;
        }
    }
    return 0;
}

void prompts_get(struct request *r)
{
    struct json name = json_get(r->params, STR("name"));
    struct json args = json_get(r->params, STR("arguments"));
    if (json_type(name) != JSON_STRING) {
        request_refuse(r, "params.name must be a string");
        return;
    }
    const struct mcp_prompt *prompt = prompts_find(r->session->server, name);
    if (!prompt) {
        request_unknown(r, RPC_INVALID_PARAMS, "Unknown prompt", name);
        return;
    }
    if (check_arguments(r, prompt, args) < 0)
        return;
    struct call *call = calls_new(r, CALL_PROMPT, prompt->get, args);
    if (call)
        calls_run(call);
}

struct json_writer *call_messages_begin(struct call *call, struct str description)
{
    assert(call->kind == CALL_PROMPT);
    call->message_start = calls_begin_result(call, &call->writer);
    call->writing = true;
    if (description.n)
        jw_key_str(&call->writer, "description", description);
    jw_key(&call->writer, "messages");
    jw_array(&call->writer);
    return &call->writer;
}

void call_message_begin(struct json_writer *w, const char *role)
{
    jw_object(w);
    jw_key_cstr(w, "role", role);
    jw_key(w, "content");
}

void call_message_end(struct json_writer *w)
{
    jw_end_object(w);
}

void call_messages_end(struct call *call)
{
    calls_end_items(call);
}
