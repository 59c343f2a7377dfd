/* Who is told of changes, in both eras. */
#include "base/mem.h"
#include "tests/unit/talk.h"
#include <stdio.h>

static int setup(void **state)
{
    struct talk *f = mem_new(struct talk);
    f->server = mcp_server_new(&(struct mcp_server_config){
        .name = "t", .title = "T", .version = "1", .features = MCP_CHANGES});
    talk_restart(f);
    *state = f;
    return 0;
}

static int setup_few(void **state)
{
    struct talk *f = mem_new(struct talk);
    f->server = mcp_server_new(&(struct mcp_server_config){
        .name = "t", .title = "T", .version = "1", .features = MCP_RESOURCES_CHANGE});
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

#define SUBSCRIBE(uri) REQ("1", "resources/subscribe", "'uri':" uri)
#define UNSUBSCRIBE(uri) REQ("1", "resources/unsubscribe", "'uri':" uri)
#define LISTEN(id, filter)                                                             \
    MODERN(id, "subscriptions/listen", ",'notifications':" filter)
#define INITIALIZED NOTE("notifications/initialized", "")
#define ID "'_meta':{'io.modelcontextprotocol/subscriptionId':"

static void advertised(void **state)
{
    struct talk *f = *state;
    static const char all[] =
        "{'tools':{'listChanged':true},'resources':{'subscribe':true,'listChanged':"
        "true},'prompts':{'listChanged':true},'completions':{},'logging':{}}";
    talk_has(f, talk_ask(f, INIT("2025-11-25")), "/result/capabilities", all);
    talk_has(f, talk_ask(f, MODERN("1", "server/discover", "")), "/result/capabilities",
             all);
}

static void few(void **state)
{
    struct talk *f = *state;
    static const struct talk_row rows[] = {
        {MODERN("1", "server/discover", ""), "1", "/result/capabilities/resources",
         "{'listChanged':true}"},
        {SUBSCRIBE("'x:1'"), "1", CODE, NO_METHOD},
        {UNSUBSCRIBE("'x:1'"), "1", CODE, NO_METHOD},
        {LISTEN("1", "{'toolsListChanged':true,'resourceSubscriptions':['x:1'],"
                     "'resourcesListChanged':true}"),
         "", "/params/notifications", "{'resourcesListChanged':true}"},
    };
    talk_rows(f, rows, sizeof rows / sizeof rows[0]);
    mcp_server_changed(f->server, 0, MCP_TOOLS_CHANGE);
    mcp_server_updated(f->server, 0, STR("x:1"));
    talk_same(talk_take(f), "", "not offered");
}

static void legacy(void **state)
{
    struct talk *f = *state;
    mcp_server_changed(f->server, 0, MCP_TOOLS_CHANGE);
    talk_same(talk_take(f), "", "nobody is there");
    talk_ask(f, INIT("2025-06-18"));
    mcp_server_changed(f->server, 0, MCP_TOOLS_CHANGE);
    talk_same(talk_take(f), "", "not before it says that it is ready");
    talk_ask(f, INITIALIZED);
    mcp_server_changed(f->server, 0, MCP_TOOLS_CHANGE | MCP_RESOURCES_CHANGE);
    talk_same(talk_take(f),
              talk_quoted(f, "{'jsonrpc':'2.0','method':'notifications/tools/"
                             "list_changed','params':{}}\n{'jsonrpc':'2.0','method':"
                             "'notifications/resources/list_changed','params':{}}\n")
                  .p,
              "changed");
    assert_int_equal(f->wakes, 1);
    mcp_server_set_prompts(f->server, NULL, 0);
    talk_has(f, talk_take(f), "/method", "'notifications/prompts/list_changed'");
    mcp_server_set_tools(f->server, NULL, 0);
    talk_has(f, talk_take(f), "/method", "'notifications/tools/list_changed'");
    mcp_server_changed(f->server, 8, MCP_TOOLS_CHANGE);
    talk_same(talk_take(f), "", "another owner's");
    mcp_server_changed(f->server, 7, MCP_TOOLS_CHANGE);
    assert_int_equal(talk_lines(talk_take(f)), 1);
    /* half an owner: all that belong to it */
    mcp_server_changed(f->server, 1ULL << 32, MCP_TOOLS_CHANGE);
    talk_same(talk_take(f), "", "another owner's");
    session_free(f->session);
    f->session =
        session_new(f->server, &(struct session_config){.owner = 1ULL << 32 | 5});
    talk_ask(f, INIT("2025-06-18"));
    talk_ask(f, INITIALIZED);
    mcp_server_changed(f->server, 1ULL << 32, MCP_TOOLS_CHANGE);
    assert_int_equal(talk_lines(talk_take(f)), 1);
    mcp_server_changed(f->server, 1ULL << 32 | 6, MCP_TOOLS_CHANGE);
    talk_same(talk_take(f), "", "another owner's");
}

static void legacy_resources(void **state)
{
    struct talk *f = *state;
    static const struct talk_row rows[] = {
        {INIT("2025-11-25"), "'i'", "/result/protocolVersion", "'2025-11-25'"},
        {SUBSCRIBE("'x:a'"), "1", "/result", "{}"},
        {SUBSCRIBE("'x:a'"), "1", "/result", "{}"},
        {SUBSCRIBE("'x:\\u0062/'"), "1", "/result", "{}"},
        {SUBSCRIBE("''"), "1", CODE, PARAMS},
        {SUBSCRIBE("'a\\u0000b'"), "1", CODE, PARAMS},
        {SUBSCRIBE("5"), "1", CODE, PARAMS},
        {UNSUBSCRIBE("'x:c'"), "1", "/result", "{}"},
        {UNSUBSCRIBE("5"), "1", CODE, PARAMS},
    };
    talk_rows(f, rows, sizeof rows / sizeof rows[0]);
    static const struct {
        const char *uri;
        int told;
    } updates[] = {{"x:a", 1},  {"x:a/b", 1}, {"x:ab", 0}, {"x:", 0},
                   {"x:b/", 1}, {"x:b/c", 1}, {"x:b", 0}};
    for (size_t i = 0; i < sizeof updates / sizeof updates[0]; i++) {
        mcp_server_updated(f->server, 0, str_of(updates[i].uri));
        struct str out = talk_take(f);
        if (talk_lines(out) != updates[i].told)
            fail_msg("%s: %.*s", updates[i].uri, STR_FMT(out));
    }
    mcp_server_updated(f->server, 7, STR("x:a"));
    talk_same(talk_take(f),
              talk_quoted(f, "{'jsonrpc':'2.0','method':'notifications/resources/"
                             "updated','params':{'uri':'x:a'}}\n")
                  .p,
              "updated");
    mcp_server_updated(f->server, 8, STR("x:a"));
    talk_same(talk_take(f), "", "another owner's");
    talk_ask(f, UNSUBSCRIBE("'x:a'"));
    mcp_server_updated(f->server, 0, STR("x:a"));
    talk_same(talk_take(f), "", "not any more");
    talk_ask(f, INIT("2025-11-25"));
    mcp_server_updated(f->server, 0, STR("x:b/"));
    talk_same(talk_take(f), "", "a new handshake forgets");
    for (int i = 0; i < 256; i++) {
        char text[200];
        snprintf(text, sizeof text, SUBSCRIBE("'x:%d'"), i);
        talk_has(f, talk_ask(f, text), "/result", "{}");
    }
    talk_has(f, talk_ask(f, SUBSCRIBE("'x:more'")), CODE, "-32603");
    talk_has(f, talk_ask(f, SUBSCRIBE("'x:7'")), "/result", "{}");
}

static void listening(void **state)
{
    struct talk *f = *state;
    size_t count;
    session_recv_on(
        f->session,
        talk_quoted(f, LISTEN("'listen:\\u0030'",
                              "{'toolsListChanged':true,'promptsListChanged'"
                              ":false,'resourceSubscriptions':['x:a']}")),
        3, 1);
    const struct mcp_message *m = session_messages(f->session, &count);
    assert_true(count == 1 && m->stream == 3 && !m->final);
    talk_same(talk_take(f),
              talk_quoted(f, "{'jsonrpc':'2.0','method':'notifications/subscriptions/"
                             "acknowledged','params':{" ID
                             "'listen:\\u0030'},'notifications':{'toolsListChanged':"
                             "true,'resourceSubscriptions':['x:a']}}}\n")
                  .p,
              "acknowledged");
    assert_int_equal(session_stream_requests(f->session, 3), 1);
    assert_int_equal(session_calls(f->session), 0);
    mcp_server_changed(f->server, 0, MCP_CHANGES);
    mcp_server_updated(f->server, 7, STR("x:a/b"));
    m = session_messages(f->session, &count);
    assert_true(count == 2 && m[0].stream == 3 && m[1].stream == 3);
    talk_same(talk_take(f),
              talk_quoted(f, "{'jsonrpc':'2.0','method':'notifications/tools/"
                             "list_changed','params':{" ID "'listen:\\u0030'}}}\n"
                             "{'jsonrpc':'2.0','method':'notifications/resources/"
                             "updated','params':{" ID
                             "'listen:\\u0030'},'uri':'x:a/b'}}\n")
                  .p,
              "told");
    /* a second one at the same time; an id is taken while its listen lives */
    talk_has(f, talk_ask(f, LISTEN("5", "{'promptsListChanged':true}")), "/params",
             "{" ID "5},'notifications':{'promptsListChanged':true}}");
    talk_has(f, talk_ask(f, LISTEN("5", "{}")), CODE, INVALID);
    mcp_server_changed(f->server, 0, MCP_CHANGES);
    assert_int_equal(talk_lines(talk_take(f)), 2);
    /* cancelled: nothing more is said; another one goes on */
    talk_same(
        talk_ask(f, NOTE("notifications/cancelled", "'requestId':'listen:\\u0030'")),
        "", "cancelled");
    assert_int_equal(session_stream_requests(f->session, 3), 0);
    mcp_server_changed(f->server, 0, MCP_TOOLS_CHANGE);
    talk_same(talk_take(f), "", "cancelled");
    talk_has(f, talk_ask(f, LISTEN("6", "{}")), "/params/notifications", "{}");
    session_end_listens(f->session);
    m = session_messages(f->session, &count);
    assert_true(count == 2 && m[0].final && m[0].status == 200);
    struct str out = talk_take(f);
    out.n = (size_t)str_find(out, '\n');
    talk_has(f, out, "/result", "{'resultType':'complete'," ID "6}}");
    assert_int_equal(session_stream_requests(f->session, 0), 0);
}

static void filters(void **state)
{
    static const struct talk_row rows[] = {
        {MODERN("1", "subscriptions/listen", ""), "1", CODE, PARAMS},
        {LISTEN("1", "[]"), "1", CODE, PARAMS},
        {LISTEN("1", "{'resourceSubscriptions':'x'}"), "1", CODE, PARAMS},
        {LISTEN("1", "{'resourceSubscriptions':[5]}"), "1", CODE, PARAMS},
        {LISTEN("1", "{'resourceSubscriptions':['']}"), "1", CODE, PARAMS},
        {LISTEN("1", "{'unknown':true,'toolsListChanged':'yes'}"), "",
         "/params/notifications", "{}"},
    };
    talk_rows(*state, rows, sizeof rows / sizeof rows[0]);
}

static void limits(void **state)
{
    struct talk *f = *state;
    char text[400];
    for (int i = 0; i < MCP_SESSION_LISTENS_MAX; i++) {
        snprintf(text, sizeof text, LISTEN("%d", "{}"), i);
        talk_has(f, talk_ask(f, text), "/params/notifications", "{}");
    }
    talk_has(f, talk_ask(f, LISTEN("'x'", "{}")), CODE, "-32603");
    /* per server: other connections come to its end too */
    struct session *others[MCP_LISTENS_MAX / MCP_SESSION_LISTENS_MAX];
    for (int k = 1; k < MCP_LISTENS_MAX / MCP_SESSION_LISTENS_MAX; k++) {
        others[k] = session_new(f->server, &(struct session_config){0});
        for (int i = 0; i < MCP_SESSION_LISTENS_MAX; i++) {
            snprintf(text, sizeof text, LISTEN("%d", "{}"), i);
            session_recv(others[k], talk_quoted(f, text), 1);
        }
    }
    struct session *first = f->session;
    f->session = session_new(f->server, &(struct session_config){0});
    talk_has(f, talk_ask(f, LISTEN("'x'", "{}")), CODE, "-32603");
    session_free(others[1]);
    talk_has(f, talk_ask(f, LISTEN("'x'", "{}")), "/params/notifications", "{}");
    for (int k = 2; k < MCP_LISTENS_MAX / MCP_SESSION_LISTENS_MAX; k++)
        session_free(others[k]);
    session_free(first);
}

int main(void)
{
#define TEST(fn, setup) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(advertised, setup),       TEST(few, setup_few),   TEST(legacy, setup),
        TEST(legacy_resources, setup), TEST(listening, setup), TEST(filters, setup),
        TEST(limits, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
