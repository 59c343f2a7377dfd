#include "agent/mcp_config.h"
#include "base/fd.h"
#include "base/json.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1024 * 1024, LIST_MAX = 256, TEXT_MAX = 64 * 1024 };

struct reading {
    struct mcp_config *config;
    const char *path;
    variable_fn *variable;
    void *ctx;
    struct err *err;
};

/* "${NAME}" or "${NAME:-else}" at the start of s; its length, or 0. */
static size_t add_variable(struct reading *r, struct buf *to, struct str s, bool *bad)
{
    char name[128];
    ptrdiff_t end = str_find(s, '}');
    if (s.n < 4 || s.p[1] != '{' || end < 0)
        return 0;
    struct str inside = {s.p + 2, (size_t)end - 2}, otherwise = {0};
    const char *colon = memmem(inside.p, inside.n, ":-", 2);
    if (colon) {
        otherwise = str_from(inside, (size_t)(colon - inside.p) + 2);
        inside.n = (size_t)(colon - inside.p);
    }
    if (inside.n == 0 || inside.n >= sizeof name)
        return 0;
    memcpy(name, inside.p, inside.n);
    name[inside.n] = '\0';
    const char *value = r->variable(r->ctx, name);
    if (!value && !colon) {
        *bad = true;
        err_set(r->err, ERR_INVALID, "the variable %s is not set", name);
    }
    buf_adds(to, value ? str_of(value) : otherwise);
    return (size_t)end + 1;
}

/* A text of the file, variables replaced, with a NUL behind it; NULL: err says why. */
static const char *text_of(struct reading *r, struct json value, const char *what)
{
    struct arena a = {0};
    struct buf to;
    bool bad = false;
    struct str s = json_str(value, &a);
    if (json_type(value) != JSON_STRING || (s.n && memchr(s.p, '\0', s.n))) {
        err_set(r->err, ERR_INVALID, "%s must be text", what);
        arena_finish(&a);
        return NULL;
    }
    buf_init(&to, TEXT_MAX);
    while (s.n && !bad) {
        size_t n = s.p[0] == '$' ? add_variable(r, &to, s, &bad) : 0;
        if (n == 0) {
            buf_addc(&to, s.p[0]);
            n = 1;
        }
        s = str_from(s, n);
    }
    if (to.overflow && !bad) {
        bad = true;
        err_set(r->err, ERR_LIMIT, "%s is over %d KiB", what, TEXT_MAX / 1024);
    }
    const char *text =
        bad ? NULL : arena_dup(&r->config->arena, to.n ? buf_str(&to) : STR("")).p;
    buf_finish(&to);
    arena_finish(&a);
    return text;
}

static const char **new_list(struct reading *r, struct json value, size_t more)
{
    size_t n = json_len(value);
    if (n > LIST_MAX) {
        err_set(r->err, ERR_LIMIT, "more than %d entries", LIST_MAX);
        return NULL;
    }
    return arena_zalloc(&r->config->arena, (n + more + 1) * sizeof(char *));
}

static int take_command(struct reading *r, struct server_spec *spec, struct json entry)
{
    struct json args = json_get(entry, STR("args"));
    if (json_present(args) && json_type(args) != JSON_ARRAY)
        return err_set(r->err, ERR_INVALID, "args must be a list");
    const char **argv = new_list(r, args, 1);
    size_t n = 0;
    if (!argv || !(argv[n++] = text_of(r, json_get(entry, STR("command")), "command")))
        return -1;
    for (struct json arg = json_first(args); json_present(arg); arg = json_next(arg))
        if (!(argv[n++] = text_of(r, arg, "an argument")))
            return -1;
    spec->argv = argv;
    return 0;
}

/* "NAME=VALUE" or "Name: value". */
static const char *join(struct reading *r, struct str name, const char *between,
                        const char *value)
{
    struct buf to;
    buf_init(&to, 2 * TEXT_MAX);
    buf_adds(&to, name);
    buf_addz(&to, between);
    buf_addz(&to, value);
    const char *joined = arena_dup(&r->config->arena, buf_str(&to)).p;
    buf_finish(&to);
    return joined;
}

/* What a server of others gets of our environment: what programs cannot do without.
 * Keys and tokens are nobody else's. */
static int take_environment(struct reading *r, struct server_spec *spec,
                            struct json entry)
{
    static const char *const passed[] = {"HOME", "LOGNAME", "PATH", "SHELL",
                                         "TERM", "USER",    "LANG", "TMPDIR"};
    enum { PASSED = sizeof passed / sizeof passed[0] };
    struct json env = json_get(entry, STR("env"));
    struct arena a = {0};
    if (json_present(env) && json_type(env) != JSON_OBJECT)
        return err_set(r->err, ERR_INVALID, "env must be an object");
    const char **rows = new_list(r, env, PASSED);
    size_t n = 0;
    if (!rows)
        return -1;
    for (size_t i = 0; i < PASSED; i++) {
        const char *value = r->variable(r->ctx, passed[i]);
        if (value && !json_present(json_get(env, str_of(passed[i]))))
            rows[n++] = join(r, str_of(passed[i]), "=", value);
    }
    int rc = 0;
    for (struct json key = json_first(env); rc == 0 && json_present(key);
         key = json_next(key)) {
        struct str name = json_str(key, &a);
        const char *value = text_of(r, json_value(key), "a variable's value");
        if (!value)
            rc = -1;
        else if (name.n == 0 || memchr(name.p, '=', name.n) ||
                 memchr(name.p, '\0', name.n))
            rc = err_set(r->err, ERR_INVALID, "a variable without a good name");
        else
            rows[n++] = join(r, name, "=", value);
    }
    arena_finish(&a);
    spec->env = rows;
    return rc;
}

static bool is_header(struct str name, const char *value)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] == ':' || name.p[i] == 0x7f)
            return false;
    return name.n > 0 && !strpbrk(value, "\r\n");
}

/* Authorization: Bearer is the token, which has its own way; other headers are sent as
 * they are. */
static int take_header(struct reading *r, struct server_spec *spec, struct str *rows,
                       struct str name, const char *value)
{
    struct mcp_config *c = r->config;
    static const char bearer[] = "Bearer ";
    if (!is_header(name, value))
        return err_set(r->err, ERR_INVALID, "a header that cannot be sent");
    if (name.n == 13 && strncasecmp(name.p, "Authorization", 13) == 0 &&
        strncasecmp(value, bearer, sizeof bearer - 1) == 0 && !c->tokens[c->count]) {
        c->tokens[c->count] = secret_new(str_of(value + sizeof bearer - 1));
        spec->token = c->tokens[c->count];
        return 0;
    }
    if (!peer_is_http(spec->url))
        return err_set(r->err, ERR_UNAVAILABLE,
                       "over a WebSocket only Authorization: Bearer can be sent");
    if (spec->header_count == CONNECTOR_HEADERS_MAX)
        return err_set(r->err, ERR_LIMIT, "more than %d headers",
                       CONNECTOR_HEADERS_MAX);
    rows[spec->header_count++] = str_of(join(r, name, ": ", value));
    return 0;
}

static int take_url(struct reading *r, struct server_spec *spec, struct json entry)
{
    struct json headers = json_get(entry, STR("headers"));
    struct arena a = {0};
    if (!(spec->url = text_of(r, json_get(entry, STR("url")), "url")) ||
        peer_check_url(spec->url, r->err) < 0)
        return -1;
    if (json_present(headers) && json_type(headers) != JSON_OBJECT)
        return err_set(r->err, ERR_INVALID, "headers must be an object");
    struct str *rows =
        arena_zalloc(&r->config->arena, (json_len(headers) + 1) * sizeof rows[0]);
    int rc = 0;
    for (struct json key = json_first(headers); rc == 0 && json_present(key);
         key = json_next(key)) {
        const char *value = text_of(r, json_value(key), "a header's value");
        rc = value ? take_header(r, spec, rows, json_str(key, &a), value) : -1;
    }
    arena_finish(&a);
    spec->headers = rows;
    return rc;
}

static int take_server(struct reading *r, struct str name, struct json entry)
{
    struct mcp_config *c = r->config;
    if (c->count == SERVERS_MAX - 1)
        return err_set(r->err, ERR_LIMIT, "more than %d servers", SERVERS_MAX - 1);
    if (json_is_true(json_get(entry, STR("disabled"))))
        return 0;
    struct server_spec *spec = &c->specs[c->count];
    *spec = (struct server_spec){.name = arena_dup(&c->arena, name).p};
    spec->prefix = spec->name;
    bool url = json_present(json_get(entry, STR("url")));
    bool command = json_present(json_get(entry, STR("command")));
    int rc = url == command
                 ? err_set(r->err, ERR_INVALID, "either command or url is needed")
             : url                              ? take_url(r, spec, entry)
             : take_command(r, spec, entry) < 0 ? -1
                                                : take_environment(r, spec, entry);
    c->count++; /* its token is to be freed */
    return rc < 0 ? err_prefix(r->err, "%.100s: server %s", r->path, spec->name) : 0;
}

int mcp_config_parse(struct mcp_config *c, const char *path, struct str text,
                     variable_fn *variable, void *ctx, struct err *err)
{
    struct arena a = {0};
    struct json_doc doc;
    struct reading r = {c, path, variable, ctx, err};
    int rc = json_parse(&doc, &a, text, err);
    if (rc < 0)
        err_prefix(err, "%.100s", path);
    struct json servers =
        rc == 0 ? json_get(json_root(&doc), STR("mcpServers")) : (struct json){0};
    if (rc == 0 && json_type(servers) != JSON_OBJECT) {
        err_set(err, ERR_INVALID, "%.150s has no mcpServers", path);
        rc = err_remedy(err, "e.g. {\"mcpServers\": {\"files\": {\"command\": "
                             "\"npx\", \"args\": [\"...\"]}}}");
    }
    for (struct json key = json_first(servers); rc == 0 && json_present(key);
         key = json_next(key))
        rc = take_server(&r, json_str(key, &a), json_value(key));
    arena_finish(&a);
    return rc;
}

int mcp_config_read(struct mcp_config *c, const char *path, variable_fn *variable,
                    void *ctx, struct err *err)
{
    struct buf text;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, errno, "%.150s", path);
    buf_init(&text, FILE_BYTES_MAX);
    int rc = 0;
    for (ssize_t n = 1; rc == 0 && n > 0;) {
        char *to = buf_reserve(&text, 64 * 1024);
        n = to ? read(fd, to, 64 * 1024) : 0;
        if (!to)
            rc = err_set(err, ERR_LIMIT, "%.150s is over %d KiB", path,
                         FILE_BYTES_MAX / 1024);
        else if (n < 0)
            rc = err_sys(err, errno, "%.150s", path);
        else
            text.n += (size_t)n;
    }
    fd_close(&fd);
    if (rc == 0)
        rc = mcp_config_parse(c, path, buf_str(&text), variable, ctx, err);
    buf_finish(&text);
    return rc;
}

void mcp_config_finish(struct mcp_config *c)
{
    for (size_t i = 0; i < SERVERS_MAX; i++)
        secret_free(c->tokens[i]);
    arena_finish(&c->arena);
    *c = (struct mcp_config){0};
}
