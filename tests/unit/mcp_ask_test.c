/* A handler asks its client: requests of the server in the legacy eras, input_required
 * with signed state in the modern one; the handlers are the same. */
#include "base/mem.h"
#include "mcp/canonical.h"
#include "tests/unit/talk.h"
#include <stdio.h>

static uint64_t last_ref;
static int cancelled;

#define SCHEMA "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"}}}"

static void hello(struct call *call, struct json answer)
{
    struct json name = json_pointer(answer, "/content/name");
    call_content_text(call_content_begin(call), json_raw(name));
    call_content_end(call);
}

/* One question, no state. */
static void greet(struct call *call)
{
    struct json answer = call_answer(call, CALL_ASK_FORM, "user");
    if (json_present(answer)) {
        hello(call, answer);
        return;
    }
    call_ask_form(call, "user", STR("Who?"), STR(SCHEMA));
    call_ask_end(call, (struct str){0});
}

/* Two rounds; what the first one said is carried by the state. */
static void rounds(struct call *call)
{
    struct str round = call_round(call);
    if (round.n == 0) {
        call_ask_form(call, "a", STR("A?"), STR(SCHEMA));
        call_ask_end(call, STR("first"));
        return;
    }
    struct json a = call_answer(call, CALL_ASK_FORM, "a");
    if (str_eq(round, STR("first")) && json_present(a)) {
        call_ask_sample(call, "b", STR("{\"messages\":[],\"maxTokens\":5}"));
        call_ask_roots(call, "c");
        call_ask_end(call, json_raw(json_pointer(a, "/content/name")));
        return;
    }
    struct json b = call_answer(call, CALL_ASK_SAMPLE, "b");
    struct json c = call_answer(call, CALL_ASK_ROOTS, "c");
    struct json_writer *w = call_content_begin(call);
    call_content_text(w, round);
    call_content_text(w, json_raw(json_get(b, STR("model"))));
    call_content_text(w, json_raw(json_get(c, STR("roots"))));
    call_content_end(call);
}

static void on_cancel(struct call *call)
{
    (void)call;
    cancelled++;
}

/* Asks later, then waits once more. */
static void patient(struct call *call)
{
    last_ref = call_ref(call);
    call_on_cancel(call, on_cancel);
}

static void ask_prompt(struct call *call)
{
    struct json answer = call_answer(call, CALL_ASK_FORM, "context");
    if (!json_present(answer)) {
        call_ask_form(call, "context", STR("?"), STR(SCHEMA));
        call_ask_end(call, STR("p"));
        return;
    }
    struct json_writer *w = call_messages_begin(call, (struct str){0});
    call_message_begin(w, "user");
    call_content_text(w, json_raw(answer));
    call_message_end(w);
    call_messages_end(call);
}

/* {"bytes":n} in the question, {"state":n} in the state. */
static void ask_much(struct call *call)
{
    int64_t bytes = 0, state = 0;
    json_i64(json_get(call_args(call), STR("bytes")), &bytes);
    json_i64(json_get(call_args(call), STR("state")), &state);
    size_t n = (size_t)(bytes > state ? bytes : state);
    char *text = memset(mem_alloc(n + 1), 'x', n + 1);
    call_ask_form(call, "a", (struct str){text, (size_t)bytes}, STR(SCHEMA));
    call_ask_roots(call, "b");
    call_ask_end(call, (struct str){text, (size_t)state});
    mem_free(text);
}

static void ask_url(struct call *call)
{
    struct json answer = call_answer(call, CALL_ASK_URL, "login");
    if (!json_present(answer)) {
        call_ask_url(call, "login", STR("Log in"), STR("https://example.com"));
        call_ask_end(call, (struct str){0});
        return;
    }
    call_result_structured(call, STR("{\"done\":true}"));
}

/* clang-format off */
#define TOOL(tool, fn) {.name = tool, .definition = STR_INIT("{\"name\":\"" tool "\",\"inputSchema\":{}}"), .call = fn}
/* clang-format on */
static struct mcp_tool tools[] = {
    TOOL("greet", greet), TOOL("rounds", rounds), TOOL("patient", patient),
    TOOL("url", ask_url), TOOL("much", ask_much),
};
static const struct mcp_prompt prompts[] = {
    {"ask", STR_INIT("{\"name\":\"ask\"}"), ask_prompt, NULL}};

static int setup(void **state)
{
    struct talk *f = mem_new(struct talk);
    struct schema *schema = talk_any(f);
    for (size_t i = 0; i < sizeof tools / sizeof tools[0]; i++)
        tools[i].input = schema;
    f->server = mcp_server_new(&(struct mcp_server_config){
        .name = "t",
        .title = "T",
        .version = "1",
        .tools = tools,
        .tool_count = sizeof tools / sizeof tools[0],
        .prompts = prompts,
        .prompt_count = 1,
        .host = &talk_host,
    });
    talk_restart(f);
    cancelled = 0;
    talk_reset_host();
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    talk_finish(*state);
    mem_free(*state);
    return 0;
}

#define ALL "'elicitation':{'form':{},'url':{}},'sampling':{},'roots':{}"
#define OPEN(version, caps)                                                            \
    REQ("'i'", "initialize",                                                           \
        "'protocolVersion':'" version "','capabilities':{" caps "},'clientInfo':{}")
#define ANSWER(id, result) "{'jsonrpc':'2.0','id':'" id "','result':" result "}"
#define ACCEPT(name) "{'action':'accept','content':{'name':'" name "'}}"
#define TEXT "/result/content/0/text"

static void legacy(void **state)
{
    struct talk *f = *state;
    size_t count;
    talk_ask(f, OPEN("2025-06-18", "'elicitation':{}"));
    session_recv_on(f->session, talk_quoted(f, CALL("7", "greet", "")), 4, 1000);
    const struct mcp_message *m = session_messages(f->session, &count);
    assert_true(count == 1 && m->stream == 4 && !m->final);
    assert_int_equal(session_stream_requests(f->session, 4), 1);
    talk_same(talk_take(f),
              talk_quoted(f, "{'jsonrpc':'2.0','id':'s-1','method':'elicitation/"
                             "create','params':{'message':'Who?','requestedSchema':"
                             "{'type':'object','properties':{'name':{'type':"
                             "'string'}}}}}\n")
                  .p,
              "asked");
    /* what is no answer to it is nobody's */
    talk_same(talk_ask(f, ANSWER("s-2", ACCEPT("x"))), "", "unknown");
    talk_same(talk_ask(f, "{'jsonrpc':'2.0','id':1,'result':{}}"), "", "unknown");
    session_recv_on(f->session, talk_quoted(f, ANSWER("s-1", ACCEPT("Bo"))), 9, 1000);
    m = session_messages(f->session, &count);
    assert_true(count == 1 && m->stream == 4 && m->final);
    struct str out = talk_take(f);
    talk_has(f, out, "/id", "7");
    talk_has(f, out, TEXT, "'\\'Bo\\''");
    talk_same(talk_ask(f, ANSWER("s-1", ACCEPT("Bo"))), "", "answered already");
    /* an answer of the wrong shape: it asks again */
    talk_ask(f, CALL("8", "greet", ""));
    talk_has(f, talk_ask(f, ANSWER("s-2", "{'action':'perhaps'}")), "/id", "'s-3'");
    talk_has(f, talk_ask(f, ANSWER("s-3", "{'action':'decline'}")), TEXT, "''");
}

static void legacy_rounds(void **state)
{
    struct talk *f = *state;
    talk_ask(f, OPEN("2025-11-25", ALL));
    talk_has(f, talk_ask(f, CALL("1", "rounds", "")), "/id", "'s-1'");
    struct str out = talk_ask(f, ANSWER("s-1", ACCEPT("Bo")));
    talk_same(out,
              talk_quoted(f, "{'jsonrpc':'2.0','id':'s-2','method':'sampling/"
                             "createMessage','params':{'messages':[],'maxTokens':5}}\n"
                             "{'jsonrpc':'2.0','id':'s-3','method':'roots/list',"
                             "'params':{}}\n")
                  .p,
              "second round");
    talk_same(talk_ask(f, ANSWER("s-3", "{'roots':[{'uri':'file:///a'}]}")), "",
              "one is missing");
    out = talk_ask(f, ANSWER("s-2", "{'role':'assistant','model':'m','content':{}}"));
    talk_has(f, out, "/result/content",
             "[{'type':'text','text':'\\'Bo\\''},{'type':'text','text':'\\'m\\''},"
             "{'type':'text','text':'[{\\'uri\\':\\'file:///a\\'}]'}]");
}

static void legacy_refusals(void **state)
{
    struct talk *f = *state;
    talk_ask(f, OPEN("2025-11-25", ALL));
    talk_ask(f, CALL("1", "rounds", ""));
    talk_ask(f, ANSWER("s-1", ACCEPT("Bo")));
    struct str out = talk_ask(f, "{'jsonrpc':'2.0','id':'s-2','error':{'code':-1,"
                                 "'message':'no model'}}");
    out.n = (size_t)str_find(out, '\n') + 1;
    talk_same(out,
              talk_quoted(f, "{'jsonrpc':'2.0','method':'notifications/cancelled',"
                             "'params':{'requestId':'s-3'}}\n")
                  .p,
              "the other question is withdrawn");
    assert_int_equal(session_calls(f->session), 0);
    /* cancelled by the client while it is asked */
    talk_ask(f, CALL("2", "greet", ""));
    talk_has(f, talk_ask(f, NOTE("notifications/cancelled", "'requestId':2")),
             "/params/requestId", "'s-4'");
    talk_same(talk_ask(f, ANSWER("s-4", ACCEPT("Bo"))), "", "too late");
    /* never answered */
    talk_now_ms = 50000;
    talk_ask(f, CALL("3", "greet", ""));
    assert_int_equal(talk_due_ms, 1000 + 300000); /* of a question that was answered */
    mcp_server_expire(f->server, talk_due_ms);
    talk_same(talk_take(f), "", "not yet");
    assert_int_equal(talk_due_ms, 50000 + 300000);
    mcp_server_expire(f->server, talk_due_ms);
    out = talk_take(f);
    assert_int_equal(talk_lines(out), 2);
    talk_has(f, str_from(out, (size_t)str_find(out, '\n') + 1), "/result/isError",
             "true");
    assert_int_equal(session_calls(f->session), 0);
}

static void legacy_later(void **state)
{
    struct talk *f = *state;
    talk_ask(f, OPEN("2025-11-25", ALL));
    talk_ask(f, CALL("1", "patient", ""));
    talk_now_ms = 90000;
    struct call *call = call_find(f->server, last_ref);
    call_ask_form(call, "user", STR("Who?"), STR("{}"));
    call_ask_end(call, STR("state"));
    assert_int_equal(f->wakes, 1);
    assert_int_equal(talk_due_ms, 90000 + 300000);
    talk_has(f, talk_take(f), "/id", "'s-1'");
    talk_same(talk_ask(f, ANSWER("s-1", ACCEPT("Bo"))), "", "runs again");
    call = call_find(f->server, last_ref);
    talk_same(call_round(call), "state", "state");
    assert_int_equal(cancelled, 0);
    call_result_structured(call, STR("{}"));
    talk_has(f, talk_take(f), "/id", "1");
    /* a client that never says anything useful comes to an end */
    talk_ask(f, CALL("2", "greet", ""));
    struct str out = {0};
    for (int i = 2; i < 60; i++) {
        char text[200];
        snprintf(text, sizeof text, "{'jsonrpc':'2.0','id':'s-%d','result':{}}", i);
        out = talk_ask(f, text);
        if (talk_part(f, out, "/result/isError").n)
            break;
    }
    talk_has(f, out, "/result/isError", "true");
    talk_has(f, out, "/id", "2");
}

static void incapable(void **state)
{
    struct talk *f = *state;
    talk_ask(f, OPEN("2025-06-18", "'sampling':{}"));
    struct str out = talk_ask(f, CALL("1", "greet", ""));
    talk_has(f, out, "/result/isError", "true");
    out = talk_ask(f, MODERN("1", "tools/call", ",'name':'greet'"));
    talk_has(f, out, "/error",
             "{'code':-32021,'message':'Missing required client capability','data':{"
             "'requiredCapabilities':{'elicitation':{'form':{}}}}}");
    session_recv(f->session,
                 talk_quoted(f, MODERN("1", "prompts/get", ",'name':'ask'")), 1);
    size_t count;
    assert_int_equal(session_messages(f->session, &count)->status, 400);
    talk_take(f);
    /* {} means forms; a url is another thing */
    talk_ask(f, OPEN("2025-11-25", "'elicitation':{}"));
    talk_has(f, talk_ask(f, CALL("1", "url", "")), "/result/isError", "true");
    talk_ask(f, OPEN("2025-11-25", "'elicitation':{'url':{}}"));
    talk_has(f, talk_ask(f, CALL("1", "greet", "")), "/result/isError", "true");
    out = talk_ask(f, CALL("1", "url", ""));
    talk_has(f, out, "/params/mode", "'url'");
    talk_has(f, out, "/params/url", "'https://example.com'");
    assert_true(talk_part(f, out, "/params/elicitationId").n > 2);
    out = talk_ask(f, ANSWER("s-1", "{'action':'accept'}"));
    talk_has(f, out, "/result/structuredContent", "{'done':true}");
}

#define META_ALL                                                                       \
    "'_meta':{" VERSION ",'io.modelcontextprotocol/clientCapabilities':{" ALL "}}"
#define TRY(id, more) REQ(id, "tools/call", META_ALL more)

static void modern(void **state)
{
    struct talk *f = *state;
    struct str out = talk_ask(f, TRY("1", ",'name':'greet'"));
    talk_has(f, out, "/result/resultType", "'input_required'");
    talk_has(f, out, "/result/inputRequests",
             "{'user':{'method':'elicitation/create','params':{'message':'Who?',"
             "'requestedSchema':{'type':'object','properties':{'name':{'type':'string'"
             "}}}}}}");
    talk_has(f, out, "/result/requestState", "");
    talk_has(f, out, "/result/ttlMs", "");
    static const struct talk_row rows[] = {
        {TRY("2", ",'name':'greet','inputResponses':{'x':1,'user':" ACCEPT("Bo") "}"),
         "2", TEXT, "'\\'Bo\\''"},
        {TRY("2", ",'name':'greet','inputResponses':{'x':" ACCEPT("Bo") "}"), "2",
         "/result/resultType", "'input_required'"},
        {TRY("2", ",'name':'greet','inputResponses':{'user':12345}"), "2",
         "/result/resultType", "'input_required'"},
        {TRY("2", ",'name':'greet','inputResponses':null"), "2", CODE, PARAMS},
        {TRY("2", ",'name':'greet','inputResponses':[]"), "2", CODE, PARAMS},
        {TRY("2", ",'name':'greet','requestState':5"), "2", CODE, PARAMS},
        {TRY("2", ",'name':'greet','requestState':''"), "2", CODE, PARAMS},
        {TRY("2", ",'name':'greet','requestState':'AAAA'"), "2", CODE, PARAMS},
    };
    talk_rows(f, rows, sizeof rows / sizeof rows[0]);
    assert_int_equal(session_calls(f->session), 0);
}

/* Retries with the state of `out` in the place of the @. */
static struct str retry(struct talk *f, struct str out, const char *text)
{
    struct str token = talk_part(f, out, "/result/requestState");
    const char *at = strchr(text, '@');
    char with_token[2000];
    assert_true(token.n > 40 && at);
    snprintf(with_token, sizeof with_token, "%.*s%.*s%s", (int)(at - text), text,
             STR_FMT(token), at + 1);
    return talk_ask(f, with_token);
}

#define ROUNDS(more) TRY("1", ",'name':'rounds','requestState':@" more)

static void modern_rounds(void **state)
{
    struct talk *f = *state;
    struct str one = talk_ask(f, TRY("1", ",'name':'rounds'"));
    struct str two = retry(f, one, ROUNDS(",'inputResponses':{'a':" ACCEPT("Bo") "}"));
    talk_has(f, two, "/result/inputRequests",
             "{'b':{'method':'sampling/createMessage','params':{'messages':[],"
             "'maxTokens':5}},'c':{'method':'roots/list','params':{}}}");
    struct str three = retry(
        f, two,
        ROUNDS(",'arguments':{},'inputResponses':{'b':{'role':'assistant','model':'m',"
               "'content':[]},'c':{'roots':[]}}"));
    talk_has(f, three, CODE, PARAMS); /* it had no arguments */
    three = retry(f, two,
                  ROUNDS(",'inputResponses':{'b':{'role':'assistant','model':'m',"
                         "'content':[]},'c':{'roots':[]}}"));
    talk_has(f, three, "/result/content",
             "[{'type':'text','text':'\\'Bo\\''},{'type':'text','text':'\\'m\\''},"
             "{'type':'text','text':'[]'}]");
    struct str prompt = talk_ask(f, REQ("1", "prompts/get", META_ALL ",'name':'ask'"));
    talk_has(f, prompt, "/result/resultType", "'input_required'");
    prompt = retry(f, prompt,
                   REQ("1", "prompts/get",
                       META_ALL ",'name':'ask','requestState':@,'inputResponses':"
                                "{'context':{'action':'cancel'}}"));
    talk_has(f, prompt, "/result/messages/0/content/text",
             "'{\\'action\\':\\'cancel\\'}'");
}

static void signatures(void **state)
{
    struct talk *f = *state;
    static const char args[] =
        "'name':'rounds','arguments':{'a':{'x':1,'y':[2]},'b':'\\u0041'}";
    char text[2000];
    snprintf(text, sizeof text, TRY("1", ",%s"), args);
    struct str out = talk_ask(f, text);
    static const struct {
        const char *text;
        bool good;
    } rows[] = {
        {TRY("1", ",'name':'rounds','arguments':{'a':{'x':1,'y':[2]},'b':'\\u0041'},"
                  "'requestState':@"),
         true},
        {TRY("1", ",'requestState':@,'arguments':{'b':'A', 'a':{'y':[2],'x':1}},"
                  "'name':'rounds'"),
         true},
        {TRY("1", ",'name':'rounds','arguments':{'a':{'x':2,'y':[2]},'b':'A'},"
                  "'requestState':@"),
         false},
        {TRY("1", ",'name':'greet','arguments':{'a':{'x':1,'y':[2]},'b':'A'},"
                  "'requestState':@"),
         false},
        {TRY("1", ",'name':'rounds','requestState':@"), false},
        {REQ("1", "prompts/get",
             META_ALL ",'name':'ask','arguments':{},'requestState':@"),
         false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct str again = retry(f, out, rows[i].text);
        if ((talk_part(f, again, "/result").n > 0) != rows[i].good)
            fail_msg("%s: %.*s", rows[i].text, STR_FMT(again));
    }
    /* every changed byte is found */
    struct str token = talk_part(f, out, "/result/requestState");
    for (size_t i = 1; i + 1 < token.n; i++) {
        char copy[500];
        snprintf(copy, sizeof copy, "%.*s", STR_FMT(token));
        copy[i] = copy[i] == 'A' ? 'B' : 'A';
        snprintf(text, sizeof text, TRY("1", ",%s,'requestState':%s"), args, copy);
        talk_has(f, talk_ask(f, text), CODE, PARAMS);
    }
    /* of another principal, and too late */
    struct session *mine = f->session;
    f->session = session_new(f->server, &(struct session_config){.principal = "eve"});
    talk_has(f, retry(f, out, rows[0].text), CODE, PARAMS);
    session_free(f->session);
    f->session = mine;
    talk_unix_ms += 10 * 60 * 1000;
    assert_true(talk_part(f, retry(f, out, rows[0].text), "/result").n > 0);
    talk_unix_ms++;
    talk_has(f, retry(f, out, rows[0].text), CODE, PARAMS);
}

static void large_questions(void **state)
{
    struct talk *f = *state;
    static const struct {
        const char *args;
        bool fits;
    } rows[] = {
        {"'bytes':4000000", true},  {"'bytes':4194290", false},
        {"'bytes':9000000", false}, {"'state':16384", true},
        {"'state':16385", false},
    };
    talk_ask(f, OPEN("2025-11-25", ALL));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[1000];
        snprintf(text, sizeof text, CALL("1", "much", "%s"), rows[i].args);
        struct str out = talk_ask(f, text);
        bool asked = talk_lines(out) == 2;
        if (asked != rows[i].fits)
            fail_msg("%s", rows[i].args);
        if (!asked)
            talk_has(f, out, "/result/isError", "true");
        else
            talk_ask(f, NOTE("notifications/cancelled", "'requestId':1"));
        snprintf(text, sizeof text, TRY("1", ",'name':'much','arguments':{%s}"),
                 rows[i].args);
        out = talk_ask(f, text);
        talk_has(f, out, "/result/resultType",
                 rows[i].fits ? "'input_required'" : "'complete'");
        assert_false(session_broken(f->session));
    }
}

static void canonical(void **state)
{
    struct talk *f = *state;
    static const struct {
        const char *a, *b;
        bool same;
    } rows[] = {
        {"{'a':1,'b':2}", " { 'b' : 2, 'a' : 1 } ", true},
        {"'\\u0041\\/'", "'A/'", true},
        {"{'a':1,'a':2}", "{'a':2,'a':1}", false},
        {"[1,2]", "[2,1]", false},
        {"[[1],2]", "[[1,2]]", false},
        {"{}", "[]", false},
        {"1", "1.0", false},
        {"{'a':{'b':1}}", "{'a':{},'b':1}", false},
        {"null", "''", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned char mac[2][SHA256_SIZE];
        for (int k = 0; k < 2; k++) {
            struct json_doc doc;
            struct err err;
            struct hmac256 m;
            struct str text = talk_quoted(f, k ? rows[i].b : rows[i].a);
            assert_int_equal(json_parse(&doc, &f->arena, text, &err), 0);
            hmac256_init(&m, STR("key"));
            canonical_add(&m, json_root(&doc), &f->arena);
            hmac256_end(&m, mac[k]);
        }
        assert_int_equal(sha256_same(mac[0], mac[1], SHA256_SIZE), rows[i].same);
    }
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(legacy),        TEST(legacy_rounds), TEST(legacy_refusals),
        TEST(legacy_later),  TEST(incapable),     TEST(modern),
        TEST(modern_rounds), TEST(signatures),    TEST(large_questions),
        TEST(canonical),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
