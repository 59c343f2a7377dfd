/* The host that a ClientHello names. */
#include "base/buf.h"
#include "net/http_server/hello.h"
#include "tests/unit/check.h"

static void number(struct buf *b, size_t value, int bytes)
{
    while (bytes-- > 0)
        buf_addc(b, (char)(value >> 8 * bytes));
}

/* In one record: with an extension that we do not know, and the names. */
static void write_hello(struct buf *b, struct str names)
{
    static const char random[32];
    size_t extensions = 4 + 2 + 4 + 2 + names.n;
    size_t body = 2 + 32 + 1 + 2 + 2 + 1 + 1 + 2 + extensions;
    number(b, 22, 1);
    number(b, 0x0301, 2);
    number(b, body + 4, 2);
    number(b, 1, 1);
    number(b, body, 3);
    number(b, 0x0303, 2);
    buf_add(b, random, sizeof random);
    number(b, 0, 1); /* session */
    number(b, 2, 2); /* ciphers */
    number(b, 0x1301, 2);
    number(b, 1, 1); /* compression */
    number(b, 0, 1);
    number(b, extensions, 2);
    number(b, 0x2a2a, 2);
    number(b, 2, 2);
    number(b, 7, 2);
    number(b, 0, 2); /* server_name */
    number(b, names.n + 2, 2);
    number(b, names.n, 2);
    buf_adds(b, names);
}

static enum hello_verdict read_names(struct str names, struct str *ret_host,
                                     struct buf *b)
{
    buf_reset(b, 4096);
    write_hello(b, names);
    struct str whole = buf_str(b);
    for (size_t n = 0; n < whole.n; n++)
        assert_int_equal(hello_read((struct str){whole.p, n}, ret_host), HELLO_MORE);
    return hello_read(whole, ret_host);
}

static void names(void **state)
{
    (void)state;
    struct buf b;
    struct str host = {0};
    buf_init(&b, 4096);
    assert_int_equal(read_names(STR("\0\0\5a.com"), &host, &b), HELLO_HOST);
    assert_true(str_eq(host, STR("a.com")));
    /* of another kind first; then none; one that is longer than there is */
    assert_int_equal(read_names(STR("\1\0\2xx\0\0\1b"), &host, &b), HELLO_HOST);
    assert_true(str_eq(host, STR("b")));
    assert_int_equal(read_names((struct str){0}, &host, &b), HELLO_NO_HOST);
    assert_int_equal(read_names(STR("\0\0\0"), &host, &b), HELLO_NO_HOST);
    assert_int_equal(read_names(STR("\0\0\x9short"), &host, &b), HELLO_NO_HOST);
    buf_finish(&b);
}

static void others(void **state)
{
    (void)state;
    struct str host = {0};
    assert_int_equal(hello_read(STR("GET / HTTP/1.1\r\n"), &host), HELLO_NO_HOST);
    assert_int_equal(hello_read(STR("\x16\3\1\xff\xff"), &host), HELLO_NO_HOST);
    assert_int_equal(hello_read(STR("\x16\3\1\0\4\2\0\0\0"), &host), HELLO_NO_HOST);
    assert_int_equal(hello_read(STR("\x16\3\1\0\4\1\0\0\0"), &host), HELLO_NO_HOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
