/* Server-sent events: the same events whatever the pieces they come in. */
#include "net/http/sse.h"
#include "tests/unit/check.h"
#include <string.h>

struct seen {
    char text[200];
    size_t n;
};

static void on_event(void *ctx, struct str name, struct str data)
{
    struct seen *seen = ctx;
    assert_true(seen->n + name.n + data.n + 2 < sizeof seen->text);
    if (name.n) {
        memcpy(seen->text + seen->n, name.p, name.n);
        seen->n += name.n;
        seen->text[seen->n++] = '=';
    }
    memcpy(seen->text + seen->n, data.p, data.n);
    seen->n += data.n;
    seen->text[seen->n++] = '|';
}

static void streams(void **state)
{
    (void)state;
    static const struct {
        const char *stream, *events; /* each ended by '|' */
    } rows[] = {
        {"data: {\"a\":1}\n\n", "{\"a\":1}|"},
        {"event: message\nid: 1\ndata: x\n\ndata: y\n\n", "message=x|y|"},
        {"data:x\n\n", "x|"},
        {"data:  x\n\n", " x|"},
        {"data: one\ndata: two\n\n", "one\ntwo|"},
        {"data: x\r\n\r\ndata: y\r\rdata: z\n\n", "x|y|z|"},
        {": keep-alive\n\ndata: x\n\n", "x|"},
        {"id: 7\ndata: \n\ndata: x\n\n", "x|"},
        {"id: 7\nretry: 10\ndata\n\ndata: x\n\n", "x|"},
        {"\xef\xbb\xbf"
         "data: x\n\n",
         "x|"},
        {"database: no\ndat: no\ndata: x\n\n", "x|"},
        {"\n\n\ndata: x\n\n\n\n", "x|"},
        {"event: a\ndata: x\nevent: b\n\ndata: y\n\n", "b=x|y|"},
        {"event: a\n\ndata: x\n\n", "x|"},
        {"eventual: a\nevent\ndata: x\n\n", "x|"},
        {"data:\ndata: x\n\n", "\nx|"},
        {"data: not ended\n", ""},
        {"data: not ended", ""},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t n = strlen(rows[i].stream);
        for (size_t cut = 0; cut <= n; cut++) {
            struct seen seen = {0};
            struct sse sse;
            sse_init(&sse, 100);
            struct str all = {rows[i].stream, n};
            assert_int_equal(sse_feed(&sse, (struct str){all.p, cut}, on_event, &seen),
                             0);
            for (size_t k = cut; k < n; k++) /* the rest byte by byte */
                assert_int_equal(
                    sse_feed(&sse, (struct str){all.p + k, 1}, on_event, &seen), 0);
            if (seen.n != strlen(rows[i].events) ||
                memcmp(seen.text, rows[i].events, seen.n) != 0)
                fail_msg("row %zu, cut %zu: %.*s", i, cut, (int)seen.n, seen.text);
            sse_finish(&sse);
        }
    }
}

static void limits(void **state)
{
    (void)state;
    static const char line[] = "data: 0123456789\n";
    struct seen seen = {0};
    struct sse sse;
    sse_init(&sse, 20);
    assert_int_equal(sse_feed(&sse, STR(line), on_event, &seen), 0);
    assert_int_equal(sse_feed(&sse, STR(line), on_event, &seen), -1);
    assert_int_equal(sse_feed(&sse, STR("\n"), on_event, &seen), -1);
    sse_finish(&sse);
    sse_init(&sse, 20);
    assert_int_equal(sse_feed(&sse, STR("0123456789012345678901234567890123456789"),
                              on_event, &seen),
                     -1);
    assert_int_equal(seen.n, 0);
    sse_finish(&sse);
    sse_init(&sse, 20); /* a line that is whole in one piece */
    assert_int_equal(
        sse_feed(&sse, STR("data: 01234567890123456789\n\n"), on_event, &seen), 0);
    assert_int_equal(seen.n, 21);
    assert_int_equal(
        sse_feed(&sse, STR("data: 012345678901234567890\n\n"), on_event, &seen), -1);
    assert_int_equal(seen.n, 21);
    sse_finish(&sse);
    char name[SSE_NAME_MAX + 20] = "event: ";
    memset(name + 7, 'n', SSE_NAME_MAX + 1);
    name[SSE_NAME_MAX + 8] = '\n';
    sse_init(&sse, 1000);
    assert_int_equal(
        sse_feed(&sse, (struct str){name, SSE_NAME_MAX + 9}, on_event, &seen), -1);
    sse_finish(&sse);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
