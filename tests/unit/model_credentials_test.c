/* Which model is asked, with which key, and what a model takes and costs. */
#include "agent/model/base_url.h"
#include "agent/model/credentials.h"
#include "agent/model/models.h"
#include "agent/model/profile.h"
#include "agent/model/retry.h"
#include "tests/unit/check.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

enum { VARIABLES_MAX = 6 };

struct variables {
    struct {
        const char *name, *value;
    } v[VARIABLES_MAX];
};

static const char *variable(void *ctx, const char *name)
{
    const struct variables *all = ctx;
    for (size_t i = 0; i < VARIABLES_MAX && all->v[i].name; i++)
        if (strcmp(all->v[i].name, name) == 0)
            return all->v[i].value;
    return NULL;
}

static void credentials(void **state)
{
    (void)state;
    static const struct {
        struct variables variables;
        const char *base_url; /* of the flag */
        bool gateway;
        const char *url; /* NULL: fails with `error` */
        const char *key, *source, *header;
        const char *error;
    } rows[] = {
        {{{{"ANTHROPIC_API_KEY", " sk-1\n"}}},
         NULL,
         false,
         "https://api.anthropic.com",
         "sk-1",
         "ANTHROPIC_API_KEY",
         NULL,
         NULL},
        {{{{"ANTHROPIC_AUTH_TOKEN", "t"}}},
         NULL,
         false,
         "https://api.anthropic.com",
         "t",
         "ANTHROPIC_AUTH_TOKEN",
         NULL,
         NULL},
        {{{{"ANTHROPIC_API_KEY", "k"}, {"ANTHROPIC_AUTH_TOKEN", "t"}}},
         NULL,
         false,
         "https://api.anthropic.com",
         "k",
         "ANTHROPIC_API_KEY",
         NULL,
         NULL},
        {{{{"ANTHROPIC_API_KEY", "  "}, {"ANTHROPIC_AUTH_TOKEN", "t"}}},
         NULL,
         false,
         "https://api.anthropic.com",
         "t",
         "ANTHROPIC_AUTH_TOKEN",
         NULL,
         NULL},
        {{{{"ANTHROPIC_BASE_URL", "http://localhost:11434/v1/"}}},
         NULL,
         false,
         "http://localhost:11434",
         NULL,
         NULL,
         NULL,
         NULL},
        {{{{"ANTHROPIC_BASE_URL", "http://localhost:11434"}}},
         "https://api.deepseek.com/anthropic/",
         false,
         "https://api.deepseek.com/anthropic",
         NULL,
         NULL,
         NULL,
         NULL},
        {{{{"ANTHROPIC_API_KEY", "k"}, {"ANTHROPIC_BASE_URL", "http://127.0.0.9:1"}}},
         NULL,
         false,
         "http://127.0.0.9:1",
         "k",
         "ANTHROPIC_API_KEY",
         NULL,
         NULL},
        {{{{"ANTHROPIC_API_KEY", "k"},
           {"ANTHROPIC_CUSTOM_HEADERS", "X-A: 1\r\n\n  X-B:  two words \n"}}},
         NULL,
         false,
         "https://api.anthropic.com",
         "k",
         "ANTHROPIC_API_KEY",
         "X-B: two words",
         NULL},
        {{{{"ANTHROPIC_CUSTOM_HEADERS", "Authorization: Basic eA=="}}},
         NULL,
         false,
         "https://api.anthropic.com",
         NULL,
         NULL,
         "Authorization: Basic eA==",
         NULL},
        {{{{"VERCEL_OIDC_TOKEN", "oidc"},
           {"ANTHROPIC_BASE_URL", "http://localhost:1"}}},
         NULL,
         true,
         "https://ai-gateway.vercel.sh",
         "oidc",
         "VERCEL_OIDC_TOKEN",
         NULL,
         NULL},
        {{{{"AI_GATEWAY_API_KEY", "gw"},
           {"VERCEL_OIDC_TOKEN", "oidc"},
           {"ANTHROPIC_API_KEY", "k"}}},
         NULL,
         true,
         "https://ai-gateway.vercel.sh",
         "gw",
         "AI_GATEWAY_API_KEY",
         NULL,
         NULL},

        {{{{NULL, NULL}}}, NULL, false, NULL, NULL, NULL, NULL, "there is no key"},
        {{{{"VERCEL_OIDC_TOKEN", "oidc"}}},
         NULL,
         false,
         NULL,
         NULL,
         NULL,
         NULL,
         "there is no key"},
        {{{{"ANTHROPIC_API_KEY", "k"}}},
         NULL,
         true,
         NULL,
         NULL,
         NULL,
         NULL,
         "--gateway needs"},
        {{{{"ANTHROPIC_API_KEY", "a b"}}},
         NULL,
         false,
         NULL,
         NULL,
         NULL,
         NULL,
         "ANTHROPIC_API_KEY holds characters"},
        {{{{"ANTHROPIC_API_KEY", "k"}}},
         "http://example.com",
         false,
         NULL,
         NULL,
         NULL,
         NULL,
         "in the clear to example.com"},
        {{{{"ANTHROPIC_CUSTOM_HEADERS", "X-Key: k"}}},
         "http://10.0.0.1",
         false,
         NULL,
         NULL,
         NULL,
         NULL,
         "in the clear"},
        {{{{"ANTHROPIC_CUSTOM_HEADERS", "no header"}}},
         "http://127.0.0.1",
         false,
         NULL,
         NULL,
         NULL,
         NULL,
         "is no header"},
        {{{{"ANTHROPIC_API_KEY", "k"}}},
         "ftp://x",
         false,
         NULL,
         NULL,
         NULL,
         NULL,
         "begins with neither"},
        {{{{"ANTHROPIC_API_KEY", "k"}}},
         "https://user:pw@x/",
         false,
         NULL,
         NULL,
         NULL,
         NULL,
         "a name or password"},
        {{{{"ANTHROPIC_API_KEY", "k"}}},
         "https://x/?q",
         false,
         NULL,
         NULL,
         NULL,
         NULL,
         "does not belong"},
        {{{{"ANTHROPIC_API_KEY", "k"}}},
         "https:///v1",
         false,
         NULL,
         NULL,
         NULL,
         NULL,
         "has no host"},
        {{{{"ANTHROPIC_API_KEY", "k"}}},
         "http://localhost.evil.com",
         false,
         NULL,
         NULL,
         NULL,
         NULL,
         "in the clear"},
        {{{{"ANTHROPIC_API_KEY", "k"}}},
         "http://127.0.0.1@evil.com",
         false,
         NULL,
         NULL,
         NULL,
         NULL,
         "a name or password"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct variables all = rows[i].variables;
        struct credentials_offer offer = {variable, &all, rows[i].base_url,
                                          rows[i].gateway};
        struct credentials c = {0};
        struct err err = {0};
        int rc = credentials_find(&c, &offer, &err);
        if ((rc == 0) != (rows[i].url != NULL) ||
            (rc < 0 && !strstr(err.msg, rows[i].error)))
            fail_msg("row %zu: %s", i, rc < 0 ? err.msg : "found");
        if (rc < 0)
            continue;
        assert_true(str_eq(c.base_url, str_of(rows[i].url)));
        assert_int_equal(c.key != NULL, rows[i].key != NULL);
        if (rows[i].key) {
            assert_true(str_eq(secret_reveal(c.key), str_of(rows[i].key)));
            assert_string_equal(c.source, rows[i].source);
        }
        if (rows[i].header)
            assert_true(str_eq(c.headers[c.header_count - 1], str_of(rows[i].header)));
        credentials_finish(&c);
    }
}

/* A stand-in for ant, and the directory of its profiles. */
struct ant {
    char dir[64], path[128], old_path[4096];
};

static void write_file(const struct ant *a, const char *name, const char *text,
                       mode_t mode)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", a->dir, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static void ant_set_up(struct ant *a, const char *script)
{
    char path[256];
    strcpy(a->dir, "/tmp/sandquay-ant-XXXXXX");
    assert_non_null(mkdtemp(a->dir));
    snprintf(path, sizeof path, "%s/configs", a->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(a->old_path, sizeof a->old_path, "%s", getenv("PATH"));
    snprintf(path, sizeof path, "%s:/usr/bin:/bin", a->dir);
    setenv("PATH", path, 1);
    if (script)
        write_file(a, "ant", script, 0700);
}

static void ant_tear_down(struct ant *a)
{
    static const char *const names[] = {"ant", "active_config", "configs/work.json",
                                        "configs/default.json", "arguments"};
    char path[256];
    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", a->dir, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/configs", a->dir);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(a->dir), 0);
    setenv("PATH", a->old_path, 1);
}

static void profiles(void **state)
{
    (void)state;
    struct ant a;
    struct credentials c = {0};
    struct err err;
    ant_set_up(&a, "#!/bin/sh\necho \"$*\" > \"${0%/*}/arguments\"\n"
                   "echo sk-ant-oat01-abc\n");
    struct variables all = {{{"ANTHROPIC_CONFIG_DIR", a.dir}}};
    struct credentials_offer offer = {.variable = variable, .ctx = &all};
    assert_int_equal(credentials_find(&c, &offer, &err), -1); /* nothing is set up */
    assert_int_equal(err.kind, ERR_NOT_FOUND);

    write_file(&a, "active_config", "work\n", 0600);
    write_file(&a, "configs/work.json",
               "{\"authentication\":{\"type\":\"user_oauth\"},\"base_url\":"
               "\"https://api.example.com/x/\",\"workspace_id\":\"wrkspc_1\"}",
               0600);
    assert_int_equal(credentials_find(&c, &offer, &err), 0);
    assert_true(str_eq(secret_reveal(c.key), STR("sk-ant-oat01-abc")));
    assert_true(str_eq(c.base_url, STR("https://api.example.com/x")));
    assert_int_equal(c.header_count, 2);
    assert_true(str_eq(c.headers[0], STR("anthropic-beta: oauth-2025-04-20")));
    assert_true(str_eq(c.headers[1], STR("anthropic-workspace-id: wrkspc_1")));
    credentials_finish(&c);

    /* A profile's token goes to another server only by name. */
    offer.base_url = "http://localhost:8080";
    assert_int_equal(credentials_find(&c, &offer, &err), 0);
    assert_null(c.key);
    credentials_finish(&c);
    offer.base_url = NULL;

    write_file(&a, "ant", "#!/bin/sh\nexit 1\n", 0700);
    assert_int_equal(credentials_find(&c, &offer, &err), -1);
    assert_int_equal(err.kind, ERR_DENIED);
    assert_non_null(strstr(err.msg, "\"work\""));
    write_file(&a, "ant", "#!/bin/sh\necho not a token\n", 0700);
    assert_int_equal(credentials_find(&c, &offer, &err), -1);
    ant_tear_down(&a);
}

static void without_ant(void **state)
{
    (void)state;
    struct ant a;
    struct credentials c = {0};
    struct err err;
    ant_set_up(&a, NULL);
    write_file(&a, "configs/default.json", "{}", 0600);
    struct variables all = {{{"ANTHROPIC_CONFIG_DIR", a.dir}}};
    struct credentials_offer offer = {.variable = variable, .ctx = &all};
    assert_int_equal(credentials_find(&c, &offer, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    all.v[1].name = "ANTHROPIC_PROFILE";
    all.v[1].value = "work";
    assert_int_equal(credentials_find(&c, &offer, &err), -1);
    assert_non_null(strstr(err.msg, "not installed"));
    all.v[1].value = "../x";
    assert_int_equal(credentials_find(&c, &offer, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    ant_tear_down(&a);
}

static void what_models_take(void **state)
{
    (void)state;
    static const struct {
        const char *model, *effort;
        bool anthropic;
        const char *error, *remedy;
        int64_t max_tokens;
        enum thinking_display thinking;
        bool compaction;
    } rows[] = {
        {"claude-opus-5-5", "xhigh", true, NULL, NULL, 128000, THINKING_SHOWN, true},
        {"claude-opus-4-6", "max", true, NULL, NULL, 128000, THINKING_SHOWN, true},
        {"claude-haiku-4-5-20251001", "", true, NULL, NULL, 64000, THINKING_DEFAULT,
         false},
        {"claude-fable-9", "low", true, NULL, NULL, 200000, THINKING_SHOWN, false},
        {"qwen3", "low", false, NULL, NULL, 200000, THINKING_SHOWN, false},
        {"claude-3-5-sonnet-20241022", "", false, NULL, NULL, 200000, THINKING_SHOWN,
         false},
        {"claude-3-5-sonnet-20241022", "", true,
         "claude-3-5-sonnet-20241022 does not exist any more: Anthropic retired it (28 "
         "October 2025)",
         "--model claude-sonnet-5-5", 0, 0, false},
        {"claude-3-opus-latest", "", true, "5 January 2026", "claude-opus-5-5", 0, 0,
         false},
        {"anthropic/claude-opus-4-20250514", "", true, "15 June 2026",
         "claude-opus-5-5", 0, 0, false},
        {"claude-opus-4-6", "xhigh", true, "\"xhigh\" is no effort of claude-opus-4-6",
         "one of: low medium high max", 0, 0, false},
        {"claude-haiku-4-5", "low", true, "does not know efforts", "--effort", 0, 0,
         false},
        {"qwen3", "much", false, "\"much\" is no effort", "low medium", 0, 0, false},
        {"qwen3", "low medium", false, "is no effort", "low medium", 0, 0, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct model_config config;
        struct err err = {0};
        model_config_init(&config);
        config.base_url = STR("https://api.anthropic.com");
        config.model = str_of(rows[i].model);
        config.effort = str_of(rows[i].effort);
        config.thinking = THINKING_SHOWN;
        config.max_tokens = 200000;
        int rc = models_fit(&config, rows[i].anthropic, &err);
        if ((rc < 0) != (rows[i].error != NULL))
            fail_msg("row %zu: %s", i, err.msg);
        if (rc < 0) {
            if (!strstr(err.msg, rows[i].error) || !strstr(err.remedy, rows[i].remedy))
                fail_msg("row %zu: %s (%s)", i, err.msg, err.remedy);
            continue;
        }
        assert_int_equal(config.max_tokens, rows[i].max_tokens);
        assert_int_equal(config.thinking, rows[i].thinking);
        assert_int_equal(config.compaction, rows[i].compaction);
    }
}

static void prices(void **state)
{
    (void)state;
    double dollars = -1;
    const struct usage u = {.input = 1000000,
                            .cache_write = 200000,
                            .cache_write_1h = 100000,
                            .cache_read = 1000000,
                            .output = 100000};
    assert_true(models_dollars(STR("claude-opus-5-5"), &u, &dollars));
    /* 4 + 0.1 * 5 + 0.1 * 8 + 0.2 + 2 */
    assert_true(dollars > 7.4999 && dollars < 7.5001);
    const struct usage small = {.input = 50000, .cache_read = 50000, .output = 10000};
    assert_true(models_dollars(STR("anthropic/claude-haiku-5.5"), &small, &dollars));
    assert_true(dollars > 0.0104999 && dollars < 0.0105001); /* .005 + .0005 + .005 */
    const struct usage large = {.input = 50001, .cache_read = 50000, .output = 10000};
    assert_true(models_dollars(STR("claude-haiku-5-5"), &large, &dollars));
    assert_true(dollars > 0.0524 && dollars < 0.0526); /* all of it five times */
    dollars = -1;
    assert_false(models_dollars(STR("qwen3"), &u, &dollars));
    assert_true(dollars < 0);
}

static void gateway_ids(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"claude-opus-5-5", "anthropic/claude-opus-5.5"},
        {"claude-opus-5", "anthropic/claude-opus-5"},
        {"anthropic/claude-opus-4.6", "anthropic/claude-opus-4.6"},
        {"openai/gpt-5-5", "openai/gpt-5-5"},
        {"qwen3-5", "qwen3-5"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char id[MODELS_ID_MAX];
        models_gateway_id(str_of(rows[i][0]), id);
        assert_string_equal(id, rows[i][1]);
    }
}

static void waits(void **state)
{
    (void)state;
    static const int64_t now = 1793000000; /* 26 Oct 2026 07:33:20 GMT */
    static const struct {
        struct str after_ms, after;
        unsigned done;
        uint64_t least, most;
    } rows[] = {
        {STR_INIT("1500"), STR_INIT("9"), 0, 1500, 1500},
        {STR_INIT("0.2"), STR_INIT(""), 0, 1, 1},
        {STR_INIT("soon"), STR_INIT("2.5"), 0, 2500, 2500},
        {STR_INIT(""), STR_INIT("Mon, 26 Oct 2026 07:33:30 GMT"), 0, 10000, 10000},
        {STR_INIT(""), STR_INIT("Mon, 26 Oct 2026 07:33:10 GMT"), 0, 375, 500},
        {STR_INIT(""), STR_INIT(""), 0, 375, 500},
        {STR_INIT(""), STR_INIT(""), 1, 750, 1000},
        {STR_INIT(""), STR_INIT(""), 4, 6000, 8000},
        {STR_INIT(""), STR_INIT(""), 400, 6000, 8000},
        {STR_INIT("-5"), STR_INIT("0"), 0, 375, 500},
        {STR_INIT("nan"), STR_INIT(""), 0, 375, 500},
        {STR_INIT("inf"), STR_INIT(""), 0, 375, 500},
        {STR_INIT("1e300"), STR_INIT(""), 0, 375, 500},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct retry_advice advice = {
            .status = 429, .after_ms = rows[i].after_ms, .after = rows[i].after};
        uint64_t high = retry_delay_ms(&advice, rows[i].done, 0, now);
        uint64_t low = retry_delay_ms(&advice, rows[i].done, UINT32_MAX, now);
        if (high != rows[i].most || low < rows[i].least || low > high)
            fail_msg("row %zu: %llu to %llu", i, (unsigned long long)low,
                     (unsigned long long)high);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(credentials), cmocka_unit_test(profiles),
        cmocka_unit_test(without_ant), cmocka_unit_test(what_models_take),
        cmocka_unit_test(prices),      cmocka_unit_test(gateway_ids),
        cmocka_unit_test(waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
