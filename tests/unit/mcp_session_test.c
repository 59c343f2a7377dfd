/* The server side: the classifier of both eras, each method, calls in flight. JSON is
 * written with ' for " here. */
#include "base/mem.h"
#include "tests/unit/talk.h"
#include <math.h>
#include <stdio.h>

static uint64_t last_ref;
static int cancelled;
static struct str last_text;

static void echo(struct call *call)
{
    char out[256];
    struct str text =
        json_str(json_get(call_args(call), STR("text")), call_arena(call));
    int n = snprintf(out, sizeof out, "{\"text\":\"%.*s\"}", STR_FMT(text));
    call_result_structured(call, (struct str){out, (size_t)n});
}

static void on_cancel(struct call *call)
{
    cancelled++;
    assert_null(call_find(call_server(call), call_ref(call)));
    mem_free(call_state(call));
}

static void later(struct call *call)
{
    last_ref = call_ref(call);
    last_text = json_str(json_get(call_args(call), STR("text")), call_arena(call));
    call_set_state(call, mem_alloc(8));
    call_on_cancel(call, on_cancel);
}

/* {"bytes":n,"structured":bool} */
static void big(struct call *call)
{
    int64_t n = 0;
    json_i64(json_get(call_args(call), STR("bytes")), &n);
    char *text = memset(mem_alloc((size_t)n + 9), 'x', (size_t)n + 9);
    if (json_is_true(json_get(call_args(call), STR("structured")))) {
        memcpy(text, "{\"t\":\"", 6);
        memcpy(text + n + 6, "\"}", 2);
        call_result_structured(call, (struct str){text, (size_t)n + 8});
    } else {
        struct json_writer *w = call_content_begin(call);
        call_content_text(w, (struct str){text, (size_t)n});
        call_content_end(call);
    }
    mem_free(text);
}

static void kinds(struct call *call)
{
    struct json_writer *w = call_content_begin(call);
    call_content_text(w, STR("a\nb"));
    call_content_image(w, STR("image/png"), STR("\x89PNG"));
    call_content_blob(w, STR("sandbox://s/f"), STR("application/zip"), STR("zip"));
    call_content_end(call);
}

/* Fails after it began to write. */
static void midway(struct call *call)
{
    struct err err;
    call_content_text(call_content_begin(call), STR("half of it"));
    err_set(&err, ERR_NOT_FOUND, "no such file");
    err_remedy(&err, "list_files shows what there is");
    call_fail(call, &err);
}

static void talk(struct call *call)
{
    call_log(call, MCP_LOG_ERROR, STR("bad"));
    call_log(call, MCP_LOG_INFO, STR("good"));
    assert_ptr_equal(call_ctx(call), &last_ref);
    assert_int_equal(call_owner(call), 7);
    call_result_structured(call, STR("{}"));
}

#define DEFINITION(tool) "{\"name\":\"" tool "\",\"inputSchema\":{\"type\":\"object\"}}"
static struct mcp_tool tools[] = {
    {.name = "echo", .definition = STR_INIT(DEFINITION("echo")), .call = echo},
    {.name = "later", .definition = STR_INIT(DEFINITION("later")), .call = later},
    {.name = "big", .definition = STR_INIT(DEFINITION("big")), .call = big},
    {.name = "kinds", .definition = STR_INIT(DEFINITION("kinds")), .call = kinds},
    {.name = "midway", .definition = STR_INIT(DEFINITION("midway")), .call = midway},
    {.name = "talk", .definition = STR_INIT(DEFINITION("talk")), .call = talk},
};
enum { TOOL_COUNT = sizeof tools / sizeof tools[0] };

static int setup(void **state)
{
    struct talk *f = mem_new(struct talk);
    struct json_doc *doc = arena_alloc(&f->arena, sizeof *doc);
    struct schema *schema;
    struct err err;
    const char *text = "{\"type\":\"object\",\"properties\":{\"text\":{\"type\":"
                       "\"string\",\"maxLength\":2000000},\"bytes\":{\"type\":"
                       "\"integer\",\"minimum\":0},\"structured\":{\"type\":"
                       "\"boolean\"}},\"additionalProperties\":false}";
    assert_int_equal(json_parse(doc, &f->arena, str_of(text), &err), 0);
    assert_int_equal(schema_compile(&schema, json_root(doc), &f->arena, &err), 0);
    for (int i = 0; i < TOOL_COUNT; i++)
        tools[i].input = schema;
    struct mcp_server_config config = {.name = "test",
                                       .title = "Test",
                                       .version = "1",
                                       .instructions = "use it",
                                       .tools = tools,
                                       .tool_count = TOOL_COUNT,
                                       .ctx = &last_ref};
    f->server = mcp_server_new(&config);
    talk_restart(f);
    cancelled = 0;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct talk *f = *state;
    talk_finish(f);
    mem_free(f);
    return 0;
}

static void classifier(void **state)
{
    struct talk *f = *state;
    static const struct talk_row fresh[] = {
        /* modern: by what the request carries */
        {MODERN("1", "tools/list", ""), "1", "/result/resultType", "'complete'"},
        {MODERN("1", "server/discover", ""), "1", "/result/supportedVersions",
         "['2026-07-28']"},
        {MODERN("1", "ping", ""), "1", CODE, NO_METHOD},
        {MODERN("1", "initialize", ""), "1", CODE, NO_METHOD},
        {MODERN("1", "logging/setLevel", ",'level':'info'"), "1", CODE, NO_METHOD},
        {MODERN("1", "subscriptions/listen", ",'notifications':{}"), "1", CODE,
         NO_METHOD},
        {MODERN("1", "no/such", ""), "1", CODE, NO_METHOD},
        {REQ("1", "tools/list", "'_meta':{" VERSION "}"), "1", CODE, PARAMS},
        {REQ("1", "tools/list",
             "'_meta':{" VERSION ",'io.modelcontextprotocol/clientCapabilities':1}"),
         "1", CODE, PARAMS},
        {REQ("1", "tools/list",
             "'_meta':{'io.modelcontextprotocol/protocolVersion':1," CAPS "}"),
         "1", CODE, PARAMS},
        {REQ("1", "tools/list",
             "'_meta':{" VERSION "," CAPS ",'io.modelcontextprotocol/logLevel':'x'}"),
         "1", CODE, PARAMS},
        {REQ("1", "tools/list",
             "'_meta':{" VERSION "," CAPS
             ",'io.modelcontextprotocol/logLevel':'debug','x/y':1}"),
         "1", "/result/resultType", "'complete'"},
        {REQ("1", "tools/list",
             "'_meta':{'io.modelcontextprotocol/protocolVersion':'v999.0.0'," CAPS "}"),
         "1", "/error",
         "{'code':-32022,'message':'Unsupported protocol "
         "version','data':{'supported':['2026-07-28'],'requested':'v999.0.0'}}"},
        {REQ("1", "server/discover",
             "'_meta':{'io.modelcontextprotocol/protocolVersion':'2025-11-25'," CAPS
             "}"),
         "1", CODE, "-32022"},
        {REQ("1", "no/such",
             "'_meta':{'io.modelcontextprotocol/protocolVersion':'2030-01-01'}"),
         "1", CODE, "-32022"},
        /* discover without its envelope names what is missing */
        {REQ("'d'", "server/discover", ""), "'d'", "/error",
         "{'code':-32602,'message':'params._meta lacks "
         "\\'io.modelcontextprotocol/protocolVersion\\' and "
         "\\'io.modelcontextprotocol/clientCapabilities\\''}"},
        {REQ("1", "server/discover", "'_meta':{" CAPS "}"), "1", "/error/message",
         "'params._meta lacks \\'io.modelcontextprotocol/protocolVersion\\''"},
        /* before any handshake: legacy, newest */
        {REQ("1", "ping", ""), "1", "/result", "{}"},
        {REQ("1", "tools/list", ""), "1", "/result/resultType", ""},
        {REQ("1", "prompts/list", "'_meta':{'progressToken':1}"), "1", "/result",
         "{'prompts':[]}"},
        {CALL("1", "echo", "'text':'x'"), "1", "/result/structuredContent",
         "{'text':'x'}"},
        {NOTE("notifications/cancelled", "'requestId':1"), NULL, "", ""},
        {NOTE("notifications/cancelled", ""), NULL, "", ""},
        {NOTE("notifications/initialized", ""), NULL, "", ""},
    };
    TALK_ROWS(f, fresh);
    static const struct talk_row opened[] = {
        {INIT("2025-11-25"), "'i'", "/result/protocolVersion", "'2025-11-25'"},
        {NOTE("notifications/initialized", ""), NULL, "", ""},
        {REQ("1", "tools/list", ""), "1", "/result/resultType", ""},
        {MODERN("1", "tools/list", ""), "1", "/result/resultType", "'complete'"},
        {REQ("1", "server/discover", ""), "1", CODE, PARAMS},
        {MODERN("1", "server/discover", ""), "1", "/result/resultType", "'complete'"},
        {REQ("1", "subscriptions/listen", ""), "1", CODE, NO_METHOD},
        {REQ("1", "resources/subscribe", "'uri':'x:y'"), "1", CODE, NO_METHOD},
        {REQ("1", "tasks/list", ""), "1", CODE, NO_METHOD},
        {INIT("2024-11-05"), "'i'", "/result/protocolVersion", "'2024-11-05'"},
    };
    TALK_ROWS(f, opened);
}

static void handshakes(void **state)
{
    struct talk *f = *state;
    static const char *const rows[][2] = {
        {INIT("2024-11-05"), "'2024-11-05'"},
        {INIT("2024-10-07"), "'2024-11-05'"},
        {INIT("2025-03-26"), "'2025-03-26'"},
        {INIT("2025-06-18"), "'2025-06-18'"},
        {INIT("2025-11-25"), "'2025-11-25'"},
        {INIT("2026-07-28"), "'2025-11-25'"},
        {INIT("2099-01-01"), "'2025-11-25'"},
        {INIT(""), "'2025-11-25'"},
        {REQ("'i'", "initialize", ""), "'2025-11-25'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        talk_restart(f);
        struct str out = talk_ask(f, rows[i][0]);
        talk_has(f, out, "/id", "'i'");
        talk_has(f, out, "/result/protocolVersion", rows[i][1]);
        talk_has(f, out, "/result/serverInfo",
                 "{'name':'test','title':'Test','version':'1'}");
        talk_has(
            f, out, "/result/capabilities",
            "{'tools':{},'resources':{},'prompts':{},'completions':{},'logging':{}}");
        talk_has(f, out, "/result/instructions", "'use it'");
        talk_same(talk_ask(f, NOTE("notifications/initialized", "")), "",
                  "initialized");
        talk_has(f, talk_ask(f, REQ("0", "tools/list", "")), "/result/tools/0/name",
                 "'echo'");
    }
    talk_has(f, talk_ask(f, REQ("1", "initialize", "'protocolVersion':5")), CODE,
             PARAMS);
}

static void discover(void **state)
{
    struct talk *f = *state;
    struct str out =
        talk_ask(f, MODERN("'server-discover-probe-1'", "server/discover", ""));
    talk_has(f, out, "/id", "'server-discover-probe-1'");
    talk_has(f, out, "/result/supportedVersions", "['2026-07-28']");
    talk_has(f, out, "/result/instructions", "'use it'");
    talk_has(f, out, "/result/ttlMs", "0");
    talk_has(f, out, "/result/cacheScope", "'private'");
    struct str meta = talk_part(f, out, "/result/_meta");
    talk_same(
        meta,
        talk_quoted(f, "{'io.modelcontextprotocol/serverInfo':{'name':'test','version':"
                       "'1'}}")
            .p,
        "_meta");
}

static void lists(void **state)
{
    struct talk *f = *state;
    static const struct talk_row rows[] = {
        {REQ("1", "resources/list", ""), "1", "/result", "{'resources':[]}"},
        {REQ("1", "resources/templates/list", ""), "1", "/result",
         "{'resourceTemplates':[]}"},
        {REQ("1", "prompts/list", ""), "1", "/result", "{'prompts':[]}"},
        {"{'jsonrpc':'2.0','id':1,'method':'prompts/list'}", "1", "/result",
         "{'prompts':[]}"},
        {REQ("1", "tools/list", "'cursor':'x'"), "1", CODE, PARAMS},
        {REQ("1", "tools/list", "'cursor':''"), "1", CODE, PARAMS},
        {REQ("1", "prompts/list", "'cursor':5"), "1", CODE, PARAMS},
        {MODERN("1", "resources/list", ",'cursor':'x'"), "1", CODE, PARAMS},
        {MODERN("1", "resources/list", ""), "1", "/result/ttlMs", "0"},
        {MODERN("1", "resources/list", ""), "1", "/result/resources", "[]"},
        {MODERN("1", "resources/templates/list", ""), "1", "/result/cacheScope",
         "'private'"},
    };
    TALK_ROWS(f, rows);
    struct str first = talk_ask(f, REQ("1", "tools/list", ""));
    assert_true(str_eq(first, talk_ask(f, REQ("1", "tools/list", ""))));
    talk_has(f, first, "/result/tools/5/name", "'talk'");
    first = talk_ask(f, MODERN("1", "tools/list", ""));
    talk_ask(f, INIT("2025-06-18"));
    assert_true(str_eq(first, talk_ask(f, MODERN("1", "tools/list", ""))));
}

static void other_methods(void **state)
{
    static const struct talk_row rows[] = {
        {REQ("1", "resources/read", "'uri':'a:\\u0062'"), "1", "/error",
         "{'code':-32002,'message':'Resource not found','data':{'uri':'a:\\u0062'}}"},
        {MODERN("1", "resources/read", ",'uri':'a:b'"), "1", "/error",
         "{'code':-32602,'message':'Resource not found','data':{'uri':'a:b'}}"},
        {REQ("1", "resources/read", ""), "1", CODE, PARAMS},
        {REQ("1", "resources/read", "'uri':5"), "1", CODE, PARAMS},
        {REQ("1", "prompts/get", "'name':'x'"), "1", CODE, PARAMS},
        {REQ("1", "prompts/get", ""), "1", CODE, PARAMS},
        {REQ("1", "completion/complete",
             "'ref':{'type':'ref/prompt','name':'x'},'argument':{}"),
         "1", CODE, PARAMS},
        {REQ("1", "completion/complete", "'ref':{'type':'ref/resource','uri':'x'}"),
         "1", CODE, PARAMS},
        {REQ("1", "completion/complete", "'ref':{'type':'x'}"), "1", CODE, PARAMS},
        {REQ("1", "completion/complete", ""), "1", CODE, PARAMS},
        {MODERN("1", "completion/complete", ""), "1", CODE, PARAMS},
        {REQ("1", "logging/setLevel", "'level':'debug'"), "1", "/result", "{}"},
        {REQ("1", "logging/setLevel", "'level':'loud'"), "1", CODE, PARAMS},
        {REQ("1", "logging/setLevel", ""), "1", CODE, PARAMS},
    };
    TALK_ROWS(*state, rows);
}

static void tool_calls(void **state)
{
    struct talk *f = *state;
    static const struct talk_row rows[] = {
        {CALL("1", "nothing", ""), "1", "/error",
         "{'code':-32602,'message':'Unknown tool: \\'nothing\\''}"},
        {REQ("1", "tools/call", ""), "1", CODE, PARAMS},
        {REQ("1", "tools/call", "'name':5"), "1", CODE, PARAMS},
        {REQ("1", "tools/call", "'name':'echo','arguments':[]"), "1", CODE, PARAMS},
        {REQ("1", "tools/call", "'name':'echo','arguments':null"), "1", CODE, PARAMS},
        {REQ("1", "tools/call", "'name':'echo'"), "1", "/result",
         "{'content':[{'type':'text','text':'{\\'text\\':\\'\\'}'}],"
         "'structuredContent':{'text':''}}"},
        {CALL("1", "echo", "'text':5"), "1", "/result/isError", "true"},
        {CALL("1", "echo", "'text':5"), "1", "/result/content/0/text",
         "'{\\'code\\':\\'INVALID\\',\\'cause\\':\\'text must be of type string (got "
         "5)\\',\\'remedy\\':\\'correct the arguments of echo and call it again\\'}'"},
        {CALL("1", "echo", "'txet':'x'"), "1", "/result/isError", "true"},
        {MODERN("1", "tools/call", ",'name':'echo','arguments':{'text':1}"), "1",
         "/result/resultType", "'complete'"},
        {MODERN("1", "tools/call", ",'name':'nothing'"), "1", CODE, PARAMS},
        {CALL("1", "midway", ""), "1", "/result",
         "{'content':[{'type':'text','text':'{\\'code\\':\\'NOT_FOUND\\',\\'cause\\':"
         "\\'no such file\\',\\'remedy\\':\\'list_files shows what there is\\'}'}],"
         "'isError':true}"},
        {CALL("1", "kinds", ""), "1", "/result/content",
         "[{'type':'text','text':'a\\nb'},{'type':'image','mimeType':'image/"
         "png','data':"
         "'iVBORw=='},{'type':'resource','resource':{'uri':'sandbox://s/f','mimeType':"
         "'application/zip','blob':'emlw'}}]"},
    };
    TALK_ROWS(f, rows);
    assert_int_equal(session_calls(f->session), 0);
}

static void big_results(void **state)
{
    struct talk *f = *state;
    char text[300];
    static const struct {
        const char *args;
        bool fits;
    } rows[] = {
        {"'bytes':8388000", true},
        {"'bytes':8388608", false},
        {"'bytes':8388540", false},
        {"'bytes':40000000", false},
        {"'bytes':4000000,'structured':true", true},
        {"'bytes':4200000,'structured':true", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(text, sizeof text, CALL("1", "big", "%s"), rows[i].args);
        session_recv(f->session, talk_quoted(f, text), 1);
        struct str out = talk_take(f);
        talk_has(f, out, "/result/isError", rows[i].fits ? "" : "true");
        if (!rows[i].fits)
            assert_non_null(memmem(out.p, out.n, "LIMIT", 5));
        /* what else was in the output is still there */
        session_recv(f->session, talk_quoted(f, REQ("1", "ping", "")), 1);
        session_recv(f->session, talk_quoted(f, text), 1);
        assert_memory_equal(talk_take(f).p,
                            "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n", 36);
    }
}

/* Around the limit every size is answered, either way. */
static void results_at_the_limit(void **state)
{
    struct talk *f = *state;
    char text[300];
    for (int below = 60; below < 150; below += 3) {
        snprintf(text, sizeof text, CALL("1", "big", "'bytes':%d"),
                 MCP_MESSAGE_OUT_MAX - below);
        session_recv(f->session, talk_quoted(f, text), 1);
        assert_false(session_broken(f->session));
        size_t count;
        session_messages(f->session, &count);
        assert_int_equal(count, 1);
        assert_true(session_output(f->session).n <= MCP_MESSAGE_OUT_MAX);
        session_sent(f->session);
    }
}

static void a_peer_that_does_not_read(void **state)
{
    struct talk *f = *state;
    struct str text = talk_quoted(f, CALL("1", "big", "'bytes':8000000"));
    for (int i = 0; i < 60; i++)
        session_recv(f->session, text, 1);
    assert_true(session_broken(f->session));
    assert_true(session_output(f->session).n <= 256 << 20);
}

static struct call *running(struct talk *f)
{
    struct call *call = call_find(f->server, last_ref);
    assert_non_null(call);
    return call;
}

static void finish(struct talk *f, const char *object)
{
    struct call *call = running(f);
    mem_free(call_state(call));
    call_result_structured(call, talk_quoted(f, object));
}

static void later_answers(void **state)
{
    struct talk *f = *state;
    char padded[400];
    snprintf(padded, sizeof padded, CALL("'k'", "later", "'text':'hello%0200d'"), 7);
    struct str message = talk_quoted(f, padded);
    session_recv(f->session, message, 5);
    /* the transport's memory is used again */
    memset((char *)(uintptr_t)message.p, '#', message.n);
    assert_int_equal(session_calls(f->session), 1);
    assert_int_equal(session_output(f->session).n, 0);
    struct call *call = running(f);
    assert_int_equal(call_started_ms(call), 5);
    assert_true(str_starts(last_text, STR("hello00")));
    assert_true(
        str_starts(json_raw(json_get(call_args(call), STR("text"))), STR("\"hello00")));
    /* others are served meanwhile; the id is taken */
    talk_has(f, talk_ask(f, REQ("2", "ping", "")), "/result", "{}");
    talk_has(f, talk_ask(f, REQ("'k'", "ping", "")), CODE, INVALID);
    talk_has(f, talk_ask(f, MODERN("'k'", "tools/list", "")), CODE, INVALID);
    assert_int_equal(f->wakes, 0);
    finish(f, "{'a':1}");
    assert_int_equal(f->wakes, 1);
    assert_null(call_find(f->server, last_ref));
    assert_int_equal(session_calls(f->session), 0);
    size_t count;
    const struct mcp_message *m = session_messages(f->session, &count);
    assert_true(count == 1 && m[0].final && m[0].request == last_ref);
    struct str out = talk_take(f);
    talk_has(f, out, "/id", "'k'");
    talk_has(f, out, "/result/structuredContent", "{'a':1}");
    talk_has(f, talk_ask(f, REQ("'k'", "ping", "")), "/result", "{}");
}

static void refs_are_never_given_twice(void **state)
{
    struct talk *f = *state;
    talk_ask(f, CALL("1", "later", ""));
    uint64_t first = last_ref;
    finish(f, "{}");
    talk_ask(f, CALL("1", "later", ""));
    assert_true(first != last_ref);
    assert_null(call_find(f->server, first));
    assert_null(call_find(f->server, 0));
    assert_null(call_find(f->server, UINT64_MAX));
    finish(f, "{}");
}

static void cancelling(void **state)
{
    struct talk *f = *state;
    static const struct {
        const char *call, *cancel;
        bool hits;
    } rows[] = {
        {CALL("1", "later", ""), NOTE("notifications/cancelled", "'requestId':1"),
         true},
        {CALL("'a b'", "later", ""),
         NOTE("notifications/cancelled", "'requestId':'a b','reason':'r'"), true},
        {MODERN("0", "tools/call", ",'name':'later'"),
         NOTE("notifications/cancelled", META ",'requestId':0"), true},
        {MODERN("0", "tools/call", ",'name':'later'"),
         NOTE("notifications/cancelled", "'requestId':0"), true},
        {CALL("1", "later", ""), NOTE("notifications/cancelled", "'requestId':'1'"),
         false},
        {CALL("1", "later", ""), NOTE("notifications/cancelled", "'requestId':2"),
         false},
        {CALL("1", "later", ""), NOTE("notifications/cancelled", ""), false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cancelled = 0;
        talk_same(talk_ask(f, rows[i].call), "", rows[i].call);
        talk_same(talk_ask(f, rows[i].cancel), "", rows[i].cancel);
        assert_int_equal(cancelled, rows[i].hits);
        assert_int_equal(session_calls(f->session), !rows[i].hits);
        if (!rows[i].hits)
            finish(f, "{}");
        else
            assert_null(call_find(f->server, last_ref));
        talk_take(f);
        /* the id is free again; a second cancellation finds nothing */
        talk_same(talk_ask(f, rows[i].cancel), "", rows[i].cancel);
    }
}

static void connections_that_close(void **state)
{
    struct talk *f = *state;
    for (int i = 0; i < 40; i++) {
        char text[200];
        snprintf(text, sizeof text, CALL("%d", "later", ""), i);
        talk_ask(f, text);
    }
    uint64_t ref = last_ref;
    talk_restart(f);
    assert_int_equal(cancelled, 40);
    assert_null(call_find(f->server, ref));
    assert_int_equal(f->wakes, 0);
}

static void second_initialize(void **state)
{
    struct talk *f = *state;
    talk_ask(f, INIT("2025-03-26"));
    talk_ask(f, REQ("1", "logging/setLevel", "'level':'debug'"));
    talk_ask(f, CALL("1", "later", ""));
    talk_ask(f, MODERN("2", "tools/call", ",'name':'later'"));
    talk_has(f, talk_ask(f, INIT("2025-11-25")), "/result/protocolVersion",
             "'2025-11-25'");
    assert_int_equal(cancelled, 1);
    assert_int_equal(session_calls(f->session), 1);
    session_log(f->session, MCP_LOG_INFO, STR("x"));
    talk_same(talk_take(f), "", "the level is as at the start");
    talk_has(f, talk_ask(f, "[]"), CODE, INVALID);
    finish(f, "{}");
}

static void limits(void **state)
{
    struct talk *f = *state;
    char text[200];
    for (int i = 0; i < MCP_CALLS_MAX; i++) {
        snprintf(text, sizeof text, CALL("%d", "later", ""), i);
        talk_same(talk_ask(f, text), "", text);
    }
    talk_has(f, talk_ask(f, CALL("'x'", "later", "")), CODE, INVALID);
    talk_has(f, talk_ask(f, REQ("'x'", "ping", "")), "/result", "{}");
    finish(f, "{}");
    talk_take(f);
    talk_same(talk_ask(f, CALL("'x'", "later", "")), "", "there is room again");
}

static void progress(void **state)
{
    struct talk *f = *state;
    talk_ask(f, CALL("1", "later", ""));
    assert_false(call_wants_progress(running(f)));
    call_progress(running(f), 1, 2, STR("m"), 1000);
    talk_same(talk_take(f), "", "no token");
    finish(f, "{}");
    talk_take(f);
    static const struct {
        double progress, total;
        uint64_t now_ms;
        const char *want; /* params, or NULL: dropped */
    } rows[] = {
        {1, 10, 0,
         "{'progressToken':'t\\u0041','progress':1,'total':10,'message':'m'}"},
        {2, 10, 99, NULL},
        {2, -1, 100, "{'progressToken':'t\\u0041','progress':2,'message':'m'}"},
        {2, -1, 300, NULL},
        {1.5, -1, 300, NULL},
        {2.5, -1, 301, "{'progressToken':'t\\u0041','progress':2.5,'message':'m'}"},
        {3, -1, 400, NULL},
        {4, -1, 401, "{'progressToken':'t\\u0041','progress':4,'message':'m'}"},
        {(double)INFINITY, -1, 900, NULL},
        {(double)NAN, -1, 900, NULL},
    };
    talk_ask_at(
        f,
        REQ("1", "tools/call", "'name':'later','_meta':{'progressToken':'t\\u0041'}"),
        0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        call_progress(running(f), rows[i].progress, rows[i].total, STR("m"),
                      rows[i].now_ms);
        size_t count;
        const struct mcp_message *m = session_messages(f->session, &count);
        assert_int_equal(count, rows[i].want ? 1 : 0);
        if (count)
            assert_true(m[0].request == last_ref && !m[0].final);
        struct str out = talk_take(f);
        if (rows[i].want) {
            talk_has(f, out, "/method", "'notifications/progress'");
            talk_has(f, out, "/params", rows[i].want);
        }
    }
    assert_true(f->wakes > 0);
    finish(f, "{}");
}

static void progress_tokens(void **state)
{
    struct talk *f = *state;
    static const struct {
        const char *token;
        bool taken;
    } rows[] = {{"0", true},    {"''", true},    {"12345678901234567890123", true},
                {"1.5", false}, {"null", false}, {"{}", false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[300];
        snprintf(text, sizeof text,
                 REQ("1", "tools/call", "'name':'later','_meta':{'progressToken':%s}"),
                 rows[i].token);
        talk_ask(f, text);
        call_progress(running(f), 1, -1, (struct str){0}, 1);
        struct str out = talk_take(f);
        if (rows[i].taken)
            talk_has(f, out, "/params/progressToken", rows[i].token);
        else
            talk_same(out, "", text);
        finish(f, "{}");
        talk_take(f);
    }
    /* the oldest revision has no text in it */
    talk_ask(f, INIT("2024-11-05"));
    talk_ask(f, REQ("1", "tools/call", "'name':'later','_meta':{'progressToken':1}"));
    call_progress(running(f), 1, -1, STR("m"), 1);
    talk_has(f, talk_take(f), "/params", "{'progressToken':1,'progress':1}");
    finish(f, "{}");
}

static void logging(void **state)
{
    struct talk *f = *state;
    session_log(f->session, MCP_LOG_ERROR, STR("x"));
    talk_same(talk_take(f), "", "nobody is connected yet");
    talk_ask(f, INIT("2025-06-18"));
    session_log(f->session, MCP_LOG_NOTICE, STR("x"));
    talk_same(talk_take(f), "", "warnings and worse by default");
    session_log(f->session, MCP_LOG_WARNING, STR("a\nb"));
    assert_int_equal(f->wakes, 1);
    talk_same(talk_take(f),
              talk_quoted(f,
                          "{'jsonrpc':'2.0','method':'notifications/message','params':{"
                          "'level':'warning','logger':'test','data':'a\\nb'}}\n")
                  .p,
              "log");
    static const struct {
        const char *ask;
        int lines;
    } rows[] = {
        {CALL("1", "talk", ""), 2},
        {MODERN("1", "tools/call", ",'name':'talk'"), 1},
        {REQ("1", "tools/call",
             "'name':'talk','_meta':{" VERSION "," CAPS
             ",'io.modelcontextprotocol/logLevel':'info'}"),
         3},
        {REQ("1", "tools/call",
             "'name':'talk','_meta':{" VERSION "," CAPS
             ",'io.modelcontextprotocol/logLevel':'critical'}"),
         1},
        {REQ("1", "logging/setLevel", "'level':'debug'"), 1},
        {CALL("1", "talk", ""), 3},
        {MODERN("1", "tools/call", ",'name':'talk'"), 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(talk_lines(talk_ask(f, rows[i].ask)), rows[i].lines);
}

static void batches(void **state)
{
    struct talk *f = *state;
    static const char batch[] =
        "[" REQ("1", "ping", "") "," REQ("2", "x", "") ",5," NOTE(
            "notifications/x",
            "") "," CALL("3", "later", "'text':'t'") "," CALL("4", "later", "") "]";
    static const char *const others[] = {INIT("2024-11-05"), INIT("2025-06-18"),
                                         INIT("2025-11-25")};
    talk_has(f, talk_ask(f, batch), CODE, INVALID);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        talk_ask(f, others[i]);
        talk_has(f, talk_ask(f, batch), CODE, INVALID);
    }
    talk_ask(f, INIT("2025-03-26"));
    talk_same(
        talk_ask(f, batch),
        talk_quoted(f,
                    "{'jsonrpc':'2.0','id':1,'result':{}}\n"
                    "{'jsonrpc':'2.0','id':2,'error':{'code':-32601,'message':'Method "
                    "not found: \\'x\\''}}\n"
                    "{'jsonrpc':'2.0','error':{'code':-32600,'message':'a message is a "
                    "JSON object'}}\n")
            .p,
        "batch");
    assert_int_equal(session_calls(f->session), 2);
    finish(f, "{}");
    talk_has(f, talk_take(f), "/id", "4");
    talk_same(talk_ask(f, "[" NOTE("notifications/cancelled", "'requestId':3") "]"), "",
              "");
    assert_int_equal(session_calls(f->session), 0);
    static const struct talk_row rows[] = {
        {"[]", "", CODE, INVALID},
        {"[[]]", "", CODE, INVALID},
        {"[" INIT("2025-11-25") "]", "'i'", CODE, INVALID},
        {"[" MODERN("1", "tools/list", "") "]", "1", CODE, INVALID},
        {"[" REQ("1", "ping", "") "]", "1", "/result", "{}"},
    };
    TALK_ROWS(f, rows);
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int n = 100; n <= 101; n++) {
        buf_reset(&b, 1 << 20);
        for (int i = 0; i < n; i++) {
            buf_addz(&b, i ? "," : "[");
            buf_addf(&b, REQ("%d", "ping", ""), i);
        }
        buf_addc(&b, ']');
        assert_int_equal(talk_lines(talk_ask(f, buf_cstr(&b))), n == 100 ? 100 : 1);
    }
    buf_finish(&b);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(classifier),
        TEST(handshakes),
        TEST(discover),
        TEST(lists),
        TEST(other_methods),
        TEST(tool_calls),
        TEST(big_results),
        TEST(results_at_the_limit),
        TEST(a_peer_that_does_not_read),
        TEST(later_answers),
        TEST(refs_are_never_given_twice),
        TEST(cancelling),
        TEST(connections_that_close),
        TEST(second_initialize),
        TEST(limits),
        TEST(progress),
        TEST(progress_tokens),
        TEST(logging),
        TEST(batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
