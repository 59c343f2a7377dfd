/* .env files: their form, and that nothing in them counts but credentials. */
#include "cli/dotenv.h"
#include "tests/unit/check.h"
#include <stdio.h>
#include <stdlib.h>

static void form(void **state)
{
    (void)state;
    static const char text[] = "# VERCEL_TOKEN=commented\n"
                               "VERCEL_TOKEN=plain # a comment\r\n"
                               "export VERCEL_TEAM_ID = \"team #1\" # why\n"
                               "VERCEL_PROJECT_ID='prj'\n"
                               "ANTHROPIC_API_KEY=a=b#c\n"
                               "VERCEL_OIDC_TOKEN=\n"
                               "  VERCEL_AUTH_TOKEN=\"open\n"
                               "VERCEL_TOKEN=second\n"
                               "nonsense\n"
                               "=x\n"
                               "VERCEL_SANDBOX_API_KEY=last";
    static const struct {
        const char *name, *value;
    } rows[] = {
        {"VERCEL_TOKEN", "plain"},          {"VERCEL_TEAM_ID", "team #1"},
        {"VERCEL_PROJECT_ID", "prj"},       {"ANTHROPIC_API_KEY", "a=b#c"},
        {"VERCEL_OIDC_TOKEN", NULL},        {"VERCEL_AUTH_TOKEN", "\"open"},
        {"VERCEL_SANDBOX_API_KEY", "last"},
    };
    struct dotenv d = {0};
    dotenv_parse(&d, STR(text));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsetenv(rows[i].name);
        const char *value = dotenv_get(&d, rows[i].name);
        if (rows[i].value)
            assert_string_equal(value, rows[i].value);
        else
            assert_null(value);
    }
    dotenv_finish(&d);
}

static void only_credentials(void **state)
{
    (void)state;
    static const char *const names[] = {
        "VERCEL_SANDBOX_API_URL", "HTTPS_PROXY", "SSL_CERT_FILE", "LD_PRELOAD",
        "ANTHROPIC_BASE_URL",     "VERCEL_URL",  "PATH2"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char line[100];
        struct dotenv d = {0};
        snprintf(line, sizeof line, "%s=hostile\n", names[i]);
        unsetenv(names[i]);
        dotenv_parse(&d, str_of(line));
        assert_null(d.pairs);
        assert_null(dotenv_get(&d, names[i]));
        dotenv_finish(&d);
    }
}

static void the_environment_wins(void **state)
{
    (void)state;
    struct dotenv d = {0};
    dotenv_parse(&d, STR("VERCEL_TOKEN=of-the-file\n"));
    setenv("VERCEL_TOKEN", "of-the-environment", 1);
    assert_string_equal(dotenv_get(&d, "VERCEL_TOKEN"), "of-the-environment");
    setenv("VERCEL_TOKEN", "", 1);
    assert_string_equal(dotenv_get(&d, "VERCEL_TOKEN"), "of-the-file");
    unsetenv("VERCEL_TOKEN");
    dotenv_finish(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(form),
        cmocka_unit_test(only_credentials),
        cmocka_unit_test(the_environment_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
