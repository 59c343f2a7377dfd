/* A whole connection: every line of the input is a message; a line that begins with '!'
 * moves the clock and changes what is offered, lets things expire, or completes or
 * reports on a call that is running, by its second byte. Whatever comes, each message
 * that goes out is JSON on one line, and at the end nothing is left. */
#include "base/mem.h"
#include "mcp/server.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RUNNING_MAX = 8 };

static uint64_t running[RUNNING_MAX];
static unsigned started;

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Answers with its arguments. */
static void echo(struct call *call)
{
    struct json text = json_get(call_args(call), STR("text"));
    struct json_writer *w = call_content_begin(call);
    call_content_text(w, json_str(text, call_arena(call)));
    call_content_blob(w, STR("x:y"), STR("z"), json_raw(call_args(call)));
    call_content_end(call);
}

static void on_cancel(struct call *call)
{
    require(!call_find(call_server(call), call_ref(call)));
    mem_free(call_state(call));
}

static void later(struct call *call)
{
    running[started++ % RUNNING_MAX] = call_ref(call);
    call_set_state(call, mem_alloc(16));
    call_on_cancel(call, on_cancel);
    call_log(call, MCP_LOG_INFO, STR("later"));
}

/* Asks for as much as its argument says, and again until it is answered; then for its
 * state. As a task, if it may. */
static void ask(struct call *call)
{
    int64_t kinds = 1;
    json_i64(json_get(call_args(call), STR("kinds")), &kinds);
    if (json_is_true(json_get(call_args(call), STR("task"))))
        call_become_task(call);
    struct json form = call_answer(call, CALL_ASK_FORM, "form");
    struct json sample = call_answer(call, CALL_ASK_SAMPLE, "sample");
    struct json roots = call_answer(call, CALL_ASK_ROOTS, "roots");
    if (json_present(form) || json_present(sample) || json_present(roots)) {
        struct json_writer *w = call_content_begin(call);
        call_content_text(w, json_raw(form));
        call_content_text(w, call_round(call));
        call_content_end(call);
        return;
    }
    if (kinds & 1)
        call_ask_form(call, "form", STR("?"), STR("{\"type\":\"object\"}"));
    if (kinds & 2)
        call_ask_sample(call, "sample", STR("{\"messages\":[],\"maxTokens\":1}"));
    if (kinds & 4)
        call_ask_roots(call, "roots");
    if ((kinds & 8) || !(kinds & 7))
        call_ask_url(call, "url", STR("?"), STR("x:y"));
    call_ask_end(call, STR("state"));
}

static void read_any(struct call *call)
{
    struct str part = call_var(call, STR("part"));
    struct json_writer *w = call_contents_begin(call);
    call_contents_text(w, call_uri(call), STR("t"), part);
    call_contents_blob(w, call_uri(call), (struct str){0}, part);
    call_contents_end(call);
}

static void list_any(struct call *call)
{
    struct str cursor = call_cursor(call);
    jw_raw(call_resources_begin(call), STR("{\"uri\":\"x:y\",\"name\":\"n\"}"));
    call_resources_end(call, cursor.n > 4 ? (struct str){0} : STR("next"));
}

static void get_any(struct call *call)
{
    struct json_writer *w = call_messages_begin(call, STR("d"));
    call_message_begin(w, "user");
    call_content_text(w, json_raw(call_args(call)));
    call_message_end(w);
    call_messages_end(call);
}

static void complete_any(struct call *call)
{
    struct str values[] = {call_argument_name(call), call_argument_value(call),
                           call_argument_context(call, STR("a"))};
    call_complete(call, values, 3);
}

/* What the host gives: a clock that the input moves. */
static uint64_t now_ms, due_ms;

static void schedule(void *ctx, uint64_t due)
{
    (void)ctx;
    due_ms = due;
}

static uint64_t clock_now(void *ctx)
{
    (void)ctx;
    return now_ms;
}

static const struct mcp_host host = {schedule, clock_now, clock_now, NULL, "key"};

/* What happens to the server by itself. */
static void happen(struct mcp_server *server, struct session *s, char what,
                   struct str line)
{
    struct err err;
    switch (what) {
    case 'b':
        err_set(&err, ERR_PROTOCOL, "bad frame");
        session_recv_bad(s, &err);
        break;
    case 'c':
        mcp_server_changed(server, 0, (unsigned)line.n);
        break;
    case 'u':
        mcp_server_updated(server, 0, str_from(line, 2));
        break;
    case 'x':
        now_ms += 10000;
        mcp_server_expire(server, now_ms);
        break;
    case 'X':
        now_ms = due_ms == UINT64_MAX ? now_ms : due_ms;
        mcp_server_expire(server, now_ms);
        break;
    case 'l':
        session_end_listens(s);
        break;
    case 'd':
        mcp_server_drop_owner(server, 0);
        break;
    default:
        session_log(s, (enum mcp_log_level)((unsigned char)what % 8), line);
    }
}

static void act(struct mcp_server *server, struct session *s, struct str line)
{
    struct err err;
    char what = line.n > 1 ? line.p[1] : 0;
    now_ms += 40;
    happen(server, s, what, line);
    struct call *call = call_find(server, running[(unsigned char)what % RUNNING_MAX]);
    if (!call)
        return;
    call_log(call, MCP_LOG_DEBUG, line);
    switch ((unsigned char)what >> 3 & 3) {
    case 0:
        call_progress(call, (double)now_ms, (double)line.n, line, now_ms);
        break;
    case 1:
        mem_free(call_state(call));
        call_result_structured(call, json_raw(call_args(call)).n < 999
                                         ? STR("{\"small\":true}")
                                         : STR("{}"));
        break;
    case 2:
        mem_free(call_state(call));
        call_content_text(call_content_begin(call), line);
        err_set(&err, ERR_IO, "%.*s", line.n > 99 ? 99 : (int)line.n, line.p);
        call_fail(call, &err);
        break;
    default:
        mem_free(call_state(call));
        call_content_text(call_content_begin(call), line);
        call_content_end(call);
    }
}

static void drain(struct session *s)
{
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    size_t count, from = 0;
    struct str out = session_output(s);
    const struct mcp_message *m = session_messages(s, &count);
    for (size_t i = 0; i < count; i++) {
        struct str line = {out.p + from, m[i].end - from - 1};
        require(out.p[m[i].end - 1] == '\n' && str_find(line, '\n') < 0);
        require(json_parse(&doc, &a, line, &err) == 0);
        require(json_type(json_root(&doc)) == JSON_OBJECT);
        from = m[i].end;
    }
    require(from == out.n && !session_broken(s));
    session_sent(s);
    arena_finish(&a);
}

#define ENTRY(name) STR_INIT("{\"name\":\"" name "\",\"inputSchema\":{}}")

static const struct mcp_resource resources[] = {
    {"x:1", STR_INIT("{\"uri\":\"x:1\"}"), read_any, 0},
    {"x:2", STR_INIT("{\"uri\":\"x:2\"}"), read_any, 0},
};
static const struct mcp_template templates[] = {
    {"t:{a}/{+part}", STR_INIT("{\"uriTemplate\":\"t:{a}/{+part}\"}"), read_any, 0,
     complete_any},
};
static const struct mcp_prompt prompts[] = {
    {"p",
     STR_INIT("{\"name\":\"p\",\"arguments\":[{\"name\":\"a\",\"required\":true}]}"),
     get_any, complete_any},
};

static struct mcp_server *new_server(const struct schema *schema, bool pages)
{
    static struct mcp_tool tools[] = {
        {.name = "echo", .definition = ENTRY("echo"), .call = echo},
        {.name = "later", .definition = ENTRY("later"), .call = later},
        {.name = "ask", .definition = ENTRY("ask"), .call = ask},
        {.name = "job", .definition = ENTRY("job"), .call = later},
    };
    for (size_t i = 0; i < sizeof tools / sizeof tools[0]; i++)
        tools[i].input = schema;
    tools[2].task = tools[1].task = MCP_TASK_OPTIONAL;
    tools[3].task = MCP_TASK_REQUIRED;
    return mcp_server_new(&(struct mcp_server_config){
        .name = "f",
        .title = "F",
        .version = "1",
        .tools = tools,
        .tool_count = sizeof tools / sizeof tools[0],
        .resources = resources,
        .resource_count = 2,
        .templates = templates,
        .template_count = 1,
        .prompts = prompts,
        .prompt_count = 1,
        .list_resources = pages ? NULL : list_any,
        .page_size = pages ? 1 : 0,
        .features = MCP_CHANGES | MCP_TASKS,
        .host = &host,
    });
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char shape[] =
        "{\"type\":\"object\",\"properties\":{\"text\":{\"type\":"
        "\"string\",\"maxLength\":99}}}";
    struct arena a = {0};
    struct json_doc doc;
    struct schema *schema;
    struct err err;
    require(json_parse(&doc, &a, str_of(shape), &err) == 0);
    require(schema_compile(&schema, json_root(&doc), &a, &err) == 0);
    struct mcp_server *server = new_server(schema, size % 2);
    struct session *s = session_new(server, &(struct session_config){0});
    struct str rest = {(const char *)data, size};
    memset(running, 0, sizeof running);
    started = 0;
    now_ms = 1;
    due_ms = UINT64_MAX;
    while (rest.n) {
        ptrdiff_t end = str_find(rest, '\n');
        struct str line = {rest.p, end < 0 ? rest.n : (size_t)end};
        char *copy = mem_strndup(line.p, line.n); /* gone after the call */
        if (line.n && line.p[0] == '!')
            act(server, s, line);
        else
            session_recv_on(s, (struct str){copy, line.n}, 1 + now_ms % 3, now_ms);
        mem_free(copy);
        drain(s);
        rest = str_from(rest, line.n + 1);
    }
    session_free(s);
    mcp_server_free(server);
    arena_finish(&a);
    return 0;
}
