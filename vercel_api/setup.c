/* What a new sandbox begins with, before the answer to its creation: the path that the
 * working directory has on Vercel leads to ours; a git repository or a tarball is
 * fetched inside. Values travel as variables of one command, never as parts of its
 * text. */
#include "base/mem.h"
#include "vercel_api/private.h"
#include <stdio.h>

enum { LIMIT_MS = 280 * 1000, OUTPUT_SHOWN = 400, VARIABLES = 8 };

/* Whatever is there already, for example of a snapshot, stays. */
#define HOME_SCRIPT                                                                    \
    "if [ ! -e \"$VERCEL_HOME\" ]; then\n"                                             \
    "  mkdir -p \"${VERCEL_HOME%/*}/\" && ln -s \"$PWD\" \"$VERCEL_HOME\" || :\n"      \
    "fi 2>/dev/null\n"

static const char home_script[] = HOME_SCRIPT;

/* A revision may be a branch, a tag or a commit. */
static const char git_script[] = HOME_SCRIPT
    "set -e\n"
    "dir=${SOURCE_URL%/}; dir=${dir##*/}; dir=${dir%.git}\n"
    "git_auth() { git -c credential.helper= -c credential.helper='!f() { echo "
    "\"username=$SOURCE_USERNAME\"; echo \"password=$SOURCE_PASSWORD\"; }; f' \"$@\"; "
    "}\n"
    "depth=${SOURCE_DEPTH:+--depth=$SOURCE_DEPTH}\n"
    "if [ -z \"$SOURCE_REVISION\" ]; then\n"
    "  git_auth clone -q $depth -- \"$SOURCE_URL\" \"$dir\"\n"
    "else\n"
    "  git_auth clone -q --no-checkout $depth -- \"$SOURCE_URL\" \"$dir\"\n"
    "  cd -- \"$dir\"\n"
    "  git_auth fetch -q $depth origin -- \"$SOURCE_REVISION\"\n"
    "  git checkout -q FETCH_HEAD\n"
    "fi\n";

static const char tarball_script[] =
    HOME_SCRIPT "set -e -o pipefail\n"
                "curl -fsSL -- \"$SOURCE_URL\" | tar -xzf -\n";

struct setup {
    struct vercel_api *api;
    char session_id[API_ID_MAX];
    uint64_t command, watch;
    setup_fn *done;
    bool fetches; /* a source: then failing matters */
};

/* The session is gone when the server ends it; nobody is told then. */
static void finish(struct setup *setup, const struct err *err)
{
    struct session *s = session_find(setup->api, str_of(setup->session_id));
    setup_fn *done = setup->done;
    bool matters = setup->fetches;
    command_unwatch(setup->api->set, setup->watch);
    mem_free(setup);
    if (s)
        done(s, matters ? err : NULL);
}

/* The last of what it has said. */
static void explain(struct setup *setup, const struct command_info *info,
                    struct err *err)
{
    char text[OUTPUT_SHOWN];
    uint64_t total = info->out[COMMAND_STDERR].total_bytes;
    uint64_t from = total > sizeof text ? total - sizeof text : 0;
    size_t n = command_read(setup->api->set, setup->command, COMMAND_STDERR, from, text,
                            sizeof text);
    while (n && text[n - 1] == '\n')
        n--;
    if (info->status == COMMAND_TIMED_OUT)
        err_set(err, ERR_INVALID, "`source` did not arrive within %d s",
                LIMIT_MS / 1000);
    else
        err_set(err, ERR_INVALID, "`source` could not be fetched: %.*s", (int)n, text);
}

static void on_news(void *ctx, uint64_t command)
{
    struct setup *setup = ctx;
    struct command_info info;
    struct err err;
    if (command_get(setup->api->set, API_OWNER, command, &info, &err) < 0) {
        finish(setup, &err);
    } else if (info.status != COMMAND_RUNNING) {
        bool good = info.status == COMMAND_EXITED && info.exit_code == 0;
        if (!good)
            explain(setup, &info, &err);
        finish(setup, good ? NULL : &err);
    }
}

static void on_started(void *ctx, uint64_t command, const struct err *err)
{
    struct setup *setup = ctx;
    if (err) {
        finish(setup, err);
        return;
    }
    setup->command = command;
    setup->watch = command_watch(setup->api->set, command, on_news, setup);
    on_news(setup, command);
}

static void add(struct command_spec *spec, struct str *env, struct arena *a,
                const char *name, struct str value)
{
    struct buf text;
    buf_init(&text, SANDBOX_ENV_MAX);
    buf_addz(&text, name);
    buf_addc(&text, '=');
    buf_adds(&text, value);
    env[spec->env_count++] = arena_dup(a, buf_str(&text));
    buf_finish(&text);
}

/* The variables and the script for a source. -1: it cannot be read. */
static int write_source(struct command_spec *spec, struct str *env, struct arena *a,
                        const char *source, struct err *err)
{
    struct json_doc doc;
    char depth[24] = "";
    int64_t n = 0;
    if (json_parse(&doc, a, str_of(source), err) < 0)
        return -1;
    struct json v = json_root(&doc);
    bool git = json_str_is(json_get(v, STR("type")), STR("git"));
    if (json_i64(json_get(v, STR("depth")), &n))
        snprintf(depth, sizeof depth, "%lld", (long long)n);
    add(spec, env, a, "SOURCE_URL", json_str(json_get(v, STR("url")), a));
    add(spec, env, a, "SOURCE_REVISION", json_str(json_get(v, STR("revision")), a));
    add(spec, env, a, "SOURCE_USERNAME", json_str(json_get(v, STR("username")), a));
    add(spec, env, a, "SOURCE_PASSWORD", json_str(json_get(v, STR("password")), a));
    add(spec, env, a, "SOURCE_DEPTH", str_of(depth));
    add(spec, env, a, "GIT_TERMINAL_PROMPT", STR("0"));
    spec->command = str_of(git ? git_script : tarball_script);
    return 0;
}

void session_setup(struct session *s, const char *source, setup_fn *done)
{
    static const struct str link[] = {STR_INIT("sh"), STR_INIT("-c"),
                                      STR_INIT(home_script)};
    struct arena a = {0};
    struct err err;
    struct str env[VARIABLES];
    struct command_spec spec = {
        .cwd = str_of(s->cwd), .env = env, .timeout_ms = LIMIT_MS};
    add(&spec, env, &a, "VERCEL_HOME",
        s->record->runtime ? STR("/vercel/sandbox") : STR("/vercel"));
    if (!source) {
        spec.argv = link;
        spec.argv_count = sizeof link / sizeof link[0];
    } else if (write_source(&spec, env, &a, source, &err) < 0) {
        done(s, &err);
        arena_finish(&a);
        return;
    }
    struct setup *setup = mem_new(struct setup);
    setup->api = s->record->api;
    setup->done = done;
    setup->fetches = source != NULL;
    memcpy(setup->session_id, s->id, sizeof setup->session_id);
    command_start(setup->api->set, s->sandbox, &spec, on_started, setup);
    arena_finish(&a);
}
