/* Every stream of claude-api 3.5, and more, whole and three bytes at a time. */
#include "tests/unit/check.h"
#include "tests/unit/model_world.h"
#include <stdio.h>

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
    {"bytes that are no UTF-8",
     BEGIN START(0, EMPTY_TEXT) TEXT(0, "Hel\xc3") TEXT(0, "\xa9\xff lo")
         END("end_turn"),
     "[{\"type\":\"text\",\"text\":\"Hel\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd lo\"}]",
     NULL, STOP_END_TURN, "Hel\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd lo", "", 0},
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

static void ignore(void *ctx, struct str text)
{
    (void)ctx;
    (void)text;
}

static const struct message_events nobody = {ignore, ignore, ignore};

static int take(struct accumulator *a, const char *name, struct str data,
                struct err *err)
{
    return accumulate(a, str_of(name), data, err);
}

/* A server that never ends. */
static void limits(void **state)
{
    (void)state;
    static const struct str start =
        STR_INIT("{\"type\":\"message_start\",\"message\":{}}");
    struct accumulator a;
    struct err err;
    int rc, blocks;
    accumulator_init(&a, &nobody, NULL);
    assert_int_equal(take(&a, "message_start", start, &err), 0);
    for (rc = blocks = 0; rc == 0 && blocks <= MESSAGE_BLOCKS_MAX; blocks += rc == 0) {
        char text[200];
        snprintf(text, sizeof text,
                 "{\"type\":\"content_block_start\",\"index\":%d,\"content_block\":"
                 "{\"type\":\"text\",\"text\":\"\"}}",
                 blocks);
        rc = take(&a, "content_block_start", str_of(text), &err);
    }
    assert_int_equal(rc, -1);
    assert_int_equal(blocks, MESSAGE_BLOCKS_MAX);
    assert_int_equal(err.kind, ERR_LIMIT);
    assert_false(a.again);
    accumulator_finish(&a);

    enum { PIECE = 4 << 20 };
    struct buf delta;
    buf_init(&delta, 2 * PIECE);
    buf_addz(&delta,
             "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
             "\"text_delta\",\"text\":\"");
    memset(buf_reserve(&delta, PIECE), 'x', PIECE);
    delta.n += PIECE;
    buf_addz(&delta, "\"}}");
    accumulator_init(&a, &nobody, NULL);
    assert_int_equal(take(&a, "message_start", start, &err), 0);
    assert_int_equal(take(&a, "content_block_start",
                          STR("{\"type\":\"content_block_start\",\"index\":0,"
                              "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}"),
                          &err),
                     0);
    int pieces = 0;
    while (take(&a, "content_block_delta", buf_str(&delta), &err) == 0)
        pieces++;
    assert_int_equal(pieces, MESSAGE_MAX / PIECE - 1);
    assert_int_equal(err.kind, ERR_LIMIT);
    accumulator_finish(&a);
    buf_finish(&delta);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
