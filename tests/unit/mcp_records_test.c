/* What transports that route and that have a status line are told of each message. */
#include "base/mem.h"
#include "tests/unit/talk.h"

static uint64_t last_ref;

static void later(struct call *call)
{
    last_ref = call_ref(call);
    call_log(call, MCP_LOG_ERROR, STR("begun"));
}

static int setup(void **state)
{
    static struct mcp_tool tools[] = {
        {.name = "later",
         .definition = STR_INIT("{\"name\":\"later\",\"inputSchema\":{}}"),
         .call = later},
    };
    struct talk *f = mem_new(struct talk);
    struct schema *schema = talk_any(f);
    tools[0].input = schema;
    f->server = mcp_server_new(&(struct mcp_server_config){
        .name = "t", .title = "T", .version = "1", .tools = tools, .tool_count = 1});
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

static void statuses(void **state)
{
    struct talk *f = *state;
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        {"x", 400},
        {"[]", 400},
        {"{'jsonrpc':'2.0','id':1}", 400},
        {REQ("1", "ping", ""), 200},
        {REQ("1", "no/such", ""), 200},
        {REQ("1", "tools/call", ""), 200},
        {REQ("1", "resources/read", "'uri':'a:b'"), 200},
        {MODERN("1", "tools/list", ""), 200},
        {MODERN("1", "tools/call", ",'name':'x'"), 200},
        {MODERN("1", "resources/read", ",'uri':'a:b'"), 200},
        {MODERN("1", "ping", ""), 404},
        {MODERN("1", "no/such", ""), 404},
        {REQ("1", "tools/list", "'_meta':{" VERSION "}"), 400},
        {REQ("1", "tools/list",
             "'_meta':{'io.modelcontextprotocol/protocolVersion':'1'," CAPS "}"),
         400},
        {REQ("1", "server/discover", ""), 400},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t count;
        session_recv_on(f->session, talk_quoted(f, rows[i].text), i + 1, 1000);
        const struct mcp_message *m = session_messages(f->session, &count);
        if (count != 1 || m->status != rows[i].status)
            fail_msg("%s: %d", rows[i].text, count ? m->status : -1);
        assert_true(m->final && m->stream == i + 1);
        bool failed = m->failed;
        struct str error = talk_part(f, talk_take(f), "/error");
        assert_int_equal(failed, error.n > 0);
        assert_int_equal(session_stream_requests(f->session, i + 1), 0);
    }
}

static void streams(void **state)
{
    struct talk *f = *state;
    size_t count;
    const struct mcp_message *m;
    talk_ask(f, INIT("2025-11-25"));
    session_recv_on(f->session, talk_quoted(f, CALL("1", "later", "")), 5, 1000);
    m = session_messages(f->session, &count);
    assert_true(count == 1 && m->stream == 5 && !m->final && m->status == 0);
    uint64_t first = last_ref;
    session_recv_on(f->session, talk_quoted(f, CALL("2", "later", "")), 6, 1000);
    talk_take(f);
    assert_int_equal(session_stream_requests(f->session, 5), 1);
    assert_int_equal(session_stream_requests(f->session, 6), 1);
    call_log(call_find(f->server, first), MCP_LOG_ERROR, STR("x"));
    session_log(f->session, MCP_LOG_ERROR, STR("to all"));
    call_result_structured(call_find(f->server, first), STR("{}"));
    m = session_messages(f->session, &count);
    assert_int_equal(count, 3);
    assert_true(m[0].stream == 5 && m[0].request == first && !m[0].final);
    assert_true(m[1].stream == 0 && m[1].request == 0 && !m[1].final);
    assert_true(m[2].stream == 5 && m[2].final && m[2].status == 200);
    talk_take(f);
    assert_int_equal(session_stream_requests(f->session, 5), 0);
    assert_int_equal(session_stream_requests(f->session, 6), 1);
    /* a text that came parsed; what has no stream has none */
    struct json_doc doc;
    struct err err;
    assert_int_equal(
        json_parse(&doc, &f->arena, talk_quoted(f, REQ("3", "ping", "")), &err), 0);
    session_recv_json(f->session, &doc, 9, 1000);
    m = session_messages(f->session, &count);
    assert_true(count == 1 && m->stream == 9);
    talk_has(f, talk_take(f), "/result", "{}");
    session_recv(f->session, talk_quoted(f, REQ("3", "ping", "")), 1000);
    assert_int_equal(session_messages(f->session, &count)->stream, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(statuses, setup, teardown),
        cmocka_unit_test_setup_teardown(streams, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
