#include "tests/unit/talk.h"

uint64_t talk_now_ms, talk_unix_ms, talk_due_ms;

static void schedule(void *ctx, uint64_t due_ms)
{
    (void)ctx;
    talk_due_ms = due_ms;
}

static uint64_t now(void *ctx)
{
    (void)ctx;
    return talk_now_ms;
}

static uint64_t unix_now(void *ctx)
{
    (void)ctx;
    return talk_unix_ms;
}

const struct mcp_host talk_host = {schedule, now, unix_now, NULL, "0123456789"};

void talk_reset_host(void)
{
    talk_now_ms = 1000;
    talk_unix_ms = 1785196800123;
    talk_due_ms = UINT64_MAX;
}

struct schema *talk_any(struct talk *f)
{
    struct json_doc *doc = arena_alloc(&f->arena, sizeof *doc);
    struct schema *schema;
    struct err err;
    assert_int_equal(json_parse(doc, &f->arena, STR("{}"), &err), 0);
    assert_int_equal(schema_compile(&schema, json_root(doc), &f->arena, &err), 0);
    return schema;
}

static void on_wake(void *ctx)
{
    struct talk *f = ctx;
    f->wakes++;
}

void talk_restart(struct talk *f)
{
    struct session_config config = {.owner = 7, .wake = on_wake, .wake_ctx = f};
    session_free(f->session);
    f->session = session_new(f->server, &config);
}

struct str talk_quoted(struct talk *f, const char *text)
{
    struct str s = arena_dup(&f->arena, str_of(text));
    char *p = arena_alloc(&f->arena, s.n + 1);
    for (size_t i = 0; i <= s.n; i++)
        p[i] = s.p[i] == '\'' ? '"' : s.p[i];
    return (struct str){p, s.n};
}

struct str talk_take(struct talk *f)
{
    size_t count, lines = 0, at = 0;
    struct str out = arena_dup(&f->arena, session_output(f->session));
    const struct mcp_message *messages = session_messages(f->session, &count);
    for (size_t i = 0; i < out.n; i++)
        if (out.p[i] == '\n') {
            assert_true(lines < count && messages[lines].end == i + 1);
            assert_true(messages[lines].end - at <= MCP_MESSAGE_OUT_MAX);
            at = i + 1;
            lines++;
        }
    assert_int_equal(lines, count);
    assert_int_equal(at, out.n);
    session_sent(f->session);
    return out;
}

struct str talk_ask_at(struct talk *f, const char *text, uint64_t now_ms)
{
    session_recv(f->session, talk_quoted(f, text), now_ms);
    return talk_take(f);
}

struct str talk_ask(struct talk *f, const char *text)
{
    return talk_ask_at(f, text, 1000);
}

struct str talk_part(struct talk *f, struct str line, const char *pointer)
{
    struct json_doc *doc = arena_alloc(&f->arena, sizeof *doc);
    struct err err;
    if (json_parse(doc, &f->arena, line, &err) < 0)
        fail_msg("%s in %.*s", err.msg, STR_FMT(line));
    return json_raw(json_pointer(json_root(doc), pointer));
}

void talk_same(struct str got, const char *want, const char *context)
{
    if (!str_eq(got, str_of(want)))
        fail_msg("%s: got %.*s, want %s", context, STR_FMT(got), want);
}

void talk_has(struct talk *f, struct str line, const char *pointer, const char *want)
{
    talk_same(talk_part(f, line, pointer), talk_quoted(f, want).p, pointer);
}

void talk_rows(struct talk *f, const struct talk_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct talk_row *row = &rows[i];
        struct str out = talk_ask(f, row->in);
        if (!row->id) {
            talk_same(out, "", row->in);
            continue;
        }
        assert_true(out.n > 0);
        talk_same(talk_part(f, out, "/id"), talk_quoted(f, row->id).p, row->in);
        talk_same(talk_part(f, out, "/jsonrpc"), "\"2.0\"", row->in);
        talk_same(talk_part(f, out, row->pointer), talk_quoted(f, row->want).p,
                  row->in);
    }
}
int talk_lines(struct str s)
{
    int n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == '\n';
    return n;
}

void talk_finish(struct talk *f)
{
    session_free(f->session);
    mcp_server_free(f->server);
    arena_finish(&f->arena);
}
