/* The resolver's bytes and its table of names. */
#include "sandbox/egress/dns.h"
#include "tests/unit/check.h"
#include <stdio.h>

#define BYTES(literal) ((struct str){literal, sizeof(literal) - 1})
#define HEAD "\x12\x34\x01\x00\0\x01\0\0\0\0\0\0"
#define A_IN "\0\x01\0\x01"

static void questions(void **state)
{
    (void)state;
    static const char many[] = "\x12\x34\x01\x00\0\x02\0\0\0\0\0\0\x01"
                               "a\0" A_IN;
    const struct {
        struct str in;
        bool taken;
        uint8_t rcode;
        const char *name;
    } rows[] = {
        {BYTES(HEAD "\x03"
                    "WWW\x01"
                    "a\x03"
                    "com\0" A_IN),
         true, 0, "www.a.com"},
        {BYTES(HEAD "\x01"
                    "a\0" A_IN "\0\0\x29\x10\0\0\0\0\0\0\0"),
         true, 0, "a"},
        {BYTES(HEAD "\x01"
                    "a\0\0\x1c\0\x01"),
         true, 0, "a"},
        {BYTES(HEAD "\0" A_IN), true, DNS_NO_SUCH_NAME, ""},
        {BYTES(HEAD "\x03"
                    "a b\0" A_IN),
         true, DNS_NO_SUCH_NAME, ""},
        {BYTES(HEAD "\x03"
                    "a.b\0" A_IN),
         true, 0, "a.b"},
        {BYTES(HEAD "\x01"
                    "1\0" A_IN),
         true, DNS_NO_SUCH_NAME, ""},
        {BYTES(HEAD "\x01"
                    "a\0\0\x01\0\x03"),
         true, DNS_NOT_IMPLEMENTED, "a"},
        {BYTES(HEAD "\xc0\x0c" A_IN), true, DNS_FORMAT_ERROR, ""},
        {BYTES(HEAD "\x05"
                    "a\0" A_IN),
         true, DNS_FORMAT_ERROR, ""},
        {BYTES(HEAD "\x01"
                    "a"),
         true, DNS_FORMAT_ERROR, ""},
        {BYTES(HEAD "\x01"
                    "a\0\0\x01"),
         true, DNS_FORMAT_ERROR, "a"},
        {{many, sizeof many - 1}, true, DNS_FORMAT_ERROR, ""},
        {BYTES("\x12\x34\x29\x00\0\x01\0\0\0\0\0\0"), true, DNS_NOT_IMPLEMENTED, ""},
        {BYTES("\x12\x34\x81\x80\0\x01\0\0\0\0\0\0"), false, 0, ""}, /* an answer */
        {BYTES("\x12\x34\x01\x00\0\x01\0\0\0\0\0"), false, 0, ""},
        {BYTES(""), false, 0, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct dns_question q;
        if (dns_parse(rows[i].in, &q) != rows[i].taken)
            fail_msg("row %zu", i);
        if (!rows[i].taken)
            continue;
        if (q.rcode != rows[i].rcode || strcmp(q.name, rows[i].name) != 0)
            fail_msg("row %zu: %d %s", i, q.rcode, q.name);
        assert_true(q.head_bytes <= rows[i].in.n);
    }
}

static void answers(void **state)
{
    (void)state;
    struct str in = BYTES(HEAD "\x01"
                               "a\0" A_IN "\0\0\x29\x10\0\0\0\0\0\0\0");
    struct dns_question q;
    struct address a;
    uint8_t out[DNS_MESSAGE_MAX];
    assert_true(dns_parse(in, &q) && address_parse(STR("198.18.0.7"), &a));
    size_t n = dns_answer(in, &q, DNS_NO_ERROR, &a, 60, out);
    static const char want[] =
        "\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\x01"
        "a\0" A_IN "\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc6\x12\0\x07";
    assert_int_equal(n, sizeof want - 1);
    assert_memory_equal(out, want, n);
    n = dns_answer(in, &q, DNS_NO_SUCH_NAME, NULL, 60, out);
    static const char none[] = "\x12\x34\x81\x83\0\x01\0\0\0\0\0\0\x01"
                               "a\0" A_IN;
    assert_int_equal(n, sizeof none - 1);
    assert_memory_equal(out, none, n);
}

static struct address give(struct dns_names *n, unsigned number)
{
    char name[32];
    snprintf(name, sizeof name, "n%u.example", number);
    return dns_names_give(n, name);
}

static void names_have_addresses_for_a_while(void **state)
{
    (void)state;
    struct dns_names n = {0};
    struct address_range pool;
    struct err err;
    struct address stranger;
    assert_int_equal(address_range_parse(STR("198.18.0.0/15"), &pool, &err), 0);
    assert_true(address_parse(STR("198.18.0.9"), &stranger));
    assert_null(dns_names_find(&n, &stranger));
    struct address first = give(&n, 0), again = give(&n, 0);
    assert_true(address_eq(&first, &again));
    assert_string_equal(dns_names_find(&n, &first), "n0.example");
    for (unsigned i = 1; i < DNS_NAMES_MAX; i++) {
        struct address a = give(&n, i);
        assert_true(address_range_has(&pool, &a));
    }
    assert_string_equal(dns_names_find(&n, &first), "n0.example");
    struct address next = give(&n, DNS_NAMES_MAX); /* in the place of the oldest */
    assert_null(dns_names_find(&n, &first));
    assert_false(address_eq(&next, &first));
    /* Only after the whole pool an address is used again. */
    for (unsigned i = 1; i < 31 * DNS_NAMES_MAX; i++) {
        struct address a = give(&n, DNS_NAMES_MAX + i);
        assert_false(address_eq(&a, &first));
        assert_true(address_range_has(&pool, &a));
    }
    assert_true(address_parse(STR("8.8.8.8"), &stranger));
    assert_null(dns_names_find(&n, &stranger));
    assert_true(address_parse(STR("198.20.0.0"), &stranger));
    assert_null(dns_names_find(&n, &stranger));
    assert_true(address_parse(STR("::1"), &stranger));
    assert_null(dns_names_find(&n, &stranger));
    dns_names_finish(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions),
        cmocka_unit_test(answers),
        cmocka_unit_test(names_have_addresses_for_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
