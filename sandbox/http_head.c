#include "sandbox/http_head.h"
#include <strings.h>

int http_bad(struct err *err, const char *what)
{
    return err_set(err, ERR_PROTOCOL, "%s", what);
}

bool http_is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!http_is_token_char(s.p[i]))
            return false;
    return s.n > 0;
}

bool http_same(struct str s, const char *word)
{
    return s.n == strlen(word) && strncasecmp(s.p, word, s.n) == 0;
}

static struct str trim(struct str s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = str_from(s, 1);
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* The next line of a complete head, without its CRLF; false behind the last. */
bool http_next_line(struct str *rest, struct str *line)
{
    const char *end = rest->n ? memmem(rest->p, rest->n, "\r\n", 2) : NULL;
    if (!end || end == rest->p)
        return false;
    *line = (struct str){rest->p, (size_t)(end - rest->p)};
    *rest = str_from(*rest, line->n + 2);
    return true;
}

bool http_next_item(struct str *list, struct str *item)
{
    if (list->n == 0)
        return false;
    ptrdiff_t comma = str_find(*list, ',');
    *item = trim((struct str){list->p, comma < 0 ? list->n : (size_t)comma});
    *list = comma < 0 ? (struct str){0} : str_from(*list, (size_t)comma + 1);
    return true;
}

bool http_lists(struct str value, const char *word)
{
    struct str item;
    while (http_next_item(&value, &item))
        if (http_same(item, word))
            return true;
    return false;
}

bool http_split_field(struct str line, struct str *name, struct str *value)
{
    ptrdiff_t colon = str_find(line, ':');
    if (colon < 1)
        return false;
    *name = (struct str){line.p, (size_t)colon};
    *value = trim(str_from(line, (size_t)colon + 1));
    for (size_t i = 0; i < value->n; i++)
        if ((unsigned char)value->p[i] < ' ' && value->p[i] != '\t')
            return false;
    return is_token(*name);
}

int http_split_request_line(struct str line, struct http_request_line *r,
                            struct err *err)
{
    ptrdiff_t first = str_find(line, ' ');
    struct str rest = first < 0 ? (struct str){0} : str_from(line, (size_t)first + 1);
    ptrdiff_t second = str_find(rest, ' ');
    if (first < 1 || second < 1)
        return http_bad(err, "not a request line");
    r->method = (struct str){line.p, (size_t)first};
    r->target = (struct str){rest.p, (size_t)second};
    r->version = str_from(rest, (size_t)second + 1);
    for (size_t i = 0; i < r->target.n; i++)
        if (r->target.p[i] <= ' ' || r->target.p[i] >= 0x7f)
            return http_bad(err,
                            "the request's target holds characters that need escaping");
    if (!is_token(r->method) || r->method.n > 32 ||
        !(str_eq(r->version, STR("HTTP/1.1")) || str_eq(r->version, STR("HTTP/1.0"))))
        return http_bad(err, "not a request of HTTP/1.1");
    return 0;
}

/* Where the head ends, behind its empty line; 0: not yet. -1: never. */
ptrdiff_t http_head_end(struct str in, struct err *err)
{
    struct str seen = {in.p, in.n < HTTP_HEAD_MAX ? in.n : HTTP_HEAD_MAX};
    const char *end = seen.n ? memmem(seen.p, seen.n, "\r\n\r\n", 4) : NULL;
    if (end)
        seen.n = (size_t)(end - seen.p) + 4;
    for (size_t i = 0; i < seen.n; i++) {
        bool line_end = i > 0 && seen.p[i - 1] == '\r';
        if (seen.p[i] == '\0' || (seen.p[i] == '\n') != line_end)
            return http_bad(err, "lines must end in CR LF");
    }
    if (end)
        return (ptrdiff_t)seen.n;
    if (in.n >= HTTP_HEAD_MAX)
        return http_bad(err, "the request's head is too long");
    return 0;
}
