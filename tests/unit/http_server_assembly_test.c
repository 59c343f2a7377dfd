/* WebSocket messages out of pieces: in any cut the same text, and the close code of
 * each thing that is wrong. */
#include "net/http_server/assembly.h"
#include "tests/unit/check.h"
#include <string.h>

enum { MAX = 32 };

static void every_cut_gives_the_same(void **state)
{
    (void)state;
    static const struct str whole = STR_INIT("{\"x\":\"\xc3\xa4\xf0\x9f\x98\x80\"}");
    struct assembly a;
    assembly_init(&a, MAX);
    for (size_t i = 0; i <= whole.n; i++)
        for (size_t k = i; k <= whole.n; k++) {
            const struct str parts[3] = {
                {whole.p, i}, {whole.p + i, k - i}, {whole.p + k, whole.n - k}};
            struct str text = {0};
            int code = 0;
            for (size_t n = 0; n < 3; n++) {
                struct http_piece piece = {
                    .bytes = parts[n], .first = n == 0, .last = n == 2};
                assert_int_equal(assembly_add(&a, &piece, &text, &code), n == 2);
            }
            assert_true(str_eq(text, whole));
        }
    assembly_finish(&a);
}

static void nothing_to_continue(void **state)
{
    (void)state;
    static const struct http_piece whole = {
        .bytes = {"{}", 2}, .first = true, .last = true};
    static const struct http_piece more = {.bytes = {"{}", 2}, .last = true};
    struct assembly a;
    struct str text;
    int code = 0;
    assembly_init(&a, MAX);
    assert_int_equal(assembly_add(&a, &whole, &text, &code), 1);
    assert_int_equal(assembly_add(&a, &more, &text, &code), -1);
    assert_int_equal(code, WEBSOCKET_PROTOCOL);
    assembly_finish(&a);
}

static void refusals(void **state)
{
    (void)state;
    static const char bytes[MAX + 1];
    static const struct {
        struct http_piece pieces[3];
        int code; /* at the last piece; 0: a message */
    } rows[] = {
        {{{.bytes = {bytes, MAX}, .first = true, .last = true}}, 0},
        {{{.bytes = {bytes, MAX + 1}, .first = true, .last = true}},
         WEBSOCKET_TOO_LARGE},
        {{{.bytes = {bytes, 1}, .first = true, .rest_bytes = MAX}},
         WEBSOCKET_TOO_LARGE},
        {{{.bytes = {bytes, 1}, .first = true, .rest_bytes = ~(size_t)0}},
         WEBSOCKET_TOO_LARGE},
        {{{.bytes = {bytes, MAX}, .first = true}, {.bytes = {bytes, 1}, .last = true}},
         WEBSOCKET_TOO_LARGE},
        {{{.bytes = {bytes, MAX}, .first = true}, {.bytes = {bytes, 0}, .last = true}},
         0},
        {{{.bytes = {"x", 1}, .first = true, .last = true, .binary = true}},
         WEBSOCKET_UNSUPPORTED},
        {{{.bytes = {"\xff", 1}, .first = true, .last = true}}, WEBSOCKET_NOT_UTF8},
        {{{.bytes = {"\xc3", 1}, .first = true}, {.bytes = {"x", 1}, .last = true}},
         WEBSOCKET_NOT_UTF8},
        {{{.bytes = {"\xc3", 1}, .first = true, .last = true}}, WEBSOCKET_NOT_UTF8},
        {{{.bytes = {"\xed\xa0\x80", 3}, .first = true, .last = true}},
         WEBSOCKET_NOT_UTF8},
        {{{.bytes = {"", 0}, .first = true, .last = true}}, 0},
        /* what was begun and not finished is forgotten */
        {{{.bytes = {bytes, MAX}, .first = true},
          {.bytes = {"x", 1}, .first = true, .last = true}},
         0},
        {{{.bytes = {"x", 1}, .last = true}}, WEBSOCKET_PROTOCOL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct assembly a;
        struct str text;
        int code = 0, rc = 0;
        assembly_init(&a, MAX);
        for (size_t n = 0; n < 3 && rc == 0; n++)
            if (rows[i].pieces[n].first || rows[i].pieces[n].last ||
                rows[i].pieces[n].bytes.n)
                rc = assembly_add(&a, &rows[i].pieces[n], &text, &code);
        if (rc != (rows[i].code ? -1 : 1) || (rc < 0 && code != rows[i].code))
            fail_msg("row %zu: %d, code %d", i, rc, code);
        assembly_finish(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_gives_the_same),
        cmocka_unit_test(nothing_to_continue),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
