#include "cli/options.h"
#include "cli/agent_flags.h"
#include "tools/tools.h"
#include <getopt.h>
#include <string.h>

/* Digits with at most one point, in thousandths; *rest is what follows. */
static int parse_decimal(const char *text, uint64_t *ret_millis, const char **ret_rest)
{
    uint64_t value = 0;
    unsigned scale = 1000, digits = 0;
    bool point = false;
    for (; (*text >= '0' && *text <= '9') || (*text == '.' && !point); text++) {
        if (*text == '.') {
            point = true;
            continue;
        }
        digits++;
        if (point && scale == 1)
            continue; /* finer than we can hold */
        if (point)
            scale /= 10;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return -1;
    }
    if (digits == 0 || __builtin_mul_overflow(value, scale, ret_millis))
        return -1;
    *ret_rest = text;
    return 0;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* A decimal and its unit, multiplied out. */
static int parse_unit(const char *text, const struct unit *units, size_t count,
                      uint64_t *ret_value)
{
    uint64_t millis, value;
    const char *rest;
    if (parse_decimal(text, &millis, &rest) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(rest, units[i].name) != 0)
            continue;
        if (__builtin_mul_overflow(millis, units[i].factor, &value))
            return -1;
        *ret_value = value / 1000;
        return 0;
    }
    return -1;
}

int options_size(const char *text, uint64_t *ret_bytes, struct err *err)
{
    static const struct unit units[] = {
        {"", 1},
        {"b", 1},
        {"k", 1 << 10},
        {"kb", 1 << 10},
        {"kib", 1 << 10},
        {"m", 1 << 20},
        {"mb", 1 << 20},
        {"mib", 1 << 20},
        {"g", 1 << 30},
        {"gb", 1 << 30},
        {"gib", 1 << 30},
        {"t", 1ULL << 40},
        {"tb", 1ULL << 40},
        {"tib", 1ULL << 40},
    };
    if (parse_unit(text, units, sizeof units / sizeof units[0], ret_bytes) == 0)
        return 0;
    return err_set(err, ERR_INVALID, "\"%s\" is not a size (like 512m or 2g)", text);
}

int options_duration(const char *text, uint64_t *ret_ms, struct err *err)
{
    static const struct unit units[] = {
        {"", 1000},       {"ms", 1},          {"s", 1000},
        {"m", 60 * 1000}, {"h", 3600 * 1000}, {"d", 24 * 3600 * 1000},
    };
    if (parse_unit(text, units, sizeof units / sizeof units[0], ret_ms) == 0)
        return 0;
    return err_set(err, ERR_INVALID, "\"%s\" is not a time (like 500ms, 60s or 5m)",
                   text);
}

int options_cpus(const char *text, uint64_t *ret_millis, struct err *err)
{
    const char *rest;
    uint64_t millis;
    if (parse_decimal(text, &millis, &rest) == 0 && !*rest && millis >= 10 &&
        millis <= 1000000) {
        *ret_millis = millis;
        return 0;
    }
    return err_set(err, ERR_INVALID, "\"%s\" is not a number of cpus (like 0.5 or 2)",
                   text);
}

int options_count(const char *text, uint64_t min, uint64_t max, uint64_t *ret_count,
                  struct err *err)
{
    static const struct unit one = {"", 1};
    uint64_t value;
    if (!strchr(text, '.') && parse_unit(text, &one, 1, &value) == 0 && value >= min &&
        value <= max) {
        *ret_count = value;
        return 0;
    }
    return err_set(err, ERR_INVALID, "\"%s\" is not a number from %llu to %llu", text,
                   (unsigned long long)min, (unsigned long long)max);
}

enum flag {
    FLAG_WORKSPACE = 256,
    FLAG_READONLY,
    FLAG_SANDBOX,
    FLAG_MEMORY,
    FLAG_PIDS,
    FLAG_CPUS,
    FLAG_DISK,
    FLAG_MAX_SANDBOXES,
    FLAG_MAX_COMMANDS,
    FLAG_KEEP_OUTPUT,
    FLAG_NETWORK,
    FLAG_NETWORK_DENY,
    FLAG_BACKEND,
    FLAG_TOOLSETS,
    FLAG_WORKSPACE_MODE,
    FLAG_IMAGE,
    FLAG_MOUNT,
    FLAG_TOOLCHAIN,
    FLAG_SUITE,
    FLAG_INCLUDE,
    FLAG_COMMIT,
    FLAG_JSON,
    FLAG_REQUIRE_LEVEL,
    FLAG_ALLOW_WEAK,
    FLAG_TIMEOUT,
    FLAG_ENV,
    FLAG_CWD,
    FLAG_CONNECT,
    FLAG_TTY,
    FLAG_TOKEN,
    FLAG_STATE_DIR,
    FLAG_TOKEN_FILE,
    FLAG_TOKEN_ENV,
    FLAG_LOG_FORMAT,
};

enum {
    RUNS = OPTIONS_EXEC | OPTIONS_SHELL,
    CLIENTS = RUNS | OPTIONS_AGENT,
    TO_SERVER = OPTIONS_SERVE | CLIENTS,
    AFTERCARE = OPTIONS_SANDBOXES | OPTIONS_STOP | OPTIONS_RM | OPTIONS_CP,
    ANY = TO_SERVER | OPTIONS_DOCTOR | AFTERCARE | OPTIONS_VERCEL_API,
    EVERY = ANY | OPTIONS_IMAGE,
    TO_SERVERS = TO_SERVER | OPTIONS_VERCEL_API,
};

struct flag_row {
    const char *flag;
    int argument, value;
    unsigned verbs;
};

static const struct flag_row rows[] = {
    {"--workspace", required_argument, FLAG_WORKSPACE, TO_SERVER},
    {"--mount", required_argument, FLAG_MOUNT, TO_SERVER},
    {"--bind-toolchain", required_argument, FLAG_TOOLCHAIN,
     TO_SERVERS | OPTIONS_DOCTOR},
    {"--image", required_argument, FLAG_IMAGE, TO_SERVER},
    {"--suite", required_argument, FLAG_SUITE, OPTIONS_IMAGE},
    {"--include", required_argument, FLAG_INCLUDE, OPTIONS_IMAGE},
    {"--workspace-mode", required_argument, FLAG_WORKSPACE_MODE, TO_SERVER},
    {"--commit", no_argument, FLAG_COMMIT, OPTIONS_EXEC},
    {"--workspace-readonly", no_argument, FLAG_READONLY, TO_SERVER},
    {"--sandbox", required_argument, FLAG_SANDBOX, TO_SERVER},
    {"--memory", required_argument, FLAG_MEMORY, TO_SERVER},
    {"--pids", required_argument, FLAG_PIDS, TO_SERVERS},
    {"--cpus", required_argument, FLAG_CPUS, TO_SERVER},
    {"--disk", required_argument, FLAG_DISK, TO_SERVERS},
    {"--max-sandboxes", required_argument, FLAG_MAX_SANDBOXES, TO_SERVERS},
    {"--max-commands", required_argument, FLAG_MAX_COMMANDS, TO_SERVERS},
    {"--keep-output", required_argument, FLAG_KEEP_OUTPUT, TO_SERVERS},
    {"--network", required_argument, FLAG_NETWORK, TO_SERVERS},
    {"--network-deny", required_argument, FLAG_NETWORK_DENY, TO_SERVERS},
    {"--backend", required_argument, FLAG_BACKEND, ANY},
    {"--json", no_argument, FLAG_JSON,
     OPTIONS_SANDBOXES | OPTIONS_DOCTOR | OPTIONS_IMAGE},
    {"--toolsets", required_argument, FLAG_TOOLSETS, OPTIONS_SERVE | OPTIONS_AGENT},
    {"--require-level", required_argument, FLAG_REQUIRE_LEVEL, ANY},
    {"--allow-weak-isolation", no_argument, FLAG_ALLOW_WEAK, ANY},
    {"--verbose", no_argument, 'v', ANY},
    {"--log-format", required_argument, FLAG_LOG_FORMAT, OPTIONS_SERVE},
    {"--timeout", required_argument, FLAG_TIMEOUT, RUNS},
    {"--env", required_argument, FLAG_ENV, RUNS},
    {"--cwd", required_argument, FLAG_CWD, RUNS},
    {"--connect", required_argument, FLAG_CONNECT, CLIENTS},
    {"--tty", no_argument, FLAG_TTY, OPTIONS_EXEC},
    {"--token", required_argument, FLAG_TOKEN, OPTIONS_VERCEL_API},
    {"--state-dir", required_argument, FLAG_STATE_DIR, OPTIONS_VERCEL_API},
    {"--token-file", required_argument, FLAG_TOKEN_FILE, CLIENTS},
    {"--token-env", required_argument, FLAG_TOKEN_ENV, CLIENTS},
    {"--help", no_argument, 'h', EVERY},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static int take_timeout(struct options *o, const char *text, struct err *err)
{
    enum { LEAST_MS = 100, MOST_MS = 24 * 3600 * 1000 };
    uint64_t ms = 0;
    if (options_duration(text, &ms, err) < 0)
        return -1;
    if (ms < LEAST_MS || ms > MOST_MS)
        return err_set(err, ERR_INVALID, "%s: from 100ms to 24h", text);
    o->timeout_ms = ms;
    o->timeout = text;
    return 0;
}

static int take_env(struct options *o, const char *text, struct err *err)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz0123456789";
    size_t n = strspn(text, letters);
    if (n == 0 || text[n] != '=' || (text[0] >= '0' && text[0] <= '9'))
        return err_set(err, ERR_INVALID, "\"%s\" is not of the form NAME=VALUE", text);
    if (o->env_count == OPTIONS_ENV_MAX)
        return err_set(err, ERR_LIMIT, "more than %d variables", OPTIONS_ENV_MAX);
    o->env[o->env_count++] = text;
    return 0;
}

/* HOST:INSIDE, and maybe ":ro". */
static int take_mount(struct options *o, const char *text, struct err *err)
{
    struct str s = str_of(text);
    struct sandbox_mount m = {.readonly = s.n > 3 && !strcmp(text + s.n - 3, ":ro")};
    s.n -= m.readonly ? 3 : 0;
    const char *colon = s.n ? memrchr(s.p, ':', s.n) : NULL;
    if (!colon || colon == s.p || colon[1] != '/') {
        err_set(err, ERR_INVALID, "\"%s\" is not of the form HOST:INSIDE", text);
        return err_remedy(err, "for example ./data:/mnt/data, or ./data:/mnt/data:ro");
    }
    if (o->mount_count == SANDBOX_MOUNTS_MAX)
        return err_set(err, ERR_LIMIT, "more than %d mounts", SANDBOX_MOUNTS_MAX);
    m.host = (struct str){s.p, (size_t)(colon - s.p)};
    m.inside = str_from(s, m.host.n + 1);
    o->mounts[o->mount_count++] = m;
    return 0;
}

static int take_workspace_mode(struct options *o, const char *text, struct err *err)
{
    bool write = strcmp(text, "write") == 0;
    o->workspace_readonly = strcmp(text, "readonly") == 0;
    o->workspace_overlay = strcmp(text, "overlay") == 0;
    if (write || o->workspace_readonly || o->workspace_overlay)
        return 0;
    return err_set(err, ERR_INVALID, "\"%s\" is none of write, readonly, overlay",
                   text);
}

static int take_backend(struct options *o, const char *text, struct err *err)
{
    static const char *const known[] = {"local", "auto", "vercel", "null"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(text, known[i]) == 0) {
            o->backend = text;
            return 0;
        }
    return err_set(err, ERR_INVALID, "\"%s\" is none of auto, vercel, local", text);
}

static int take_limit(struct options *o, int flag, const char *text, struct err *err)
{
    enum { MOST = 1000, PIDS_MOST = 4 * 1024 * 1024, SANDBOX_FACTOR = 4 };
    struct sandbox_limits *l = &o->limits;
    uint64_t count = 0;
    switch (flag) {
    case FLAG_MEMORY:
        if (options_size(text, &l->memory_bytes, err) < 0)
            return -1;
        if (l->memory_bytes < 16 << 20)
            return err_set(err, ERR_INVALID, "%s: at least 16m", text);
        return 0;
    case FLAG_DISK:
        if (options_size(text, &l->disk_bytes, err) < 0)
            return -1;
        if (l->disk_bytes < 1 << 20)
            return err_set(err, ERR_INVALID, "%s: at least 1m", text);
        l->kept_disk_bytes = l->disk_bytes;
        return 0;
    case FLAG_KEEP_OUTPUT:
        if (options_size(text, &l->keep_command_bytes, err) < 0)
            return -1;
        if (l->keep_command_bytes < 1 << 20 || l->keep_command_bytes > 1ULL << 40)
            return err_set(err, ERR_INVALID, "%s: from 1m to 1t", text);
        l->keep_sandbox_bytes = SANDBOX_FACTOR * l->keep_command_bytes;
        return 0;
    case FLAG_CPUS:
        return options_cpus(text, &l->cpu_millis, err);
    case FLAG_PIDS:
        if (options_count(text, 8, PIDS_MOST, &count, err) < 0)
            return -1;
        l->pids = (uint32_t)count;
        return 0;
    default:
        if (options_count(text, 1, MOST, &count, err) < 0)
            return -1;
        *(flag == FLAG_MAX_COMMANDS ? &l->commands : &l->sandboxes) = (uint32_t)count;
        return 0;
    }
}

static int take_level(struct options *o, const char *text, struct err *err)
{
    uint64_t level = 0;
    if (options_count(text, 1, 4, &level, err) < 0)
        return -1;
    o->require_level = (int)level;
    return 0;
}

static int take(struct options *o, int flag, const char *text, struct err *err)
{
    switch (flag) {
    case 'h':
        o->help = true;
        return 0;
    case 'v':
        o->verbose = true;
        return 0;
    case FLAG_JSON:
        o->json = true;
        return 0;
    case FLAG_READONLY:
        o->workspace_readonly = true;
        return 0;
    case FLAG_WORKSPACE:
        o->workspace = text;
        return 0;
    case FLAG_MOUNT:
        return take_mount(o, text, err);
    case FLAG_TOOLCHAIN:
        if (o->toolchain_count == SANDBOX_MOUNTS_MAX)
            return err_set(err, ERR_LIMIT, "more than %d toolchains",
                           SANDBOX_MOUNTS_MAX);
        o->toolchains[o->toolchain_count++] = text;
        return 0;
    case FLAG_IMAGE:
        o->image = text;
        return 0;
    case FLAG_SUITE:
        o->suite = text;
        return 0;
    case FLAG_INCLUDE:
        o->include = text;
        return 0;
    case FLAG_SANDBOX:
        o->sandbox = text;
        return 0;
    case FLAG_CWD:
        o->cwd = text;
        return 0;
    case FLAG_CONNECT:
        o->connect = text;
        return 0;
    case FLAG_TTY:
        o->tty = true;
        return 0;
    case FLAG_TOKEN:
        o->token = text;
        return 0;
    case FLAG_STATE_DIR:
        o->state_dir = text;
        return 0;
    case FLAG_COMMIT:
        o->commit = true;
        return 0;
    case FLAG_WORKSPACE_MODE:
        return take_workspace_mode(o, text, err);
    case FLAG_LOG_FORMAT:
        o->log_json = strcmp(text, "json") == 0;
        if (!o->log_json && strcmp(text, "text") != 0)
            return err_set(err, ERR_INVALID, "\"%s\" is none of text, json", text);
        return 0;
    case FLAG_TOKEN_FILE:
        o->listening.token_file = text;
        return 0;
    case FLAG_TOKEN_ENV:
        o->listening.token_env = text;
        return 0;
    case FLAG_TOOLSETS:
        return tools_sets_parse(text, &o->toolsets, err);
    case FLAG_REQUIRE_LEVEL:
        return take_level(o, text, err);
    case FLAG_ALLOW_WEAK:
        o->allow_weak = true;
        return 0;
    case FLAG_BACKEND:
        return take_backend(o, text, err);
    case FLAG_NETWORK:
        return network_policy_allow(&o->network, &o->network_given, str_of(text), err);
    case FLAG_NETWORK_DENY:
        return network_policy_deny(&o->network, str_of(text), err);
    case FLAG_TIMEOUT:
        return take_timeout(o, text, err);
    case FLAG_ENV:
        return take_env(o, text, err);
    default:
        return take_limit(o, flag, text, err);
    }
}

void options_finish(struct options *o)
{
    network_policy_finish(&o->network);
    *o = (struct options){0};
}

int options_add_server(struct options *o, const char *flag, const char *value,
                       struct err *err)
{
    if (o->server_arg_count + 2 > OPTIONS_SERVER_ARGS_MAX)
        return err_set(err, ERR_LIMIT, "too many flags");
    o->server_args[o->server_arg_count++] = flag;
    if (value)
        o->server_args[o->server_arg_count++] = value;
    return 0;
}

/* Remembers a flag of the server as it was given. */
static int hand_on(struct options *o, const struct flag_row *row, const char *text,
                   struct err *err)
{
    if (!(row->verbs & OPTIONS_SERVE) || row->value == 'h')
        return 0;
    return options_add_server(o, row->flag, text, err);
}

/* Takes the flag and gives its name. */
static int take_flag(struct options *o, struct agent_config *agent, int flag,
                     const char *text, const char **ret_name, struct err *err)
{
    size_t count;
    if (flag >= AGENT_FLAG_FIRST) {
        *ret_name = agent_flags(&count)[flag - AGENT_FLAG_FIRST].flag;
        return agent_flags_take(agent, flag, text, err);
    }
    if (flag >= LISTENING_FLAG_FIRST) {
        *ret_name = listening_flags(&count)[flag - LISTENING_FLAG_FIRST].flag;
        return listening_take(&o->listening, flag, text, err);
    }
    const struct flag_row *row = rows;
    while (row->value != flag)
        row++;
    *ret_name = row->flag;
    if (take(o, flag, text, err) < 0)
        return -1;
    return hand_on(o, row, text, err);
}

static int refuse(int c, char **argv, const char *verb, struct err *err)
{
    char letter[3] = {'-', (char)optopt, 0};
    bool is_long = strncmp(argv[optind - 1], "--", 2) == 0;
    const char *flag = is_long ? argv[optind - 1] : letter;
    if (c == ':')
        err_set(err, ERR_INVALID, "%s needs a value", flag);
    else
        err_set(err, ERR_INVALID, "unknown flag %s", flag);
    return err_remedy(err, "see sandquay %s --help", verb);
}

/* vercel-api has its own idea of who may connect. */
static bool listens_with(enum options_verb verb, const char *flag)
{
    static const char *const api[] = {"--listen", "--token-env", "--allow-host",
                                      "--tls-cert", "--tls-key"};
    for (size_t i = 0; verb == OPTIONS_VERCEL_API && i < sizeof api / sizeof api[0];
         i++)
        if (strcmp(flag, api[i]) == 0)
            return true;
    return verb == OPTIONS_SERVE;
}

static void make_table(struct option *table, enum options_verb verb)
{
    size_t count, n = 0;
    const struct listening_flag *listening = listening_flags(&count);
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].verbs & verb)
            table[n++] = (struct option){rows[i].flag + 2, rows[i].argument, NULL,
                                         rows[i].value};
    for (size_t i = 0; i < count; i++)
        if (listens_with(verb, listening[i].flag))
            table[n++] =
                (struct option){listening[i].flag + 2,
                                listening[i].value ? required_argument : no_argument,
                                NULL, LISTENING_FLAG_FIRST + (int)i};
    const struct agent_flag *agent = agent_flags(&count);
    for (size_t i = 0; verb == OPTIONS_AGENT && i < count; i++)
        table[n++] = (struct option){agent[i].flag + 2,
                                     agent[i].value ? required_argument : no_argument,
                                     NULL, AGENT_FLAG_FIRST + (int)i};
}

static int parse(struct options *o, struct agent_config *agent, enum options_verb verb,
                 int argc, char **argv, struct err *err)
{
    struct option table[ROWS + LISTENING_FLAGS_MAX + AGENT_FLAGS_MAX + 1] = {0};
    const char *letters = agent ? ":hv" : "+:hv";
    *o = (struct options){0};
    o->toolsets = TOOLSET_DEFAULT;
    sandbox_limits_default(&o->limits);
    make_table(table, verb);
    opterr = 0;
    optind = 0; /* glibc: start anew */
    for (int c; (c = getopt_long(argc, argv, letters, table, NULL)) != -1;) {
        const char *name;
        if (c == '?' || c == ':')
            return refuse(c, argv, argv[0], err);
        if (take_flag(o, agent, c, optarg, &name, err) < 0) {
            err_prefix(err, "%s", name);
            return err_remedy(err, "see sandquay %s --help", argv[0]);
        }
    }
    o->first = optind;
    return listening_check(&o->listening, err);
}

int options_parse(struct options *o, enum options_verb verb, int argc, char **argv,
                  struct err *err)
{
    return parse(o, NULL, verb, argc, argv, err);
}

int options_parse_agent(struct options *o, struct agent_config *agent, int argc,
                        char **argv, struct err *err)
{
    return parse(o, agent, OPTIONS_AGENT, argc, argv, err);
}
