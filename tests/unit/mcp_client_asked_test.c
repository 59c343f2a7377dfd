/* What a client answers when the server asks, in both eras, against the server in
 * memory and against scripted ones; and lists of several pages. JSON is written with '
 * for " here. */
#include "base/mem.h"
#include "mcp/client.h"
#include "tests/unit/talk.h"
#include <stdio.h>

/* A client and the server that it talks with. */
struct pair {
    struct talk server;
    struct client *client;
    int results, ends, withdrawn;
    size_t items;
    enum err_kind kind;
    char text[300];
    uint64_t question; /* the last one that was asked */
    char method[64];
    bool answer_at_once;
};

/* Asks all three kinds at once, then tells the answers. */
static void ask_all(struct call *call)
{
    struct json form = call_answer(call, CALL_ASK_FORM, "form");
    struct json sample = call_answer(call, CALL_ASK_SAMPLE, "sample");
    struct json roots = call_answer(call, CALL_ASK_ROOTS, "roots");
    if (!json_present(roots)) {
        call_ask_roots(call, "roots");
        if (call_can_ask(call, CALL_ASK_FORM))
            call_ask_form(call, "form", STR("?"), STR("{}"));
        if (call_can_ask(call, CALL_ASK_SAMPLE))
            call_ask_sample(call, "sample", STR("{\"messages\":[],\"maxTokens\":1}"));
        call_ask_end(call, STR("state"));
        return;
    }
    struct json_writer *w = call_content_begin(call);
    call_content_text(w, json_raw(json_get(roots, STR("roots"))));
    call_content_text(w, json_raw(json_get(form, STR("action"))));
    call_content_text(w, json_raw(json_get(sample, STR("model"))));
    call_content_text(w, call_round(call));
    call_content_end(call);
}

static struct mcp_tool tools[] = {
    {.name = "ask",
     .definition = STR_INIT("{\"name\":\"ask\",\"inputSchema\":{}}"),
     .call = ask_all},
    {.name = "other",
     .definition = STR_INIT("{\"name\":\"other\",\"inputSchema\":{}}"),
     .call = ask_all},
    {.name = "third",
     .definition = STR_INIT("{\"name\":\"third\",\"inputSchema\":{}}"),
     .call = ask_all},
};

static void on_result(void *ctx, struct json result, const struct err *err)
{
    struct pair *p = ctx;
    struct str raw = json_raw(json_get(result, STR("content")));
    p->results++;
    p->kind = err ? err->kind : ERR_NONE;
    if (err)
        snprintf(p->text, sizeof p->text, "%s", err->msg);
    else
        snprintf(p->text, sizeof p->text, "%.*s", STR_FMT(raw));
}

static void answer(struct pair *p)
{
    struct str result = strcmp(p->method, "elicitation/create") == 0
                            ? STR("{\"action\":\"accept\",\"content\":{}}")
                            : STR("{\"role\":\"assistant\",\"model\":\"m\","
                                  "\"content\":[]}");
    assert_int_equal(client_answer(p->client, p->question, result), 0);
}

static void on_asked(void *ctx, uint64_t question, struct str method,
                     struct json params)
{
    struct pair *p = ctx;
    assert_int_equal(json_type(params), JSON_OBJECT);
    p->question = question;
    snprintf(p->method, sizeof p->method, "%.*s", STR_FMT(method));
    if (p->answer_at_once)
        answer(p);
}

static void on_withdrawn(void *ctx, uint64_t question)
{
    struct pair *p = ctx;
    (void)question;
    p->withdrawn++;
}

static const struct client_root roots[] = {{"file:///a", "A"}, {"file:///b", NULL}};

static void make_client(struct pair *p, enum client_era era, unsigned asks)
{
    client_free(p->client);
    p->client = client_new(&(struct client_config){.name = "c",
                                                   .version = "1",
                                                   .era = era,
                                                   .roots = roots,
                                                   .root_count = 2,
                                                   .asks = asks,
                                                   .on_asked = on_asked,
                                                   .on_withdrawn = on_withdrawn,
                                                   .ctx = p});
    talk_restart(&p->server);
    p->results = p->withdrawn = p->ends = 0;
    p->items = 0;
    p->answer_at_once = true;
}

static int setup(void **state)
{
    struct pair *p = mem_new(struct pair);
    struct talk *f = &p->server;
    struct schema *any = talk_any(f);
    for (size_t i = 0; i < sizeof tools / sizeof tools[0]; i++)
        tools[i].input = any;
    f->server = mcp_server_new(&(struct mcp_server_config){.name = "s",
                                                           .title = "S",
                                                           .version = "1",
                                                           .tools = tools,
                                                           .tool_count = 3,
                                                           .page_size = 2,
                                                           .host = &talk_host});
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;
    client_free(p->client);
    talk_finish(&p->server);
    mem_free(p);
    return 0;
}

/* Each line of s, as a copy that ends with the call. */
static void each_line(struct pair *p, struct str s, bool to_server)
{
    struct err err;
    for (ptrdiff_t lf; (lf = str_find(s, '\n')) >= 0; s = str_from(s, (size_t)lf + 1)) {
        char *copy = mem_strndup(s.p, (size_t)lf);
        if (to_server)
            session_recv(p->server.session, (struct str){copy, (size_t)lf}, 1000);
        else
            assert_int_equal(
                client_recv(p->client, (struct str){copy, (size_t)lf}, &err), 0);
        mem_free(copy);
    }
}

/* Carries messages both ways until nobody has any. */
static void carry(struct pair *p)
{
    struct arena *a = &p->server.arena;
    for (;;) {
        struct str out = arena_dup(a, client_output(p->client));
        client_sent(p->client);
        each_line(p, out, true);
        struct str in = talk_take(&p->server);
        if (!out.n && !in.n)
            return;
        each_line(p, in, false);
    }
}

static void open_client(struct pair *p, enum client_era era, unsigned asks)
{
    make_client(p, era, asks);
    client_open(p->client, on_result, p);
    carry(p);
    assert_int_equal(p->results, 1);
    assert_int_equal(p->kind, ERR_NONE);
    p->results = 0;
}

static uint64_t call_tool(struct pair *p)
{
    uint64_t number =
        client_call_tool(p->client, "ask", STR("{\"x\":1}"), on_result, p);
    carry(p);
    return number;
}

#define ANSWERED(form, sample)                                                         \
    "[{'type':'text','text':'[{\\'uri\\':\\'file:///a\\',\\'name\\':\\'A\\'},{"        \
    "\\'uri\\':\\'file:///b\\'}]'},{'type':'text','text':'" form                       \
    "'},{'type':'text','text':'" sample "'},{'type':'text','text':'state'}]"
static const enum client_era eras[] = {CLIENT_LEGACY, CLIENT_MODERN};

static void answered(void **state)
{
    struct pair *p = *state;
    for (int i = 0; i < 2; i++) {
        open_client(p, eras[i], CLIENT_ELICITS | CLIENT_SAMPLES);
        call_tool(p);
        assert_int_equal(p->results, 1);
        talk_same(str_of(p->text),
                  talk_quoted(&p->server, ANSWERED("\\'accept\\'", "\\'m\\'")).p,
                  "answers");
        /* only what is offered is asked */
        open_client(p, eras[i], 0);
        call_tool(p);
        talk_same(str_of(p->text), talk_quoted(&p->server, ANSWERED("", "")).p,
                  "roots");
    }
}

static void answered_later(void **state)
{
    struct pair *p = *state;
    for (int i = 0; i < 2; i++) {
        open_client(p, eras[i], CLIENT_SAMPLES);
        p->answer_at_once = false;
        call_tool(p);
        assert_int_equal(p->results, 0);
        assert_string_equal(p->method, "sampling/createMessage");
        answer(p);
        carry(p);
        assert_int_equal(p->results, 1);
        talk_same(str_of(p->text), talk_quoted(&p->server, ANSWERED("", "\\'m\\'")).p,
                  "answers");
        assert_int_equal(client_answer(p->client, p->question, STR("{}")), -1);
        assert_int_equal(session_calls(p->server.session), 0);
    }
}

static void cancelled_while_asked(void **state)
{
    struct pair *p = *state;
    for (int i = 0; i < 2; i++) {
        open_client(p, eras[i], CLIENT_ELICITS);
        p->answer_at_once = false;
        uint64_t number = call_tool(p);
        client_cancel(p->client, number);
        assert_int_equal(p->results, 1);
        assert_int_equal(p->kind, ERR_CANCELLED);
        carry(p);
        assert_int_equal(p->withdrawn, 1);
        assert_int_equal(client_answer(p->client, p->question, STR("{}")), -1);
        carry(p);
        assert_int_equal(p->results, 1);
        /* and when the connection is lost */
        call_tool(p);
        struct err err;
        err_set(&err, ERR_UNAVAILABLE, "gone");
        client_lost(p->client, &err);
        assert_int_equal(p->withdrawn, 2);
        assert_int_equal(p->kind, ERR_UNAVAILABLE);
    }
}

/* A server that says this, to a client that has asked for something. */
static struct str script(struct pair *p, enum client_era era, const char *text)
{
    struct err err;
    make_client(p, era, 0);
    client_send(p->client, &(struct client_request){
                               .method = "tools/call", .fn = on_result, .ctx = p});
    client_sent(p->client);
    assert_int_equal(client_recv(p->client, talk_quoted(&p->server, text), &err), 0);
    struct str out = arena_dup(&p->server.arena, client_output(p->client));
    client_sent(p->client);
    return out;
}

#define ASK(id, method)                                                                \
    "{'jsonrpc':'2.0','id':" id ",'method':'" method "','params':{}}"
#define REQUIRED(rest)                                                                 \
    "{'jsonrpc':'2.0','id':1,'result':{'resultType':'input_required'" rest "}}"

static void not_offered(void **state)
{
    struct pair *p = *state;
    struct talk *f = &p->server;
    struct str out = script(p, CLIENT_LEGACY, ASK("'q'", "elicitation/create"));
    talk_has(f, out, "/id", "'q'");
    talk_has(f, out, "/result", "{'action':'decline'}");
    out = script(p, CLIENT_LEGACY, ASK("5", "sampling/createMessage"));
    talk_has(f, out, CODE, NO_METHOD);
    talk_has(f, script(p, CLIENT_LEGACY, ASK("5", "x/y")), CODE, NO_METHOD);
    talk_has(f, script(p, CLIENT_LEGACY, ASK("5", "ping")), "/result", "{}");
    out = script(p, CLIENT_MODERN,
                 REQUIRED(",'requestState':'s\\u0041','inputRequests':{'k\\u0041':{"
                          "'method':'elicitation/create','params':{}}}"));
    talk_has(f, out, "/id", "2");
    talk_has(f, out, "/params/inputResponses", "{'k\\u0041':{'action':'decline'}}");
    talk_has(f, out, "/params/requestState", "'s\\u0041'");
    assert_int_equal(p->results, 0);
    /* only a state: the same again */
    out = script(p, CLIENT_MODERN, REQUIRED(",'requestState':'s'"));
    talk_has(f, out, "/params/requestState", "'s'");
    talk_has(f, out, "/params/inputResponses", "");
    script(p, CLIENT_MODERN,
           REQUIRED(",'inputRequests':{'k':{'method':'sampling/createMessage'}}"));
    assert_int_equal(p->results, 1);
    assert_int_equal(p->kind, ERR_PROTOCOL);
}

static void a_server_without_end(void **state)
{
    struct pair *p = *state;
    char text[200];
    struct err err;
    script(p, CLIENT_MODERN, REQUIRED(",'requestState':'s'"));
    for (int i = 2; i < 100 && p->results == 0; i++) {
        snprintf(text, sizeof text,
                 "{'jsonrpc':'2.0','id':%d,'result':{'resultType':'input_required',"
                 "'requestState':'s'}}",
                 i);
        client_recv(p->client, talk_quoted(&p->server, text), &err);
    }
    assert_int_equal(p->results, 1);
    assert_int_equal(p->kind, ERR_PROTOCOL);
}

static void on_page(void *ctx, struct json items, const struct err *err)
{
    struct pair *p = ctx;
    if (json_present(items)) {
        p->items += json_len(items);
        return;
    }
    p->ends++;
    p->kind = err ? err->kind : ERR_NONE;
}

static void lists(void **state)
{
    struct pair *p = *state;
    for (int i = 0; i < 2; i++) {
        open_client(p, eras[i], 0);
        client_list(p->client, "tools/list", "tools", on_page, p);
        carry(p);
        assert_int_equal(p->items, 3);
        assert_int_equal(p->ends, 1);
        assert_int_equal(p->kind, ERR_NONE);
        client_list(p->client, "no/list", "tools", on_page, p);
        carry(p);
        assert_int_equal(p->ends, 2);
        assert_int_equal(p->kind, ERR_PROTOCOL);
        client_list(p->client, "prompts/list", "tools", on_page, p);
        carry(p);
        assert_int_equal(p->ends, 3);
        assert_int_equal(p->kind, ERR_PROTOCOL);
        client_list(p->client, "tools/list", "tools", on_page, p);
    }
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(answered),    TEST(answered_later),       TEST(cancelled_while_asked),
        TEST(not_offered), TEST(a_server_without_end), TEST(lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
