/* The head and body of a request: "name: value" lines, an empty line, the body.
 * Whatever comes, the rules end, a refusal is complete, and a value that was decoded is
 * UTF-8. */
#include "base/mem.h"
#include "base/utf8.h"
#include "mcp/errors.h"
#include "transport/web/body.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_MAX = 1 << 20, PARAM_MAX = 16 };

struct fields {
    struct str params[PARAM_MAX]; /* by a letter: mcp-param-a ... */
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

static const struct mcp_tool tools[] = {
    {.name = "t",
     .definition = STR_INIT(
         "{\"name\":\"t\",\"inputSchema\":{\"properties\":{\"x\":{\"x-mcp-header\":"
         "\"a\"},\"n\":{\"properties\":{\"y\":{\"x-mcp-header\":\"B\"}}}}}}")},
};

static struct str find(void *ctx, const char *name)
{
    const struct fields *f = ctx;
    static const char prefix[] = "mcp-param-";
    return f->params[(unsigned char)name[sizeof prefix - 1] % PARAM_MAX];
}

static void take(struct http_head *http, struct web_head *head, struct fields *f,
                 struct str name, struct str value)
{
    const struct {
        const char *name;
        struct str *to;
    } rows[] = {
        {"host", &http->host},
        {"origin", &http->origin},
        {"content-length", &http->content_length},
        {"transfer-encoding", &http->transfer_encoding},
        {"content-type", &http->content_type},
        {"accept", &http->accept},
        {"authorization", &http->authorization},
        {"connection", &http->connection},
        {"sec-websocket-key", &http->ws_key},
        {"sec-websocket-version", &http->ws_version},
        {"sec-websocket-protocol", &http->ws_protocol},
        {"mcp-protocol-version", &head->protocol_version},
        {"mcp-method", &head->mcp_method},
        {"mcp-name", &head->mcp_name},
        {"mcp-session-id", &head->session_id},
        {"path", &http->path},
        {"mcp-param-a", &f->params['a' % PARAM_MAX]},
        {"mcp-param-b", &f->params['b' % PARAM_MAX]},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (str_eq(name, str_of(rows[i].name)))
            *rows[i].to = value;
}

/* Returns what is behind the empty line. */
static struct str read_head(struct str s, struct http_head *http, struct web_head *head,
                            struct fields *f)
{
    http->method = s.n ? (enum http_method)((unsigned char)s.p[0] % 8) : HTTP_GET;
    http->keep_alive = true;
    head->http = http;
    for (s = str_from(s, 1); s.n;) {
        ptrdiff_t end = str_find(s, '\n');
        struct str line = {s.p, end < 0 ? s.n : (size_t)end};
        s = str_from(s, line.n + 1);
        ptrdiff_t colon = str_find(line, ':');
        if (line.n == 0)
            break;
        if (colon > 0)
            take(http, head, f, (struct str){line.p, (size_t)colon},
                 str_from(line, (size_t)colon + 2));
    }
    return s;
}

static void check(int rc, const struct http_refusal *r)
{
    require(rc == 0 || (r->status >= 400 && r->status < 600 && r->message));
}

static void check_http(const struct http_head *head, bool chunked_ok)
{
    static const struct str names[] = {STR_INIT("mcp.example.com")};
    struct http_policy policy = {.hosts = names,
                                 .host_count = 1,
                                 .origins = names,
                                 .origin_count = 1,
                                 .any_address = true};
    struct http_refusal r = {0};
    struct http_framing framing = {0};
    check(http_check_framing(head, BODY_MAX, chunked_ok, &framing, &r), &r);
    require(framing.body_bytes <= BODY_MAX);
    require(!framing.chunked || (chunked_ok && framing.body_bytes == 0));
    check(http_check_source(head, &policy, &r), &r);
    check(http_check_upgrade(head, STR("mcp"), &r), &r);
    http_bearer(head);
}

static void check_head(const struct web_head *head)
{
    struct http_refusal r = {0};
    enum web_route route;
    int rc = web_route(head->http->path, &route, &r);
    check(rc, &r);
    if (rc == 0)
        check(web_check_method(head, route, &r), &r);
    check(web_check_post(head, &r), &r);
    check(web_check_get(head, &r), &r);
    http_trace_id(head->mcp_name);
}

static void check_body(struct str text, const struct web_head *head, struct fields *f)
{
    struct param_headers *params = param_headers_new(tools, 1);
    struct arena arena = {0};
    struct json_doc doc;
    struct body_refusal refusal;
    enum body_kind kind;
    struct err err;
    struct str value;
    if (json_parse(&doc, &arena, text, &err) == 0 &&
        body_check(&doc, head, params, find, f, &kind, &refusal) < 0)
        require(refusal.code < 0 && refusal.message[0]);
    if (body_decode_header(head->mcp_name, &arena, &value, &err) == 0)
        require(value.n == 0 || value.p == head->mcp_name.p || utf8_valid(value));
    arena_finish(&arena);
    param_headers_free(params);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = mem_strndup((const char *)data, size);
    struct http_head http = {0};
    struct web_head head = {0};
    struct fields fields = {0};
    struct str body = read_head((struct str){copy, size}, &http, &head, &fields);
    check_http(&http, true);
    check_http(&http, false);
    check_head(&head);
    check_body(body, &head, &fields);
    mem_free(copy);
    return 0;
}
