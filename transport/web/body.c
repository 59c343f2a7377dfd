#include "transport/web/body.h"
#include "base/base64.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "mcp/errors.h"
#include "mcp/jsonrpc.h"
#include "mcp/protocol.h"
#include <stdio.h>

#define VERSION_KEY MCP_META "protocolVersion"
#define CAPABILITIES_KEY MCP_META "clientCapabilities"
#define PARAM_PREFIX "mcp-param-"

enum {
    PARAM_DEPTH_MAX = 8,  /* of properties in an input schema */
    PARAM_NAME_MAX = 128, /* of a header */
    DECODED_MAX = 64 * 1024,
};

/* One argument: tool, header name in lower case, and the keys that lead to it. */
struct param {
    const char *tool, *header;
    struct str path[PARAM_DEPTH_MAX];
    size_t depth;
};

struct param_headers {
    struct arena arena;
    struct param *params;
    size_t count;
};

static const char *header_name(struct arena *a, struct str name)
{
    char *text = arena_alloc(a, sizeof PARAM_PREFIX + name.n);
    memcpy(text, PARAM_PREFIX, sizeof PARAM_PREFIX - 1);
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        text[sizeof PARAM_PREFIX - 1 + i] =
            c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
    }
    text[sizeof PARAM_PREFIX - 1 + name.n] = '\0';
    return text;
}

/* A chain of `properties`, nothing else: only such arguments may be mirrored. */
static void find_params(struct param_headers *h, const char *tool, struct json schema,
                        struct param *so_far)
{
    struct json properties = json_get(schema, STR("properties"));
    if (so_far->depth == PARAM_DEPTH_MAX)
        return;
    for (struct json k = json_first(properties); json_present(k); k = json_next(k)) {
        struct json property = json_value(k);
        struct json name = json_get(property, STR("x-mcp-header"));
        struct str header = json_str(name, &h->arena);
        so_far->path[so_far->depth++] = arena_dup(&h->arena, json_str(k, &h->arena));
        if (header.n > 0 && header.n <= PARAM_NAME_MAX) {
            h->params = mem_realloc(h->params, (h->count + 1) * sizeof h->params[0]);
            struct param *p = &h->params[h->count++];
            *p = *so_far;
            p->tool = tool;
            p->header = header_name(&h->arena, header);
        }
        find_params(h, tool, property, so_far);
        so_far->depth--;
    }
}

struct param_headers *param_headers_new(const struct mcp_tool *tools, size_t count)
{
    struct param_headers *h = mem_new(struct param_headers);
    for (size_t i = 0; i < count; i++) {
        struct json_doc doc;
        struct err err;
        struct param none = {0};
        if (json_parse(&doc, &h->arena, tools[i].definition, &err) == 0)
            find_params(h, tools[i].name, json_get(json_root(&doc), STR("inputSchema")),
                        &none);
    }
    return h;
}

void param_headers_free(struct param_headers *headers)
{
    if (!headers)
        return;
    arena_finish(&headers->arena);
    mem_free(headers->params);
    mem_free(headers);
}

/* What body_check() works on. */
struct checked {
    struct json message;
    const struct web_head *head;
    const struct param_headers *params;
    body_header_fn *header;
    void *ctx;
    struct arena arena;
    struct body_refusal *refusal;
};

static int refuse(struct checked *c, int code, const char *message)
{
    struct json id = json_get(c->message, STR("id"));
    c->refusal->code = code;
    c->refusal->id = rpc_legal_id(id) ? json_raw(id) : (struct str){0};
    snprintf(c->refusal->message, sizeof c->refusal->message, "%s", message);
    return -1;
}

static int mismatch(struct checked *c, const char *header, const char *what)
{
    char message[sizeof c->refusal->message];
    snprintf(message, sizeof message, "%.100s %s", header, what);
    return refuse(c, RPC_HEADER_MISMATCH, message);
}

int body_decode_header(struct str value, struct arena *a, struct str *ret_value,
                       struct err *err)
{
    static const struct str begin = STR_INIT("=?base64?"), end = STR_INIT("?=");
    if (!str_starts(value, begin) || !str_ends(value, end) ||
        value.n < begin.n + end.n) {
        *ret_value = value;
        return 0;
    }
    struct buf decoded;
    buf_init(&decoded, DECODED_MAX);
    struct str inside = {value.p + begin.n, value.n - begin.n - end.n};
    int rc = base64_decode(&decoded, inside, err);
    if (rc == 0 && (decoded.overflow || !utf8_valid(buf_str(&decoded))))
        rc = err_set(err, ERR_INVALID, "not UTF-8 in base64");
    if (rc == 0)
        *ret_value = arena_dup(a, buf_str(&decoded));
    buf_finish(&decoded);
    return rc;
}

/* A header must be there and carry exactly `wanted`. */
static int must_carry(struct checked *c, const char *name, struct str value,
                      struct str wanted)
{
    struct err err;
    if (!value.p)
        return mismatch(c, name, "is required: it mirrors the body");
    if (body_decode_header(value, &c->arena, &value, &err) < 0)
        return mismatch(c, name, "cannot be decoded");
    if (!str_eq(value, wanted))
        return mismatch(c, name, "differs from the body");
    return 0;
}

/* Mcp-Name mirrors what the method is about. */
static int check_name(struct checked *c, struct json method)
{
    static const struct {
        struct str method, param;
    } rows[] = {
        {STR_INIT("tools/call"), STR_INIT("name")},
        {STR_INIT("prompts/get"), STR_INIT("name")},
        {STR_INIT("resources/read"), STR_INIT("uri")},
        {STR_INIT("tasks/get"), STR_INIT("taskId")},
        {STR_INIT("tasks/update"), STR_INIT("taskId")},
        {STR_INIT("tasks/cancel"), STR_INIT("taskId")},
    };
    struct json params = json_get(c->message, STR("params"));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!rpc_is(method, rows[i].method))
            continue;
        struct json name = json_get(params, rows[i].param);
        if (json_type(name) != JSON_STRING)
            return 0; /* the core says what is wrong */
        return must_carry(c, "Mcp-Name", c->head->mcp_name, json_str(name, &c->arena));
    }
    return 0;
}

/* Numbers as numbers, the rest as text. */
static int must_carry_value(struct checked *c, const char *name, struct str value,
                            struct json wanted)
{
    struct json_doc doc;
    struct err err;
    switch (json_type(wanted)) {
    case JSON_STRING:
        return must_carry(c, name, value, json_str(wanted, &c->arena));
    case JSON_NUMBER:
        if (value.p && json_parse(&doc, &c->arena, value, &err) == 0 &&
            json_equal(json_root(&doc), wanted))
            return 0;
        return must_carry(c, name, value, json_raw(wanted));
    case JSON_BOOL:
        return must_carry(c, name, value, json_raw(wanted));
    default:
        return 0; /* neither is mirrored; the core checks the type */
    }
}

static int check_params(struct checked *c, struct json method)
{
    struct json params = json_get(c->message, STR("params"));
    struct json tool = json_get(params, STR("name"));
    if (!c->params || !rpc_is(method, STR("tools/call")))
        return 0;
    for (size_t i = 0; i < c->params->count; i++) {
        const struct param *p = &c->params->params[i];
        if (!rpc_is(tool, str_of(p->tool)))
            continue;
        struct json value = json_get(params, STR("arguments"));
        for (size_t k = 0; k < p->depth; k++)
            value = json_get(value, p->path[k]);
        if (must_carry_value(c, p->header, c->header(c->ctx, p->header), value) < 0)
            return -1;
    }
    return 0;
}

/* The headers of a modern request. Where the envelope or the version is wrong, the core
 * has a better answer: steps 8 and 11 come before 12. */
static int check_modern(struct checked *c, struct json version)
{
    const struct web_head *head = c->head;
    struct json method = json_get(c->message, STR("method"));
    struct json meta = json_pointer(c->message, "/params/_meta");
    bool is_request = json_present(json_get(c->message, STR("id")));
    if (!is_request || json_type(version) != JSON_STRING ||
        json_type(method) != JSON_STRING ||
        json_type(json_get(meta, STR(CAPABILITIES_KEY))) != JSON_OBJECT)
        return 0;
    if (head->protocol_version.p && !json_str_is(version, head->protocol_version))
        return mismatch(c, "MCP-Protocol-Version", "differs from the body");
    if (head->mcp_method.p &&
        must_carry(c, "Mcp-Method", head->mcp_method, json_str(method, &c->arena)) < 0)
        return -1;
    if (!rpc_is(version, STR(MCP_MODERN_VERSION)))
        return 0;
    if (!head->protocol_version.p)
        return mismatch(c, "MCP-Protocol-Version", "is required: it mirrors the body");
    if (!head->mcp_method.p)
        return mismatch(c, "Mcp-Method", "is required: it mirrors the body");
    if (check_name(c, method) < 0)
        return -1;
    return check_params(c, method);
}

static struct json claim(struct json message)
{
    return json_get(json_pointer(message, "/params/_meta"), STR(VERSION_KEY));
}

static int check_array(struct checked *c, struct json array)
{
    static const char why[] = "Batches are only part of revision 2025-03-26";
    if (json_len(array) == 0)
        return refuse(c, RPC_INVALID_REQUEST, "An empty batch");
    if (web_version_modern(c->head->protocol_version))
        return refuse(c, RPC_INVALID_REQUEST, why);
    for (struct json m = json_first(array); json_present(m); m = json_next(m))
        if (json_present(claim(m)))
            return refuse(c, RPC_INVALID_REQUEST, why);
    return 0;
}

static int classify(struct checked *c, enum body_kind *ret_kind)
{
    struct json m = c->message;
    struct json version = claim(m), method = json_get(m, STR("method"));
    bool modern_head = web_version_modern(c->head->protocol_version);
    *ret_kind = BODY_LEGACY;
    if (json_type(m) == JSON_ARRAY)
        return check_array(c, m);
    if (json_present(version)) {
        *ret_kind = BODY_MODERN;
        return check_modern(c, version);
    }
    if (rpc_is(method, STR("initialize"))) {
        *ret_kind = BODY_INITIALIZE;
        return modern_head ? mismatch(c, "MCP-Protocol-Version",
                                      "names a revision that has no initialize")
                           : 0;
    }
    if (!modern_head && !rpc_is(method, STR("server/discover")))
        return 0;
    *ret_kind = BODY_MODERN;
    if (!json_present(json_get(m, STR("id"))) || json_type(method) != JSON_STRING)
        return 0; /* a notification, a response, or no message at all */
    return refuse(c, RPC_INVALID_PARAMS,
                  "params._meta lacks \"" VERSION_KEY "\" and \"" CAPABILITIES_KEY
                  "\"");
}

int body_check(const struct json_doc *doc, const struct web_head *head,
               const struct param_headers *params, body_header_fn *header, void *ctx,
               enum body_kind *ret_kind, struct body_refusal *refusal)
{
    struct checked c = {.message = json_root(doc),
                        .head = head,
                        .params = params,
                        .header = header,
                        .ctx = ctx,
                        .refusal = refusal};
    int rc = classify(&c, ret_kind);
    arena_finish(&c.arena);
    return rc;
}
