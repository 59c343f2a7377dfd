/* The client against the server in memory, in both eras, and against scripted servers.
 * JSON is written with ' for " here. */
#include "base/mem.h"
#include "mcp/client.h"
#include "mcp/server.h"
#include "tests/unit/check.h"
#include <stdio.h>

/* What callbacks were told. */
struct told {
    int calls, progress, notifications;
    enum err_kind kind;
    char text[300]; /* the result's raw text or the error's message */
    double last_progress;
};

struct pair {
    struct arena arena;
    struct mcp_server *server;
    struct session *session;
    struct client *client;
    struct told told;
    int wakes;
};

static uint64_t last_ref;
static int cancelled;

static void echo(struct call *call)
{
    call_result_structured(call, json_raw(call_args(call)));
}

static void on_cancel(struct call *call)
{
    (void)call;
    cancelled++;
}

static void later(struct call *call)
{
    last_ref = call_ref(call);
    call_on_cancel(call, on_cancel);
}

static struct mcp_tool tools[] = {
    {.name = "echo",
     .definition =
         STR_INIT("{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}"),
     .call = echo},
    {.name = "later",
     .definition =
         STR_INIT("{\"name\":\"later\",\"inputSchema\":{\"type\":\"object\"}}"),
     .call = later},
};

static void on_notification(void *ctx, struct str method, struct json params)
{
    struct pair *p = ctx;
    (void)params;
    p->told.notifications++;
    assert_true(str_starts(method, STR("notifications/")));
}

static void on_wake(void *ctx)
{
    struct pair *p = ctx;
    p->wakes++;
}

static void on_result(void *ctx, struct json result, const struct err *err)
{
    struct told *told = ctx;
    told->calls++;
    told->kind = err ? err->kind : ERR_NONE;
    assert_true(!err == json_present(result));
    struct str raw = json_raw(result);
    if (err)
        snprintf(told->text, sizeof told->text, "%s", err->msg);
    else
        snprintf(told->text, sizeof told->text, "%.*s", STR_FMT(raw));
}

static void on_progress(void *ctx, double progress, double total, struct str message)
{
    struct told *told = ctx;
    told->progress++;
    told->last_progress = progress;
    assert_true(total < 0 || total > progress);
    assert_true(message.n == 0 || str_eq(message, STR("m")));
}

static struct client *make_client(struct pair *p, enum client_era era)
{
    struct client_config config = {.name = "test",
                                   .version = "1",
                                   .era = era,
                                   .on_notification = on_notification,
                                   .wake = on_wake,
                                   .ctx = p};
    client_free(p->client);
    p->told = (struct told){0};
    p->wakes = 0;
    return p->client = client_new(&config);
}

static int setup(void **state)
{
    struct pair *p = mem_new(struct pair);
    struct json_doc *doc = arena_alloc(&p->arena, sizeof *doc);
    struct schema *any;
    struct err err;
    assert_int_equal(json_parse(doc, &p->arena, STR("{}"), &err), 0);
    assert_int_equal(schema_compile(&any, json_root(doc), &p->arena, &err), 0);
    tools[0].input = tools[1].input = any;
    struct mcp_server_config config = {
        .name = "s", .title = "S", .version = "1", .tools = tools, .tool_count = 2};
    struct session_config session = {.owner = 1};
    p->server = mcp_server_new(&config);
    p->session = session_new(p->server, &session);
    cancelled = 0;
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;
    client_free(p->client);
    session_free(p->session);
    mcp_server_free(p->server);
    arena_finish(&p->arena);
    mem_free(p);
    return 0;
}

/* Carries messages both ways until nobody has any. */
static void carry(struct pair *p)
{
    struct err err;
    while (client_output(p->client).n || session_output(p->session).n) {
        struct str out = arena_dup(&p->arena, client_output(p->client));
        client_sent(p->client);
        for (ptrdiff_t n; (n = str_find(out, '\n')) >= 0;
             out = str_from(out, (size_t)n + 1))
            session_recv(p->session, (struct str){out.p, (size_t)n}, 1);
        assert_int_equal(out.n, 0);
        out = arena_dup(&p->arena, session_output(p->session));
        session_sent(p->session);
        for (ptrdiff_t n; (n = str_find(out, '\n')) >= 0;
             out = str_from(out, (size_t)n + 1))
            assert_int_equal(
                client_recv(p->client, (struct str){out.p, (size_t)n}, &err), 0);
    }
}

static struct str quoted(struct pair *p, const char *text)
{
    struct str s = arena_dup(&p->arena, str_of(text));
    char *to = arena_alloc(&p->arena, s.n + 1);
    for (size_t i = 0; i <= s.n; i++)
        to[i] = s.p[i] == '\'' ? '"' : s.p[i];
    return (struct str){to, s.n};
}

static void receive(struct pair *p, const char *text)
{
    struct err err;
    assert_int_equal(client_recv(p->client, quoted(p, text), &err), 0);
}

static void sends(struct pair *p, const char *want)
{
    struct str out = client_output(p->client), wanted = quoted(p, want);
    if (!str_eq(out, wanted))
        fail_msg("sends %.*s\nwant %s", STR_FMT(out), wanted.p);
    client_sent(p->client);
}

static void both_eras(void **state)
{
    struct pair *p = *state;
    static const enum client_era eras[] = {CLIENT_LEGACY, CLIENT_MODERN, CLIENT_AUTO};
    for (int i = 0; i < 3; i++) {
        struct client *c = make_client(p, eras[i]);
        struct told *told = &p->told;
        client_open(c, on_result, told);
        assert_int_equal(p->wakes, 1);
        carry(p);
        assert_int_equal(told->calls, 1);
        assert_int_equal(told->kind, ERR_NONE);
        assert_int_equal(client_is_modern(c), eras[i] != CLIENT_LEGACY);
        assert_non_null(
            strstr(told->text, client_is_modern(c) ? "supported" : "2025-11-25"));
        client_call_tool(c, "echo", STR("{ \"a\":\n[1,\t\"\\n \"] }"), on_result, told);
        carry(p);
        assert_int_equal(told->calls, 2);
        assert_non_null(strstr(told->text, "\"structuredContent\":{"));
        client_call_tool(c, "nothing", (struct str){0}, on_result, told);
        carry(p);
        assert_int_equal(told->kind, ERR_PROTOCOL);
        assert_string_equal(told->text,
                            "the server answered: Unknown tool: \"nothing\" (-32602)");
        static const char *const params[] = {"", "{}", " {\t\r\n } ", "{\"x\":1}"};
        for (size_t k = 0; k < sizeof params / sizeof params[0]; k++) {
            struct client_request r = {.method = "tools/list",
                                       .params = str_of(params[k]),
                                       .fn = on_result,
                                       .ctx = told};
            client_send(c, &r);
            carry(p);
            assert_int_equal(told->kind, ERR_NONE);
            assert_non_null(strstr(told->text, "later"));
        }
    }
}

static void progress_and_cancel(void **state)
{
    struct pair *p = *state;
    for (int era = CLIENT_LEGACY; era <= CLIENT_MODERN; era++) {
        struct client *c = make_client(p, (enum client_era)era);
        struct client_request r = {.method = "tools/call",
                                   .params = STR("{\"name\":\"later\"}"),
                                   .progress = true,
                                   .on_progress = on_progress,
                                   .fn = on_result,
                                   .ctx = &p->told};
        cancelled = 0;
        client_open(c, on_result, &p->told);
        carry(p);
        uint64_t number = client_send(c, &r);
        carry(p);
        call_progress(call_find(p->server, last_ref), 1, 5, STR("m"), 1);
        call_progress(call_find(p->server, last_ref), 2, -1, (struct str){0}, 200);
        carry(p);
        assert_int_equal(p->told.progress, 2);
        assert_true(p->told.last_progress > 1.5);
        assert_int_equal(p->told.notifications, 2);
        client_cancel(c, number);
        assert_int_equal(p->told.calls, 2);
        assert_int_equal(p->told.kind, ERR_CANCELLED);
        client_cancel(c, number);
        carry(p);
        assert_int_equal(cancelled, 1);
        assert_int_equal(session_calls(p->session), 0);
        /* answered in time after all: dropped */
        char late[80];
        snprintf(late, sizeof late, "{'jsonrpc':'2.0','id':%d,'result':{}}",
                 (int)number);
        receive(p, late);
        assert_int_equal(p->told.calls, 2);
    }
}

#define INITIALIZE                                                                     \
    "'method':'initialize','params':{'protocolVersion':'2025-11-25','capabilities':"   \
    "{},'clientInfo':{'name':'test','version':'1'}}}\n"
#define META                                                                           \
    "'_meta':{'io.modelcontextprotocol/protocolVersion':'2026-07-28',"                 \
    "'io.modelcontextprotocol/clientInfo':{'name':'test','version':'1'},"              \
    "'io.modelcontextprotocol/clientCapabilities':{}}"
#define DISCOVER                                                                       \
    "{'jsonrpc':'2.0','id':1,'method':'server/discover','params':{" META "}}\n"

static void falling_back(void **state)
{
    struct pair *p = *state;
    static const char *const refusals[] = {
        "{'jsonrpc':'2.0','id':1,'error':{'code':-32601,'message':'x'}}",
        "{'jsonrpc':'2.0','id':1,'error':{'code':-32602,'message':'x'}}",
        "{'jsonrpc':'2.0','id':1,'error':{'code':-32600,'message':'x'}}",
        "{'jsonrpc':'2.0','id':1,'error':{}}",
        "{'jsonrpc':'2.0','id':1,'result':{'supportedVersions':['2025-11-25']}}",
    };
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        make_client(p, CLIENT_AUTO);
        client_open(p->client, on_result, &p->told);
        sends(p, DISCOVER);
        receive(p, refusals[i]);
        sends(p, "{'jsonrpc':'2.0','id':2," INITIALIZE);
        assert_int_equal(p->told.calls, 0);
        receive(p,
                "{'jsonrpc':'2.0','id':2,'result':{'protocolVersion':'2024-11-05'}}");
        sends(p, "{'jsonrpc':'2.0','method':'notifications/initialized'}\n");
        assert_int_equal(p->told.calls, 1);
        assert_int_equal(p->told.kind, ERR_NONE);
        assert_false(client_is_modern(p->client));
        client_call_tool(p->client, "t", STR("{\"a\":1}"), on_result, &p->told);
        sends(p, "{'jsonrpc':'2.0','id':3,'method':'tools/call','params':{'name':'t',"
                 "'arguments':{'a':1}}}\n");
    }
}

static void opening_fails(void **state)
{
    struct pair *p = *state;
    static const struct {
        enum client_era era;
        const char *answer;
    } rows[] = {
        {CLIENT_MODERN,
         "{'jsonrpc':'2.0','id':1,'error':{'code':-32601,'message':'x'}}"},
        {CLIENT_MODERN, "{'jsonrpc':'2.0','id':1,'result':{}}"},
        {CLIENT_LEGACY,
         "{'jsonrpc':'2.0','id':1,'result':{'protocolVersion':'1999-01-01'}}"},
        {CLIENT_LEGACY, "{'jsonrpc':'2.0','id':1,'result':{}}"},
        {CLIENT_LEGACY,
         "{'jsonrpc':'2.0','id':1,'error':{'code':-32602,'message':'x'}}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        make_client(p, rows[i].era);
        client_open(p->client, on_result, &p->told);
        client_sent(p->client);
        receive(p, rows[i].answer);
        assert_int_equal(p->told.calls, 1);
        assert_int_equal(p->told.kind, ERR_PROTOCOL);
        sends(p, "");
    }
}

static void requests_of_the_server(void **state)
{
    struct pair *p = *state;
    make_client(p, CLIENT_LEGACY);
    receive(p, "{'jsonrpc':'2.0','id':'s-1','method':'ping'}");
    sends(p, "{'jsonrpc':'2.0','id':'s-1','result':{}}\n");
    receive(p, "{'jsonrpc':'2.0','id':0,'method':'roots/list'}");
    sends(p, "{'jsonrpc':'2.0','id':0,'error':{'code':-32601,'message':'Method not "
             "found'}}\n");
    receive(p, "{'jsonrpc':'2.0','method':'notifications/message','params':{}}");
    assert_int_equal(p->told.notifications, 1);
    assert_int_equal(p->wakes, 0);
}

#define NOTE_PROGRESS                                                                  \
    "{'jsonrpc':'2.0','method':'notifications/progress',"                              \
    "'params':{'progressToken':9,'progress':1}}"

static void nonsense_from_the_server(void **state)
{
    struct pair *p = *state;
    struct err err;
    static const char *const rows[] = {
        "", "{", "[]", "5", "{}", "{'jsonrpc':'2.0'}", "{'jsonrpc':'2.0','id':1}"};
    make_client(p, CLIENT_LEGACY);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(client_recv(p->client, quoted(p, rows[i]), &err), -1);
        assert_int_equal(err.kind, ERR_PROTOCOL);
    }
    static const char *const ignored[] = {
        "{'jsonrpc':'2.0','id':77,'result':{}}",
        "{'jsonrpc':'2.0','id':'1','result':{}}",
        "{'jsonrpc':'2.0','id':null,'error':{'code':1,'message':'x'}}",
        "{'jsonrpc':'2.0','error':{'code':1,'message':'x'}}",
        NOTE_PROGRESS,
    };
    client_call_tool(p->client, "t", (struct str){0}, on_result, &p->told);
    client_sent(p->client);
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        receive(p, ignored[i]);
    assert_int_equal(p->told.calls, 0);
    sends(p, "");
}

static void lost_connections(void **state)
{
    struct pair *p = *state;
    struct err err;
    struct client *c = make_client(p, CLIENT_AUTO);
    client_open(c, on_result, &p->told);
    client_call_tool(c, "t", (struct str){0}, on_result, &p->told);
    err_set(&err, ERR_UNAVAILABLE, "the server ended");
    client_lost(c, &err);
    assert_int_equal(p->told.calls, 2);
    assert_int_equal(p->told.kind, ERR_UNAVAILABLE);
    client_lost(c, &err);
    assert_int_equal(p->told.calls, 2);
    client_call_tool(c, "t", (struct str){0}, on_result, &p->told);
    client_free(c);
    p->client = NULL;
    assert_int_equal(p->told.calls, 3);
    assert_int_equal(p->told.kind, ERR_CANCELLED);
}

static void a_server_that_does_not_read(void **state)
{
    struct pair *p = *state;
    struct client *c = make_client(p, CLIENT_LEGACY);
    size_t n = 60u << 20;
    char *text = memset(mem_alloc(n), 'x', n);
    memcpy(text, "{\"a\":\"", 6);
    memcpy(text + n - 2, "\"}", 2);
    for (int i = 0; i < 3; i++)
        client_call_tool(c, "t", (struct str){text, n}, on_result, &p->told);
    assert_int_equal(p->told.calls, 1);
    assert_int_equal(p->told.kind, ERR_LIMIT);
    size_t before = client_output(c).n;
    receive(p, "{'jsonrpc':'2.0','id':5,'method':'ping'}");
    assert_true(client_output(c).n > before);
    assert_int_equal(client_output(c).p[before - 1], '\n');
    mem_free(text);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(both_eras),
        TEST(progress_and_cancel),
        TEST(falling_back),
        TEST(opening_fails),
        TEST(requests_of_the_server),
        TEST(nonsense_from_the_server),
        TEST(lost_connections),
        TEST(a_server_that_does_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
