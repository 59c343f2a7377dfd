/* Every tool through a real session against the null backend: what it answers, what it
 * refuses, and that each structured answer satisfies the tool's outputSchema. */
#include "base/base64.h"
#include "base/mem.h"
#include "tests/unit/check.h"
#include "tools/tools.h"
#include <stdio.h>

static struct {
    struct loop *loop;
    struct tools_ctx *tools;
    struct mcp_server *server;
    struct session *session;
    struct loop_timer *patience;
    unsigned last_id, wanted_id;
    struct arena arena; /* of the answers of one test */
    struct json answer; /* `result` of the wanted id */
    bool arrived, timed_out;
} t;

static void take(struct str line)
{
    struct json_doc *doc = arena_alloc(&t.arena, sizeof *doc);
    struct err err;
    line = arena_dup(&t.arena, line);
    assert_int_equal(json_parse(doc, &t.arena, line, &err), 0);
    struct json message = json_root(doc);
    int64_t id = 0;
    if (!json_i64(json_get(message, STR("id")), &id) || (unsigned)id != t.wanted_id)
        return;
    t.answer = json_get(message, STR("result"));
    if (!json_present(t.answer))
        fail_msg("%.*s", STR_FMT(line));
    t.arrived = true;
    loop_stop(t.loop);
}

static void take_output(void *ctx)
{
    (void)ctx;
    struct str out = session_output(t.session);
    for (ptrdiff_t lf; out.n && (lf = str_find(out, '\n')) >= 0;
         out = str_from(out, (size_t)lf + 1))
        take((struct str){out.p, (size_t)lf});
    session_sent(t.session);
}

static void on_patience(void *ctx)
{
    (void)ctx;
    t.timed_out = true;
    loop_stop(t.loop);
}

static unsigned send_call(const char *tool, const char *arguments)
{
    struct buf line;
    buf_init(&line, 64 << 20);
    buf_addf(&line,
             "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"tools/call\",\"params\":"
             "{\"name\":\"%s\",",
             ++t.last_id, tool);
    buf_addz(&line, "\"arguments\":");
    buf_addz(&line, arguments);
    buf_addz(&line, "}}");
    t.wanted_id = t.last_id;
    t.arrived = false;
    session_recv(t.session, buf_str(&line), loop_now_ms(t.loop));
    buf_finish(&line);
    take_output(NULL);
    return t.last_id;
}

static struct json wait_for_answer(void)
{
    t.timed_out = false;
    if (!t.arrived) {
        loop_timer_start(t.patience, 10000);
        while (!t.arrived && !t.timed_out)
            loop_run(t.loop);
        loop_timer_stop(t.patience);
    }
    assert_false(t.timed_out);
    return t.answer;
}

static const struct mcp_tool *tool_named(const char *name)
{
    size_t count;
    const struct mcp_tool *table = tools_table(TOOLSET_DEFAULT, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    fail_msg("no tool %s", name);
    return NULL;
}

/* The structured content of a call that succeeds. */
static struct json ok(const char *tool, const char *arguments)
{
    send_call(tool, arguments);
    struct json result = wait_for_answer();
    if (json_is_true(json_get(result, STR("isError"))))
        fail_msg("%s %s: %.*s", tool, arguments, STR_FMT(json_raw(result)));
    struct json content = json_get(result, STR("structuredContent"));
    const struct schema *schema = tool_named(tool)->output;
    struct err err;
    if (schema && schema_check(schema, content, &err) < 0)
        fail_msg("%s: %s", tool, err.msg);
    return content;
}

/* A call that fails with this code; its cause. Every refusal has a remedy. */
static struct str refused(const char *tool, const char *arguments, const char *code)
{
    send_call(tool, arguments);
    struct json result = wait_for_answer();
    struct json_doc *doc = arena_alloc(&t.arena, sizeof *doc);
    struct err err;
    struct str text = json_str(json_pointer(result, "/content/0/text"), &t.arena);
    assert_true(json_is_true(json_get(result, STR("isError"))));
    assert_int_equal(json_parse(doc, &t.arena, text, &err), 0);
    struct json problem = json_root(doc);
    if (!json_str_is(json_get(problem, STR("code")), str_of(code)))
        fail_msg("%s %s: %.*s", tool, arguments, STR_FMT(text));
    assert_true(json_str(json_get(problem, STR("remedy")), &t.arena).n > 0);
    return json_str(json_get(problem, STR("cause")), &t.arena);
}

static struct str text_of(struct json object, const char *key)
{
    return json_str(json_get(object, str_of(key)), &t.arena);
}

static int64_t number_of(struct json object, const char *key)
{
    int64_t value = -999;
    json_i64(json_get(object, str_of(key)), &value);
    return value;
}

static void assert_text(struct json object, const char *key, const char *expected)
{
    struct str text = text_of(object, key);
    if (!str_eq(text, str_of(expected)))
        fail_msg("%s is \"%.*s\", not \"%s\"", key, STR_FMT(text), expected);
}

static bool holds(struct str text, const char *part)
{
    return text.n && memmem(text.p, text.n, part, strlen(part));
}

static char *with_id(const char *format, struct json command)
{
    static char arguments[4096];
    char id[40];
    snprintf(id, sizeof id, "%.*s", STR_FMT(text_of(command, "commandId")));
    const char *at = strstr(format, "ID");
    snprintf(arguments, sizeof arguments, "%.*s%s%s", (int)(at - format), format, id,
             at + 2);
    return arguments;
}

static int set_up(void **state)
{
    (void)state;
    struct err err;
    struct sandbox_config config = {.temp_dir = "/tmp", .state_dir = "/tmp"};
    sandbox_limits_default(&config.limits);
    config.limits.keep_command_bytes = 256 * 1024;
    config.limits.commands = 8;
    memset(&t, 0, sizeof t);
    assert_int_equal(loop_new(&t.loop, &err), 0);
    t.tools = mem_new(struct tools_ctx);
    t.tools->loop = t.loop;
    assert_int_equal(
        sandboxes_new(&t.tools->sandboxes, t.loop, &sandbox_null, &config, &err), 0);
    struct mcp_server_config offered = {.name = "test",
                                        .version = "1",
                                        .instructions = tools_instructions,
                                        .ctx = t.tools};
    offered.tools = tools_table(TOOLSET_DEFAULT, &offered.tool_count);
    t.server = mcp_server_new(&offered);
    struct session_config session = {.owner = 1, .wake = take_output};
    t.session = session_new(t.server, &session);
    t.patience = loop_timer_new(t.loop, on_patience, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    session_free(t.session);
    sandboxes_free(t.tools->sandboxes);
    tools_finish(t.tools);
    mem_free(t.tools);
    mcp_server_free(t.server);
    loop_timer_free(t.patience);
    loop_free(t.loop);
    arena_finish(&t.arena);
    return 0;
}

static void a_command(void **state)
{
    (void)state;
    struct json r = ok("execute_command", "{\"command\":\"echo hi\"}");
    assert_text(r, "stdout", "hi\n");
    assert_text(r, "stderr", "");
    assert_int_equal(number_of(r, "exitCode"), 0);
    assert_text(r, "status", "exited");
    assert_text(r, "sandbox", "default");
    assert_true(json_type(json_get(r, STR("timedOut"))) == JSON_BOOL);
    assert_false(json_is_true(json_get(r, STR("timedOut"))));
    assert_false(json_present(json_get(r, STR("truncated"))));
    assert_true(text_of(r, "commandId").p[0] == 'c');
    assert_true(text_of(r, "notice").n > 0); /* of a new sandbox */
    r = ok("execute_command", "{\"command\":\"fail oops\"}");
    assert_text(r, "stderr", "oops\n");
    assert_int_equal(number_of(r, "exitCode"), 1);
    assert_false(json_present(json_get(r, STR("notice"))));
    r = ok("execute_command", "{\"command\":\"exit 3\",\"sandbox\":\"dev\"}");
    assert_int_equal(number_of(r, "exitCode"), 3);
    assert_text(r, "sandbox", "dev");
}

static void a_timeout(void **state)
{
    (void)state;
    struct json r =
        ok("execute_command", "{\"command\":\"forever\",\"timeoutMs\":100}");
    assert_text(r, "status", "timed_out");
    assert_true(json_is_true(json_get(r, STR("timedOut"))));
    assert_int_equal(number_of(r, "exitCode"), 137);
}

static void long_output_keeps_head_and_tail(void **state)
{
    (void)state;
    struct json r = ok("execute_command", "{\"command\":\"flood 100000\"}");
    struct str out = text_of(r, "stdout");
    assert_true(str_starts(out, STR("xxx")) && str_ends(out, STR("xxx")));
    assert_true(json_escaped_len(out) <= 20480 && out.n > 10000);
    assert_true(holds(out, "command_output") && holds(out, "stdoutOffset"));
    assert_int_equal(number_of(json_get(r, STR("truncated")), "stdoutBytes"), 100000);
    r = ok("execute_command",
           "{\"command\":\"flood 90000\",\"maxOutputBytes\":262144}");
    assert_int_equal(text_of(r, "stdout").n, 90000);
    assert_false(json_present(json_get(r, STR("truncated"))));
}

static void output_whose_middle_was_dropped(void **state)
{
    (void)state;
    struct json r = ok("execute_command",
                       "{\"command\":\"flood 2000000\",\"maxOutputBytes\":262144}");
    assert_int_equal(number_of(json_get(r, STR("truncated")), "stdoutBytes"), 2000000);
    struct json next = ok("command_output", with_id("{\"commandId\":\"ID\","
                                                    "\"maxBytes\":262144}",
                                                    r));
    int64_t head = number_of(next, "stdoutOffset");
    assert_int_equal(text_of(next, "stdout").n, head);
    int64_t given = head;
    struct json gap = json_get(next, STR("dropped"));
    assert_int_equal(number_of(gap, "stdoutFrom"), head);
    for (int i = 0; i < 1000 && !json_is_true(json_get(next, STR("eof"))); i++) {
        next = ok("command_output", with_id("{\"commandId\":\"ID\"}", r));
        given += (int64_t)text_of(next, "stdout").n;
    }
    assert_int_equal(given + number_of(gap, "stdoutBytes"), 2000000);
}

static void in_the_background(void **state)
{
    (void)state;
    struct json r =
        ok("execute_command", "{\"command\":\"forever\",\"background\":true}");
    assert_text(r, "status", "running");
    assert_true(json_type(json_get(r, STR("exitCode"))) == JSON_NULL);
}

static void cancelling_kills(void **state)
{
    (void)state;
    unsigned id = send_call("execute_command", "{\"command\":\"forever\"}");
    char cancel[200];
    int n = snprintf(cancel, sizeof cancel,
                     "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\","
                     "\"params\":{\"requestId\":%u}}",
                     id);
    session_recv(t.session, (struct str){cancel, (size_t)n}, loop_now_ms(t.loop));
    ok("execute_command", "{\"command\":\"echo x\"}");
    struct json rows = json_get(ok("command_output", "{}"), STR("commands"));
    assert_int_equal(json_len(rows), 2);
    assert_text(json_at(rows, 0), "command", "echo x"); /* the newest first */
    assert_text(json_at(rows, 1), "status", "killed");
}

/* The connection goes away while everything waits: nothing is left (leak checks). */
static void closing_while_calls_wait(void **state)
{
    (void)state;
    struct json r =
        ok("execute_command", "{\"command\":\"forever\",\"background\":true}");
    send_call("execute_command", "{\"command\":\"forever\"}");
    send_call("command_output", with_id("{\"commandId\":\"ID\",\"waitMs\":40000}", r));
    send_call("write_file", "{\"path\":\"a\",\"content\":\"b\",\"sandbox\":\"x\"}");
    send_call("read_file", "{\"path\":\"a\",\"sandbox\":\"y\"}");
}

static void commands_that_are_refused(void **state)
{
    (void)state;
    refused("execute_command", "{\"command\":\"a\\u0000b\"}", "INVALID");
    refused("execute_command", "{\"command\":\"true\",\"cwd\":\"/missing\"}",
            "INVALID");
    refused("execute_command", "{\"command\":\"true\",\"env\":{\"A=B\":\"c\"}}",
            "INVALID");
    refused("execute_command", "{\"command\":\"true\",\"sandbox\":\"no spaces\"}",
            "INVALID");
    refused("execute_command", "{\"command\":\"true\",\"timeoutMs\":5}", "INVALID");
    refused("execute_command", "{\"command\":\"true\",\"bogus\":5}", "INVALID");
    for (int i = 0; i < 8; i++)
        ok("execute_command", "{\"command\":\"forever\",\"background\":true}");
    refused("execute_command", "{\"command\":\"true\"}", "LIMIT");
}

static void waiting_for_news(void **state)
{
    (void)state;
    struct json c = ok("execute_command", "{\"command\":\"cat\",\"background\":true}");
    const char *wait = "{\"commandId\":\"ID\",\"waitMs\":5000}";
    ok("command_input", with_id("{\"commandId\":\"ID\",\"text\":\"one\\n\"}", c));
    struct json r = ok("command_output", with_id(wait, c));
    assert_text(r, "stdout", "one\n");
    assert_text(r, "status", "running");
    unsigned waiting = send_call("command_output", with_id(wait, c));
    assert_false(t.arrived); /* there is no news */
    ok("command_input", with_id("{\"commandId\":\"ID\",\"text\":\"two\\n\"}", c));
    t.wanted_id = waiting;
    t.arrived = false;
    r = json_get(wait_for_answer(), STR("structuredContent"));
    assert_text(r, "stdout", "two\n"); /* it goes on where it was */
    assert_int_equal(number_of(r, "stdoutOffset"), 8);
    assert_int_equal(number_of(r, "stdoutBytes"), 8);
    ok("command_input", with_id("{\"commandId\":\"ID\",\"close\":true}", c));
    r = ok("command_output", with_id(wait, c));
    assert_text(r, "stdout", "");
    assert_text(r, "status", "exited");
    assert_int_equal(number_of(r, "exitCode"), 0);
    assert_true(json_is_true(json_get(r, STR("eof"))));
    r = ok("command_output", with_id("{\"commandId\":\"ID\",\"stdoutOffset\":-4}", c));
    assert_text(r, "stdout", "two\n");
    r = ok("command_output", with_id("{\"commandId\":\"ID\",\"stdoutOffset\":1,"
                                     "\"maxBytes\":2,\"encoding\":\"base64\","
                                     "\"stream\":\"stdout\"}",
                                     c));
    assert_text(r, "stdout", "bmU="); /* "ne" */
    assert_false(json_present(json_get(r, STR("stderr"))));
}

static void a_wait_that_is_over(void **state)
{
    (void)state;
    struct json c =
        ok("execute_command", "{\"command\":\"forever\",\"background\":true}");
    uint64_t before = loop_now_ms(t.loop);
    struct json r =
        ok("command_output", with_id("{\"commandId\":\"ID\",\"waitMs\":60}", c));
    assert_true(loop_now_ms(t.loop) - before >= 59);
    assert_text(r, "status", "running");
    assert_text(r, "stdout", "");
}

/* Bytes of a character that come apart: \u00e9 sent as two inputs to cat. */
static void characters_that_come_in_parts(void **state)
{
    (void)state;
    struct json c = ok("execute_command", "{\"command\":\"cat\",\"background\":true}");
    ok("command_input", with_id("{\"commandId\":\"ID\",\"base64\":\"YcM=\"}", c));
    const char *wait = "{\"commandId\":\"ID\",\"waitMs\":2000}";
    struct json r = ok("command_output", with_id(wait, c));
    assert_text(r, "stdout", "a"); /* 0xc3 waits for its rest */
    assert_int_equal(number_of(r, "stdoutOffset"), 1);
    assert_int_equal(number_of(r, "stdoutBytes"), 2);
    ok("command_input", with_id("{\"commandId\":\"ID\",\"base64\":\"qWI=\"}", c));
    r = ok("command_output", with_id(wait, c));
    assert_text(r, "stdout",
                "\xc3\xa9"
                "b");
    ok("command_input",
       with_id("{\"commandId\":\"ID\",\"base64\":\"w/8=\",\"close\":true}", c));
    r = ok("command_output", with_id("{\"commandId\":\"ID\",\"waitMs\":2000}", c));
    assert_text(r, "stdout", "\xef\xbf\xbd\xef\xbf\xbd"); /* never completed */
}

static void input(void **state)
{
    (void)state;
    struct json c = ok("execute_command", "{\"command\":\"cat\",\"background\":true}");
    struct json r =
        ok("command_input",
           with_id("{\"commandId\":\"ID\",\"text\":\"some\\n\",\"close\":true}", c));
    assert_int_equal(number_of(r, "takenBytes"), 5);
    r = ok("command_output", with_id("{\"commandId\":\"ID\",\"waitMs\":2000}", c));
    assert_true(str_starts(text_of(r, "stdout"), STR("some\n")));
    refused("command_input", with_id("{\"commandId\":\"ID\",\"text\":\"x\"}", c),
            "INVALID");
    c = ok("execute_command", "{\"command\":\"forever\",\"background\":true}");
    ok("command_input", with_id("{\"commandId\":\"ID\",\"signal\":\"SIGTERM\"}", c));
    r = ok("command_output", with_id("{\"commandId\":\"ID\",\"waitMs\":2000}", c));
    assert_text(r, "signal", "SIGTERM");
    refused("command_input", with_id("{\"commandId\":\"ID\"}", c), "INVALID");
    refused("command_input",
            with_id("{\"commandId\":\"ID\",\"text\":\"a\",\"base64\":\"YQ==\"}", c),
            "INVALID");
    refused("command_input", with_id("{\"commandId\":\"ID\",\"base64\":\"Y\"}", c),
            "INVALID");
    refused("command_input", with_id("{\"commandId\":\"ID\",\"signal\":\"9\"}", c),
            "INVALID");
}

/* More than the queue holds: the answer comes when all of it is taken. */
static void much_input(void **state)
{
    (void)state;
    struct json c = ok("execute_command", "{\"command\":\"cat\",\"background\":true}");
    enum { BYTES = 3 << 20 };
    struct buf arguments;
    buf_init(&arguments, 8 << 20);
    buf_addf(&arguments, "{\"commandId\":\"%.*s\",\"close\":true,\"text\":\"",
             STR_FMT(text_of(c, "commandId")));
    char *text = buf_reserve(&arguments, BYTES);
    memset(text, 'i', BYTES);
    arguments.n += BYTES;
    buf_addz(&arguments, "\"}");
    struct json r = ok("command_input", buf_cstr(&arguments));
    buf_finish(&arguments);
    assert_int_equal(number_of(r, "takenBytes"), BYTES);
    do
        r = ok("command_output", with_id("{\"commandId\":\"ID\",\"waitMs\":5000,"
                                         "\"maxBytes\":262144}",
                                         c));
    while (!json_is_true(json_get(r, STR("eof"))));
    assert_int_equal(number_of(r, "stdoutBytes"), BYTES);
}

static void commands_that_are_not_there(void **state)
{
    (void)state;
    static const char *const ids[] = {
        "c1", "c0", "c01", "c", "42", "", "c99999999999999999999999", "c-1", "\\u0000"};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        char arguments[100];
        snprintf(arguments, sizeof arguments, "{\"commandId\":\"%s\"}", ids[i]);
        refused("command_output", arguments, "NOT_FOUND");
        snprintf(arguments, sizeof arguments, "{\"commandId\":\"%s\",\"text\":\"x\"}",
                 ids[i]);
        refused("command_input", arguments, "NOT_FOUND");
    }
    struct json list = ok("command_output", "{}");
    assert_int_equal(json_len(json_get(list, STR("commands"))), 0);
}

static struct json read_block(const char *arguments, size_t block)
{
    send_call("read_file", arguments);
    struct json result = wait_for_answer();
    if (json_is_true(json_get(result, STR("isError"))))
        fail_msg("%s: %.*s", arguments, STR_FMT(json_raw(result)));
    assert_false(json_present(json_get(result, STR("structuredContent"))));
    return json_at(json_get(result, STR("content")), block);
}

static void write_bytes(const char *path, struct str bytes)
{
    struct buf arguments;
    struct json_writer w;
    buf_init(&arguments, 32 << 20);
    jw_init(&w, &arguments);
    jw_object(&w);
    jw_key_cstr(&w, "path", path);
    jw_key_cstr(&w, "encoding", "base64");
    jw_key(&w, "content");
    jw_base64(&w, bytes);
    jw_end_object(&w);
    struct json r = ok("write_file", buf_cstr(&arguments));
    assert_int_equal(number_of(r, "bytes"), bytes.n);
    buf_finish(&arguments);
}

static void write_and_read(void **state)
{
    (void)state;
    struct json r =
        ok("write_file",
           "{\"path\":\"/workspace/dir/a.txt\",\"content\":\"gr\\u00fcn\\n\\u0000!\"}");
    assert_text(r, "path", "/workspace/dir/a.txt");
    assert_int_equal(number_of(r, "bytes"), 8);
    assert_true(json_is_true(json_get(r, STR("created"))));
    struct json block = read_block("{\"path\":\"/workspace/dir/a.txt\"}", 0);
    struct str text = text_of(block, "text");
    assert_true(str_eq(text, STR("gr\xc3\xbcn\n\0!")));
    assert_false(json_present(read_block("{\"path\":\"/workspace/dir/a.txt\"}", 1)));
    r = ok("write_file", "{\"path\":\"/workspace/dir/a.txt\",\"content\":\"\"}");
    assert_false(json_is_true(json_get(r, STR("created"))));
    assert_text(read_block("{\"path\":\"/workspace/dir/a.txt\"}", 0), "text", "");
    assert_true(
        holds(text_of(read_block("{\"path\":\"/workspace/dir/a.txt\"}", 1), "text"),
              "empty"));
    refused("read_file", "{\"path\":\"none\"}", "NOT_FOUND");
    refused("read_file", "{\"path\":\"a\\u0000b\"}", "INVALID");
    refused("read_file", "{\"path\":\"/workspace/dir/a.txt\",\"offset\":1,\"lines\":1}",
            "INVALID");
    refused("write_file", "{\"path\":\"a\\u0000b\",\"content\":\"\"}", "INVALID");
    refused("write_file", "{\"path\":\"a\",\"content\":\"@@\",\"encoding\":\"base64\"}",
            "INVALID");
}

static void pages_by_lines(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, 1 << 20);
    for (int i = 1; i <= 5000; i++)
        buf_addf(&text, "line %d\n", i);
    buf_addz(&text, "the end");
    write_bytes("lines.txt", buf_str(&text));
    struct str page = text_of(read_block("{\"path\":\"lines.txt\"}", 0), "text");
    assert_true(str_ends(page, STR("line 2000\n")));
    struct str note = text_of(read_block("{\"path\":\"lines.txt\"}", 1), "text");
    assert_true(holds(note, "lines 1 to 2000") && holds(note, "startLine 2001"));
    page = text_of(
        read_block("{\"path\":\"lines.txt\",\"startLine\":4999,\"lines\":2}", 0),
        "text");
    assert_true(str_eq(page, STR("line 4999\nline 5000\n")));
    page =
        text_of(read_block("{\"path\":\"lines.txt\",\"startLine\":5001}", 0), "text");
    assert_true(str_eq(page, STR("the end")));
    note =
        text_of(read_block("{\"path\":\"lines.txt\",\"startLine\":5001}", 1), "text");
    assert_true(holds(note, "the end"));
    struct str cause =
        refused("read_file", "{\"path\":\"lines.txt\",\"startLine\":6000}", "INVALID");
    assert_true(holds(cause, "5001 lines"));
    buf_addc(&text, '\n');
    write_bytes("lines.txt", buf_str(&text));
    cause =
        refused("read_file", "{\"path\":\"lines.txt\",\"startLine\":5002}", "INVALID");
    assert_true(holds(cause, "5001 lines"));
    write_bytes("lines.txt", STR(""));
    cause = refused("read_file", "{\"path\":\"lines.txt\",\"startLine\":2}", "INVALID");
    assert_true(holds(cause, " 0 lines"));
    buf_finish(&text);
}

static void pages_by_bytes(void **state)
{
    (void)state;
    write_bytes("euro.txt", STR("a\xe2\x82\xac\xe2\x82\xacz"));
    /* wherever a page is cut: whole characters, and all of them in the end */
    for (int max = 3; max <= 9; max++) {
        struct buf all;
        buf_init(&all, 1000);
        for (int at = 0, i = 0; at < 8 && i < 10; i++) {
            char arguments[100];
            snprintf(arguments, sizeof arguments,
                     "{\"path\":\"euro.txt\",\"offset\":%d,\"maxBytes\":%d}", at, max);
            struct str part = text_of(read_block(arguments, 0), "text");
            assert_true(part.n > 0);
            buf_adds(&all, part);
            at += (int)part.n;
        }
        assert_true(str_eq(buf_str(&all), STR("a\xe2\x82\xac\xe2\x82\xacz")));
        buf_finish(&all);
    }
    struct json middle =
        read_block("{\"path\":\"euro.txt\",\"offset\":2,\"maxBytes\":5}", 0);
    assert_text(middle, "text", "\xe2\x82\xac");
}

static void images_and_blobs(void **state)
{
    (void)state;
    struct str png = STR("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff");
    write_bytes("pic.png", png);
    struct json block = read_block("{\"path\":\"pic.png\"}", 0);
    assert_text(block, "type", "image");
    assert_text(block, "mimeType", "image/png");
    write_bytes("some file.bin", STR("\xff\x00\x01\xfe"));
    block = read_block("{\"path\":\"some file.bin\"}", 0);
    assert_text(block, "type", "resource");
    struct json resource = json_get(block, STR("resource"));
    assert_text(resource, "uri", "sandbox://default/workspace/some%20file.bin");
    assert_text(resource, "mimeType", "application/octet-stream");
    assert_text(resource, "blob", "/wAB/g==");
    size_t large = 6 << 20;
    char *bytes = mem_alloc(large);
    memset(bytes, 0xff, large);
    write_bytes("large.bin", (struct str){bytes, large});
    struct str cause = refused("read_file", "{\"path\":\"large.bin\"}", "LIMIT");
    assert_true(holds(cause, "6291456"));
    block = read_block("{\"path\":\"large.bin\",\"offset\":6291454}", 0);
    assert_text(json_get(block, STR("resource")), "blob", "//8=");
    memcpy(bytes, png.p, 8);
    write_bytes("large.png", (struct str){bytes, large});
    cause = refused("read_file", "{\"path\":\"large.png\"}", "LIMIT");
    assert_true(holds(cause, "image/png"));
    mem_free(bytes);
}

static void a_large_text(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    char *bytes = mem_alloc(BYTES);
    memset(bytes, 'x', BYTES);
    write_bytes("one-line.txt", (struct str){bytes, BYTES});
    struct json block = read_block("{\"path\":\"one-line.txt\"}", 0);
    assert_int_equal(text_of(block, "text").n, 65536);
    struct str note = text_of(read_block("{\"path\":\"one-line.txt\"}", 1), "text");
    assert_true(holds(note, "1048576 bytes") && holds(note, "offset 65536"));
    block = read_block("{\"path\":\"one-line.txt\",\"maxBytes\":1048576}", 0);
    assert_int_equal(text_of(block, "text").n, BYTES);
    mem_free(bytes);
}

static void definitions(void **state)
{
    (void)state;
    size_t count, bytes = 0;
    unsigned sets = 0;
    struct err err;
    assert_int_equal(tools_sets_parse("lifecycle,default", &sets, &err), 0);
    assert_int_equal(sets, TOOLSET_LIFECYCLE | TOOLSET_DEFAULT);
    assert_int_equal(tools_sets_parse("lifecycle,none", &sets, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    size_t most;
    tools_table(~0u, &most);
    const struct mcp_tool *table = tools_table(TOOLSET_DEFAULT, &count);
    assert_true(count < most);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(table[i].input);
        bytes += table[i].definition.n;
    }
    assert_true(bytes < 11500);
}

#define IN_SESSION(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SESSION(a_command),
        IN_SESSION(a_timeout),
        IN_SESSION(long_output_keeps_head_and_tail),
        IN_SESSION(output_whose_middle_was_dropped),
        IN_SESSION(in_the_background),
        IN_SESSION(cancelling_kills),
        IN_SESSION(closing_while_calls_wait),
        IN_SESSION(commands_that_are_refused),
        IN_SESSION(waiting_for_news),
        IN_SESSION(a_wait_that_is_over),
        IN_SESSION(characters_that_come_in_parts),
        IN_SESSION(input),
        IN_SESSION(much_input),
        IN_SESSION(commands_that_are_not_there),
        IN_SESSION(write_and_read),
        IN_SESSION(pages_by_lines),
        IN_SESSION(pages_by_bytes),
        IN_SESSION(images_and_blobs),
        IN_SESSION(a_large_text),
        cmocka_unit_test(definitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
