/* Tools: their list, the check of a call's arguments, results and content blocks.
 * Specification: "Tools" of each revision. */
#include "mcp/tasks.h"
#include <assert.h>

void toolcalls_list(struct request *r)
{
    const struct mcp_server_config *config = &r->session->server->config;
    lists_answer(r,
                 &(struct list){.key = "tools",
                                .rows = config->tools,
                                .count = config->tool_count,
                                .stride = sizeof(struct mcp_tool),
                                .definition = offsetof(struct mcp_tool, definition)});
}

void toolcalls_write_failure(struct session *s, struct str id, enum mcp_era era,
                             const struct call *call, const struct err *err)
{
    struct buf text;
    struct json_writer inner, w;
    buf_init(&text, 4096);
    jw_init(&inner, &text);
    errors_write(&inner, err);
    size_t start = session_begin_result(s, &w, id, era);
    jw_key(&w, "content");
    jw_array(&w);
    call_content_text(&w, buf_str(&text));
    jw_end_array(&w);
    jw_key_bool(&w, "isError", true);
    session_end_result(s, &w, start, call);
    buf_finish(&text);
}

/* Is it to run as a task from its start? -1: it cannot be called so, and that is
 * answered. */
static int wants_task(struct request *r, const struct mcp_tool *tool)
{
    struct session *s = r->session;
    if (!(s->server->config.features & MCP_TASKS))
        return 0;
    if (r->era == MCP_MODERN) {
        if (tool->task != MCP_TASK_REQUIRED || (r->client & CAPABILITY_TASKS))
            return 0;
        calls_fail_capability(s, r->id, STR(CAPABILITY_TASKS_JSON), NULL);
        return -1;
    }
    bool asked = json_type(json_get(r->params, STR("task"))) == JSON_OBJECT &&
                 (!s->version || s->version->tasks);
    if (asked && tool->task == MCP_TASK_FORBIDDEN)
        request_error(r, RPC_METHOD_NOT_FOUND, "this tool does not run as a task");
    else if (!asked && tool->task == MCP_TASK_REQUIRED)
        request_error(r, RPC_METHOD_NOT_FOUND, "this tool runs only as a task");
    else
        return asked;
    return -1;
}

static void start_task(struct request *r, struct call *call)
{
    int64_t ttl_ms = 0;
    json_i64(json_get(json_get(r->params, STR("task")), STR("ttl")), &ttl_ms);
    if (tasks_adopt(call, ttl_ms > 0 ? (uint64_t)ttl_ms : 0)) {
        calls_run(call);
        return;
    }
    calls_cancel(call);
    request_error(r, RPC_INTERNAL_ERROR, "too many tasks: wait until some are over");
}

static void start(struct request *r, const struct mcp_tool *tool, struct json args)
{
    struct session *s = r->session;
    struct err err;
    struct json given = json_present(args) ? args : json_root(&s->server->empty);
    if (schema_check(tool->input, given, &err) < 0) {
        err_remedy(&err, "correct the arguments of %s and call it again", tool->name);
        toolcalls_write_failure(s, r->id, r->era, NULL, &err);
        return;
    }
    int as_task = wants_task(r, tool);
    struct call *call = as_task < 0 ? NULL : calls_new(r, CALL_TOOL, tool->call, args);
    if (call && as_task)
        start_task(r, call);
    else if (call)
        calls_run(call);
}

void toolcalls_call(struct request *r)
{
    const struct mcp_server_config *config = &r->session->server->config;
    struct json name = json_get(r->params, STR("name"));
    struct json args = json_get(r->params, STR("arguments"));
    if (json_type(name) != JSON_STRING) {
        request_refuse(r, "params.name must be a string");
        return;
    }
    if (json_present(args) && json_type(args) != JSON_OBJECT) {
        request_refuse(r, "params.arguments must be an object");
        return;
    }
    for (size_t i = 0; i < config->tool_count; i++)
        if (rpc_is(name, str_of(config->tools[i].name))) {
            start(r, &config->tools[i], args);
            return;
        }
    request_unknown(r, RPC_INVALID_PARAMS, "Unknown tool", name);
}

void call_result_structured(struct call *call, struct str object)
{
    struct json_writer w;
    size_t begin = calls_begin_result(call, &w);
    jw_key(&w, "content");
    jw_array(&w);
    call_content_text(&w, object);
    jw_end_array(&w);
    jw_key_raw(&w, "structuredContent", object);
    calls_end_result(call, &w, begin);
}

struct json_writer *call_content_begin(struct call *call)
{
    assert(call->kind == CALL_TOOL);
    return calls_begin_items(call, "content");
}

void call_content_end(struct call *call)
{
    calls_end_items(call);
}

void call_content_text(struct json_writer *w, struct str text)
{
    jw_object(w);
    jw_key_cstr(w, "type", "text");
    jw_key_str(w, "text", text);
    jw_end_object(w);
}

static void write_media(struct json_writer *w, const char *type, struct str mime_type,
                        struct str bytes)
{
    jw_object(w);
    jw_key_cstr(w, "type", type);
    jw_key_str(w, "mimeType", mime_type);
    jw_key(w, "data");
    jw_base64(w, bytes);
    jw_end_object(w);
}

void call_content_image(struct json_writer *w, struct str mime_type, struct str bytes)
{
    write_media(w, "image", mime_type, bytes);
}

void call_content_audio(struct json_writer *w, struct str mime_type, struct str bytes)
{
    write_media(w, "audio", mime_type, bytes);
}

void call_content_resource(struct json_writer *w, struct str uri, struct str mime_type,
                           struct str text)
{
    jw_object(w);
    jw_key_cstr(w, "type", "resource");
    jw_key(w, "resource");
    call_contents_text(w, uri, mime_type, text);
    jw_end_object(w);
}

void call_content_blob(struct json_writer *w, struct str uri, struct str mime_type,
                       struct str bytes)
{
    jw_object(w);
    jw_key_cstr(w, "type", "resource");
    jw_key(w, "resource");
    call_contents_blob(w, uri, mime_type, bytes);
    jw_end_object(w);
}
