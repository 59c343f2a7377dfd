/* What a server offers besides tools: resources, templates, prompts, completion; and
 * the pages of every list. */
#include "base/mem.h"
#include "mcp/template.h"
#include "tests/unit/talk.h"
#include <stdio.h>

static uint64_t last_ref;

static void read_text(struct call *call)
{
    struct json_writer *w = call_contents_begin(call);
    call_contents_text(w, call_uri(call), STR("text/plain"), STR("a\nb"));
    call_contents_blob(w, STR("x:2"), (struct str){0}, STR("\x89PNG"));
    call_contents_end(call);
}

static void read_missing(struct call *call)
{
    struct err err;
    call_contents_text(call_contents_begin(call), STR("x:"), STR("t"), STR("half"));
    err_set(&err, ERR_NOT_FOUND, "it went away");
    call_fail(call, &err);
}

static void read_denied(struct call *call)
{
    struct err err;
    err_set(&err, ERR_DENIED, "not for you");
    err_remedy(&err, "ask somebody else");
    call_fail(call, &err);
}

static void read_later(struct call *call)
{
    last_ref = call_ref(call);
}

static void read_template(struct call *call)
{
    struct str id = call_var(call, STR("id")), path = call_var(call, STR("path"));
    assert_null(call_var(call, STR("other")).p);
    char text[200];
    int n = snprintf(text, sizeof text, "%.*s|%.*s", STR_FMT(id), STR_FMT(path));
    struct json_writer *w = call_contents_begin(call);
    call_contents_text(w, call_uri(call), STR("text/plain"),
                       (struct str){text, (size_t)n});
    call_contents_end(call);
}

/* Three pages of one: "1", "2", "3". */
static void list_more(struct call *call)
{
    struct str at = call_cursor(call);
    char entry[99], next = at.n ? (char)(at.p[0] + 1) : '1';
    int n = snprintf(entry, sizeof entry, "{\"uri\":\"more:%c\",\"name\":\"m\"}", next);
    struct json_writer *w = call_resources_begin(call);
    jw_raw(w, (struct str){entry, (size_t)n});
    call_resources_end(call, next == '3' ? (struct str){0} : (struct str){&next, 1});
}

static void get_plain(struct call *call)
{
    struct str name = json_str(json_get(call_args(call), STR("who")), call_arena(call));
    struct json_writer *w = call_messages_begin(call, STR("what it is"));
    call_message_begin(w, "user");
    call_content_text(w, name);
    call_message_end(w);
    call_message_begin(w, "assistant");
    call_content_resource(w, STR("x:1"), STR("text/plain"), STR("t"));
    call_message_end(w);
    call_messages_end(call);
}

static void get_nothing(struct call *call)
{
    struct err err;
    err_set(&err, ERR_UNAVAILABLE, "not now");
    call_fail(call, &err);
}

/* All numbers below the value, and what the context says. */
static void complete(struct call *call)
{
    static char text[200][8];
    struct str values[201];
    size_t count = 0;
    struct str value = call_argument_value(call);
    for (size_t i = 0; i < 200 && i < (size_t)value.n * 50; i++) {
        int n = snprintf(text[i], sizeof text[i], "%zu", i);
        values[count++] = (struct str){text[i], (size_t)n};
    }
    struct str context = call_argument_context(call, STR("who"));
    if (context.p)
        values[count++] = context;
    if (count == 0)
        values[count++] = call_argument_name(call);
    call_complete(call, values, count);
}

#define ENTRY(uri) STR_INIT("{\"uri\":\"" uri "\",\"name\":\"n\"}")
static const struct mcp_resource resources[] = {
    {"x:1", ENTRY("x:1"), read_text, 0},
    {"x:missing", ENTRY("x:missing"), read_missing, 0},
    {"x:denied", ENTRY("x:denied"), read_denied, 0},
    {"x:later", ENTRY("x:later"), read_later, 5000},
};
static const struct mcp_template templates[] = {
    {"t://{id}/{+path}",
     STR_INIT("{\"uriTemplate\":\"t://{id}/{+path}\",\"name\":\"n\"}"), read_template,
     0, complete},
    {"u:{id}", STR_INIT("{\"uriTemplate\":\"u:{id}\",\"name\":\"n\"}"), read_template,
     0, NULL},
};
static const struct mcp_prompt prompts[] = {
    {"plain",
     STR_INIT("{\"name\":\"plain\",\"arguments\":[{\"name\":\"who\",\"required\":true},"
              "{\"name\":\"other\"}]}"),
     get_plain, complete},
    {"nothing", STR_INIT("{\"name\":\"nothing\"}"), get_nothing, NULL},
};

static int setup_with(void **state, const struct mcp_server_config *more)
{
    struct talk *f = mem_new(struct talk);
    struct mcp_server_config config = *more;
    config.name = "t";
    config.title = "T";
    config.version = "1";
    config.resources = resources;
    config.resource_count = sizeof resources / sizeof resources[0];
    config.templates = templates;
    config.template_count = sizeof templates / sizeof templates[0];
    config.prompts = prompts;
    config.prompt_count = sizeof prompts / sizeof prompts[0];
    f->server = mcp_server_new(&config);
    talk_restart(f);
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, &(struct mcp_server_config){0});
}

static int setup_more(void **state)
{
    return setup_with(state, &(struct mcp_server_config){.list_resources = list_more});
}

static int setup_pages(void **state)
{
    return setup_with(state, &(struct mcp_server_config){.page_size = 3});
}

static int teardown(void **state)
{
    talk_finish(*state);
    mem_free(*state);
    return 0;
}

#define READ(uri) REQ("1", "resources/read", "'uri':'" uri "'")

static void reading(void **state)
{
    static const struct talk_row rows[] = {
        {READ("x:1"), "1", "/result",
         "{'contents':[{'uri':'x:1','mimeType':'text/plain','text':'a\\nb'},"
         "{'uri':'x:2','blob':'iVBORw=='}]}"},
        {MODERN("1", "resources/read", ",'uri':'x:\\u0031'"), "1",
         "/result/contents/0/uri", "'x:1'"},
        {MODERN("1", "resources/read", ",'uri':'x:1'"), "1", "/result/ttlMs", "0"},
        {MODERN("1", "resources/read", ",'uri':'x:1'"), "1", "/result/cacheScope",
         "'private'"},
        {READ("x:0"), "1", "/error",
         "{'code':-32002,'message':'Resource not found','data':{'uri':'x:0'}}"},
        {READ("x:missing"), "1", "/error",
         "{'code':-32002,'message':'it went away','data':{'uri':'x:missing'}}"},
        {MODERN("1", "resources/read", ",'uri':'x:missing'"), "1", "/error",
         "{'code':-32602,'message':'it went away','data':{'uri':'x:missing'}}"},
        {READ("x:denied"), "1", "/error",
         "{'code':-32602,'message':'not for you','data':{'code':'DENIED','cause':"
         "'not for you','remedy':'ask somebody else'}}"},
        {READ("t://a%20b/c/d?e"), "1", "/result/contents/0",
         "{'uri':'t://a%20b/c/d?e','mimeType':'text/plain','text':'a b|c/d?e'}"},
        {READ("u:5"), "1", "/result/contents/0/text", "'5|'"},
        {READ("u:5/6"), "1", CODE, "-32002"},
        {READ("t://a%2/c"), "1", CODE, "-32002"},
        {READ(""), "1", CODE, "-32002"},
        {REQ("1", "resources/read", ""), "1", CODE, PARAMS},
    };
    talk_rows(*state, rows, sizeof rows / sizeof rows[0]);
}

static void reading_later(void **state)
{
    struct talk *f = *state;
    talk_same(talk_ask(f, MODERN("1", "resources/read", ",'uri':'x:later'")), "", "");
    assert_int_equal(session_calls(f->session), 1);
    struct call *call = call_find(f->server, last_ref);
    call_contents_end((call_contents_begin(call), call));
    struct str out = talk_take(f);
    talk_has(f, out, "/result/contents", "[]");
    talk_has(f, out, "/result/ttlMs", "5000");
    talk_ask(f, READ("x:later"));
    talk_ask(f, NOTE("notifications/cancelled", "'requestId':1"));
    assert_null(call_find(f->server, last_ref));
}

#define GET(params) REQ("1", "prompts/get", params)
#define COMPLETE(ref, name, value, more)                                               \
    REQ("1", "completion/complete",                                                    \
        "'ref':" ref ",'argument':{'name':'" name "','value':'" value "'}" more)
#define PLAIN "{'type':'ref/prompt','name':'plain'}"
#define TEMPLATE "{'type':'ref/resource','uri':'t://{id}/{+path}'}"

static void getting(void **state)
{
    static const struct talk_row rows[] = {
        {GET("'name':'plain','arguments':{'who':'me'}"), "1", "/result",
         "{'description':'what it is','messages':[{'role':'user','content':{'type':"
         "'text','text':'me'}},{'role':'assistant','content':{'type':'resource',"
         "'resource':{'uri':'x:1','mimeType':'text/plain','text':'t'}}}]}"},
        {MODERN("1", "prompts/get", ",'name':'plain','arguments':{'who':''}"), "1",
         "/result/resultType", "'complete'"},
        {GET("'name':'plain'"), "1", "/error",
         "{'code':-32602,'message':'Missing argument: \\'who\\''}"},
        {GET("'name':'plain','arguments':{'other':'x'}"), "1", CODE, PARAMS},
        {GET("'name':'plain','arguments':{'who':5}"), "1", "/error/message",
         "'Not a string: the argument: \\'who\\''"},
        {GET("'name':'plain','arguments':[]"), "1", CODE, PARAMS},
        {GET("'name':'nothing'"), "1", "/error/data/code", "'UNAVAILABLE'"},
        {GET("'name':'x'"), "1", CODE, PARAMS},
    };
    talk_rows(*state, rows, sizeof rows / sizeof rows[0]);
}

static void completing(void **state)
{
    struct talk *f = *state;
    static const struct talk_row rows[] = {
        {COMPLETE(PLAIN, "who", "", ""), "1", "/result",
         "{'completion':{'values':['who'],'total':1,'hasMore':false}}"},
        {COMPLETE(PLAIN, "other", "", ",'context':{'arguments':{'who':'me'}}"), "1",
         "/result/completion/values", "['me']"},
        {COMPLETE(PLAIN, "nobody", "", ""), "1", "/result/completion/values", "[]"},
        {COMPLETE("{'type':'ref/prompt','name':'nothing'}", "a", "b", ""), "1",
         "/result/completion", "{'values':[],'total':0,'hasMore':false}"},
        {COMPLETE(TEMPLATE, "path", "", ""), "1", "/result/completion/values",
         "['path']"},
        {COMPLETE(TEMPLATE, "other", "", ""), "1", "/result/completion/values", "[]"},
        {COMPLETE("{'type':'ref/resource','uri':'u:{id}'}", "id", "1", ""), "1",
         "/result/completion/values", "[]"},
        {COMPLETE("{'type':'ref/resource','uri':'x:1'}", "id", "1", ""), "1",
         "/result/completion/values", "[]"},
        {COMPLETE("{'type':'ref/resource','uri':'y:1'}", "id", "1", ""), "1", CODE,
         PARAMS},
        {COMPLETE("{'type':'ref/prompt','name':'x'}", "id", "1", ""), "1", CODE,
         PARAMS},
        {REQ("1", "completion/complete", "'ref':" PLAIN), "1", CODE, PARAMS},
        {REQ("1", "completion/complete",
             "'ref':" PLAIN ",'argument':{'name':'who','value':1}"),
         "1", CODE, PARAMS},
    };
    talk_rows(f, rows, sizeof rows / sizeof rows[0]);
    struct str out = talk_ask(f, COMPLETE(PLAIN, "who", "xxx", ""));
    talk_has(f, out, "/result/completion/values/99", "'99'");
    talk_has(f, out, "/result/completion/values/100", "");
    talk_has(f, out, "/result/completion/total", "150");
    talk_has(f, out, "/result/completion/hasMore", "true");
}

/* Asks for the page behind `out`. */
static struct str next_page(struct talk *f, const char *method, struct str out)
{
    char text[300];
    struct str cursor = talk_part(f, out, "/result/nextCursor");
    assert_true(cursor.n > 0);
    snprintf(text, sizeof text, REQ("1", "%s", "'cursor':%.*s"), method,
             STR_FMT(cursor));
    return talk_ask(f, text);
}

static void pages(void **state)
{
    struct talk *f = *state;
    struct str first = talk_ask(f, REQ("1", "resources/list", ""));
    talk_has(f, first, "/result/resources/2/uri", "'x:denied'");
    talk_has(f, first, "/result/resources/3", "");
    struct str second = next_page(f, "resources/list", first);
    talk_has(f, second, "/result/resources/0/uri", "'x:later'");
    talk_has(f, second, "/result/nextCursor", "");
    /* a cursor is its list's own */
    char text[300];
    struct str cursor = talk_part(f, first, "/result/nextCursor");
    snprintf(text, sizeof text, REQ("1", "prompts/list", "'cursor':%.*s"),
             STR_FMT(cursor));
    talk_has(f, talk_ask(f, text), CODE, PARAMS);
    static const struct talk_row rows[] = {
        {REQ("1", "resources/list", "'cursor':''"), "1", CODE, PARAMS},
        {REQ("1", "resources/list", "'cursor':'3'"), "1", CODE, PARAMS},
        {REQ("1", "resources/list", "'cursor':'3-0000000000000000'"), "1", CODE,
         PARAMS},
        {REQ("1", "resources/list", "'cursor':'99999999999999999999999-00'"), "1", CODE,
         PARAMS},
        {REQ("1", "resources/list", "'cursor':5"), "1", CODE, PARAMS},
        {REQ("1", "prompts/list", ""), "1", "/result/nextCursor", ""},
        {REQ("1", "resources/templates/list", ""), "1",
         "/result/resourceTemplates/1/uriTemplate", "'u:{id}'"},
    };
    talk_rows(f, rows, sizeof rows / sizeof rows[0]);
}

static void resources_that_come_and_go(void **state)
{
    struct talk *f = *state;
    struct str out = talk_ask(f, REQ("1", "resources/list", ""));
    talk_has(f, out, "/result/resources/0/uri", "'x:1'");
    talk_has(f, out, "/result/resources/4/uri", "'more:1'");
    talk_has(f, out, "/result/resources/5", "");
    out = next_page(f, "resources/list", out);
    talk_has(f, out, "/result/resources", "[{'uri':'more:2','name':'m'}]");
    out = next_page(f, "resources/list", out);
    talk_has(f, out, "/result/resources/0/uri", "'more:3'");
    talk_has(f, out, "/result/nextCursor", "");
    out = talk_ask(f, MODERN("1", "resources/list", ""));
    talk_has(f, out, "/result/ttlMs", "0");
    static const struct talk_row rows[] = {
        {REQ("1", "resources/list", "'cursor':''"), "1", CODE, PARAMS},
        {REQ("1", "resources/list", "'cursor':'more:'"), "1", CODE, PARAMS},
        {REQ("1", "resources/list", "'cursor':'more:?'"), "1", CODE, PARAMS},
        {REQ("1", "resources/list", "'cursor':{}"), "1", CODE, PARAMS},
    };
    talk_rows(f, rows, sizeof rows / sizeof rows[0]);
}

static void uri_templates(void **state)
{
    struct talk *f = *state;
    static const struct {
        const char *template, *uri;
        const char *a, *b; /* the variables' values; NULL: no match */
    } rows[] = {
        {"x:{a}", "x:1", "1", ""},
        {"x:{a}", "x:", NULL, NULL},
        {"x:{a}", "y:1", NULL, NULL},
        {"x:{a}", "x:1/2", NULL, NULL},
        {"x:{a}", "x:1?2", NULL, NULL},
        {"x:{a}/{b}", "x:1/2", "1", "2"},
        {"x:{a}/{b}", "x:1/2/3", NULL, NULL},
        {"x:{a}-{b}!", "x:1-2!", "1", "2"},
        {"x:{a}-{b}!", "x:--2!", "-", "2"},
        {"x:{a}/{+b}", "x:1/2/3?4#5", "1", "2/3?4#5"},
        {"x:{+a}/end", "x:1/2/end", "1/2", ""},
        {"x:{a}", "x:%41%7e", "A~", ""},
        {"x:{a}", "x:%4", NULL, NULL},
        {"x:{a}", "x:%zz", NULL, NULL},
        {"x:1", "x:1", "", ""},
        {"x:{a", "x:{a", "", ""},
        {"", "", "", ""},
        {"", "x", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct str t = str_of(rows[i].template), uri = str_of(rows[i].uri);
        struct str a = {0}, b = {0};
        assert_int_equal(template_matches(t, uri), rows[i].a != NULL);
        template_var(t, uri, STR("a"), &f->arena, &a);
        template_var(t, uri, STR("b"), &f->arena, &b);
        talk_same(a, rows[i].a ? rows[i].a : "", rows[i].template);
        talk_same(b, rows[i].b ? rows[i].b : "", rows[i].template);
    }
    assert_true(template_has(STR("x:{a}/{+b}"), STR("b")));
    assert_false(template_has(STR("x:{a}/{+b}"), STR("+b")));
    assert_false(template_has(STR("x:a"), STR("a")));
}

int main(void)
{
#define TEST(fn, setup) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(reading, setup),       TEST(reading_later, setup),
        TEST(getting, setup),       TEST(completing, setup),
        TEST(pages, setup_pages),   TEST(resources_that_come_and_go, setup_more),
        TEST(uri_templates, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
