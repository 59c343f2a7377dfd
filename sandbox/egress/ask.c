#include "sandbox/egress/ask.h"
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

struct framing {
    bool length, chunked, upgrade;
    uint64_t length_bytes;
};

static int take_length(struct framing *f, struct str value, struct err *err)
{
    uint64_t n = 0;
    if (f->length || value.n == 0)
        return http_bad(err, "Content-Length must be one number");
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] < '0' || value.p[i] > '9' || __builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(value.p[i] - '0'), &n))
            return http_bad(err, "Content-Length must be one number");
    f->length = true;
    f->length_bytes = n;
    return 0;
}

static int take_field(struct framing *f, struct str name, struct str value,
                      struct err *err)
{
    if (http_same(name, "content-length"))
        return take_length(f, value, err);
    if (http_same(name, "transfer-encoding")) {
        if (f->chunked || !http_same(value, "chunked"))
            return http_bad(err, "Transfer-Encoding must be chunked");
        f->chunked = true;
    } else if (http_same(name, "connection")) {
        f->upgrade = f->upgrade || http_lists(value, "upgrade");
    }
    return 0;
}

static bool is_apt(struct str agent)
{
    return str_starts(agent, STR("Debian APT-HTTP/"));
}

static int read_fields(struct str fields, struct egress_ask *ask, struct err *err)
{
    struct framing f = {0};
    struct str line, name, value;
    while (http_next_line(&fields, &line)) {
        if (!http_split_field(line, &name, &value))
            return http_bad(err, "a header line is not of the form name: value");
        if (take_field(&f, name, value, err) < 0)
            return -1;
        if (http_same(name, "user-agent"))
            ask->by_apt = is_apt(value);
    }
    if (f.chunked && f.length)
        return http_bad(err, "both Content-Length and Transfer-Encoding");
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
            return http_bad(err, "this is a proxy: ask it for http://host/path");
        return http_bad(err, "only http:// URLs are fetched; use CONNECT for others");
    }
    struct str rest = str_from(url, 7);
    size_t n = 0;
    while (n < rest.n && !strchr("/?#", rest.p[n]))
        n++;
    *authority = (struct str){rest.p, n};
    *path = str_from(rest, n);
    if (str_find(*authority, '@') >= 0)
        return http_bad(err, "a user name in a URL is not supported");
    if (str_find(*path, '#') >= 0)
        return http_bad(err, "a fragment does not belong into a request");
    return 0;
}

int egress_http_parse(struct str in, struct egress_ask *ret_ask, struct err *err)
{
    struct egress_ask ask = {0};
    struct http_request_line r;
    struct str line, authority, path;
    if (in.n && !http_is_token_char(in.p[0]))
        return http_bad(err, "neither HTTP nor SOCKS5");
    ptrdiff_t end = http_head_end(in, err);
    if (end <= 0)
        return (int)end;
    struct str head = {in.p, (size_t)end};
    ask.head_bytes = head.n;
    if (!http_next_line(&head, &line))
        return http_bad(err, "not a request line");
    if (http_split_request_line(line, &r, err) < 0 || read_fields(head, &ask, err) < 0)
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
        if (http_same(name, ours[i]))
            return true;
    if (http_same(name, "content-length") || http_same(name, "transfer-encoding") ||
        name.n >= sizeof word)
        return false;
    snprintf(word, sizeof word, "%.*s", STR_FMT(name));
    while (http_next_line(&fields, &line))
        if (http_split_field(line, &key, &value) && http_same(key, "connection") &&
            http_lists(value, word))
            return true;
    return false;
}

void egress_http_rewrite(struct str head, const struct egress_ask *ask, bool absolute,
                         struct str extra, struct buf *to)
{
    struct str rest = {head.p, ask->head_bytes}, line, authority, path, name, value;
    struct http_request_line r;
    struct err ignored; /* it was parsed before */
    struct str upgrade = {0};
    if (!http_next_line(&rest, &line) ||
        http_split_request_line(line, &r, &ignored) < 0 ||
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
    while (http_next_line(&rest, &line)) {
        http_split_field(line, &name, &value);
        if (http_same(name, "upgrade"))
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
        return in.n && b[0] != SOCKS_VERSION ? http_bad(err, "not a request of SOCKS5")
                                             : 0;
    if (b[0] != SOCKS_VERSION || b[2] != 0)
        return http_bad(err, "not a request of SOCKS5");
    if (b[1] != SOCKS_CONNECT) {
        *ret_reply = SOCKS_NO_COMMAND;
        return http_bad(err, "SOCKS5: only CONNECT is served");
    }
    size_t at = 4, n = b[3] == SOCKS_V4 ? 4 : b[3] == SOCKS_V6 ? 16 : 0;
    if (b[3] == SOCKS_NAME) {
        n = b[4];
        at = 5;
    }
    if (n == 0) {
        *ret_reply = SOCKS_NO_ADDRESS_TYPE;
        return http_bad(err, "SOCKS5: unknown kind of address");
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
        return http_bad(err, "SOCKS5: not a host and a port");
    ask.head_bytes = at + n + 2;
    *ret_ask = ask;
    return 1;
}
