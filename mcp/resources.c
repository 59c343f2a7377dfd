/* Resources: those of the table, those that match a template, and those that come and
 * go. Specification: "Resources" of each revision. */
#include "base/base64.h"
#include "mcp/session.h"
#include "mcp/template.h"
#include <assert.h>

enum { URI_MAX = 4096, CURSOR_MAX = 8192 };

/* Marks the cursors of the resources that come and go. */
static const struct str cursor_prefix = STR_INIT("more:");

/* --- Lists --- */

/* -1: it is refused. *ret_next is what list_resources gave. */
static int read_cursor(struct request *r, struct str *ret_next)
{
    struct json cursor = json_get(r->params, STR("cursor"));
    struct str text = json_str(cursor, &r->session->arena);
    struct buf next;
    struct err err;
    *ret_next = (struct str){0};
    if (!json_present(cursor))
        return 0;
    if (text.n > CURSOR_MAX || !str_starts(text, cursor_prefix))
        return -1;
    buf_init(&next, CURSOR_MAX);
    int rc = base64_decode(&next, str_from(text, cursor_prefix.n), &err);
    if (rc == 0 && next.n > 0)
        *ret_next = arena_dup(&r->session->arena, buf_str(&next));
    buf_finish(&next);
    return rc == 0 && ret_next->n ? 0 : -1;
}

void resources_list(struct request *r)
{
    const struct mcp_server_config *config = &r->session->server->config;
    struct str next;
    if (!config->list_resources) {
        lists_answer(
            r, &(struct list){.key = "resources",
                              .rows = config->resources,
                              .count = config->resource_count,
                              .stride = sizeof(struct mcp_resource),
                              .definition = offsetof(struct mcp_resource, definition)});
        return;
    }
    if (read_cursor(r, &next) < 0) {
        request_refuse(r, "unknown cursor: start again");
        return;
    }
    struct call *call =
        calls_new(r, CALL_RESOURCE_LIST, config->list_resources, (struct json){0});
    if (!call)
        return;
    call->cursor = arena_dup(&call->arena, next);
    calls_run(call);
}

struct str call_cursor(struct call *call)
{
    return call->cursor;
}

struct json_writer *call_resources_begin(struct call *call)
{
    const struct mcp_server_config *config = &call->session->server->config;
    assert(call->kind == CALL_RESOURCE_LIST);
    struct json_writer *w = calls_begin_items(call, "resources");
    for (size_t i = 0; i < config->resource_count && call->cursor.n == 0; i++)
        jw_raw(w, config->resources[i].definition);
    return w;
}

void call_resources_end(struct call *call, struct str next)
{
    struct json_writer *w = &call->writer;
    jw_end_array(w);
    if (next.n) {
        struct buf cursor;
        buf_init(&cursor, 2 * CURSOR_MAX);
        buf_adds(&cursor, cursor_prefix);
        base64_encode(&cursor, next);
        jw_key_str(w, "nextCursor", buf_str(&cursor));
        buf_finish(&cursor);
    }
    lists_write_caching(w, call->era, 0);
    calls_end_result(call, w, call->message_start);
}

void resources_templates_list(struct request *r)
{
    const struct mcp_server_config *config = &r->session->server->config;
    lists_answer(
        r, &(struct list){.key = "resourceTemplates",
                          .rows = config->templates,
                          .count = config->template_count,
                          .stride = sizeof(struct mcp_template),
                          .definition = offsetof(struct mcp_template, definition)});
}

/* --- Reading --- */

int resources_missing_code(enum mcp_era era)
{
    return era == MCP_MODERN ? RPC_INVALID_PARAMS : RPC_RESOURCE_NOT_FOUND;
}

void resources_write_missing(struct json_writer *w, struct json uri)
{
    jw_key(w, "data");
    jw_object(w);
    jw_key_raw(w, "uri", json_raw(uri));
    jw_end_object(w);
}

static void refuse_unknown(struct request *r, struct json uri)
{
    int code = resources_missing_code(r->era);
    struct json_writer w;
    size_t start = request_begin_error(r, &w, code, "Resource not found");
    resources_write_missing(&w, uri);
    request_end_error(r, &w, start, code);
}

static const struct mcp_resource *find_resource(const struct mcp_server_config *config,
                                                struct json uri)
{
    for (size_t i = 0; i < config->resource_count; i++)
        if (rpc_is(uri, str_of(config->resources[i].uri)))
            return &config->resources[i];
    return NULL;
}

static const struct mcp_template *find_template(const struct mcp_server_config *config,
                                                struct str uri)
{
    for (size_t i = 0; i < config->template_count; i++)
        if (template_matches(str_of(config->templates[i].uri), uri))
            return &config->templates[i];
    return NULL;
}

void resources_read(struct request *r)
{
    const struct mcp_server_config *config = &r->session->server->config;
    struct json uri = json_get(r->params, STR("uri"));
    if (json_type(uri) != JSON_STRING || json_raw(uri).n > URI_MAX) {
        request_refuse(r, "params.uri must be a string of at most 4 KiB");
        return;
    }
    const struct mcp_resource *resource = find_resource(config, uri);
    const struct mcp_template *template = NULL;
    if (!resource)
        template = find_template(config, json_str(uri, &r->session->arena));
    if (!resource && !template) {
        refuse_unknown(r, uri);
        return;
    }
    struct call *call = calls_new(
        r, CALL_RESOURCE, resource ? resource->read : template->read, (struct json){0});
    if (!call)
        return;
    call->uri = json_str(calls_own(call, uri), &call->arena);
    call->template = template;
    call->ttl_ms = resource ? resource->ttl_ms : template->ttl_ms;
    calls_run(call);
}

struct str call_uri(const struct call *call)
{
    return call->uri;
}

struct str call_var(struct call *call, struct str name)
{
    struct str value = {0};
    if (call->template)
        template_var(str_of(call->template->uri), call->uri, name, &call->arena,
                     &value);
    return value;
}

struct json_writer *call_contents_begin(struct call *call)
{
    assert(call->kind == CALL_RESOURCE);
    return calls_begin_items(call, "contents");
}

static void begin_contents(struct json_writer *w, struct str uri, struct str mime_type)
{
    jw_object(w);
    jw_key_str(w, "uri", uri);
    if (mime_type.n)
        jw_key_str(w, "mimeType", mime_type);
}

void call_contents_text(struct json_writer *w, struct str uri, struct str mime_type,
                        struct str text)
{
    begin_contents(w, uri, mime_type);
    jw_key_str(w, "text", text);
    jw_end_object(w);
}

void call_contents_blob(struct json_writer *w, struct str uri, struct str mime_type,
                        struct str bytes)
{
    begin_contents(w, uri, mime_type);
    jw_key(w, "blob");
    jw_base64(w, bytes);
    jw_end_object(w);
}

void call_contents_end(struct call *call)
{
    jw_end_array(&call->writer);
    lists_write_caching(&call->writer, call->era, call->ttl_ms);
    calls_end_result(call, &call->writer, call->message_start);
}
