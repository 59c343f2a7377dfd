/* Bodies in chunks, cut anywhere. */
#include "net/http_server/chunks.h"
#include "tests/unit/check.h"

/* The content when `text` comes in pieces of `step` bytes; NULL: refused. */
static const char *feed(const char *text, size_t step, struct buf *b, bool *ret_ended)
{
    struct chunks c = {0};
    struct str rest = str_of(text);
    *ret_ended = false;
    buf_reset(b, 1024);
    while (rest.n) {
        size_t n = rest.n < step ? rest.n : step;
        int rc = chunks_feed(&c, (struct str){rest.p, n}, b);
        if (rc < 0)
            return NULL;
        *ret_ended = rc > 0;
        rest = str_from(rest, n);
    }
    return buf_cstr(b);
}

static void bodies(void **state)
{
    (void)state;
    static const struct {
        const char *text, *content; /* NULL: refused */
        bool ended;
    } rows[] = {
        {"0\r\n\r\n", "", true},
        {"5\r\nhello\r\n0\r\n\r\n", "hello", true},
        {"5\r\nhello\r\nA;x=\"y\"\r\n, my world\r\n000\r\n\r\nmore", "hello, my world",
         true},
        {"3 \r\nabc\r\n0\r\nTrailer: x\r\n\r\n", "abc", true},
        {"5\r\nhel", "hel", false},
        {"\r\n", NULL, false},
        {"5\nhello", NULL, false},
        {"-1\r\n", NULL, false},
        {"0x5\r\nhello", NULL, false},
        {"5\r\nhelloX\r\n", NULL, false},
        {"fffffffffffffffff\r\n", NULL, false},
    };
    struct buf b;
    buf_init(&b, 1024);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t step = 1; step < 8; step++) {
            bool ended;
            const char *content = feed(rows[i].text, step, &b, &ended);
            assert_int_equal(content == NULL, rows[i].content == NULL);
            if (!content)
                continue;
            assert_string_equal(content, rows[i].content);
            assert_int_equal(ended, rows[i].ended);
        }
    buf_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bodies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
