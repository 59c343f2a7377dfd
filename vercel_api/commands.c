/* /cmd: commands of a session. One watch a command keeps what the API says about it up
 * to date and feeds those that read its output. */
#include "vercel_api/commands.h"
#include "base/mem.h"
#include <stdio.h>

enum {
    TIMEOUT_LEAST_MS = 100,
    COMMANDS_MAX = 1000, /* remembered of a session */
    ARGS_MAX = 4000,
    ENV_ROOM = 256,
    PATH_ROOM = SANDBOX_PATH_MAX + 1,
};

static struct sandboxes *set_of(const struct api_command *c)
{
    return c->session->record->api->set;
}

static void on_news(void *ctx, uint64_t number)
{
    struct api_command *c = ctx;
    struct command_info info;
    struct err err;
    bool known = command_get(set_of(c), API_OWNER, number, &info, &err) == 0;
    if (!known || info.status != COMMAND_RUNNING) {
        c->ended = true;
        c->exit_code = known ? info.exit_code : 255;
        c->duration_ms = known ? info.duration_ms : api_now_ms() - c->started_ms;
        command_unwatch(set_of(c), c->watch);
        c->watch = 0;
    }
    readers_pump(c);
}

static void command_free(struct api_command *c)
{
    command_unwatch(set_of(c), c->watch);
    readers_close(c);
    mem_free(c->name);
    mem_free(c->args);
    mem_free(c->cwd);
    mem_free(c);
}

void commands_free(struct session *s)
{
    while (s->commands) {
        struct api_command *c = s->commands;
        s->commands = c->older;
        command_free(c);
    }
}

/* The oldest one that has ended makes room. */
static void forget_old(struct session *s)
{
    size_t count = 0;
    for (struct api_command **at = &s->commands; *at;) {
        struct api_command *c = *at;
        if (++count <= COMMANDS_MAX || !c->ended || c->readers) {
            at = &c->older;
            continue;
        }
        *at = c->older;
        command_free(c);
    }
}

/* A command that is being started; the session may have gone meanwhile. */
struct start {
    struct request *request; /* held */
    char session_id[API_ID_MAX];
    char *name, *args, *cwd;
    bool wait, logs;
};

static void start_free(struct start *start)
{
    mem_free(start->name);
    mem_free(start->args);
    mem_free(start->cwd);
    request_drop(start->request);
    mem_free(start);
}

static struct api_command *command_new(struct session *s, struct start *start,
                                       uint64_t number)
{
    struct api_command *c = mem_new(struct api_command);
    c->session = s;
    c->number = number;
    c->started_ms = api_now_ms();
    c->name = start->name;
    c->args = start->args;
    c->cwd = start->cwd;
    start->name = start->args = start->cwd = NULL;
    api_new_id(c->id, "cmd_", 28, ID_HEX);
    c->older = s->commands;
    s->commands = c;
    c->watch = command_watch(set_of(c), number, on_news, c);
    forget_old(s);
    return c;
}

static void answer_command(struct request *r, const struct api_command *c, bool running)
{
    struct reply reply;
    reply_begin(&reply);
    jw_key(&reply.w, "command");
    object_command(&reply.w, c, running);
    reply_end(&reply, r, HTTP_OK);
}

static void start_failed(struct start *start, struct session *s, const struct err *err)
{
    struct request *r = start->request;
    if (!s || s->status != SANDBOX_RUNNING)
        api_fail(r, HTTP_GONE, "sandbox_stopped",
                 "Sandbox has stopped execution and is no longer available");
    else if (err->kind == ERR_NOT_FOUND)
        api_fail(r, HTTP_BAD_REQUEST, "executable_not_found",
                 "[invalid_argument] executable file not found in $PATH: %.200s",
                 start->name);
    else
        api_fail_err(r, err);
}

static void on_started(void *ctx, uint64_t number, const struct err *err)
{
    struct start *start = ctx;
    struct request *r = start->request;
    struct session *s = session_find(r->api, str_of(start->session_id));
    if (s)
        session_look(s);
    if (err || !s || s->status != SANDBOX_RUNNING) {
        start_failed(start, s, err);
    } else {
        struct api_command *c = command_new(s, start, number);
        if (r->ex && start->wait)
            reader_new(c, r, start->logs ? READ_RUN : READ_RUN_QUIET);
        else
            answer_command(r, c, true);
    }
    start_free(start);
}

static int bad(struct request *r, const char *what)
{
    api_fail(r, HTTP_BAD_REQUEST, "bad_request", "Invalid request: %s", what);
    return -1;
}

static int read_args(struct request *r, struct command_spec *spec)
{
    struct json args = json_get(r->body, STR("args"));
    size_t count = json_len(args), n = 0;
    if (json_present(args) && (json_type(args) != JSON_ARRAY || count > ARGS_MAX))
        return bad(r, "`args` should be a list of at most 4000 texts");
    struct str *argv = arena_alloc(&r->arena, (count + 1) * sizeof argv[0]);
    argv[n++] = json_str(json_get(r->body, STR("command")), &r->arena);
    if (argv[0].n == 0)
        return bad(r, "`command` should be the name of a program");
    for (struct json k = json_first(args); json_present(k); k = json_next(k)) {
        if (json_type(k) != JSON_STRING)
            return bad(r, "`args` should be texts");
        argv[n++] = json_str(k, &r->arena);
    }
    spec->argv = argv;
    spec->argv_count = n;
    return 0;
}

static int read_env(struct request *r, struct command_spec *spec)
{
    struct json env = json_get(r->body, STR("env"));
    if (!json_present(env) || json_type(env) == JSON_NULL)
        return 0;
    if (json_type(env) != JSON_OBJECT || json_len(env) > ENV_ROOM)
        return bad(r, "`env` should be an object of at most 256 texts");
    struct str *list = arena_alloc(&r->arena, ENV_ROOM * sizeof list[0]);
    for (struct json k = json_first(env); json_present(k); k = json_next(k)) {
        struct str name = json_str(k, &r->arena);
        struct str value = json_str(json_value(k), &r->arena);
        if (json_type(json_value(k)) != JSON_STRING || str_find(name, '=') >= 0)
            return bad(r, "`env` should have texts as its values");
        char *text = arena_alloc(&r->arena, name.n + 1 + value.n);
        memcpy(text, name.p ? name.p : "", name.n);
        text[name.n] = '=';
        memcpy(text + name.n + 1, value.p ? value.p : "", value.n);
        list[spec->env_count++] = (struct str){text, name.n + 1 + value.n};
    }
    spec->env = list;
    return 0;
}

int session_path(struct request *r, const struct session *s, struct str base,
                 struct str path, struct str *ret_path)
{
    struct buf text;
    if (path.n > SANDBOX_PATH_MAX || base.n > SANDBOX_PATH_MAX ||
        (path.n && memchr(path.p, '\0', path.n)) ||
        (base.n && memchr(base.p, '\0', base.n)))
        return bad(r, "a path has at most 4095 bytes and no NUL");
    buf_init(&text, 3 * PATH_ROOM);
    if (!(path.n && path.p[0] == '/')) {
        if (!(base.n && base.p[0] == '/')) {
            buf_addz(&text, s->cwd);
            buf_addc(&text, '/');
        }
        buf_adds(&text, base);
        if (base.n && path.n)
            buf_addc(&text, '/');
    }
    buf_adds(&text, path);
    while (text.n > 1 && text.p[text.n - 1] == '/')
        text.n--;
    *ret_path = arena_dup(&r->arena, buf_str(&text));
    buf_finish(&text);
    return 0;
}

void api_command_run(struct request *r)
{
    struct session *s = request_session(r);
    struct command_spec spec = {0};
    struct json timeout = json_get(r->body, STR("timeout"));
    struct str cwd = json_str(json_get(r->body, STR("cwd")), &r->arena);
    int64_t timeout_ms = 0;
    if (!s || read_args(r, &spec) < 0 || read_env(r, &spec) < 0 ||
        session_path(r, s, (struct str){0}, cwd, &spec.cwd) < 0)
        return;
    if (json_present(timeout) &&
        (!json_i64(timeout, &timeout_ms) || timeout_ms < TIMEOUT_LEAST_MS)) {
        bad(r, "`timeout` should be at least 100 milliseconds");
        return;
    }
    spec.timeout_ms = (uint64_t)timeout_ms;
    struct start *start = mem_new(struct start);
    struct json args = json_get(r->body, STR("args"));
    start->request = r;
    request_hold(r);
    memcpy(start->session_id, s->id, sizeof start->session_id);
    start->name = mem_strndup(spec.argv[0].p, spec.argv[0].n);
    start->cwd = mem_strndup(spec.cwd.p, spec.cwd.n);
    if (json_present(args))
        record_json(&start->args, args);
    else
        record_text(&start->args, STR("[]"));
    start->wait = json_is_true(json_get(r->body, STR("wait"))) ||
                  request_arg_is(r, "wait", "true");
    start->logs = json_is_true(json_get(r->body, STR("logs"))) ||
                  request_arg_is(r, "logs", "true");
    spec.hold = start->wait && start->logs;
    command_start(r->api->set, s->sandbox, &spec, on_started, start);
}

/* NULL: answered. */
static struct api_command *find(struct request *r)
{
    struct session *s = request_session(r);
    for (struct api_command *c = s ? s->commands : NULL; c; c = c->older)
        if (str_eq(str_of(c->id), r->route.ids[1]))
            return c;
    if (s)
        api_fail(r, HTTP_NOT_FOUND, "not_found", "Command '%.*s' not found.",
                 STR_FMT(r->route.ids[1]));
    return NULL;
}

void api_command_get(struct request *r)
{
    struct api_command *c = find(r);
    if (!c)
        return;
    if (request_arg_is(r, "wait", "true") && !c->ended)
        reader_new(c, r, READ_WAIT);
    else
        answer_command(r, c, false);
}

void api_command_logs(struct request *r)
{
    struct api_command *c = find(r);
    if (c)
        reader_new(c, r, READ_LOGS);
}

void api_command_kill(struct request *r)
{
    struct api_command *c = find(r);
    struct err err;
    int64_t signum = 15;
    struct json given = json_get(r->body, STR("signal"));
    if (!c)
        return;
    if (json_present(given) && (!json_i64(given, &signum) || signum < 1 || signum > 64))
        bad(r, "`signal` should be the number of a signal");
    else if (c->ended)
        bad(r, "the command is not running");
    else if (command_signal(r->api->set, c->number, (int)signum, &err) < 0)
        api_fail_err(r, &err);
    else
        answer_command(r, c, true);
}

void api_command_list(struct request *r)
{
    struct session *s = request_session(r);
    struct reply reply;
    if (!s)
        return;
    reply_begin(&reply);
    jw_key(&reply.w, "commands");
    jw_array(&reply.w);
    for (struct api_command *c = s->commands; c; c = c->older)
        object_command(&reply.w, c, false);
    jw_end_array(&reply.w);
    reply_end(&reply, r, HTTP_OK);
}
