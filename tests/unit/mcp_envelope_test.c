/* Envelopes: what is a request, a notification, an answer or none of them, and how ids
 * come back. JSON is written with ' for " here. */
#include "base/mem.h"
#include "mcp/server.h"
#include "tests/unit/check.h"

#define REQ(id, method, params)                                                        \
    "{'jsonrpc':'2.0','id':" id ",'method':'" method "','params':{" params "}}"

struct fixture {
    struct arena arena;
    struct mcp_server *server;
    struct session *session;
};

static void no_wake(void *ctx)
{
    (void)ctx;
    fail_msg("every answer here is given at once");
}

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    struct mcp_server_config config = {.name = "test", .title = "T", .version = "1"};
    struct session_config session = {.owner = 1, .wake = no_wake};
    f->server = mcp_server_new(&config);
    f->session = session_new(f->server, &session);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    session_free(f->session);
    mcp_server_free(f->server);
    arena_finish(&f->arena);
    mem_free(f);
    return 0;
}

static struct str quoted(struct fixture *f, const char *text)
{
    struct str s = arena_dup(&f->arena, str_of(text));
    char *p = arena_alloc(&f->arena, s.n + 1);
    for (size_t i = 0; i <= s.n; i++)
        p[i] = s.p[i] == '\'' ? '"' : s.p[i];
    return (struct str){p, s.n};
}

/* At most one line. */
static struct str take(struct fixture *f)
{
    size_t count;
    struct str out = arena_dup(&f->arena, session_output(f->session));
    const struct mcp_message *messages = session_messages(f->session, &count);
    assert_true(count <= 1);
    if (count)
        assert_true(messages[0].final && messages[0].request == 0);
    assert_int_equal(str_find(out, '\n'), (ptrdiff_t)out.n - 1);
    session_sent(f->session);
    return out;
}

static struct str ask(struct fixture *f, const char *text)
{
    session_recv(f->session, quoted(f, text), 1);
    return take(f);
}

/* The member at a JSON pointer of a message; "" for the message itself. */
static struct str part(struct fixture *f, struct str line, const char *pointer)
{
    struct json_doc *doc = arena_alloc(&f->arena, sizeof *doc);
    struct err err;
    if (json_parse(doc, &f->arena, line, &err) < 0)
        fail_msg("%s in %.*s", err.msg, STR_FMT(line));
    return json_raw(json_pointer(json_root(doc), pointer));
}

static void same(struct str got, const char *want, const char *context)
{
    if (!str_eq(got, str_of(want)))
        fail_msg("%s: got %.*s, want %s", context, STR_FMT(got), want);
}

static void has(struct fixture *f, struct str line, const char *pointer,
                const char *want)
{
    same(part(f, line, pointer), quoted(f, want).p, pointer);
}

struct row {
    const char *in;
    const char *id;      /* of the answer; "" none; NULL: no answer at all */
    const char *pointer; /* into the answer */
    const char *want;    /* "" absent */
};

static void check_rows(struct fixture *f, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        struct str out = ask(f, row->in);
        if (!row->id) {
            same(out, "", row->in);
            continue;
        }
        assert_true(out.n > 0);
        same(part(f, out, "/id"), quoted(f, row->id).p, row->in);
        same(part(f, out, "/jsonrpc"), "\"2.0\"", row->in);
        same(part(f, out, row->pointer), quoted(f, row->want).p, row->in);
    }
}
#define CHECK_ROWS(f, rows) check_rows(f, rows, sizeof rows / sizeof rows[0])

#define PARSE "-32700"
#define INVALID "-32600"
#define NO_METHOD "-32601"
#define PARAMS "-32602"
#define CODE "/error/code"

static void envelopes(void **state)
{
    static const struct row rows[] = {
        {"", "", CODE, PARSE},
        {"{", "", CODE, PARSE},
        {"{'jsonrpc':'2.0','id':1,'method':'ping'", "", CODE, PARSE},
        {"\xff", "", CODE, PARSE},
        {"1", "", CODE, INVALID},
        {"'ping'", "", CODE, INVALID},
        {"null", "", CODE, INVALID},
        {"{}", "", CODE, INVALID},
        {"[]", "", CODE, INVALID},
        {"[{'jsonrpc':'2.0','id':1,'method':'ping'}]", "", CODE, INVALID},
        {"{'id':1,'method':'ping'}", "1", CODE, INVALID},
        {"{'jsonrpc':'1.0','id':1,'method':'ping'}", "1", CODE, INVALID},
        {"{'jsonrpc':2.0,'id':1,'method':'ping'}", "1", CODE, INVALID},
        {"{'jsonrpc':'2.0','id':1}", "1", CODE, INVALID},
        {"{'jsonrpc':'2.0','id':1,'method':5}", "1", CODE, INVALID},
        {"{'jsonrpc':'2.0','id':null,'method':'ping'}", "", CODE, INVALID},
        {"{'jsonrpc':'2.0','id':1.5,'method':'ping'}", "", CODE, INVALID},
        {"{'jsonrpc':'2.0','id':true,'method':'ping'}", "", CODE, INVALID},
        {"{'jsonrpc':'2.0','id':[1],'method':'ping'}", "", CODE, INVALID},
        {"{'jsonrpc':'2.0','id':{},'method':'ping'}", "", CODE, INVALID},
        {"{'jsonrpc':'2.0','id':1,'method':'ping','params':[]}", "1", CODE, PARAMS},
        {"{'jsonrpc':'2.0','id':1,'method':'ping','params':null}", "1", CODE, PARAMS},
        {"{'jsonrpc':'2.0','id':1,'method':'ping','params':'x'}", "1", CODE, PARAMS},
        {"{'jsonrpc':'2.0','method':'notifications/x','params':[]}", NULL, "", ""},
        {"{'jsonrpc':'2.0','method':'ping'}", NULL, "", ""},
        {"{'jsonrpc':'2.0','id':1,'method':'ping'}", "1", "/result", "{}"},
        {"{'jsonrpc':'2.0','id':0,'method':'ping'}", "0", "/result", "{}"},
        {"{'jsonrpc':'2.0','id':-7,'method':'ping'}", "-7", "/result", "{}"},
        {"{'jsonrpc':'2.0','id':'','method':'ping'}", "''", "/result", "{}"},
        {"{'jsonrpc':'2.0','id':'a\\u0000\\n\xc3\xa9','method':'ping'}",
         "'a\\u0000\\n\xc3\xa9'", "/result", "{}"},
        {"{'jsonrpc':'2.0','id':123456789012345678901234567890,'method':'ping'}",
         "123456789012345678901234567890", "/result", "{}"},
        {"{'jsonrpc':'2.0','id':9007199254740993,'method':'ping'}", "9007199254740993",
         "/result", "{}"},
        {"{'\\u006asonrpc':'2.\\u0030','id':1,'method':'p\\u0069ng'}", "1", "/result",
         "{}"},
        {"{'jsonrpc':'2.0','id':1,'id':2,'method':'x','method':'ping'}", "2", "/result",
         "{}"},
        {" {\t'jsonrpc' : '2.0' , 'id' :1,'method':'ping', 'more': [1]}\r\n", "1",
         "/result", "{}"},
        /* answers to nothing that we asked */
        {"{'jsonrpc':'2.0','id':1,'result':{}}", NULL, "", ""},
        {"{'jsonrpc':'2.0','id':1,'error':{'code':1,'message':'x'}}", NULL, "", ""},
        {"{'jsonrpc':'2.0','error':{'code':1,'message':'x'}}", NULL, "", ""},
        {"{'jsonrpc':'2.0','id':1,'method':'no/such'}", "1", CODE, NO_METHOD},
        {"{'jsonrpc':'2.0','method':'notifications/no/such'}", NULL, "", ""},
        {"{'jsonrpc':'2.0','method':'tools/call','params':{'name':'echo'}}", NULL, "",
         ""},
    };
    CHECK_ROWS(*state, rows);
}

static void only_known_members_at_the_top(void **state)
{
    struct fixture *f = *state;
    same(ask(f, REQ("1", "ping", "")),
         quoted(f, "{'jsonrpc':'2.0','id':1,'result':{}}\n").p, "ping");
    same(ask(f, REQ("1", "x", "")),
         quoted(f, "{'jsonrpc':'2.0','id':1,'error':{'code':-32601,'message':'Method "
                   "not found: \\'x\\''}}\n")
             .p,
         "error");
}

static void ids_have_an_end(void **state)
{
    struct fixture *f = *state;
    struct buf b;
    buf_init(&b, 1 << 20);
    for (size_t n = 60000; n <= 70000; n += 10000) {
        buf_reset(&b, 1 << 20);
        buf_addz(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"id\":\"");
        for (size_t i = 0; i < n; i++)
            buf_addc(&b, 'i');
        buf_addz(&b, "\"}");
        session_recv(f->session, buf_str(&b), 1);
        struct str out = take(f);
        if (n == 60000)
            assert_int_equal(part(f, out, "/id").n, n + 2);
        else
            has(f, out, CODE, INVALID);
    }
    buf_finish(&b);
}

static void bad_frames(void **state)
{
    struct fixture *f = *state;
    struct err err;
    err_set(&err, ERR_PROTOCOL, "not UTF-8");
    session_recv_bad(f->session, &err);
    struct str out = take(f);
    has(f, out, CODE, PARSE);
    has(f, out, "/id", "");
    err_set(&err, ERR_LIMIT, "line too long");
    session_recv_bad(f->session, &err);
    has(f, take(f), CODE, INVALID);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(envelopes),
        TEST(only_known_members_at_the_top),
        TEST(ids_have_an_end),
        TEST(bad_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
