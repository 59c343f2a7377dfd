#include "sandbox/egress_ask.h"
#include <stdio.h>
#include <strings.h>

enum {
    SOCKS_VERSION = 5,
    SOCKS_CONNECT = 1,
    SOCKS_V4 = 1,
    SOCKS_NAME = 3,
    SOCKS_V6 = 4,
    SOCKS_FAILED = 1,
    SOCKS_NO_COMMAND = 7,
    SOCKS_NO_ADDRESS_TYPE = 8,
};

static int shown(struct str s)
{
    return (int)(s.n < 60 ? s.n : 60);
}

static int bad(struct err *err, const char *what)
{
    return err_set(err, ERR_PROTOCOL, "%s", what);
}

static int parse_port(struct str text, uint16_t *ret_port)
{
    unsigned value = 0;
    if (text.n == 0 || text.n > 5)
        return -1;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return -1;
        value = value * 10 + (unsigned)(text.p[i] - '0');
    }
    if (value == 0 || value > 65535)
        return -1;
    *ret_port = (uint16_t)value;
    return 0;
}

static int set_host(struct egress_target *t, struct str host, bool brackets)
{
    if (address_parse(host, &t->address)) {
        if (!brackets && str_find(host, ':') >= 0)
            return -1;
        char text[ADDRESS_TEXT];
        t->literal = true;
        address_format(&t->address, text);
        snprintf(t->host, sizeof t->host, "%s", text);
        return 0;
    }
    if (host.n > 1 && host.p[host.n - 1] == '.')
        host.n--;
    if (brackets || !network_is_name(host))
        return -1;
    for (size_t i = 0; i < host.n; i++)
        t->host[i] =
            (char)(host.p[i] >= 'A' && host.p[i] <= 'Z' ? host.p[i] + 32 : host.p[i]);
    t->host[host.n] = '\0';
    return 0;
}

int egress_target_parse(struct str text, uint16_t port,
                        struct egress_target *ret_target, struct err *err)
{
    struct egress_target t = {.port = port};
    struct str host = text, rest = {0};
    bool brackets = text.n && text.p[0] == '[';
    ptrdiff_t end = str_find(text, brackets ? ']' : ':');
    if (brackets) {
        host = (struct str){text.p + 1, end < 1 ? 0 : (size_t)end - 1};
        rest = str_from(text, end < 0 ? text.n : (size_t)end + 1);
    } else if (end >= 0) {
        host.n = (size_t)end;
        rest = str_from(text, host.n);
    }
    bool ok = set_host(&t, host, brackets) == 0;
    if (ok && rest.n)
        ok = rest.p[0] == ':' && parse_port(str_from(rest, 1), &t.port) == 0;
    if (!ok || t.port == 0)
        return err_set(err, ERR_INVALID, "\"%.*s\" is not a host%s", shown(text),
                       text.n ? text.p : "", port ? "" : " and a port");
    *ret_target = t;
    return 0;
}

void egress_target_format(const struct egress_target *t, char *to, size_t room)
{
    bool v6 = t->literal && !address_is_v4(&t->address);
    snprintf(to, room, "%s%s%s:%u", v6 ? "[" : "", t->host, v6 ? "]" : "", t->port);
}

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_token_char(s.p[i]))
            return false;
    return s.n > 0;
}

static bool same(struct str s, const char *word)
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
static bool next_line(struct str *rest, struct str *line)
{
    const char *end = rest->n ? memmem(rest->p, rest->n, "\r\n", 2) : NULL;
    if (!end || end == rest->p)
        return false;
    *line = (struct str){rest->p, (size_t)(end - rest->p)};
    *rest = str_from(*rest, line->n + 2);
    return true;
}

static bool next_item(struct str *list, struct str *item)
{
    if (list->n == 0)
        return false;
    ptrdiff_t comma = str_find(*list, ',');
    *item = trim((struct str){list->p, comma < 0 ? list->n : (size_t)comma});
    *list = comma < 0 ? (struct str){0} : str_from(*list, (size_t)comma + 1);
    return true;
}

static bool lists(struct str value, const char *word)
{
    struct str item;
    while (next_item(&value, &item))
        if (same(item, word))
            return true;
    return false;
}

static bool split_field(struct str line, struct str *name, struct str *value)
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

struct framing {
    bool length, chunked, upgrade;
    uint64_t length_bytes;
};

static int take_length(struct framing *f, struct str value, struct err *err)
{
    uint64_t n = 0;
    if (f->length || value.n == 0)
        return bad(err, "Content-Length must be one number");
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] < '0' || value.p[i] > '9' || __builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(value.p[i] - '0'), &n))
            return bad(err, "Content-Length must be one number");
    f->length = true;
    f->length_bytes = n;
    return 0;
}

static int take_field(struct framing *f, struct str name, struct str value,
                      struct err *err)
{
    if (same(name, "content-length"))
        return take_length(f, value, err);
    if (same(name, "transfer-encoding")) {
        if (f->chunked || !same(value, "chunked"))
            return bad(err, "Transfer-Encoding must be chunked");
        f->chunked = true;
    } else if (same(name, "connection")) {
        f->upgrade = f->upgrade || lists(value, "upgrade");
    }
    return 0;
}

static int read_fields(struct str fields, struct egress_ask *ask, struct err *err)
{
    struct framing f = {0};
    struct str line, name, value;
    while (next_line(&fields, &line)) {
        if (!split_field(line, &name, &value))
            return bad(err, "a header line is not of the form name: value");
        if (take_field(&f, name, value, err) < 0)
            return -1;
    }
    if (f.chunked && f.length)
        return bad(err, "both Content-Length and Transfer-Encoding");
    ask->upgrade = f.upgrade;
    ask->body_bytes = f.chunked || f.upgrade ? UINT64_MAX : f.length_bytes;
    return 0;
}

/* "http://host:80/path" -> the host, and what follows it */
static int split_url(struct str url, struct str *authority, struct str *path,
                     struct err *err)
{
    static const char scheme[] = "http://";
    if (url.n < 7 || strncasecmp(url.p, scheme, 7) != 0) {
        if (url.n && url.p[0] == '/')
            return bad(err, "this is a proxy: ask it for http://host/path");
        return bad(err, "only http:// URLs are fetched; use CONNECT for others");
    }
    struct str rest = str_from(url, 7);
    size_t n = 0;
    while (n < rest.n && !strchr("/?#", rest.p[n]))
        n++;
    *authority = (struct str){rest.p, n};
    *path = str_from(rest, n);
    if (str_find(*authority, '@') >= 0)
        return bad(err, "a user name in a URL is not supported");
    if (str_find(*path, '#') >= 0)
        return bad(err, "a fragment does not belong into a request");
    return 0;
}

struct request_line {
    struct str method, target, version;
};

static int split_request_line(struct str line, struct request_line *r, struct err *err)
{
    ptrdiff_t first = str_find(line, ' ');
    struct str rest = first < 0 ? (struct str){0} : str_from(line, (size_t)first + 1);
    ptrdiff_t second = str_find(rest, ' ');
    if (first < 1 || second < 1)
        return bad(err, "not a request line");
    r->method = (struct str){line.p, (size_t)first};
    r->target = (struct str){rest.p, (size_t)second};
    r->version = str_from(rest, (size_t)second + 1);
    for (size_t i = 0; i < r->target.n; i++)
        if (r->target.p[i] <= ' ' || r->target.p[i] >= 0x7f)
            return bad(err, "the request's target holds characters that need escaping");
    if (!is_token(r->method) || r->method.n > 32 ||
        !(str_eq(r->version, STR("HTTP/1.1")) || str_eq(r->version, STR("HTTP/1.0"))))
        return bad(err, "not a request of HTTP/1.1");
    return 0;
}

/* Where the head ends, behind its empty line; 0: not yet. -1: never. */
static ptrdiff_t head_end(struct str in, struct err *err)
{
    struct str seen = {in.p, in.n < EGRESS_HEAD_MAX ? in.n : EGRESS_HEAD_MAX};
    const char *end = seen.n ? memmem(seen.p, seen.n, "\r\n\r\n", 4) : NULL;
    if (end)
        seen.n = (size_t)(end - seen.p) + 4;
    for (size_t i = 0; i < seen.n; i++) {
        bool line_end = i > 0 && seen.p[i - 1] == '\r';
        if (seen.p[i] == '\0' || (seen.p[i] == '\n') != line_end)
            return bad(err, "lines must end in CR LF");
    }
    if (end)
        return (ptrdiff_t)seen.n;
    if (in.n >= EGRESS_HEAD_MAX)
        return bad(err, "the request's head is too long");
    return 0;
}

int egress_http_parse(struct str in, struct egress_ask *ret_ask, struct err *err)
{
    struct egress_ask ask = {0};
    struct request_line r;
    struct str line, authority, path;
    if (in.n && !is_token_char(in.p[0]))
        return bad(err, "neither HTTP nor SOCKS5");
    ptrdiff_t end = head_end(in, err);
    if (end <= 0)
        return (int)end;
    struct str head = {in.p, (size_t)end};
    ask.head_bytes = head.n;
    if (!next_line(&head, &line))
        return bad(err, "not a request line");
    if (split_request_line(line, &r, err) < 0 || read_fields(head, &ask, err) < 0)
        return -1;
    if (str_eq(r.method, STR("CONNECT"))) {
        ask.kind = EGRESS_CONNECT;
        ask.body_bytes = UINT64_MAX;
        if (egress_target_parse(r.target, 0, &ask.target, err) < 0)
            return -1;
    } else {
        ask.kind = EGRESS_REQUEST;
        if (split_url(r.target, &authority, &path, err) < 0 ||
            egress_target_parse(authority, 80, &ask.target, err) < 0)
            return -1;
    }
    *ret_ask = ask;
    return 1;
}

/* Fields that were for the proxy, or are said anew. What tells where the body ends and
 * whose it is stays, whatever Connection says. */
static bool is_dropped(struct str name, struct str fields)
{
    static const char *const ours[] = {
        "host", "connection",         "proxy-connection",    "keep-alive",
        "te",   "proxy-authenticate", "proxy-authorization", "upgrade",
    };
    char word[64];
    struct str line, key, value;
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (same(name, ours[i]))
            return true;
    if (same(name, "content-length") || same(name, "transfer-encoding") ||
        name.n >= sizeof word)
        return false;
    snprintf(word, sizeof word, "%.*s", STR_FMT(name));
    while (next_line(&fields, &line))
        if (split_field(line, &key, &value) && same(key, "connection") &&
            lists(value, word))
            return true;
    return false;
}

void egress_http_rewrite(struct str head, const struct egress_ask *ask, bool absolute,
                         struct str extra, struct buf *to)
{
    struct str rest = {head.p, ask->head_bytes}, line, authority, path, name, value;
    struct request_line r;
    struct err ignored; /* it was parsed before */
    struct str upgrade = {0};
    if (!next_line(&rest, &line) || split_request_line(line, &r, &ignored) < 0 ||
        split_url(r.target, &authority, &path, &ignored) < 0)
        return;
    struct str fields = rest;
    buf_addf(to, "%.*s ", STR_FMT(r.method));
    if (absolute)
        buf_addf(to, "http://%.*s", STR_FMT(authority));
    if (path.n == 0 || path.p[0] != '/')
        buf_addc(to, '/');
    buf_addf(to, "%.*s %.*s\r\nHost: %.*s\r\n", STR_FMT(path), STR_FMT(r.version),
             STR_FMT(authority));
    while (next_line(&rest, &line)) {
        split_field(line, &name, &value);
        if (same(name, "upgrade"))
            upgrade = value;
        if (!is_dropped(name, fields))
            buf_addf(to, "%.*s\r\n", STR_FMT(line));
    }
    if (ask->upgrade && upgrade.n)
        buf_addf(to, "Connection: Upgrade\r\nUpgrade: %.*s\r\n", STR_FMT(upgrade));
    else
        buf_addz(to, "Connection: close\r\n");
    buf_adds(to, extra);
    buf_addz(to, "\r\n");
}

int egress_socks_greeting(struct str in, size_t *ret_bytes, bool *ret_offered)
{
    const unsigned char *b = (const unsigned char *)in.p;
    if (in.n < 2 || in.n < 2 + (size_t)b[1])
        return 0;
    *ret_bytes = 2 + (size_t)b[1];
    *ret_offered = memchr(b + 2, 0, b[1]) != NULL;
    return 1;
}

int egress_socks_parse(struct str in, struct egress_ask *ret_ask, uint8_t *ret_reply,
                       struct err *err)
{
    const unsigned char *b = (const unsigned char *)in.p;
    struct egress_ask ask = {.kind = EGRESS_SOCKS, .body_bytes = UINT64_MAX};
    *ret_reply = SOCKS_FAILED;
    if (in.n < 5)
        return in.n && b[0] != SOCKS_VERSION ? bad(err, "not a request of SOCKS5") : 0;
    if (b[0] != SOCKS_VERSION || b[2] != 0)
        return bad(err, "not a request of SOCKS5");
    if (b[1] != SOCKS_CONNECT) {
        *ret_reply = SOCKS_NO_COMMAND;
        return bad(err, "SOCKS5: only CONNECT is served");
    }
    size_t at = 4, n = b[3] == SOCKS_V4 ? 4 : b[3] == SOCKS_V6 ? 16 : 0;
    if (b[3] == SOCKS_NAME) {
        n = b[4];
        at = 5;
    }
    if (n == 0) {
        *ret_reply = SOCKS_NO_ADDRESS_TYPE;
        return bad(err, "SOCKS5: unknown kind of address");
    }
    if (in.n < at + n + 2)
        return 0;
    struct egress_target *t = &ask.target;
    struct str host = {in.p + at, n};
    char text[ADDRESS_TEXT];
    if (b[3] != SOCKS_NAME) {
        struct address a = {.b = {[10] = 0xff, [11] = 0xff}};
        memcpy(a.b + 16 - n, host.p, n);
        address_format(&a, text);
        host = str_of(text);
    }
    t->port = (uint16_t)(b[at + n] << 8 | b[at + n + 1]);
    bool v6 = str_find(host, ':') >= 0 && b[3] == SOCKS_V6;
    if (t->port == 0 || set_host(t, host, v6) < 0)
        return bad(err, "SOCKS5: not a host and a port");
    ask.head_bytes = at + n + 2;
    *ret_ask = ask;
    return 1;
}
