/* Cutting output by encoded size between characters, sharing a budget, file types. */
#include "base/utf8.h"
#include "tests/unit/check.h"
#include "tools/filetype.h"
#include "tools/hint.h"
#include "tools/output.h"

static void cuts_are_between_characters(void **state)
{
    (void)state;
    /* 1, 2, 3 and 4 bytes, characters that JSON escapes, bytes that are no UTF-8 */
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n\"\\\x01"
                               "b\xff\xc3z\xe2\x82\xac!";
    struct str all = STR(text);
    size_t whole = json_escaped_len(all);
    for (size_t budget = 0; budget <= whole + 2; budget++) {
        struct str head = output_head(all, budget), tail = output_tail(all, budget);
        assert_true(json_escaped_len(head) <= budget);
        assert_true(json_escaped_len(tail) <= budget);
        assert_true(head.n == 0 || head.p == all.p);
        assert_true(tail.n == 0 || tail.p + tail.n == all.p + all.n);
        assert_int_equal(utf8_incomplete_tail(head), 0);
        assert_true(tail.n == 0 || ((unsigned char)tail.p[0] & 0xc0) != 0x80);
        if (budget >= whole) {
            assert_int_equal(head.n, all.n);
            assert_int_equal(tail.n, all.n);
        } else {
            assert_true(head.n < all.n && tail.n < all.n);
        }
        if (budget >= 1)
            assert_true(head.n >= 1 && tail.n >= 1);
    }
}

static void long_text_is_used_to_the_full(void **state)
{
    (void)state;
    static char text[100000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 10 == 9 ? '\n' : 'x'; /* 11 encoded for 10 */
    struct str all = {text, sizeof text};
    assert_int_equal(json_escaped_len(output_head(all, 22000)), 22000);
    assert_int_equal(json_escaped_len(output_tail(all, 22000)), 22000);
}

static void a_budget_is_shared(void **state)
{
    (void)state;
    static const struct {
        size_t budget, want[2], share[2];
    } rows[] = {
        {100, {10, 20}, {10, 90}},  {100, {10, 500}, {10, 90}},
        {100, {500, 10}, {90, 10}}, {100, {500, 500}, {50, 50}},
        {100, {50, 60}, {50, 50}},  {0, {5, 5}, {0, 0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t share[2];
        output_share(rows[i].budget, rows[i].want, share);
        assert_int_equal(share[0], rows[i].share[0]);
        assert_int_equal(share[1], rows[i].share[1]);
    }
}

static void file_types(void **state)
{
    (void)state;
    assert_true(filetype_is_image(STR("\x89PNG\r\n\x1a\n....")));
    assert_true(filetype_is_image(STR("\xff\xd8\xff\xe0")));
    assert_true(filetype_is_image(STR("GIF89a...")));
    assert_true(filetype_is_image(STR("RIFF1234WEBPVP8 ")));
    assert_false(filetype_is_image(STR("RIFF1234WAVEfmt ")));
    assert_false(filetype_is_image(STR("%PDF-1.7")));
    assert_false(filetype_is_image(STR("\x89PN")));
    assert_string_equal(filetype_mime(STR("%PDF-1.7")), "application/pdf");
    assert_string_equal(filetype_mime(STR("")), "application/octet-stream");
    assert_string_equal(filetype_mime(STR("\x1f\x8b\x08")), "application/gzip");
}

static void missing_programs(void **state)
{
    (void)state;
    static const struct {
        const char *said, *hint;
        int exit_code;
        bool installs;
    } rows[] = {
        {"bash: line 1: node: command not found\n", "apt-get install -y nodejs", 127,
         true},
        {"E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: "
         "Permission denied)\n",
         "cannot be installed in this sandbox", 100, false},
        {"E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: "
         "Permission denied)\n",
         NULL, 100, true},
        {"bash: line 1: node: command not found\n", "apt-get install nodejs", 127,
         false},
        {"/usr/bin/env: \xe2\x80\x98python3\xe2\x80\x99: No such file or directory\n",
         "apt-get install python3", 127, false},
        {"bash: line 1: python: command not found\n", "use `python3`", 127, false},
        {"bash: line 1: tpyo: command not found\n", NULL, 127, false},
        {"cat: node: No such file or directory\n", NULL, 1, false},
        {"bash: line 1: node: command not found\n", NULL, 0, false},
        {"", NULL, 1, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = {0};
        struct command_info info = {.status = COMMAND_EXITED,
                                    .exit_code = rows[i].exit_code};
        struct sandbox_info sandbox = {.installs = rows[i].installs};
        struct str hint = hint_failed(&info, &sandbox, str_of(rows[i].said), &a);
        if (rows[i].hint)
            assert_non_null(memmem(hint.p, hint.n, rows[i].hint, strlen(rows[i].hint)));
        else
            assert_int_equal(hint.n, 0);
        arena_finish(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_are_between_characters),
        cmocka_unit_test(long_text_is_used_to_the_full),
        cmocka_unit_test(a_budget_is_shared),
        cmocka_unit_test(file_types),
        cmocka_unit_test(missing_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
