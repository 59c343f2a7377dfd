#include "sandbox/local/port_ask.h"
#include <stdio.h>

static bool is_token_parameter(struct str parameter, struct str *value)
{
    static const struct str name = STR_INIT(PORT_TOKEN_PARAMETER "=");
    *value = str_from(parameter, name.n);
    return str_starts(parameter, name);
}

/* The path and the query without the token. One slash in front, whatever was there:
 * two would lead to another host. */
static bool read_target(struct str target, const struct secret *token, struct buf *path)
{
    bool found = false, first = true;
    ptrdiff_t mark = str_find(target, '?');
    struct str query = mark < 0 ? (struct str){0} : str_from(target, (size_t)mark + 1);
    if (mark >= 0)
        target.n = (size_t)mark;
    while (target.n && (target.p[0] == '/' || target.p[0] == '\\'))
        target = str_from(target, 1);
    buf_addc(path, '/');
    buf_adds(path, target);
    while (query.n) {
        struct str value;
        ptrdiff_t end = str_find(query, '&');
        struct str parameter = {query.p, end < 0 ? query.n : (size_t)end};
        query = str_from(query, parameter.n + 1);
        if (is_token_parameter(parameter, &value)) {
            found = found || secret_equals(token, value);
            continue;
        }
        buf_addc(path, first ? '?' : '&');
        buf_adds(path, parameter);
        first = false;
    }
    return found;
}

static bool has_cookie(struct str value, uint16_t port, const struct secret *token)
{
    char name[24];
    int n = snprintf(name, sizeof name, "sandquay-%u=", port);
    while (value.n) {
        ptrdiff_t end = str_find(value, ';');
        struct str cookie = {value.p, end < 0 ? value.n : (size_t)end};
        value = str_from(value, cookie.n + 1);
        while (cookie.n && cookie.p[0] == ' ')
            cookie = str_from(cookie, 1);
        if (str_starts(cookie, (struct str){name, (size_t)n}) &&
            secret_equals(token, str_from(cookie, (size_t)n)))
            return true;
    }
    return false;
}

static bool has_bearer(struct str value, const struct secret *token)
{
    struct str scheme = {value.p, value.n < 7 ? value.n : 7};
    return http_same(scheme, "bearer ") && secret_equals(token, str_from(value, 7));
}

static bool wants_page(struct str accept)
{
    struct str kind;
    while (http_next_item(&accept, &kind)) {
        ptrdiff_t end = str_find(kind, ';');
        if (end >= 0)
            kind.n = (size_t)end;
        if (http_same(kind, "text/html"))
            return true;
    }
    return false;
}

enum port_verdict port_ask(struct str in, uint16_t port, const struct secret *token,
                           struct buf *ret_path)
{
    struct http_request_line r;
    struct str line, name, value;
    struct err ignored;
    bool carried = false, page = false, upgrade = false;
    buf_init(ret_path, HTTP_HEAD_MAX);
    if (in.n && !http_is_token_char(in.p[0]))
        return PORT_BAD;
    ptrdiff_t end = http_head_end(in, &ignored);
    if (end <= 0)
        return end < 0 ? PORT_BAD : PORT_MORE;
    struct str head = {in.p, (size_t)end};
    if (!http_next_line(&head, &line) ||
        http_split_request_line(line, &r, &ignored) < 0 || r.target.p[0] != '/')
        return PORT_BAD;
    bool in_url = read_target(r.target, token, ret_path);
    while (http_next_line(&head, &line)) {
        if (!http_split_field(line, &name, &value))
            return PORT_BAD;
        if (http_same(name, "cookie"))
            carried = carried || has_cookie(value, port, token);
        else if (http_same(name, "authorization"))
            carried = carried || has_bearer(value, token);
        else if (http_same(name, "accept"))
            page = page || wants_page(value);
        else if (http_same(name, "upgrade"))
            upgrade = true;
    }
    if (in_url && page && !upgrade && str_eq(r.method, STR("GET")))
        return PORT_ENTERS;
    return in_url || carried ? PORT_ADMITTED : PORT_STRANGER;
}
