/* Turns against a server that sends every stream of claude-api 3.5, whole and three
 * bytes at a time, and fails in every way of claude-api 4. */
#include "agent/model/model.h"
#include "base/buf.h"
#include "tests/common/model_server.h"
#include "tests/unit/check.h"
#include <stdio.h>
#include <stdlib.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* What a turn told. */
struct heard {
    struct loop *loop;
    struct turn *turn;
    struct buf text, thinking, tools, again, content;
    int dones, agains;
    uint64_t wait_ms;
    bool failed;
    struct err err;
    enum stop_reason stop;
    struct usage usage;
    size_t blocks, invalid;
    char stop_text[64], request_id[64], inputs[256];
    int cancel_at; /* cancels at the nth piece of text */
    int texts;
};

static void on_text(void *ctx, struct str delta)
{
    struct heard *h = ctx;
    buf_adds(&h->text, delta);
    if (++h->texts == h->cancel_at) {
        turn_cancel(h->turn);
        loop_stop(h->loop);
    }
}

static void on_thinking(void *ctx, struct str delta)
{
    buf_adds(&((struct heard *)ctx)->thinking, delta);
}

static void on_tool(void *ctx, struct str name)
{
    struct heard *h = ctx;
    buf_adds(&h->tools, name);
    buf_addc(&h->tools, ';');
}

static void on_again(void *ctx, const char *why, uint64_t wait_ms)
{
    struct heard *h = ctx;
    h->agains++;
    h->wait_ms = wait_ms;
    buf_reset(&h->text, 1000);
    buf_addz(&h->again, why);
    buf_addc(&h->again, '\n');
}

static void on_done(void *ctx, const struct message *m, const struct err *err)
{
    struct heard *h = ctx;
    h->dones++;
    assert_true((m == NULL) != (err == NULL));
    if (err) {
        h->failed = true;
        h->err = *err;
    } else {
        buf_adds(&h->content, m->content);
        h->stop = m->stop;
        h->usage = m->usage;
        h->blocks = m->block_count;
        snprintf(h->stop_text, sizeof h->stop_text, "%.*s", STR_FMT(m->stop_text));
        snprintf(h->request_id, sizeof h->request_id, "%.*s", STR_FMT(m->request_id));
        for (size_t i = 0; i < m->block_count; i++) {
            const struct message_block *b = &m->blocks[i];
            size_t n = strlen(h->inputs);
            h->invalid += b->input_invalid;
            if (b->type == BLOCK_TOOL_USE)
                snprintf(h->inputs + n, sizeof h->inputs - n, "%.*s=%.*s;",
                         STR_FMT(b->name), STR_FMT(b->input));
        }
    }
    loop_stop(h->loop);
}

static const struct turn_events events = {
    {on_text, on_thinking, on_tool}, on_again, on_done};

struct world {
    struct loop *loop;
    struct model_server server;
    struct model_config config;
    struct model *model;
    struct heard heard;
    char url[64];
};

static void listen_to(struct world *w)
{
    struct heard *h = &w->heard;
    buf_finish(&h->text);
    buf_finish(&h->thinking);
    buf_finish(&h->tools);
    buf_finish(&h->again);
    buf_finish(&h->content);
    *h = (struct heard){.loop = w->loop};
    buf_init(&h->text, 1 << 20);
    buf_init(&h->thinking, 1 << 20);
    buf_init(&h->tools, 1 << 20);
    buf_init(&h->again, 1 << 20);
    buf_init(&h->content, 1 << 20);
}

static void set_up(struct world *w, const struct model_step *steps, size_t count)
{
    struct err err;
    memset(w, 0, sizeof *w);
    assert_int_equal(loop_new(&w->loop, &err), 0);
    model_server_start(&w->server, steps, count);
    snprintf(w->url, sizeof w->url, "http://127.0.0.1:%d/v1/", w->server.port);
    model_config_init(&w->config);
    w->config.base_url = str_of(w->url);
    w->config.model = STR("claude-opus-5-5");
    w->config.system = STR("Be \"exact\".");
    listen_to(w);
}

static void run(struct world *w)
{
    struct err err;
    if (!w->model)
        assert_int_equal(model_new(&w->model, w->loop, &w->config, &err), 0);
    w->heard.turn =
        model_turn(w->model, STR("[{\"role\":\"user\",\"content\":\"Hello\"}]"),
                   &events, &w->heard);
    assert_int_equal(w->heard.dones, 0);
    loop_run(w->loop);
}

static void tear_down(struct world *w)
{
    model_free(w->model);
    loop_free(w->loop);
    model_server_stop(&w->server);
    assert_false(w->server.unexpected);
    listen_to(w);
    struct heard *h = &w->heard;
    buf_finish(&h->text);
    buf_finish(&h->thinking);
    buf_finish(&h->tools);
    buf_finish(&h->again);
    buf_finish(&h->content);
}

/* Streams, put together from events. */
#define EVENT(name, data) "event: " name "\ndata: " data "\n\n"
#define BEGIN                                                                          \
    EVENT("message_start",                                                             \
          "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":"        \
          "\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],"         \
          "\"stop_reason\":null,\"usage\":{\"input_tokens\":10,"                       \
          "\"cache_read_input_tokens\":5,\"output_tokens\":1}}}")
#define START(i, block)                                                                \
    EVENT("content_block_start", "{\"type\":\"content_block_start\",\"index\":" #i     \
                                 ",\"content_block\":" block "}")
#define DELTA(i, delta)                                                                \
    EVENT("content_block_delta",                                                       \
          "{\"type\":\"content_block_delta\",\"index\":" #i ",\"delta\":" delta "}")
#define TEXT(i, text) DELTA(i, "{\"type\":\"text_delta\",\"text\":\"" text "\"}")
#define JSON(i, json)                                                                  \
    DELTA(i, "{\"type\":\"input_json_delta\",\"partial_json\":\"" json "\"}")
#define STOP(i)                                                                        \
    EVENT("content_block_stop", "{\"type\":\"content_block_stop\",\"index\":" #i "}")
#define END(reason)                                                                    \
    EVENT("message_delta",                                                             \
          "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"" reason           \
          "\"},\"usage\":{\"output_tokens\":7}}")                                      \
    EVENT("message_stop", "{\"type\":\"message_stop\"}")
#define PING EVENT("ping", "{\"type\": \"ping\"}")
#define EMPTY_TEXT "{\"type\":\"text\",\"text\":\"\"}"
#define HELLO START(0, EMPTY_TEXT) TEXT(0, "Hel") TEXT(0, "lo") STOP(0)
#define HELLO_BLOCK "[{\"type\":\"text\",\"text\":\"Hello\"}]"
#define TOOL(id, name) "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"" name "\""

struct row {
    const char *name, *stream;
    const char *content; /* NULL: fails with `error` in its message */
    const char *error;
    enum stop_reason stop;
    const char *text, *inputs;
    size_t invalid;
};

static const struct row rows[] = {
    {"plain", BEGIN HELLO END("end_turn"), HELLO_BLOCK, NULL, STOP_END_TURN, "Hello",
     "", 0},
    {"ping anywhere",
     PING BEGIN PING START(0, EMPTY_TEXT) PING TEXT(0, "Hello") PING STOP(0)
         PING END("end_turn") PING,
     HELLO_BLOCK, NULL, STOP_END_TURN, "Hello", "", 0},
    {"two calls",
     BEGIN START(0, TOOL("a", "bash") ",\"input\":{}}") JSON(0, "")
         JSON(0, "{\\\"comma") JSON(0, "nd\\\": \\\"l\\u00e9s\\\"}") STOP(0)
             START(1, TOOL("b", "read") ",\"input\":{}}") JSON(1, "{}") STOP(1)
                 END("tool_use"),
     "[" TOOL("a", "bash") ",\"input\":{\"command\":\"l\xc3\xa9s\"}}," TOOL(
         "b", "read") ",\"input\":{}}]",
     NULL, STOP_TOOL_USE, "", "bash={\"command\":\"l\xc3\xa9s\"};read={};", 0},
    {"CRLF", NULL, HELLO_BLOCK, NULL, STOP_END_TURN, "Hello", "", 0},
    {"CR", NULL, HELLO_BLOCK, NULL, STOP_END_TURN, "Hello", "", 0},
    {"data in several lines",
     "event: message_start\ndata: {\"type\":\"message_start\",\ndata: "
     "\"message\":{\"id\":\ndata: \"x\"}}\n\n" HELLO END("end_turn"),
     HELLO_BLOCK, NULL, STOP_END_TURN, "Hello", "", 0},
    {"[DONE] of vLLM", BEGIN HELLO END("end_turn") "data: [DONE]\n\n", HELLO_BLOCK,
     NULL, STOP_END_TURN, "Hello", "", 0},
    {"[DONE] in the middle", BEGIN "data: [DONE]\n\n" HELLO END("end_turn"),
     HELLO_BLOCK, NULL, STOP_END_TURN, "Hello", "", 0},
    {"interleaved, all stops at the end (llama.cpp)",
     BEGIN START(0, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}")
         START(1, EMPTY_TEXT) TEXT(1, "Hel")
             DELTA(0, "{\"type\":\"thinking_delta\",\"thinking\":\"Hm\"}") TEXT(1, "lo")
                 START(2, TOOL("c", "ls") "}") JSON(2, "{\\\"p\\\":1}") STOP(0) STOP(1)
                     STOP(2) END("tool_use"),
     "[{\"type\":\"thinking\",\"thinking\":\"Hm\",\"signature\":\"\"},{\"type\":"
     "\"text\",\"text\":\"Hello\"}," TOOL("c", "ls") ",\"input\":{\"p\":1}}]",
     NULL, STOP_TOOL_USE, "Hello", "ls={\"p\":1};", 0},
    {"blocks never stop", BEGIN START(0, EMPTY_TEXT) TEXT(0, "Hello") END("end_turn"),
     HELLO_BLOCK, NULL, STOP_END_TURN, "Hello", "", 0},
    {"blocks out of order",
     BEGIN START(1, EMPTY_TEXT) TEXT(1, "B") START(0, EMPTY_TEXT) TEXT(0, "A")
         TEXT(1, "b") END("end_turn"),
     "[{\"type\":\"text\",\"text\":\"A\"},{\"type\":\"text\",\"text\":\"Bb\"}]", NULL,
     STOP_END_TURN, "BAb", "", 0},
    {"no input at all", BEGIN START(0, TOOL("a", "ls") "}") STOP(0) END("tool_use"),
     "[" TOOL("a", "ls") ",\"input\":{}}]", NULL, STOP_TOOL_USE, "", "ls={};", 0},
    {"input in the start alone",
     BEGIN START(0, TOOL("a", "ls") ",\"input\":{\"p\": [1, 2]}}") STOP(0)
         END("tool_use"),
     "[" TOOL("a", "ls") ",\"input\":{\"p\":[1,2]}}]", NULL, STOP_TOOL_USE, "",
     "ls={\"p\":[1,2]};", 0},
    {"a blank input", BEGIN START(0, TOOL("a", "ls") "}") JSON(0, " ") END("tool_use"),
     "[" TOOL("a", "ls") ",\"input\":{}}]", NULL, STOP_TOOL_USE, "", "ls={};", 0},
    {"input over several lines",
     BEGIN START(0, TOOL("a", "ls") ",\"input\":{}}")
         JSON(0, "{\\n \\\"p\\\" :\\t1\\n}") END("tool_use"),
     "[" TOOL("a", "ls") ",\"input\":{\"p\":1}}]", NULL, STOP_TOOL_USE, "",
     "ls={\"p\":1};", 0},
    {"a truncated input",
     BEGIN START(0, TOOL("a", "ls") ",\"input\":{}}") JSON(0, "{\\\"p\\\":\\\"x")
         STOP(0) END("max_tokens"),
     "[" TOOL("a", "ls") ",\"input\":{\"INVALID_JSON\":\"{\\\"p\\\":\\\"x\"}}]", NULL,
     STOP_MAX_TOKENS, "", "ls={\"p\":\"x;", 1},
    {"an input that is no object",
     BEGIN START(0, TOOL("a", "ls") ",\"input\":{}}") JSON(0, "[1]") END("tool_use"),
     "[" TOOL("a", "ls") ",\"input\":{\"INVALID_JSON\":\"[1]\"}}]", NULL, STOP_TOOL_USE,
     "", "ls=[1];", 1},
    {"unknown event, delta and block",
     BEGIN EVENT("news", "not { JSON") START(
         0, "{\"type\":\"hologram\",\"z\":[1, {\"a\": \"\\u00e9\\/\"}],\"b\":null}")
         DELTA(0, "{\"type\":\"hologram_delta\",\"z\":1}") STOP(0) START(1, EMPTY_TEXT)
             DELTA(1, "{\"type\":\"smell_delta\",\"text\":\"no\"}") TEXT(1, "Hello")
                 EVENT("message_news", "{\"type\":\"message_news\"}") END("end_turn"),
     "[{\"type\":\"hologram\",\"z\":[1,{\"a\":\"\\u00e9\\/\"}],\"b\":null},{\"type\":"
     "\"text\",\"text\":\"Hello\"}]",
     NULL, STOP_END_TURN, "Hello", "", 0},
    {"thinking with its signature, and redacted",
     BEGIN START(0, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}")
         DELTA(0, "{\"type\":\"thinking_delta\",\"thinking\":\"I see\",\"estimated_"
                  "tokens\":3}")
             DELTA(0, "{\"type\":\"signature_delta\",\"signature\":\"first\"}") DELTA(
                 0, "{\"type\":\"signature_delta\",\"signature\":\"EqQB+/=\"}") STOP(0)
                 START(1, "{\"type\":\"redacted_thinking\",\"data\":\"xyz\"}") STOP(1)
                     START(2, EMPTY_TEXT) TEXT(2, "Hello") END("end_turn"),
     "[{\"type\":\"thinking\",\"thinking\":\"I see\",\"signature\":\"EqQB+/=\"},{"
     "\"type\":\"redacted_thinking\",\"data\":\"xyz\"},{\"type\":\"text\",\"text\":"
     "\"Hello\"}]",
     NULL, STOP_END_TURN, "Hello", "", 0},
    {"thinking that is not shown",
     BEGIN START(0, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}")
         DELTA(0, "{\"type\":\"signature_delta\",\"signature\":\"sig\"}") STOP(0)
             END("end_turn"),
     "[{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"sig\"}]", NULL,
     STOP_END_TURN, "", "", 0},
    {"thinking without a signature (Ollama)",
     BEGIN START(0, "{\"type\":\"thinking\",\"thinking\":\"\"}")
         DELTA(0, "{\"type\":\"thinking_delta\",\"thinking\":\"So\"}") END("end_turn"),
     "[{\"type\":\"thinking\",\"thinking\":\"So\"}]", NULL, STOP_END_TURN, "", "", 0},
    {"citations",
     BEGIN START(0, "{\"type\":\"text\",\"text\":\"\",\"citations\":[]}") DELTA(
         0, "{\"type\":\"citations_delta\",\"citation\":{\"n\": 1}}") TEXT(0, "Hello")
         DELTA(0, "{\"type\":\"citations_delta\",\"citation\":{\"n\":2}}")
             END("end_turn"),
     "[{\"type\":\"text\",\"text\":\"Hello\",\"citations\":[{\"n\":1},{\"n\":2}]}]",
     NULL, STOP_END_TURN, "Hello", "", 0},
    {"a compaction",
     BEGIN START(0, "{\"type\":\"compaction\",\"content\":null}")
         DELTA(0, "{\"type\":\"compaction_delta\",\"content\":\"All \\\"so\\\" far\","
                  "\"encrypted_content\":\"eee\"}") STOP(0) START(1, EMPTY_TEXT)
             TEXT(1, "Hello") END("end_turn"),
     "[{\"type\":\"compaction\",\"content\":\"All \\\"so\\\" "
     "far\",\"encrypted_content\":"
     "\"eee\"},{\"type\":\"text\",\"text\":\"Hello\"}]",
     NULL, STOP_END_TURN, "Hello", "", 0},
    {"a block that begins with text",
     BEGIN START(0, "{\"type\":\"text\",\"text\":\"Hel\"}") TEXT(0, "lo")
         END("end_turn"),
     HELLO_BLOCK, NULL, STOP_END_TURN, "lo", "", 0},
    {"characters cut in two by UTF-16 units",
     BEGIN START(0, EMPTY_TEXT) TEXT(0, "a\\ud83d") TEXT(0, "\\ude00b")
         START(1, TOOL("a", "ls") ",\"input\":{}}") JSON(1, "{\\\"p\\\":\\\"\\ud83d")
             JSON(1, "\\ude00\\\\ud83d") JSON(1, "\\\\ude00\\\"}") END("tool_use"),
     "[{\"type\":\"text\",\"text\":\"a\\ud83d\\ude00b\"}," TOOL(
         "a", "ls") ",\"input\":{\"p\":\"\xf0\x9f\x98\x80\\ud83d\\ude00\"}}]",
     NULL, STOP_TOOL_USE,
     "a\xef\xbf\xbd\xef\xbf\xbd"
     "b",
     "ls={\"p\":\"\xf0\x9f\x98\x80\\ud83d\\ude00\"};", 0},
    {"half a character for ever",
     BEGIN START(0, EMPTY_TEXT) TEXT(0, "Hello\\ud83d") END("end_turn"),
     "[{\"type\":\"text\",\"text\":\"Hello\\ufffd\"}]", NULL, STOP_END_TURN,
     "Hello\xef\xbf\xbd", "", 0},
    {"frames without event: (nameless)",
     "data: {\"type\":\"message_start\",\"message\":{\"id\":\"x\"}}\n\n"
     "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":" EMPTY_TEXT
     "}\n\ndata: "
     "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
     "\"text\":\"Hello\"}}\n\ndata: "
     "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n"
     "data: {\"type\":\"message_stop\"}\n\n",
     HELLO_BLOCK, NULL, STOP_END_TURN, "Hello", "", 0},
    {"nothing was said", BEGIN END("end_turn"), "[]", NULL, STOP_END_TURN, "", "", 0},
    {"an unknown reason to stop", BEGIN HELLO END("boredom"), HELLO_BLOCK, NULL,
     STOP_UNKNOWN, "Hello", "", 0},
    {"a refusal", BEGIN HELLO END("refusal"), HELLO_BLOCK, NULL, STOP_REFUSAL, "Hello",
     "", 0},
    {"the context is full", BEGIN HELLO END("model_context_window_exceeded"),
     HELLO_BLOCK, NULL, STOP_CONTEXT_FULL, "Hello", "", 0},
    {"an error behind the end",
     BEGIN HELLO END("end_turn") EVENT("error", "{\"message\":\"late\"}"), HELLO_BLOCK,
     NULL, STOP_END_TURN, "Hello", "", 0},

    {"an error event",
     BEGIN HELLO EVENT("error", "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_"
                                "error\",\"message\":\"Over\\nloaded\"},\"request_id\":"
                                "\"req_7\"}"),
     NULL, "overloaded_error: Over loaded (request req_7)", 0, NULL, NULL, 0},
    {"an error event at once",
     EVENT("error", "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":"
                    "\"Boom\"}}"),
     NULL, "api_error: Boom (request req_head)", 0, NULL, NULL, 0},
    {"a bare error (llama.cpp)",
     BEGIN EVENT("error", "{\"code\":500,\"message\":\"slot gone\",\"type\":\"server_"
                          "error\"}"),
     NULL, "server_error: slot gone", 0, NULL, NULL, 0},
    {"the end before message_stop", BEGIN HELLO, NULL,
     "in the middle, request req_head", 0, NULL, NULL, 0},
    {"the last frame without its empty line",
     BEGIN HELLO "event: message_stop\ndata: {\"type\":\"message_stop\"}\n", NULL,
     "in the middle", 0, NULL, NULL, 0},
    {"an empty answer", "", NULL, "in the middle", 0, NULL, NULL, 0},
    {"a second message_start", BEGIN HELLO END("end_turn") BEGIN, NULL,
     "a second message_start", 0, NULL, NULL, 0},
    {"two blocks with one index", BEGIN HELLO HELLO END("end_turn"), NULL,
     "two blocks with one index", 0, NULL, NULL, 0},
    {"a delta from nowhere", BEGIN TEXT(3, "x") END("end_turn"), NULL, "has not begun",
     0, NULL, NULL, 0},
    {"a block before the message", HELLO END("end_turn"), NULL, "no message_start", 0,
     NULL, NULL, 0},
    {"no JSON in a frame of ours", BEGIN EVENT("message_delta", "{\"type\":"), NULL,
     "is none", 0, NULL, NULL, 0},
};

/* The plain stream with other ends of lines. */
static void with_ends(struct buf *to, const char *end)
{
    buf_init(to, 1 << 16);
    for (const char *p = rows[0].stream; *p; p++)
        if (*p == '\n')
            buf_addz(to, end);
        else
            buf_addc(to, *p);
}

static void check_row(const struct row *row, size_t piece)
{
    struct buf made = {0};
    if (!row->stream)
        with_ends(&made, strcmp(row->name, "CR") == 0 ? "\r" : "\r\n");
    struct model_step step = {
        .body = row->stream ? str_of(row->stream) : buf_str(&made), .piece = piece};
    struct world w;
    set_up(&w, &step, 1);
    w.config.repeats = 0;
    run(&w);
    struct heard *h = &w.heard;
    if (h->dones != 1)
        fail_msg("%s: %d times done", row->name, h->dones);
    if (!row->content) {
        if (!h->failed || !strstr(h->err.msg, row->error))
            fail_msg("%s (pieces of %zu): %s instead of %s", row->name, piece,
                     h->failed ? h->err.msg : "no error", row->error);
    } else if (h->failed) {
        fail_msg("%s (pieces of %zu): %s", row->name, piece, h->err.msg);
    } else {
        if (!str_eq(buf_str(&h->content), str_of(row->content)))
            fail_msg("%s: %.*s", row->name, STR_FMT(buf_str(&h->content)));
        if (!str_eq(buf_str(&h->text), str_of(row->text)))
            fail_msg("%s: text %.*s", row->name, STR_FMT(buf_str(&h->text)));
        assert_string_equal(h->inputs, row->inputs);
        assert_int_equal(h->stop, row->stop);
        assert_int_equal(h->invalid, row->invalid);
    }
    tear_down(&w);
    buf_finish(&made);
}

static void streams(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t piece = 0; piece <= 3; piece += 3)
            check_row(&rows[i], piece);
}

/* What is asked, with which headers. */
static void plain_turn(void **state)
{
    (void)state;
    static const char stream[] = BEGIN HELLO END("end_turn");
    struct model_step steps[] = {
        {.body = STR(stream),
         .expect =
             STR("{\"model\":\"claude-opus-5-5\",\"max_tokens\":16000,\"stream\":"
                 "true,\"cache_control\":{\"type\":\"ephemeral\"},\"system\":[{"
                 "\"type\":\"text\",\"text\":\"Be \\\"exact\\\".\"}],\"messages\":"
                 "[{\"role\":\"user\",\"content\":\"Hello\"}]}")},
        {.body = STR(stream), .expect = STR("POST /v1/messages HTTP/1.1\r\n")},
    };
    struct secret *key = secret_new(STR("sk-test"));
    struct world w;
    set_up(&w, steps, 2);
    w.config.key = key;
    run(&w);
    assert_false(w.heard.failed);
    assert_string_equal(w.heard.request_id, "req_head");
    assert_int_equal(w.heard.usage.input, 10);
    assert_int_equal(w.heard.usage.cache_read, 5);
    assert_int_equal(w.heard.usage.output, 7);
    listen_to(&w);
    run(&w); /* the same model, the same connection */
    assert_false(w.heard.failed);
    assert_non_null(strstr(w.server.last, "\r\nAuthorization: Bearer sk-test\r\n"));
    assert_non_null(strstr(w.server.last, "\r\nanthropic-version: 2026-10-21\r\n"));
    assert_non_null(strstr(w.server.last, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(w.server.last, "\r\nAccept: application/json\r\n"));
    assert_null(strstr(w.server.last, "x-api-key"));
    assert_null(strstr(w.server.last, "anthropic-beta"));
    tear_down(&w);
    secret_free(key);
}

/* Failures before the stream, and what is done about them. */

#define HEAD(status)                                                                   \
    "HTTP/1.1 " status "\r\nrequest-id: req_9\r\nContent-Type: application/json"
#define ERROR(type, message)                                                           \
    STR("{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" message  \
        "\"},\"request_id\":\"req_9\"}")

static const char good[] = BEGIN HELLO END("end_turn");

static void retried(void **state)
{
    (void)state;
    const struct model_step failures[] = {
        {.head = HEAD("429 Too Many Requests") "\r\nretry-after-ms: 2.5",
         .body = ERROR("rate_limit_error", "slow down")},
        {.head = HEAD("529 Overloaded") "\r\nretry-after: 0.001",
         .body = ERROR("overloaded_error", "Overloaded")},
        {.head = HEAD("408 Request Timeout") "\r\nretry-after-ms: 1"},
        {.head = HEAD("409 Conflict") "\r\nretry-after-ms: 1"},
        {.head = HEAD("502 Bad Gateway") "\r\nretry-after-ms: 1",
         .body = STR("<html>no")},
        {.head =
             HEAD("400 Bad Request") "\r\nretry-after-ms: 1\r\nx-should-retry: true",
         .body = ERROR("invalid_request_error", "odd")},
        {.swallow = true},
    };
    for (size_t i = 0; i < COUNT(failures); i++) {
        struct model_step steps[] = {failures[i], {.body = STR(good)}};
        struct world w;
        set_up(&w, steps, 2);
        run(&w);
        assert_int_equal(w.server.requests, 2);
        assert_int_equal(w.heard.agains, 1);
        assert_false(w.heard.failed);
        assert_true(str_eq(buf_str(&w.heard.content), STR(HELLO_BLOCK)));
        if (!failures[i].swallow) {
            assert_in_range(w.heard.wait_ms, 1, 3);
            assert_non_null(strstr(buf_cstr(&w.heard.again), "(request req_9)"));
        } else {
            assert_in_range(w.heard.wait_ms, 375, 500);
        }
        tear_down(&w);
    }
}

static void given_up(void **state)
{
    (void)state;
    const struct {
        struct model_step step;
        enum err_kind kind;
        const char *message, *remedy;
        size_t requests;
    } cases[] = {
        {{.head = HEAD("529 Overloaded") "\r\nretry-after-ms: 1",
          .body = ERROR("overloaded_error", "Overloaded")},
         ERR_UNAVAILABLE,
         "529 overloaded_error: Overloaded (request req_9)",
         "later",
         3},
        {{.head = HEAD("401 Unauthorized"),
          .body = ERROR("authentication_error", "bad")},
         ERR_DENIED,
         "401 authentication_error: bad (request req_9)",
         "check the key (MY_KEY)",
         1},
        {{.head = HEAD("403 Forbidden"), .body = STR("<html>")},
         ERR_DENIED,
         "403 (request req_9)",
         "key",
         1},
        {{.head = HEAD("404 Not Found"), .body = ERROR("not_found_error", "model: x")},
         ERR_NOT_FOUND,
         "404 not_found_error: model: x",
         "--model",
         1},
        {{.head = HEAD("400 Bad Request"),
          .body =
              STR("{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
                  "\"message\":\"big\",\"details\":{\"error_code\":\"image_dimensions_"
                  "too_large\"}}}")},
         ERR_INVALID,
         "400 invalid_request_error: big",
         "make the image smaller",
         1},
        {{.head = HEAD("402 Payment Required"), .body = ERROR("billing_error", "pay")},
         ERR_DENIED,
         "402 billing_error: pay",
         "billing",
         1},
        {{.head = HEAD("413 Too Large"), .body = STR("<html>")},
         ERR_LIMIT,
         "413 (request req_9)",
         "too long",
         1},
        {{.head = HEAD("429 Too Many Requests") "\r\nretry-after: 86400",
          .body = ERROR("rate_limit_error", "tomorrow")},
         ERR_LIMIT,
         "429 rate_limit_error: tomorrow",
         "86400 s",
         1},
        {{.head = HEAD("500 Oops") "\r\nx-should-retry: false",
          .body = ERROR("api_error", "no use")},
         ERR_UNAVAILABLE,
         "500 api_error: no use",
         "",
         1},
        {{.head = HEAD("500 Oops") "\r\nx-should-retry: false",
          .body =
              STR("{\"error\":{\"code\":500,\"message\":\"no\\u001b[2Jslot\",\"type\":"
                  "\"server_error\"}}")},
         ERR_UNAVAILABLE,
         "500 server_error: no [2Jslot (request req_9)",
         "",
         1},
        {{.head = "HTTP/1.1 307 Moved\r\nLocation: http://x/"},
         ERR_UNAVAILABLE,
         "307",
         "",
         1},
        {{.head = "HTTP/1.1 200 OK\r\nContent-Type: text/html", .body = STR("<html>")},
         ERR_PROTOCOL,
         "200 with text/html",
         "/v1/messages",
         1},
        {{.head = HEAD("200 OK"), .body = ERROR("api_error", "hidden")},
         ERR_UNAVAILABLE,
         "api_error: hidden",
         "",
         1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct model_step steps[] = {cases[i].step, cases[i].step, cases[i].step};
        struct world w;
        set_up(&w, steps, 3);
        w.config.key_source = "MY_KEY";
        run(&w);
        assert_true(w.heard.failed);
        if (w.heard.err.kind != cases[i].kind ||
            !strstr(w.heard.err.msg, cases[i].message) ||
            !strstr(w.heard.err.remedy, cases[i].remedy))
            fail_msg("%zu: %s %s (%s)", i, err_kind_name(w.heard.err.kind),
                     w.heard.err.msg, w.heard.err.remedy);
        assert_int_equal(w.server.requests, cases[i].requests);
        assert_int_equal(w.heard.agains, (int)cases[i].requests - 1);
        tear_down(&w);
    }
}

static void nobody_listens(void **state)
{
    (void)state;
    struct world w;
    set_up(&w, NULL, 0);
    model_server_stop(&w.server);
    w.config.retries = 1;
    run(&w);
    assert_true(w.heard.failed);
    assert_int_equal(w.heard.agains, 1);
    assert_int_equal(w.heard.err.kind, ERR_UNAVAILABLE);
    model_server_start(&w.server, NULL, 0);
    tear_down(&w);
}

/* A stream that breaks: nothing of it counts, and it is asked for at most twice more.
 */
static void repeated(void **state)
{
    (void)state;
    static const char overloaded[] =
        BEGIN HELLO EVENT("error", "{\"type\":\"error\",\"error\":{\"type\":"
                                   "\"overloaded_error\",\"message\":\"busy\"}}");
    static const char invalid[] =
        BEGIN HELLO EVENT("error", "{\"type\":\"error\",\"error\":{\"type\":"
                                   "\"invalid_request_error\",\"message\":\"never\"}}");
    static const char half[] = BEGIN START(0, EMPTY_TEXT) TEXT(0, "half");
    const struct {
        struct model_step steps[3];
        size_t requests;
        const char *error; /* NULL: goes well in the end */
    } cases[] = {
        {{{.body = STR(overloaded)}, {.body = STR(good)}}, 2, NULL},
        {{{.body = STR(half), .cut = true}, {.body = STR(good)}}, 2, NULL},
        {{{.body = STR(half)}, {.body = STR(half), .cut = true}, {.body = STR(good)}},
         3,
         NULL},
        {{{.body = STR(half)}, {.body = STR(half)}, {.body = STR(half)}},
         3,
         "in the middle"},
        {{{.body = STR(invalid)}}, 1, "invalid_request_error: never"},
        {{{.body = STR(half), .cut = true},
          {.head = HEAD("529 Overloaded") "\r\nretry-after-ms: 1"},
          {.body = STR(good)}},
         3,
         NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct world w;
        set_up(&w, cases[i].steps, 3);
        run(&w);
        assert_int_equal(w.server.requests, cases[i].requests);
        assert_int_equal(w.heard.agains, (int)cases[i].requests - 1);
        assert_int_equal(w.heard.dones, 1);
        assert_int_equal(w.heard.failed, cases[i].error != NULL);
        if (cases[i].error)
            assert_non_null(strstr(w.heard.err.msg, cases[i].error));
        else
            assert_true(str_eq(buf_str(&w.heard.text), STR("Hello")));
        tear_down(&w);
    }
}

static void stalled(void **state)
{
    (void)state;
    static const char half[] = BEGIN START(0, EMPTY_TEXT) TEXT(0, "half");
    struct model_step steps[] = {{.body = STR(half), .hang = true},
                                 {.body = STR(good)}};
    struct world w;
    set_up(&w, steps, 2);
    w.config.stall_ms = 500;
    run(&w);
    assert_false(w.heard.failed);
    assert_int_equal(w.heard.agains, 1);
    assert_true(str_eq(buf_str(&w.heard.text), STR("Hello")));
    tear_down(&w);
}

/* The message is complete, but the server keeps the stream open. */
static void complete_but_open(void **state)
{
    (void)state;
    struct model_step step = {.body = STR(good), .hang = true};
    struct world w;
    set_up(&w, &step, 1);
    run(&w);
    assert_false(w.heard.failed);
    assert_true(str_eq(buf_str(&w.heard.content), STR(HELLO_BLOCK)));
    tear_down(&w);
}

static void old_version(void **state)
{
    (void)state;
    struct model_step steps[] = {
        {.head = HEAD("400 Bad Request"),
         .body = ERROR("invalid_request_error", "anthropic-version: unknown"),
         .expect = STR("anthropic-version: 2026-10-21\r\n")},
        {.body = STR(good), .expect = STR("anthropic-version: 2023-06-01\r\n")},
        {.body = STR(good), .expect = STR("anthropic-version: 2023-06-01\r\n")},
    };
    struct world w;
    set_up(&w, steps, 3);
    run(&w);
    assert_false(w.heard.failed);
    listen_to(&w);
    run(&w);
    assert_false(w.heard.failed);
    assert_int_equal(w.server.requests, 3);
    tear_down(&w);
}

static void stop_loop(void *ctx)
{
    loop_stop(ctx);
}

static void cancelled(void **state)
{
    (void)state;
    static const char half[] =
        BEGIN START(0, EMPTY_TEXT) TEXT(0, "a") TEXT(0, "b") TEXT(0, "c");
    struct model_step steps[] = {{.body = STR(half), .hang = true},
                                 {.body = STR(good)}};
    struct world w;
    set_up(&w, steps, 2);
    w.heard.cancel_at = 2;
    run(&w);
    assert_true(str_eq(buf_str(&w.heard.text), STR("ab")));
    assert_int_equal(w.heard.dones, 0);
    listen_to(&w);
    run(&w); /* the model goes on */
    assert_int_equal(w.heard.dones, 1);
    assert_false(w.heard.failed);
    tear_down(&w);
}

/* Before anything was sent, and while it waits for a repetition. */
static void cancelled_early(void **state)
{
    (void)state;
    struct model_step step = {.head =
                                  HEAD("529 Overloaded") "\r\nretry-after-ms: 60000"};
    struct world w;
    set_up(&w, &step, 1);
    struct err err;
    assert_int_equal(model_new(&w.model, w.loop, &w.config, &err), 0);
    turn_cancel(model_turn(w.model, STR("[]"), &events, &w.heard));
    w.heard.turn = model_turn(w.model, STR("[]"), &events, &w.heard);
    struct loop_timer *timer = loop_timer_new(w.loop, stop_loop, w.loop);
    for (int i = 0; i < 1000 && w.heard.agains == 0; i++) {
        loop_timer_start(timer, 5);
        loop_run(w.loop);
    }
    loop_timer_free(timer);
    assert_int_equal(w.heard.agains, 1);
    turn_cancel(w.heard.turn);
    assert_int_equal(w.heard.dones, 0);
    model_turn(w.model, STR("[]"), &events, &w.heard); /* model_free() ends it */
    tear_down(&w);
}

static void what_is_sent(void **state)
{
    (void)state;
    struct model_step step = {
        .body = STR(good),
        .expect =
            STR("\"tools\":[{\"name\":\"x\"}],\"output_config\":{\"effort\":\"low\","
                "\"format\":{\"type\":\"json_schema\",\"schema\":{\"type\":"
                "\"object\"}}},\"thinking\":{\"type\":\"adaptive\",\"display\":"
                "\"summarized\"},\"context_management\":{\"edits\":[{\"type\":"
                "\"compact_20260112\"}]},\"messages\":[")};
    const struct str headers[] = {STR("Anthropic-Beta: one,two"), STR("X-More: 1"),
                                  STR("anthropic-version: 2030-01-01")};
    struct secret *key = secret_new(STR("sk-test"));
    struct world w;
    set_up(&w, &step, 1);
    w.config.key = key;
    w.config.x_api_key = true;
    w.config.tools = STR("[{\"name\":\"x\"}]");
    w.config.effort = STR("low");
    w.config.schema = STR("{\"type\":\"object\"}");
    w.config.thinking = THINKING_SHOWN;
    w.config.compaction = true;
    w.config.headers = headers;
    w.config.header_count = COUNT(headers);
    run(&w);
    assert_non_null(strstr(w.server.last, "\r\nx-api-key: sk-test\r\n"));
    assert_non_null(
        strstr(w.server.last, "\r\nAnthropic-Beta: one,two,compact-2026-01-12\r\n"));
    assert_non_null(strstr(w.server.last, "\r\nX-More: 1\r\n"));
    assert_non_null(strstr(w.server.last, "\r\nanthropic-version: 2030-01-01\r\n"));
    assert_null(strstr(w.server.last, "2026-10-21"));
    assert_null(strstr(w.server.last, "Authorization"));
    tear_down(&w);
    secret_free(key);
}

static void too_long(void **state)
{
    (void)state;
    struct world w;
    set_up(&w, NULL, 0);
    struct buf long_one;
    buf_init(&long_one, 40 << 20);
    struct err err;
    memset(buf_reserve(&long_one, MODEL_REQUEST_MAX), ' ', MODEL_REQUEST_MAX);
    long_one.n = MODEL_REQUEST_MAX;
    assert_int_equal(model_new(&w.model, w.loop, &w.config, &err), 0);
    model_turn(w.model, buf_str(&long_one), &events, &w.heard);
    assert_int_equal(w.heard.dones, 0);
    loop_run(w.loop);
    assert_true(w.heard.failed);
    assert_int_equal(w.heard.err.kind, ERR_LIMIT);
    buf_finish(&long_one);
    tear_down(&w);
}

static void plain_http(void **state)
{
    (void)state;
    struct world w;
    struct err err;
    struct secret *key = secret_new(STR("sk-test"));
    set_up(&w, NULL, 0);
    w.config.base_url = STR("http://example.com");
    w.config.key = key;
    assert_int_equal(model_new(&w.model, w.loop, &w.config, &err), -1);
    assert_int_equal(err.kind, ERR_DENIED);
    tear_down(&w);
    secret_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_turn),      cmocka_unit_test(streams),
        cmocka_unit_test(retried),         cmocka_unit_test(given_up),
        cmocka_unit_test(nobody_listens),  cmocka_unit_test(repeated),
        cmocka_unit_test(stalled),         cmocka_unit_test(complete_but_open),
        cmocka_unit_test(old_version),     cmocka_unit_test(cancelled),
        cmocka_unit_test(cancelled_early), cmocka_unit_test(what_is_sent),
        cmocka_unit_test(too_long),        cmocka_unit_test(plain_http),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
