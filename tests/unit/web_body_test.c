/* The ladder of one endpoint for both eras: what a POST's body is, and where its
 * headers must mirror it. */
#include "base/mem.h"
#include "mcp/errors.h"
#include "tests/unit/check.h"
#include "transport/web/body.h"
#include <stdio.h>
#include <string.h>

#define META                                                                           \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","           \
    "\"io.modelcontextprotocol/clientCapabilities\":{}}"
#define OTHER_META(version)                                                            \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":" version ","              \
    "\"io.modelcontextprotocol/clientCapabilities\":{}}"
#define REQ(method, params)                                                            \
    "{\"jsonrpc\":\"2.0\",\"id\":\"i\",\"method\":\"" method "\",\"params\":{" params  \
    "}}"
#define MODERN(method, rest) REQ(method, META rest)
#define CALL(arguments)                                                                \
    MODERN("tools/call", ",\"name\":\"t\",\"arguments\":{" arguments "}")
#define NOW "2026-07-28"

struct headers {
    const char *version, *method, *name, *region, *count, *flag, *deep;
};

static struct str text(const char *s)
{
    return s ? str_of(s) : (struct str){0};
}

static struct str find(void *ctx, const char *name)
{
    const struct headers *h = ctx;
    static const char prefix[] = "mcp-param-";
    const char *rest = name + sizeof prefix - 1;
    assert_int_equal(strncmp(name, prefix, sizeof prefix - 1), 0);
    return text(strcmp(rest, "region") == 0  ? h->region
                : strcmp(rest, "count") == 0 ? h->count
                : strcmp(rest, "flag") == 0  ? h->flag
                : strcmp(rest, "deep") == 0  ? h->deep
                                             : NULL);
}

static const struct mcp_tool tools[] = {
    {.name = "t",
     .definition = STR_INIT(
         "{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\",\"properties\":{"
         "\"region\":{\"type\":\"string\",\"x-mcp-header\":\"Region\"},"
         "\"count\":{\"type\":\"integer\",\"x-mcp-header\":\"Count\"},"
         "\"flag\":{\"type\":\"boolean\",\"x-mcp-header\":\"Flag\"},"
         "\"o\":{\"type\":\"object\",\"properties\":{\"in\":{\"type\":\"string\","
         "\"x-mcp-header\":\"Deep\"}}},"
         "\"plain\":{\"type\":\"string\"}}}}")},
    {.name = "u", .definition = STR_INIT("{\"name\":\"u\",\"inputSchema\":{}}")},
};

static const struct row {
    const char *body;
    struct headers headers;
    int code; /* 0: good */
    enum body_kind kind;
} rows[] = {
    /* legacy */
    {REQ("ping", ""), {0}, 0, BODY_LEGACY},
    {REQ("ping", ""), {.version = "2025-11-25"}, 0, BODY_LEGACY},
    {REQ("initialize", ""), {0}, 0, BODY_INITIALIZE},
    {REQ("initialize", ""), {.version = "2025-06-18"}, 0, BODY_INITIALIZE},
    {REQ("initialize", ""), {.version = NOW}, RPC_HEADER_MISMATCH, 0},
    {"[" REQ("ping", "") "]", {0}, 0, BODY_LEGACY},
    {"[]", {0}, RPC_INVALID_REQUEST, 0},
    {"[" REQ("ping", "") "," MODERN("tools/list", "") "]", {0}, RPC_INVALID_REQUEST, 0},
    {"[" REQ("ping", "") "]", {.version = NOW}, RPC_INVALID_REQUEST, 0},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", {0}, 0, BODY_LEGACY},
    {"7", {0}, 0, BODY_LEGACY},
    /* no claim, but a modern header */
    {REQ("tools/list", ""), {.version = NOW}, RPC_INVALID_PARAMS, 0},
    {REQ("tools/list", ""), {.version = "2027-01-01"}, RPC_INVALID_PARAMS, 0},
    {REQ("server/discover", ""), {0}, RPC_INVALID_PARAMS, 0},
    {"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}",
     {.version = NOW},
     0,
     BODY_MODERN},
    {"7", {.version = NOW}, 0, BODY_MODERN},
    /* modern */
    {MODERN("tools/list", ""),
     {.version = NOW, .method = "tools/list"},
     0,
     BODY_MODERN},
    {MODERN("tools/list", ""), {0}, RPC_HEADER_MISMATCH, 0},
    {MODERN("tools/list", ""), {.version = NOW}, RPC_HEADER_MISMATCH, 0},
    {MODERN("tools/list", ""), {.method = "tools/list"}, RPC_HEADER_MISMATCH, 0},
    {MODERN("tools/list", ""),
     {.version = NOW, .method = "tools/call"},
     RPC_HEADER_MISMATCH,
     0},
    {MODERN("tools/list", ""),
     {.version = NOW, .method = "Tools/List"},
     RPC_HEADER_MISMATCH,
     0},
    {MODERN("tools/list", ""),
     {.version = "2025-11-25", .method = "tools/list"},
     RPC_HEADER_MISMATCH,
     0},
    {REQ("initialize", META), {.version = NOW, .method = "initialize"}, 0, BODY_MODERN},
    /* what the core answers better: envelope, version */
    {REQ("tools/list", OTHER_META("7")),
     {.version = NOW, .method = "tools/list"},
     0,
     BODY_MODERN},
    {REQ("tools/list", OTHER_META("\"v9\"")),
     {.version = "v9", .method = "tools/list"},
     0,
     BODY_MODERN},
    {REQ("tools/list", OTHER_META("\"v9\"")), {0}, 0, BODY_MODERN},
    {REQ("tools/list", OTHER_META("\"v9\"")),
     {.version = NOW, .method = "tools/list"},
     RPC_HEADER_MISMATCH,
     0},
    {REQ("tools/list",
         "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}"),
     {0},
     0,
     BODY_MODERN},
    {"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{" META
     "}}",
     {0},
     0,
     BODY_MODERN},
    /* Mcp-Name */
    {MODERN("prompts/get", ",\"name\":\"p\""),
     {.version = NOW, .method = "prompts/get", .name = "p"},
     0,
     BODY_MODERN},
    {MODERN("prompts/get", ",\"name\":\"p\""),
     {.version = NOW, .method = "prompts/get"},
     RPC_HEADER_MISMATCH,
     0},
    {MODERN("prompts/get", ",\"name\":\"p\""),
     {.version = NOW, .method = "prompts/get", .name = "P"},
     RPC_HEADER_MISMATCH,
     0},
    {MODERN("resources/read", ",\"uri\":\"a:b\""),
     {.version = NOW, .method = "resources/read", .name = "a:b"},
     0,
     BODY_MODERN},
    {MODERN("resources/read", ",\"uri\":\"a:\\u00e9\""),
     {.version = NOW, .method = "resources/read", .name = "=?base64?YTrDqQ==?="},
     0,
     BODY_MODERN},
    {MODERN("resources/read", ",\"uri\":\"a:b\""),
     {.version = NOW, .method = "resources/read", .name = "=?base64?YTpi"},
     RPC_HEADER_MISMATCH,
     0},
    {MODERN("resources/read", ",\"uri\":\"a:b\""),
     {.version = NOW, .method = "resources/read", .name = "=?base64?YTp!?="},
     RPC_HEADER_MISMATCH,
     0},
    {MODERN("resources/read", ",\"uri\":\"a:b\""),
     {.version = NOW, .method = "resources/read", .name = "=?base64?YTpi=?="},
     RPC_HEADER_MISMATCH,
     0},
    {MODERN("tasks/get", ",\"taskId\":\"k\""),
     {.version = NOW, .method = "tasks/get", .name = "k"},
     0,
     BODY_MODERN},
    {MODERN("tools/call", ""),
     {.version = NOW, .method = "tools/call"},
     0,
     BODY_MODERN},
    /* Mcp-Param-* */
    {CALL(""), {.version = NOW, .method = "tools/call", .name = "t"}, 0, BODY_MODERN},
    {CALL("\"plain\":\"x\""),
     {.version = NOW, .method = "tools/call", .name = "t"},
     0,
     BODY_MODERN},
    {CALL("\"region\":\"eu\""),
     {.version = NOW, .method = "tools/call", .name = "t", .region = "eu"},
     0,
     BODY_MODERN},
    {CALL("\"region\":\"eu\""),
     {.version = NOW, .method = "tools/call", .name = "t"},
     RPC_HEADER_MISMATCH,
     0},
    {CALL("\"region\":\"eu\""),
     {.version = NOW, .method = "tools/call", .name = "t", .region = "us"},
     RPC_HEADER_MISMATCH,
     0},
    {CALL("\"region\":null"),
     {.version = NOW, .method = "tools/call", .name = "t"},
     0,
     BODY_MODERN},
    {CALL("\"count\":42"),
     {.version = NOW, .method = "tools/call", .name = "t", .count = "42"},
     0,
     BODY_MODERN},
    {CALL("\"count\":42.0"),
     {.version = NOW, .method = "tools/call", .name = "t", .count = "42"},
     0,
     BODY_MODERN},
    {CALL("\"count\":42"),
     {.version = NOW, .method = "tools/call", .name = "t", .count = "43"},
     RPC_HEADER_MISMATCH,
     0},
    {CALL("\"count\":42"),
     {.version = NOW, .method = "tools/call", .name = "t"},
     RPC_HEADER_MISMATCH,
     0},
    {CALL("\"flag\":true"),
     {.version = NOW, .method = "tools/call", .name = "t", .flag = "true"},
     0,
     BODY_MODERN},
    {CALL("\"flag\":true"),
     {.version = NOW, .method = "tools/call", .name = "t", .flag = "True"},
     RPC_HEADER_MISMATCH,
     0},
    {CALL("\"o\":{\"in\":\"d\"}"),
     {.version = NOW, .method = "tools/call", .name = "t", .deep = "d"},
     0,
     BODY_MODERN},
    {CALL("\"o\":{\"in\":\"d\"}"),
     {.version = NOW, .method = "tools/call", .name = "t"},
     RPC_HEADER_MISMATCH,
     0},
};

static void ladder(void **state)
{
    (void)state;
    struct param_headers *params = param_headers_new(tools, 2);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct headers h = rows[i].headers;
        struct web_head head = {.protocol_version = text(h.version),
                                .mcp_method = text(h.method),
                                .mcp_name = text(h.name)};
        struct arena arena = {0};
        struct json_doc doc;
        struct body_refusal refusal = {0};
        struct err err;
        enum body_kind kind = BODY_LEGACY;
        assert_int_equal(json_parse(&doc, &arena, str_of(rows[i].body), &err), 0);
        int rc = body_check(&doc, &head, params, find, &h, &kind, &refusal);
        if (rc != (rows[i].code ? -1 : 0) || refusal.code != rows[i].code ||
            (rc == 0 && kind != rows[i].kind))
            fail_msg("row %zu, %s: code %d, kind %d", i, rows[i].body, refusal.code,
                     kind);
        /* the id goes back, where there is one */
        if (rc < 0 && rows[i].body[0] == '{')
            assert_true(str_eq(refusal.id, STR("\"i\"")));
        arena_finish(&arena);
    }
    param_headers_free(params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ladder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
