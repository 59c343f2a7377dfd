/* A whole connection: every line of the input is a message; a line that begins with '!'
 * moves the clock and completes, cancels or reports on the call that is running, by its
 * second byte. Whatever comes, each message that goes out is JSON on one line, and at
 * the end nothing is left. */
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

static void act(struct mcp_server *server, struct session *s, struct str line)
{
    static uint64_t now_ms;
    struct err err;
    char what = line.n > 1 ? line.p[1] : 0;
    struct call *call = call_find(server, running[(unsigned char)what % RUNNING_MAX]);
    now_ms += 40;
    session_log(s, (enum mcp_log_level)((unsigned char)what % 8), line);
    if (what == 'b') {
        err_set(&err, ERR_PROTOCOL, "bad frame");
        session_recv_bad(s, &err);
    }
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
    struct mcp_tool tools[] = {
        {.name = "echo", .definition = ENTRY("echo"), .input = schema, .call = echo},
        {.name = "later",
         .definition = ENTRY("later"),
         .input = schema,
         .call = later}};
    struct mcp_server_config config = {
        .name = "f", .title = "F", .version = "1", .tools = tools, .tool_count = 2};
    struct mcp_server *server = mcp_server_new(&config);
    struct session *s = session_new(server, &(struct session_config){0});
    struct str rest = {(const char *)data, size};
    memset(running, 0, sizeof running);
    started = 0;
    while (rest.n) {
        ptrdiff_t end = str_find(rest, '\n');
        struct str line = {rest.p, end < 0 ? rest.n : (size_t)end};
        char *copy = mem_strndup(line.p, line.n); /* gone after the call */
        if (line.n && line.p[0] == '!')
            act(server, s, line);
        else
            session_recv(s, (struct str){copy, line.n}, 1);
        mem_free(copy);
        drain(s);
        rest = str_from(rest, line.n + 1);
    }
    session_free(s);
    mcp_server_free(server);
    arena_finish(&a);
    return 0;
}
