/* Turns: what is asked, failures in every way of claude-api 4, cancelling at each
 * point.
 */
#include "tests/unit/check.h"
#include "tests/unit/model_world.h"
#include <stdlib.h>

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
        {{.head = HEAD("400 Bad Request")}, ERR_INVALID, "400 (request req_9)", "", 1},
        {{.head = HEAD("402 Payment Required"), .body = ERROR("billing_error", "pay")},
         ERR_DENIED,
         "402 billing_error: pay",
         "billing",
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

/* The prompt is over the model's limit: as if the model had said so. */
static void context_full(void **state)
{
    (void)state;
    const struct model_step steps[] = {
        {.head = HEAD("400 Bad Request"),
         .body = ERROR("invalid_request_error",
                       "prompt is too long: 213462 tokens > 200000 maximum")},
        {.head = HEAD("413 Payload Too Large"), .body = STR("<html>")},
    };
    for (size_t i = 0; i < COUNT(steps); i++) {
        struct world w;
        set_up(&w, &steps[i], 1);
        run(&w);
        assert_false(w.heard.failed);
        assert_int_equal(w.heard.stop, STOP_CONTEXT_FULL);
        assert_true(str_eq(buf_str(&w.heard.content), STR("[]")));
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

/* An error whose text never ends. */
static void endless_error(void **state)
{
    (void)state;
    static char text[100 * 1024];
    memset(text, 'x', sizeof text);
    struct model_step step = {
        .head = HEAD("400 Bad Request"), .body = {text, sizeof text}, .hang = true};
    struct world w;
    set_up(&w, &step, 1);
    run(&w);
    assert_true(w.heard.failed);
    assert_int_equal(w.heard.err.kind, ERR_INVALID);
    assert_non_null(strstr(w.heard.err.msg, "400 (request req_9)"));
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

static void no_compaction(void **state)
{
    (void)state;
    const struct model_step steps[] = {
        {.head = HEAD("400 Bad Request"),
         .body = ERROR("invalid_request_error", "context_management: not supported"),
         .expect = STR("compact_20260112")},
        {.body = STR(good),
         .expect =
             STR("\"text\":\"Be \\\"exact\\\".\"}],\"messages\":[{\"role\":\"user\","
                 "\"content\":\"Hello\"}]}")},
        {.body = STR(good), .expect = STR("}],\"messages\":[{\"role\":\"user\"")},
    };
    struct world w;
    set_up(&w, steps, COUNT(steps));
    w.config.compaction = true;
    run(&w);
    assert_false(w.heard.failed);
    assert_int_equal(w.heard.agains, 1);
    assert_null(strstr(w.server.last, "anthropic-beta"));
    listen_to(&w);
    run(&w);
    assert_int_equal(w.heard.agains, 0);
    tear_down(&w);
}

static const struct secret *renew(void *ctx)
{
    const struct secret **next = ctx;
    const struct secret *key = *next;
    *next = NULL;
    return key;
}

/* A token that has expired is asked for anew, once a turn. */
static void renewed(void **state)
{
    (void)state;
    const struct model_step steps[] = {
        {.head = HEAD("401 Unauthorized"), .expect = STR("Bearer one\r\n")},
        {.body = STR(good), .expect = STR("Authorization: Bearer two\r\n")},
        {.head = HEAD("401 Unauthorized"), .expect = STR("Bearer two\r\n")}};
    struct secret *one = secret_new(STR("one")), *two = secret_new(STR("two"));
    const struct secret *next = two;
    struct world w;
    set_up(&w, steps, 3);
    w.config.key = one;
    w.config.renew_key = renew;
    w.config.renew_ctx = &next;
    run(&w);
    assert_false(w.heard.failed);
    assert_int_equal(w.heard.agains, 1);
    listen_to(&w);
    run(&w);
    assert_true(w.heard.failed); /* there is no third */
    assert_int_equal(w.heard.err.kind, ERR_DENIED);
    tear_down(&w);
    secret_free(one);
    secret_free(two);
}

static void no_id(void **state)
{
    (void)state;
    static const char stream[] =
        BEGIN START(0, "{\"type\":\"tool_use\",\"id\":\"\",\"name\":\"ls\"}")
            START(1, "{\"type\":\"tool_use\",\"name\":\"ls\"}") END("tool_use");
    struct model_step step = {.body = STR(stream)};
    struct world w;
    set_up(&w, &step, 1);
    run(&w);
    assert_false(w.heard.failed);
    assert_true(
        str_eq(buf_str(&w.heard.content),
               STR("[" TOOL("toolu_msg_1_0",
                            "ls") ",\"input\":{}},{\"type\":"
                                  "\"tool_use\",\"name\":\"ls\",\"input\":{},\"id\":"
                                  "\"toolu_msg_1_1\"}]")));
    tear_down(&w);
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
        cmocka_unit_test(plain_turn),     cmocka_unit_test(retried),
        cmocka_unit_test(given_up),       cmocka_unit_test(context_full),
        cmocka_unit_test(nobody_listens), cmocka_unit_test(repeated),
        cmocka_unit_test(stalled),        cmocka_unit_test(complete_but_open),
        cmocka_unit_test(endless_error),  cmocka_unit_test(old_version),
        cmocka_unit_test(cancelled),      cmocka_unit_test(cancelled_early),
        cmocka_unit_test(what_is_sent),   cmocka_unit_test(no_compaction),
        cmocka_unit_test(renewed),        cmocka_unit_test(no_id),
        cmocka_unit_test(too_long),       cmocka_unit_test(plain_http),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
