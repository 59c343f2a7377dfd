/* Flags: values, units, what is handed to the server, and the one line for each
 * mistake. */
#include "cli/options.h"
#include "tests/unit/check.h"
#include <stdio.h>
#include <string.h>

static void sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes; /* -1: refused */
    } rows[] = {
        {"0", 0},
        {"4096", 4096},
        {"1k", 1024},
        {"512m", 512 << 20},
        {"2G", 2LL << 30},
        {"1.5g", 3LL << 29},
        {"2GiB", 2LL << 30},
        {"1t", 1LL << 40},
        {"10mb", 10 << 20},
        {"", -1},
        {"g", -1},
        {"-1", -1},
        {"1x", -1},
        {"1 g", -1},
        {"1..5g", -1},
        {".", -1},
        {"99999999999999999999", -1},
        {"99999999t", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t bytes = 7;
        struct err err;
        int rc = options_size(rows[i].text, &bytes, &err);
        assert_int_equal(rc, rows[i].bytes < 0 ? -1 : 0);
        assert_true(bytes == (rows[i].bytes < 0 ? 7 : (uint64_t)rows[i].bytes));
    }
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"60s", 60000}, {"500ms", 500}, {"5m", 300000}, {"24h", 86400000},
        {"90", 90000},  {"1.5s", 1500}, {"0.001", 1},   {"1d", 86400000},
        {"", -1},       {"s", -1},      {"5 s", -1},    {"5sec", -1},
        {"-5s", -1},    {"1e3", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t ms = 7;
        struct err err;
        int rc = options_duration(rows[i].text, &ms, &err);
        assert_int_equal(rc, rows[i].ms < 0 ? -1 : 0);
        assert_true(ms == (rows[i].ms < 0 ? 7 : (uint64_t)rows[i].ms));
    }
}

static void numbers(void **state)
{
    (void)state;
    uint64_t value = 0;
    struct err err;
    assert_int_equal(options_cpus("1.5", &value, &err), 0);
    assert_int_equal(value, 1500);
    assert_int_equal(options_cpus("0", &value, &err), -1);
    assert_int_equal(options_cpus("2x", &value, &err), -1);
    assert_int_equal(options_count("16", 1, 1000, &value, &err), 0);
    assert_int_equal(value, 16);
    assert_int_equal(options_count("0", 1, 1000, &value, &err), -1);
    assert_int_equal(options_count("1001", 1, 1000, &value, &err), -1);
    assert_int_equal(options_count("1.0", 1, 1000, &value, &err), -1);
}

static int parse(struct options *o, enum options_verb verb, const char *line,
                 struct err *err)
{
    static char copy[512];
    static char *argv[32];
    int argc = 0;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *save, *word = strtok_r(copy, " ", &save); word;
         word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    argv[argc] = NULL;
    return options_parse(o, verb, argc, argv, err);
}

static void exec_flags(void **state)
{
    (void)state;
    struct options o;
    struct err err;
    assert_int_equal(parse(&o, OPTIONS_EXEC,
                           "exec --timeout 60s --env A=1 --env=B=x=y --cwd /tmp "
                           "--memory=512m --workspace . -v ls -la --cwd /no",
                           &err),
                     0);
    assert_int_equal(o.timeout_ms, 60000);
    assert_string_equal(o.timeout, "60s");
    assert_int_equal(o.env_count, 2);
    assert_string_equal(o.env[1], "B=x=y");
    assert_string_equal(o.cwd, "/tmp");
    assert_true(o.verbose);
    assert_int_equal(o.limits.memory_bytes, 512 << 20);
    assert_int_equal(o.first, 12); /* "ls": its flags are its own */
    static const char *const handed[] = {"--memory", "512m", "--workspace", ".",
                                         "--verbose"};
    assert_int_equal(o.server_arg_count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(o.server_args[i], handed[i]);
}

static void what_is_handed_on_is_understood(void **state)
{
    (void)state;
    struct options o, again;
    struct err err;
    assert_int_equal(parse(&o, OPTIONS_EXEC,
                           "exec --sandbox dev --pids 64 --cpus 0.5 --disk 1g "
                           "--max-sandboxes 3 --max-commands 9 --keep-output 1m "
                           "--workspace-readonly --backend local "
                           "--mount a:b:/mnt/b:ro --mount c:/d "
                           "--network a.com,10.0.0.0/8 --network b.com "
                           "--network-deny 10.1.0.0/16 true",
                           &err),
                     0);
    const char *argv[OPTIONS_SERVER_ARGS_MAX + 2] = {"serve"};
    memcpy(argv + 1, o.server_args, o.server_arg_count * sizeof argv[0]);
    union {
        const char **in;
        char **out;
    } words = {.in = argv};
    int argc = (int)o.server_arg_count + 1;
    assert_int_equal(options_parse(&again, OPTIONS_SERVE, argc, words.out, &err), 0);
    assert_string_equal(again.sandbox, "dev");
    assert_int_equal(again.limits.pids, 64);
    assert_int_equal(again.limits.cpu_millis, 500);
    assert_int_equal(again.limits.sandboxes, 3);
    assert_int_equal(again.limits.commands, 9);
    assert_int_equal(again.limits.keep_command_bytes, 1 << 20);
    assert_true(again.workspace_readonly);
    assert_int_equal(again.mount_count, 2);
    assert_true(str_eq(again.mounts[0].host, STR("a:b")));
    assert_true(str_eq(again.mounts[0].inside, STR("/mnt/b")));
    assert_true(again.mounts[0].readonly && !again.mounts[1].readonly);
    assert_string_equal(again.backend, "local");
    assert_int_equal(again.first, argc);
    assert_int_equal(again.network.mode, NETWORK_CUSTOM);
    assert_int_equal(again.network.domain_count, 2);
    assert_int_equal(again.network.allowed_count, 1);
    assert_int_equal(again.network.denied_count, 1);
    options_finish(&again);
    options_finish(&o);
}

static void mistakes(void **state)
{
    (void)state;
    static const struct {
        enum options_verb verb;
        const char *line, *says;
    } rows[] = {
        {OPTIONS_SERVE, "serve --bogus", "unknown flag --bogus"},
        {OPTIONS_SERVE, "serve -x", "unknown flag -x"},
        {OPTIONS_SERVE, "serve --timeout 5s", "unknown flag --timeout"},
        {OPTIONS_SERVE, "serve --memory", "--memory needs a value"},
        {OPTIONS_SERVE, "serve --memory 1m", "--memory: 1m: at least 16m"},
        {OPTIONS_SERVE, "serve --backend docker", "none of auto, vercel, local"},
        {OPTIONS_SERVE, "serve --max-sandboxes 1001", "from 1 to 1000"},
        {OPTIONS_SERVE, "serve --network https://a.com",
         "--network: \"https://a.com\""},
        {OPTIONS_SERVE, "serve --network a.com --network deny-all", "deny-all cannot"},
        {OPTIONS_SERVE, "serve --network-deny a.com", "not an address or a network"},
        {OPTIONS_EXEC, "exec --env novalue x", "NAME=VALUE"},
        {OPTIONS_EXEC, "exec --env 1A=2 x", "NAME=VALUE"},
        {OPTIONS_EXEC, "exec --timeout soon x", "\"soon\" is not a time"},
        {OPTIONS_EXEC, "exec --timeout 25h x", "from 100ms to 24h"},
        {OPTIONS_EXEC, "exec --timeout 1ms x", "from 100ms to 24h"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct options o;
        struct err err;
        assert_int_equal(parse(&o, rows[i].verb, rows[i].line, &err), -1);
        if (!strstr(err.msg, rows[i].says))
            fail_msg("%s: %s", rows[i].line, err.msg);
        assert_true(err.remedy[0]);
        options_finish(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(durations),
        cmocka_unit_test(numbers),
        cmocka_unit_test(exec_flags),
        cmocka_unit_test(what_is_handed_on_is_understood),
        cmocka_unit_test(mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
