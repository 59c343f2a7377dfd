/* Tasks: those of 2025-11-25, that the client asks for, and the extension of 2026,
 * where the server decides. */
#include "base/mem.h"
#include "tests/unit/talk.h"
#include <stdio.h>

static uint64_t last_ref;
static int cancelled;

static void on_cancel(struct call *call)
{
    (void)call;
    cancelled++;
}

static void later(struct call *call)
{
    call_become_task(call);
    last_ref = call_ref(call);
    call_on_cancel(call, on_cancel);
}

static void plain(struct call *call)
{
    call_result_structured(call, STR("{\"plain\":true}"));
}

/* At once, in its handler. */
static void quick(struct call *call)
{
    call_become_task(call);
    call_result_structured(call, STR("{\"quick\":true}"));
}

#define SCHEMA STR("{\"type\":\"object\",\"properties\":{}}")

static void two_questions(struct call *call)
{
    call_become_task(call);
    struct json a = call_answer(call, CALL_ASK_FORM, "a");
    struct json b = call_answer(call, CALL_ASK_FORM, "b");
    if (!json_present(a) || !json_present(b)) {
        call_ask_form(call, "a", STR("A?"), SCHEMA);
        call_ask_form(call, "b", STR("B?"), SCHEMA);
        call_ask_end(call, (struct str){0});
        return;
    }
    struct json_writer *w = call_content_begin(call);
    call_content_text(w, json_raw(json_get(a, STR("action"))));
    call_content_text(w, json_raw(json_get(b, STR("action"))));
    call_content_end(call);
}

/* Asks first, becomes a task then. */
static void composed(struct call *call)
{
    struct json a = call_answer(call, CALL_ASK_FORM, "a");
    if (!json_present(a)) {
        call_ask_form(call, "a", STR("A?"), SCHEMA);
        call_ask_end(call, (struct str){0});
        return;
    }
    later(call);
}

/* clang-format off */
#define TOOL(tool, fn, support) {.name = tool, .definition = STR_INIT("{\"name\":\"" tool "\",\"inputSchema\":{}}"), .call = fn, .task = support}
/* clang-format on */
static struct mcp_tool tools[] = {
    TOOL("plain", plain, MCP_TASK_FORBIDDEN),
    TOOL("later", later, MCP_TASK_OPTIONAL),
    TOOL("quick", quick, MCP_TASK_OPTIONAL),
    TOOL("only", later, MCP_TASK_REQUIRED),
    TOOL("two", two_questions, MCP_TASK_OPTIONAL),
    TOOL("composed", composed, MCP_TASK_REQUIRED),
};

static int setup(void **state)
{
    struct talk *f = mem_new(struct talk);
    struct schema *schema = talk_any(f);
    for (size_t i = 0; i < sizeof tools / sizeof tools[0]; i++)
        tools[i].input = schema;
    talk_reset_host();
    cancelled = 0;
    f->server = mcp_server_new(&(struct mcp_server_config){
        .name = "t",
        .title = "T",
        .version = "1",
        .tools = tools,
        .tool_count = sizeof tools / sizeof tools[0],
        .features = MCP_TASKS,
        .host = &talk_host,
    });
    talk_restart(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    talk_finish(*state);
    mem_free(*state);
    return 0;
}

#define OPEN                                                                           \
    REQ("'i'", "initialize",                                                           \
        "'protocolVersion':'2025-11-25','capabilities':{'elicitation':{}}")
#define AS_TASK(id, tool, task) REQ(id, "tools/call", "'name':'" tool "','task':" task)

/* The request about the task, with its id (raw) in the place of the @. */
static struct str about(struct talk *f, struct str id, const char *text)
{
    char with_id[1000];
    const char *at = strchr(text, '@');
    snprintf(with_id, sizeof with_id, "%.*s%.*s%s", (int)(at - text), text, STR_FMT(id),
             at + 1);
    return talk_ask(f, with_id);
}

#define GET REQ("'g'", "tasks/get", "'taskId':@")
#define RESULT(id) REQ(id, "tasks/result", "'taskId':@")
#define CANCEL REQ("'c'", "tasks/cancel", "'taskId':@")

static void legacy(void **state)
{
    struct talk *f = *state;
    struct str out = talk_ask(f, OPEN);
    talk_has(f, out, "/result/capabilities/tasks",
             "{'list':{},'cancel':{},'requests':{'tools':{'call':{}}}}");
    talk_has(f, out, "/result/capabilities/extensions", "");
    out = talk_ask(f, AS_TASK("1", "later", "{'ttl':60000}"));
    talk_has(f, out, "/id", "1");
    talk_has(f, out, "/result/task/status", "'working'");
    talk_has(f, out, "/result/task/createdAt", "'2026-07-28T00:00:00.123Z'");
    talk_has(f, out, "/result/task/ttl", "60000");
    assert_int_equal(talk_due_ms, 61000);
    struct str id = talk_part(f, out, "/result/task/taskId");
    assert_int_equal(id.n, 34);
    talk_has(f, about(f, id, GET), "/result/status", "'working'");
    talk_has(f, talk_ask(f, REQ("2", "tasks/list", "")), "/result/tasks/0/status",
             "'working'");
    /* two wait for the result */
    talk_same(about(f, id, RESULT("8")), "", "waits");
    talk_same(about(f, id, RESULT("9")), "", "waits");
    talk_ask(f, NOTE("notifications/cancelled", "'requestId':9"));
    struct call *call = call_find(f->server, last_ref);
    call_progress(call, 1, 2, STR("half of it"), talk_now_ms);
    talk_unix_ms += 1000;
    f->wakes = 0;
    call_result_structured(call, STR("{\"a\":1}"));
    assert_int_equal(f->wakes, 1);
    out = talk_take(f);
    assert_int_equal(talk_lines(out), 1);
    talk_has(f, out, "/id", "8");
    char meta[200];
    snprintf(meta, sizeof meta,
             "{'io.modelcontextprotocol/related-task':{'taskId':%.*s}}", STR_FMT(id));
    talk_has(f, out, "/result/_meta", meta);
    talk_has(f, out, "/result/structuredContent", "{'a':1}");
    out = about(f, id, GET);
    talk_has(f, out, "/result/status", "'completed'");
    talk_has(f, out, "/result/lastUpdatedAt", "'2026-07-28T00:00:01.123Z'");
    talk_has(f, about(f, id, RESULT("10")), "/result/structuredContent", "{'a':1}");
    talk_has(f, about(f, id, CANCEL), CODE, PARAMS);
    assert_int_equal(session_calls(f->session), 0);
}

static void legacy_progress(void **state)
{
    struct talk *f = *state;
    talk_ask(f, OPEN);
    struct str out = talk_ask(f, REQ("1", "tools/call",
                                     "'name':'later','task':{},'_meta':{"
                                     "'progressToken':'p'}"));
    struct str id = talk_part(f, out, "/result/task/taskId");
    talk_has(f, out, "/result/task/ttl", "600000");
    call_progress(call_find(f->server, last_ref), 1, 2, STR("half\nof it"),
                  talk_now_ms);
    talk_same(talk_take(f), "", "polled instead");
    talk_has(f, about(f, id, GET), "/result/statusMessage", "'half\\nof it'");
}

static void legacy_failures(void **state)
{
    struct talk *f = *state;
    struct err err;
    talk_ask(f, OPEN);
    static const struct talk_row rows[] = {
        {AS_TASK("1", "plain", "{}"), "1", CODE, NO_METHOD},
        {CALL("1", "only", ""), "1", CODE, NO_METHOD},
        {REQ("1", "tasks/get", "'taskId':'x'"), "1", CODE, PARAMS},
        {REQ("1", "tasks/get", ""), "1", CODE, PARAMS},
        {REQ("1", "tasks/result", "'taskId':'x'"), "1", CODE, PARAMS},
        {REQ("1", "tasks/update", "'taskId':'x'"), "1", CODE, NO_METHOD},
        {REQ("1", "tasks/list", "'cursor':'x'"), "1", CODE, PARAMS},
        {CALL("1", "plain", ""), "1", "/result/structuredContent", "{'plain':true}"},
        {CALL("1", "quick", ""), "1", "/result/structuredContent", "{'quick':true}"},
    };
    talk_rows(f, rows, sizeof rows / sizeof rows[0]);
    /* isError is a failure; the result is the tool's all the same */
    struct str id =
        talk_part(f, talk_ask(f, AS_TASK("1", "only", "{}")), "/result/task/taskId");
    err_set(&err, ERR_IO, "broken");
    call_fail(call_find(f->server, last_ref), &err);
    talk_has(f, about(f, id, GET), "/result/status", "'failed'");
    talk_has(f, about(f, id, RESULT("2")), "/result/isError", "true");
    /* cancelled */
    id = talk_part(f, talk_ask(f, AS_TASK("1", "later", "{}")), "/result/task/taskId");
    talk_same(about(f, id, RESULT("5")), "", "waits");
    struct str out = about(f, id, CANCEL);
    assert_int_equal(cancelled, 1);
    assert_int_equal(talk_lines(out), 2);
    talk_same(str_starts(out, STR("{\"jsonrpc\":\"2.0\",\"id\":5,\"error\"")) ? STR("")
                                                                              : out,
              "", "who waits hears of it");
    talk_has(f, about(f, id, GET), "/result/status", "'cancelled'");
    talk_has(f, about(f, id, RESULT("2")), CODE, "-32603");
}

static void legacy_older(void **state)
{
    struct talk *f = *state;
    talk_ask(f, INIT("2025-06-18"));
    static const struct talk_row rows[] = {
        {REQ("1", "tasks/get", "'taskId':'x'"), "1", CODE, NO_METHOD},
        {REQ("1", "tasks/list", ""), "1", CODE, NO_METHOD},
        {AS_TASK("1", "quick", "{}"), "1", "/result/structuredContent",
         "{'quick':true}"},
        {INIT("2025-06-18"), "'i'", "/result/capabilities/tasks", ""},
    };
    talk_rows(f, rows, sizeof rows / sizeof rows[0]);
}

static void legacy_notifications(void **state)
{
    struct talk *f = *state;
    talk_ask(f, OPEN);
    talk_ask(f, NOTE("notifications/initialized", ""));
    struct str out = talk_ask(f, AS_TASK("1", "later", "{}"));
    struct str id = talk_part(f, out, "/result/task/taskId");
    call_result_structured(call_find(f->server, last_ref), STR("{}"));
    out = talk_take(f);
    talk_has(f, out, "/method", "'notifications/tasks/status'");
    talk_has(f, out, "/params/status", "'completed'");
    assert_true(str_eq(talk_part(f, out, "/params/taskId"), id));
}

static void legacy_questions(void **state)
{
    struct talk *f = *state;
    talk_ask(f, OPEN);
    struct str id =
        talk_part(f, talk_ask(f, AS_TASK("1", "two", "{}")), "/result/task/taskId");
    talk_has(f, about(f, id, GET), "/result/status", "'input_required'");
    session_recv_on(f->session, talk_quoted(f, "{}"), 1, 1);
    talk_take(f);
    struct str out = about(f, id, RESULT("5"));
    assert_int_equal(talk_lines(out), 2);
    out.n = (size_t)str_find(out, '\n');
    talk_has(f, out, "/id", "'s-1'");
    talk_has(f, out, "/method", "'elicitation/create'");
    talk_has(f, out, "/params/message", "'A?'");
    struct str related =
        talk_part(f, out, "/params/_meta/io.modelcontextprotocol~1related-task/taskId");
    assert_true(str_eq(related, id));
    talk_same(talk_ask(f, "{'jsonrpc':'2.0','id':'s-2','result':{'action':'decline'}}"),
              "", "one more");
    out = talk_ask(f, "{'jsonrpc':'2.0','id':'s-1','result':{'action':'cancel'}}");
    talk_has(f, out, "/id", "5");
    talk_has(f, out, "/result/content",
             "[{'type':'text','text':'\\'cancel\\''},{'type':'text','text':"
             "'\\'decline\\''}]");
    talk_has(f, about(f, id, GET), "/result/status", "'completed'");
    /* the client refuses */
    id = talk_part(f, talk_ask(f, AS_TASK("1", "two", "{}")), "/result/task/taskId");
    about(f, id, RESULT("6"));
    out = talk_ask(f, "{'jsonrpc':'2.0','id':'s-3','error':{'code':1,'message':'no'}}");
    assert_int_equal(talk_lines(out), 2); /* the other question is withdrawn */
    talk_has(f, about(f, id, GET), "/result/status", "'failed'");
    /* who carries the questions goes away: the next one does */
    id = talk_part(f, talk_ask(f, AS_TASK("1", "two", "{}")), "/result/task/taskId");
    assert_int_equal(talk_lines(about(f, id, RESULT("6"))), 2);
    talk_same(about(f, id, RESULT("7")), "", "the first one asks");
    assert_int_equal(
        talk_lines(talk_ask(f, NOTE("notifications/cancelled", "'requestId':6"))), 2);
    assert_int_equal(talk_lines(about(f, id, RESULT("8"))), 2);
    assert_int_equal(talk_lines(about(f, id, CANCEL)), 5);
    assert_int_equal(session_calls(f->session), 0);
}

#define META_TASKS                                                                     \
    "'_meta':{" VERSION                                                                \
    ",'io.modelcontextprotocol/clientCapabilities':{'elicitation':{},'extensions':{"   \
    "'io.modelcontextprotocol/tasks':{}}}}"
#define EXT(id, method, more) REQ(id, method, META_TASKS more)
#define EXT_CALL(tool) EXT("1", "tools/call", ",'name':'" tool "'")
#define EXT_GET EXT("'g'", "tasks/get", ",'taskId':@")
#define EXT_CANCEL EXT("'c'", "tasks/cancel", ",'taskId':@")
#define EXT_UPDATE(responses)                                                          \
    EXT("'u'", "tasks/update", ",'taskId':@,'inputResponses':" responses)

static void modern(void **state)
{
    struct talk *f = *state;
    struct str out = talk_ask(f, EXT("1", "server/discover", ""));
    talk_has(f, out, "/result/capabilities/extensions",
             "{'io.modelcontextprotocol/tasks':{}}");
    talk_has(f, out, "/result/capabilities/tasks", "");
    out = talk_ask(f, EXT_CALL("later"));
    talk_has(f, out, "/result/resultType", "'task'");
    talk_has(f, out, "/result/status", "'working'");
    talk_has(f, out, "/result/ttlMs", "600000");
    talk_has(f, out, "/result/pollIntervalMs", "1000");
    talk_has(f, out, "/result/ttl", "");
    struct str id = talk_part(f, out, "/result/taskId");
    out = about(f, id, EXT_GET);
    talk_has(f, out, "/result/resultType", "'complete'");
    talk_has(f, out, "/result/status", "'working'");
    call_result_structured(call_find(f->server, last_ref), STR("{\"a\":1}"));
    talk_same(talk_take(f), "", "it is polled");
    out = about(f, id, EXT_GET);
    talk_has(f, out, "/result/status", "'completed'");
    talk_has(f, out, "/result/result/structuredContent", "{'a':1}");
    out = about(f, id, EXT_CANCEL);
    talk_has(f, out, "/result/resultType", "'complete'");
    talk_has(f, out, "/result/status", "");
    talk_has(f, about(f, id, EXT_GET), "/result/status", "'completed'");
    /* another connection of the owner finds it, another owner does not */
    struct session *mine = f->session;
    f->session = session_new(f->server, &(struct session_config){.owner = 7});
    talk_has(f, about(f, id, EXT_GET), "/result/status", "'completed'");
    session_free(f->session);
    f->session = session_new(f->server, &(struct session_config){.owner = 8});
    talk_has(f, about(f, id, EXT_GET), CODE, PARAMS);
    session_free(f->session);
    f->session = mine;
    static const struct talk_row rows[] = {
        {EXT_CALL("plain"), "1", "/result/structuredContent", "{'plain':true}"},
        {EXT("1", "tools/call", ",'name':'plain','task':{'ttl':5}"), "1",
         "/result/resultType", "'complete'"},
        {EXT_CALL("quick"), "1", "/result/resultType", "'task'"},
        {MODERN("1", "tools/call", ",'name':'quick'"), "1", "/result/structuredContent",
         "{'quick':true}"},
        {MODERN("1", "tools/call", ",'name':'only'"), "1", "/error",
         "{'code':-32021,'message':'Missing required client capability','data':{"
         "'requiredCapabilities':{'extensions':{'io.modelcontextprotocol/"
         "tasks':{}}}}}"},
        {MODERN("1", "tasks/get", ",'taskId':'x'"), "1", CODE, "-32021"},
        {MODERN("1", "tasks/update", ",'taskId':'x'"), "1", CODE, "-32021"},
        {MODERN("1", "tasks/cancel", ",'taskId':'x'"), "1", CODE, "-32021"},
        {EXT("1", "tasks/get", ",'taskId':'x'"), "1", CODE, PARAMS},
        {EXT("1", "tasks/cancel", ",'taskId':'x'"), "1", CODE, PARAMS},
        {EXT("1", "tasks/result", ",'taskId':'x'"), "1", CODE, NO_METHOD},
        {EXT("1", "tasks/list", ""), "1", CODE, NO_METHOD},
    };
    talk_rows(f, rows, sizeof rows / sizeof rows[0]);
}

static void modern_failures(void **state)
{
    struct talk *f = *state;
    struct err err;
    struct str id = talk_part(f, talk_ask(f, EXT_CALL("only")), "/result/taskId");
    err_set(&err, ERR_IO, "broken");
    call_fail(call_find(f->server, last_ref), &err);
    struct str out = about(f, id, EXT_GET);
    talk_has(f, out, "/result/status", "'completed'");
    talk_has(f, out, "/result/result/isError", "true");
    id = talk_part(f, talk_ask(f, EXT_CALL("only")), "/result/taskId");
    call_fail_protocol(call_find(f->server, last_ref), &err);
    out = about(f, id, EXT_GET);
    talk_has(f, out, "/result/status", "'failed'");
    talk_has(f, out, "/result/error/code", "-32603");
    talk_has(f, out, "/result/result", "");
    id = talk_part(f, talk_ask(f, EXT_CALL("later")), "/result/taskId");
    talk_has(f, about(f, id, EXT_CANCEL), "/result/resultType", "'complete'");
    talk_has(f, about(f, id, EXT_GET), "/result/status", "'cancelled'");
    assert_int_equal(cancelled, 1);
    assert_null(call_find(f->server, last_ref));
}

static void modern_questions(void **state)
{
    struct talk *f = *state;
    struct str id = talk_part(f, talk_ask(f, EXT_CALL("two")), "/result/taskId");
    struct str out = about(f, id, EXT_GET);
    talk_has(f, out, "/result/status", "'input_required'");
    talk_has(f, out, "/result/inputRequests/a/method", "'elicitation/create'");
    talk_has(f, about(f, id, EXT_UPDATE("5")), CODE, PARAMS);
    out = about(f, id, EXT_UPDATE("{'b':{'action':'decline'},'x':{},'a':5}"));
    talk_has(f, out, "/result/resultType", "'complete'");
    talk_has(f, out, "/result/status", "");
    out = about(f, id, EXT_GET);
    talk_has(f, out, "/result/status", "'input_required'");
    talk_has(f, out, "/result/inputRequests/b", "");
    talk_has(f, out, "/result/inputRequests/a/params/message", "'A?'");
    about(f, id, EXT_UPDATE("{'a':{'action':'decline'},'b':{'action':'cancel'}}"));
    out = about(f, id, EXT_GET);
    talk_has(f, out, "/result/status", "'completed'");
    talk_has(f, out, "/result/result/content/1/text", "'\\'decline\\''");
    talk_has(f, about(f, id, EXT_UPDATE("{}")), "/result/resultType", "'complete'");
    /* first the question, then the task */
    out = talk_ask(f, EXT_CALL("composed"));
    talk_has(f, out, "/result/resultType", "'input_required'");
    out = talk_ask(f, EXT("2", "tools/call",
                          ",'name':'composed','inputResponses':{'a':{'action':"
                          "'decline'}}"));
    talk_has(f, out, "/result/resultType", "'task'");
    talk_has(f, out, "/result/requestState", "");
}

static void modern_notifications(void **state)
{
    struct talk *f = *state;
    struct str id = talk_part(f, talk_ask(f, EXT_CALL("later")), "/result/taskId");
    static const char listen[] =
        EXT("9", "subscriptions/listen", ",'notifications':{'taskIds':[@]}");
    struct str out = about(f, id, listen);
    assert_int_equal(talk_part(f, out, "/params/notifications/taskIds/0").n, 34);
    call_result_structured(call_find(f->server, last_ref), STR("{\"a\":1}"));
    out = talk_take(f);
    talk_has(f, out, "/method", "'notifications/tasks'");
    talk_has(f, out, "/params/status", "'completed'");
    talk_has(f, out, "/params/result/structuredContent", "{'a':1}");
    talk_has(f, out, "/params/_meta", "{'io.modelcontextprotocol/subscriptionId':9}");
}

/* A result that would fit a message of its own, but not one of tasks/get. */
static void large_results(void **state)
{
    struct talk *f = *state;
    enum { BYTES = 8200000 };
    char *text = memset(mem_alloc(BYTES), 'x', BYTES);
    talk_ask(f, OPEN);
    struct str id = talk_part(f, talk_ask(f, EXT_CALL("later")), "/result/taskId");
    struct json_writer *w = call_content_begin(call_find(f->server, last_ref));
    call_content_text(w, (struct str){text, BYTES});
    call_content_end(call_find(f->server, last_ref));
    struct str out = about(f, id, EXT_GET);
    talk_has(f, out, "/result/status", "'failed'");
    talk_has(f, out, "/result/error/code", "-32603");
    id = talk_part(f, talk_ask(f, EXT_CALL("later")), "/result/taskId");
    w = call_content_begin(call_find(f->server, last_ref));
    call_content_text(w, (struct str){text, BYTES - 100000});
    call_content_end(call_find(f->server, last_ref));
    talk_has(f, about(f, id, EXT_GET), "/result/status", "'completed'");
    assert_false(session_broken(f->session));
    mem_free(text);
}

/* Many that wait and go away. */
static void many_waiters(void **state)
{
    struct talk *f = *state;
    talk_ask(f, OPEN);
    struct str id =
        talk_part(f, talk_ask(f, AS_TASK("1", "later", "{}")), "/result/task/taskId");
    for (int i = 0; i < 3; i++) {
        talk_same(about(f, id, RESULT("5")), "", "waits");
        talk_ask(f, NOTE("notifications/cancelled", "'requestId':5"));
    }
    talk_same(about(f, id, RESULT("6")), "", "waits");
    call_result_structured(call_find(f->server, last_ref), STR("{}"));
    struct str out = talk_take(f);
    assert_int_equal(talk_lines(out), 1);
    talk_has(f, out, "/id", "6");
}

static void time_to_live(void **state)
{
    struct talk *f = *state;
    talk_ask(f, OPEN);
    struct str id = talk_part(f, talk_ask(f, AS_TASK("1", "later", "{'ttl':5000}")),
                              "/result/task/taskId");
    talk_same(about(f, id, RESULT("7")), "", "waits");
    assert_int_equal(talk_due_ms, 6000);
    mcp_server_expire(f->server, 5999);
    talk_has(f, about(f, id, GET), "/result/status", "'working'");
    mcp_server_expire(f->server, 6000);
    assert_int_equal(cancelled, 1);
    struct str out = talk_take(f);
    talk_has(f, out, "/id", "7");
    talk_has(f, about(f, id, GET), CODE, PARAMS);
    assert_int_equal(talk_due_ms, 6000); /* nothing more is due */
    /* an owner that is gone takes its tasks along */
    id = talk_part(f, talk_ask(f, AS_TASK("1", "later", "{}")), "/result/task/taskId");
    mcp_server_drop_owner(f->server, 8);
    talk_has(f, about(f, id, GET), "/result/status", "'working'");
    mcp_server_drop_owner(f->server, 7);
    assert_int_equal(cancelled, 2);
    talk_has(f, about(f, id, GET), CODE, PARAMS);
    /* and one that is left when the server ends is cancelled: teardown */
    talk_ask(f, AS_TASK("1", "later", "{}"));
}

static void limits_and_pages(void **state)
{
    struct talk *f = *state;
    char text[200];
    talk_ask(f, OPEN);
    for (int i = 0; i < MCP_OWNER_TASKS_MAX; i++) {
        snprintf(text, sizeof text, AS_TASK("%d", "later", "{}"), i);
        talk_has(f, talk_ask(f, text), "/result/task/status", "'working'");
    }
    talk_has(f, talk_ask(f, AS_TASK("'x'", "later", "{}")), CODE, "-32603");
    assert_int_equal(cancelled, 0);
    struct str out = talk_ask(f, REQ("1", "tasks/list", ""));
    assert_int_equal(talk_part(f, out, "/result/tasks/99/taskId").n, 34);
    talk_has(f, out, "/result/tasks/100", "");
    snprintf(text, sizeof text, REQ("1", "tasks/list", "'cursor':%.*s"),
             STR_FMT(talk_part(f, out, "/result/nextCursor")));
    out = talk_ask(f, text);
    assert_int_equal(talk_part(f, out, "/result/tasks/27/taskId").n, 34);
    talk_has(f, out, "/result/tasks/28", "");
    talk_has(f, out, "/result/nextCursor", "");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(legacy),
        TEST(legacy_progress),
        TEST(legacy_failures),
        TEST(legacy_older),
        TEST(legacy_notifications),
        TEST(legacy_questions),
        TEST(modern),
        TEST(modern_failures),
        TEST(modern_questions),
        TEST(modern_notifications),
        TEST(large_results),
        TEST(many_waiters),
        TEST(time_to_live),
        TEST(limits_and_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
