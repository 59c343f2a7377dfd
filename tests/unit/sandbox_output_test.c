/* Kept output against a model that keeps everything. */
#include "base/mem.h"
#include "sandbox/output.h"
#include "tests/unit/check.h"
#include <stdlib.h>

enum { LIMIT = 512 * 1024, TOTAL = 3 * 1024 * 1024 };

static char model[TOTAL];

/* Whatever is still kept reads back as it was written; the rest is counted. */
static void check_against_model(const struct output *o, uint64_t total)
{
    struct command_output n = output_counts(o);
    assert_int_equal(n.total_bytes, total);
    assert_true(total - n.dropped_bytes <= LIMIT);
    if (total <= LIMIT)
        assert_int_equal(n.dropped_bytes, 0);
    static char got[TOTAL];
    for (uint64_t at = 0; at < total;) {
        size_t k = output_read(o, at, got, 1 + (size_t)(rand() % 100000));
        if (k == 0) {
            assert_int_equal(at, n.head_bytes);
            assert_true(n.dropped_bytes > 0);
            at += n.dropped_bytes;
            continue;
        }
        assert_memory_equal(got, model + at, k);
        at += k;
    }
}

static void head_and_tail(void **state)
{
    (void)state;
    srand(7);
    for (size_t i = 0; i < TOTAL; i++)
        model[i] = (char)(rand() >> 8);
    for (int round = 0; round < 20; round++) {
        struct output o;
        output_init(&o, LIMIT, "/tmp");
        uint64_t total = 0;
        while (total < TOTAL) {
            size_t n = (size_t)rand() % (round % 2 ? 300 : 400000) + 1;
            n = n < TOTAL - total ? n : (size_t)(TOTAL - total);
            output_add(&o, (struct str){model + total, n});
            total += n;
            if (rand() % (round % 2 ? 2000 : 3) == 0)
                check_against_model(&o, total);
        }
        check_against_model(&o, total);
        output_evict(&o);
        assert_int_equal(output_kept(&o), 0);
        assert_int_equal(output_counts(&o).total_bytes, total);
        output_finish(&o);
    }
}

static void no_directory_for_it(void **state)
{
    (void)state;
    struct output o;
    output_init(&o, LIMIT, "/nonexistent");
    for (int i = 0; i < 10; i++)
        output_add(&o, (struct str){model, 100000});
    assert_int_equal(output_counts(&o).total_bytes, 1000000);
    assert_int_equal(output_kept(&o), 0);
    output_finish(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_and_tail),
        cmocka_unit_test(no_directory_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
