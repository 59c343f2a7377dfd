/* Events that are kept for a client that comes back: their ids, their order, limits. */
#include "base/buf.h"
#include "tests/unit/check.h"
#include "transport/web/replay.h"
#include <stdlib.h>

static void collect(void *ctx, uint64_t number, struct str text)
{
    buf_addf(ctx, "%llu=%.*s;", (unsigned long long)number, STR_FMT(text));
}

static void assert_told(const struct replay *r, uint64_t stream, uint64_t number,
                        const char *expected)
{
    struct buf b;
    buf_init(&b, 4096);
    replay_each(r, stream, number, collect, &b);
    assert_string_equal(b.n ? buf_cstr(&b) : "", expected);
    buf_finish(&b);
}

static void streams_are_apart(void **state)
{
    (void)state;
    struct replay r;
    uint64_t all = 0;
    replay_init(&r, &all);
    assert_int_equal(replay_add(&r, 3, (struct str){0}), 1);
    assert_int_equal(replay_add(&r, 3, STR("a")), 2);
    assert_int_equal(replay_add(&r, 0, STR("x")), 3);
    assert_int_equal(replay_add(&r, 3, STR("b")), 4);
    assert_told(&r, 3, 1, "2=a;4=b;");
    assert_told(&r, 3, 2, "4=b;");
    assert_told(&r, 3, 4, "");
    assert_told(&r, 0, 0, "3=x;");
    assert_told(&r, 3, 0, "2=a;4=b;");
    assert_true(replay_has(&r, 3) && replay_has(&r, 0) && !replay_has(&r, 1));
    replay_finish(&r);
    assert_int_equal(all, 0);
}

static void ids(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",      "-",   "3",   "3-",   "-1",
        "3-0",   "3-9", "4-1", "3-1 ", " 3-1",
        "3-1-1", "x-1", "3-x", "3--1", "3-99999999999999999999999"};
    struct replay r;
    uint64_t all = 0, stream, number;
    char id[REPLAY_ID_MAX];
    replay_init(&r, &all);
    replay_id(3, replay_add(&r, 3, (struct str){0}), id);
    assert_string_equal(id, "3-1");
    assert_int_equal(replay_find(&r, str_of(id), &stream, &number), 0);
    assert_true(stream == 3 && number == 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(replay_find(&r, str_of(bad[i]), &stream, &number), -1);
    replay_id(UINT64_MAX, UINT64_MAX, id);
    assert_int_equal(strlen(id), 41);
    replay_finish(&r);
}

static void the_oldest_go_first(void **state)
{
    (void)state;
    enum { BYTES = 1024 * 1024, COUNT = 20 };
    char *text = malloc(BYTES);
    struct replay r, other;
    uint64_t all = 0, stream, number;
    assert_non_null(text);
    memset(text, 'x', BYTES);
    replay_init(&r, &all);
    replay_init(&other, &all);
    for (int i = 1; i <= COUNT; i++)
        replay_add(&r, 1, (struct str){text, BYTES});
    assert_true(r.bytes <= REPLAY_BYTES_MAX && r.bytes > REPLAY_BYTES_MAX - 2 * BYTES);
    assert_int_equal(replay_find(&r, STR("1-2"), &stream, &number), 1);
    assert_int_equal(replay_find(&r, STR("1-20"), &stream, &number), 0);
    assert_true(replay_has(&r, 1));

    all += REPLAY_ALL_BYTES_MAX - all - 10; /* other sessions' */
    uint64_t before = all;
    assert_int_equal(replay_add(&other, 1, STR("a text that does not fit")), 1);
    assert_false(replay_has(&other, 1));
    assert_int_equal(all, before);
    assert_int_equal(replay_find(&other, STR("1-1"), &stream, &number), 1);
    replay_finish(&r);
    replay_finish(&other);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_are_apart),
        cmocka_unit_test(ids),
        cmocka_unit_test(the_oldest_go_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
