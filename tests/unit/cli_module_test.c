/* Opening a module: only one that was built with this executable, and a clear line for
 * each that was not. */
#include "cli/module.h"
#include "tests/unit/check.h"
#include <stdio.h>
#include <string.h>

static int open_module(const char *name, const void **ret_entries, struct err *err)
{
    struct places places = {0};
    snprintf(places.directory, sizeof places.directory, "%s", SANDQUAY_MODULES_PATH);
    return module_open(&places, name, ret_entries, err);
}

static void good(void **state)
{
    (void)state;
    const void *entries = NULL, *again = NULL;
    struct err err;
    assert_int_equal(open_module("good", &entries, &err), 0);
    assert_int_equal(*(const int *)entries, 42);
    assert_int_equal(open_module("good", &again, &err), 0);
    assert_ptr_equal(entries, again);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *why;
    } rows[] = {
        {"stale", "another build"},
        {"misnamed", "not a part of sandquay"},
        {"foreign", "not a part of sandquay"},
        {"missing", "sandquay-missing.so"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const void *entries = NULL;
        struct err err;
        assert_int_equal(open_module(rows[i].name, &entries, &err), -1);
        assert_int_equal(err.kind, ERR_UNAVAILABLE);
        assert_non_null(strstr(err.msg, rows[i].why));
        assert_null(entries);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
