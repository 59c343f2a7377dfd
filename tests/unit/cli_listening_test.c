/* The flags of --listen and files of tokens. */
#include "cli/options.h"
#include "tests/unit/check.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORDS = 8 };

static void flags(void **state)
{
    (void)state;
    static const struct {
        const char *argv[WORDS];
        const char *error; /* part of the line; NULL: good */
    } rows[] = {
        {{"--listen", "127.0.0.1:0"}, NULL},
        {{"--listen=[::1]:7", "--listen", "unix:/x", "--no-auth"}, NULL},
        {{"--listen", ":1", "--allow-host", "x", "--allow-origin", "https://x"}, NULL},
        {{"--listen", ":1", "--max-message", "1m", "--ping", "20s"}, NULL},
        {{"--listen", ":1", "--tls-cert", "a", "--tls-key", "b"}, NULL},
        {{"--listen", "nonsense"}, "--listen: "},
        {{"--listen"}, "needs a value"},
        {{"--no-auth"}, "--listen"},
        {{"--max-sessions", "5"}, "--listen"},
        {{"--listen", "0.0.0.0:1", "--no-auth"}, "everybody"},
        {{"--listen", ":1", "--listen", "[::]:2", "--no-auth"}, "everybody"},
        {{"--listen", ":1", "--no-auth", "--token-env", "X"}, "exclude"},
        {{"--listen", ":1", "--tls-cert", "a"}, "go together"},
        {{"--listen", ":1", "--allow-origin", "x.com"}, "not an origin"},
        {{"--listen", ":1", "--allow-origin", "https://x.com/"}, "not an origin"},
        {{"--listen", ":1", "--max-connections", "0"}, "--max-connections: "},
        {{"--listen", ":1", "--max-message", "65m"}, "--max-message: "},
        {{"--listen", ":1", "--idle-timeout", "10ms"}, "--idle-timeout: "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char words[WORDS + 1][40] = {"serve"}, *argv[WORDS + 2] = {words[0]};
        int argc = 1;
        for (; rows[i].argv[argc - 1]; argc++) {
            snprintf(words[argc], sizeof words[argc], "%s", rows[i].argv[argc - 1]);
            argv[argc] = words[argc];
        }
        struct options o;
        struct err err = {0};
        int rc = options_parse(&o, OPTIONS_SERVE, argc, argv, &err);
        if (rc != (rows[i].error ? -1 : 0) ||
            (rc < 0 && !strstr(err.msg, rows[i].error) &&
             !strstr(err.remedy, rows[i].error)))
            fail_msg("row %zu: %s; %s", i, err.msg, err.remedy);
    }
}

#define TOKEN "0123456789abcdef"

static void token_files(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t count; /* 0: refused */
        const char *error;
    } rows[] = {
        {TOKEN, 1, NULL},
        {TOKEN "\r\n", 1, NULL},
        {"# who\n\nalice " TOKEN "\n\tbob   x" TOKEN "\n", 2, NULL},
        {"alice " TOKEN "\nalice y" TOKEN, 2, NULL},
        {"", 0, "no token"},
        {"# only\n", 0, "no token"},
        {"short", 0, "line 1: a token is 16"},
        {TOKEN "\nalice short\n", 0, "line 2"},
        {"al!ce " TOKEN, 0, "a name"},
        {"a b " TOKEN, 0, "TOKEN or NAME TOKEN"},
        {TOKEN "\n" TOKEN, 0, "twice"},
        {TOKEN "\"", 0, "a token is"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tokens *t = calloc(1, sizeof *t);
        struct err err = {0};
        int rc = tokens_parse(t, str_of(rows[i].text), &err);
        if (rc != (rows[i].count ? 0 : -1) ||
            (rc < 0 ? !strstr(err.msg, rows[i].error) : t->count != rows[i].count))
            fail_msg("row %zu: %s", i, err.msg);
        assert_null(strstr(err.msg, TOKEN)); /* never in an error */
        tokens_finish(t);
        free(t);
    }
}

static void names_have_numbers(void **state)
{
    (void)state;
    struct tokens *t = calloc(1, sizeof *t);
    struct err err;
    assert_int_equal(
        tokens_parse(t, STR(TOKEN "\nalice a" TOKEN "\nbob b" TOKEN "\nalice c" TOKEN),
                     &err),
        0);
    assert_int_equal(t->rows[0].number, 0);
    assert_string_equal(t->rows[0].name, "");
    assert_string_equal(t->rows[1].name, "alice");
    assert_int_equal(t->rows[1].number, t->rows[3].number);
    assert_int_not_equal(t->rows[1].number, 0);
    assert_int_not_equal(t->rows[1].number, t->rows[2].number);
    tokens_finish(t);
    free(t);
}

static void where_tokens_come_from(void **state)
{
    (void)state;
    struct tokens *t = calloc(1, sizeof *t);
    char path[] = "/tmp/sandquay-tokens-XXXXXX";
    const char *made = NULL;
    struct err err;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, TOKEN "\n", sizeof TOKEN), sizeof TOKEN);
    close(fd);
    setenv("TEST_TOKEN", "y" TOKEN, 1);
    struct listening l = {.token_file = path, .token_env = "TEST_TOKEN"};
    assert_int_equal(tokens_find(t, &l, &made, &err), 0);
    assert_int_equal(t->count, 2);
    assert_null(made);
    assert_null(getenv("TEST_TOKEN"));
    tokens_finish(t);
    assert_int_equal(tokens_find(t, &l, &made, &err), -1); /* it is gone */
    tokens_finish(t);
    l = (struct listening){.token_file = "/nonexistent"};
    assert_int_equal(tokens_find(t, &l, &made, &err), -1);
    l = (struct listening){0};
    assert_int_equal(tokens_find(t, &l, &made, &err), 0);
    assert_int_equal(strlen(made), 48);
    tokens_finish(t);
    l.no_auth = true;
    assert_int_equal(tokens_find(t, &l, &made, &err), 0);
    assert_int_equal(t->count, 0);
    free(t);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags),
        cmocka_unit_test(token_files),
        cmocka_unit_test(names_have_numbers),
        cmocka_unit_test(where_tokens_come_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
