/* Buffers, arenas, UTF-8, base64 and errors. */
#include "base/arena.h"
#include "base/base64.h"
#include "base/utf8.h"
#include "tests/unit/check.h"

static void buffers_stop_at_their_maximum(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 300);
    for (int i = 0; i < 300; i++)
        buf_addc(&b, 'x');
    assert_false(b.overflow);
    buf_addc(&b, 'y');
    assert_true(b.overflow);
    assert_int_equal(b.n, 300);
    assert_null(buf_reserve(&b, 0));
    buf_reset(&b, 4096);
    buf_addf(&b, "%0280d", 7);
    assert_int_equal(b.n, 280);
    buf_drop(&b, 279);
    assert_true(str_eq(buf_str(&b), STR("7")));
    buf_finish(&b);
    buf_finish(&b);
}

static void arenas_do_not_move(void **state)
{
    (void)state;
    struct arena a = {0};
    char *first = arena_zalloc(&a, 100);
    for (int i = 0; i < 1000; i++)
        memset(arena_alloc(&a, 99), i, 99);
    for (int i = 0; i < 100; i++)
        assert_int_equal(first[i], 0);
    assert_int_equal((uintptr_t)arena_alloc(&a, 1) % 16, 0);
    arena_reset(&a);
    assert_string_equal(arena_dup(&a, STR("abc")).p, "abc");
    arena_finish(&a);
}

static void utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t valid, tail;
    } rows[] = {
        {"", 0, 0},
        {"abcdefghij", 10, 0},
        {"\xc3\xa9", 2, 0},
        {"a\xc3", 1, 1},
        {"a\xe2\x82", 1, 2},
        {"a\xf0\x9f\x98", 1, 3},
        {"\xf0\x9f\x98\x80", 4, 0},
        {"\xc0\x80", 0, 0},
        {"\xed\xa0", 0, 0}, /* would be a surrogate */
        {"\xed\x9f", 0, 2},
        {"\xf4\x90", 0, 0}, /* above U+10FFFF */
        {"\xf5", 0, 0},
        {"\x80", 0, 0},
        {"abcdefghijk\xff", 11, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct str s = str_of(rows[i].text);
        assert_int_equal(utf8_valid_prefix(s), rows[i].valid);
        assert_int_equal(utf8_incomplete_tail(s), rows[i].tail);
    }
}

static void base64(void **state)
{
    (void)state;
    static const struct {
        const char *plain, *coded;
    } good[] = {
        {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}};
    static const char *const bad[] = {
        "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zm8=Zm8=", "Zm\n8"};
    struct buf b;
    struct err err;
    buf_init(&b, 4096);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        base64_encode(&b, str_of(good[i].plain));
        assert_true(str_eq(buf_str(&b), str_of(good[i].coded)));
        buf_reset(&b, 4096);
        assert_int_equal(base64_decode(&b, str_of(good[i].coded), &err), 0);
        assert_true(str_eq(buf_str(&b), str_of(good[i].plain)));
        buf_reset(&b, 4096);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(base64_decode(&b, str_of(bad[i]), &err), -1);
        assert_int_equal(b.n, 0);
    }
    buf_finish(&b);
}

static void base64url(void **state)
{
    (void)state;
    static const struct {
        const char *plain, *coded;
    } good[] = {
        {"", ""}, {"f", "Zg"}, {"fo", "Zm8"}, {"foo", "Zm9v"}, {"\xfb\xff", "-_8"}};
    static const char *const bad[] = {"Z", "Zg==", "+_8", "-/8", "Zh", "Zm 8", "Zm8Zm"};
    struct buf b;
    struct err err;
    buf_init(&b, 4096);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(base64url_decode(&b, str_of(good[i].coded), &err), 0);
        assert_true(str_eq(buf_str(&b), str_of(good[i].plain)));
        buf_reset(&b, 4096);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(base64url_decode(&b, str_of(bad[i]), &err), -1);
        assert_int_equal(b.n, 0);
    }
    buf_finish(&b);
}

static void errors(void **state)
{
    (void)state;
    struct err err;
    char many[400];
    for (size_t i = 0; i + 2 < sizeof many; i += 2)
        memcpy(many + i, "\xc3\xa9", 3);
    assert_int_equal(err_set(&err, ERR_INVALID, "x%s", many), -1);
    assert_true(utf8_valid(str_of(err.msg)));
    err_set(&err, ERR_NOT_FOUND, "no %s", "file");
    err_prefix(&err, "read_file");
    err_remedy(&err, "create it");
    assert_string_equal(err.msg, "read_file: no file");
    assert_string_equal(err.remedy, "create it");
    assert_string_equal(err_kind_name(err.kind), "NOT_FOUND");
    err_sys(&err, 2, "open");
    assert_string_equal(err.msg, "open: No such file or directory");
    assert_int_equal(err.kind, ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_stop_at_their_maximum),
        cmocka_unit_test(arenas_do_not_move),
        cmocka_unit_test(utf8),
        cmocka_unit_test(base64),
        cmocka_unit_test(base64url),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
