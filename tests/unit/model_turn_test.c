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
};

static void check_row(const struct row *row, size_t piece)
{
    struct model_step step = {.body = str_of(row->stream), .piece = piece};
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_turn),
        cmocka_unit_test(streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
