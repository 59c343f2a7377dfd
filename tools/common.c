#include "tools/common.h"
#include "tools/tools.h"
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

struct str tool_arg_str(struct call *call, struct str key)
{
    return json_str(json_get(call_args(call), key), call_arena(call));
}

int64_t tool_arg_i64(struct call *call, struct str key, int64_t absent)
{
    int64_t value = absent;
    json_i64(json_get(call_args(call), key), &value);
    return value;
}

bool tool_arg_bool(struct call *call, struct str key)
{
    return json_is_true(json_get(call_args(call), key));
}

bool tool_arg_given(struct call *call, struct str key)
{
    return json_present(json_get(call_args(call), key));
}

struct pty_size tool_arg_size(struct call *call, struct str key)
{
    struct json size = json_get(call_args(call), key);
    int64_t cols = 80, rows = 24;
    if (!json_present(size))
        return (struct pty_size){0};
    json_i64(json_get(size, STR("cols")), &cols);
    json_i64(json_get(size, STR("rows")), &rows);
    return (struct pty_size){(uint16_t)cols, (uint16_t)rows};
}

int tool_check_nul(const char *what, struct str s, struct err *err)
{
    if (str_find(s, '\0') < 0)
        return 0;
    err_set(err, ERR_INVALID, "%s holds a NUL character", what);
    return err_remedy(err, "send the %s without \\u0000", what);
}

int tool_env(struct call *call, const struct str **ret_list, size_t *ret_count,
             struct err *err)
{
    struct arena *a = call_arena(call);
    struct json env = json_get(call_args(call), STR("env"));
    struct str *list = arena_alloc(a, (json_len(env) + 1) * sizeof *list);
    size_t n = 0;
    for (struct json k = json_first(env); json_present(k); k = json_next(k)) {
        struct str key = json_str(k, a), value = json_str(json_value(k), a);
        if (key.n == 0 || str_find(key, '=') >= 0 || str_find(key, '\0') >= 0 ||
            str_find(value, '\0') >= 0) {
            err_set(err, ERR_INVALID, "env: \"%.*s\" cannot be a variable",
                    (int)(key.n < 40 ? key.n : 40), key.p);
            return err_remedy(err, "use names without = and values without NUL");
        }
        char *to = arena_alloc(a, key.n + value.n + 2);
        memcpy(to, key.p, key.n);
        to[key.n] = '=';
        if (value.n)
            memcpy(to + key.n + 1, value.p, value.n);
        to[key.n + 1 + value.n] = '\0';
        list[n++] = (struct str){to, key.n + 1 + value.n};
    }
    *ret_list = list;
    *ret_count = n;
    return 0;
}

static const char *usual_remedy(enum err_kind kind)
{
    switch (kind) {
    case ERR_NOT_FOUND:
        return "check the name, e.g. with execute_command: ls -la";
    case ERR_CONFLICT:
        return "use another name, or wait until it is free";
    case ERR_DENIED:
        return "use a place that may be written, e.g. below /workspace";
    case ERR_LIMIT:
        return "ask for less, or wait until something has finished";
    case ERR_TIMEOUT:
        return "try again, with more time";
    case ERR_UNAVAILABLE:
        return "run `sandquay doctor` on the machine of the server";
    case ERR_IO:
        return "look at the place with execute_command (ls -la, df -h) and try again";
    case ERR_INVALID:
        return "correct the arguments and call again";
    default:
        return "try again; if it stays, report it as a bug of sandquay";
    }
}

void tool_fail(struct call *call, struct err *err)
{
    if (!err->remedy[0])
        err_remedy(err, "%s", usual_remedy(err->kind));
    call_fail(call, err);
}

ssize_t tool_read_at(int fd, char *to, size_t n, uint64_t offset)
{
    enum { PIECE = 1024 * 1024 }; /* files of /proc/sys refuse 4 MiB at once */
    size_t got = 0;
    while (got < n) {
        size_t piece = n - got < PIECE ? n - got : PIECE;
        ssize_t k = pread(fd, to + got, piece, (off_t)(offset + got));
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -1;
        if (k == 0)
            break;
        got += (size_t)k;
    }
    return (ssize_t)got;
}

void tool_write_uri(struct buf *to, struct str sandbox, struct str path)
{
    static const char hex[] = "0123456789ABCDEF";
    buf_addf(to, "sandbox://%.*s", STR_FMT(sandbox));
    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                     (c >= 'a' && c <= 'z') || (c && strchr("-._~/", c));
        if (plain) {
            buf_addc(to, (char)c);
        } else {
            buf_addc(to, '%');
            buf_addc(to, hex[c >> 4]);
            buf_addc(to, hex[c & 15]);
        }
    }
}

struct str tool_absolute(struct call *call, struct str path)
{
    if (path.n && path.p[0] == '/')
        return path;
    while (str_starts(path, STR("./")))
        path = str_from(path, 2);
    struct str base = STR("/workspace/");
    char *to = arena_alloc(call_arena(call), base.n + path.n);
    memcpy(to, base.p, base.n);
    memcpy(to + base.n, path.p, path.n);
    return (struct str){to, base.n + path.n};
}
