#include "sandbox/egress/host_proxy.h"
#include "base/base64.h"
#include "base/mem.h"
#include <strings.h>

enum { USER_MAX = 1024 };

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decoded, into `to`. */
static void decode(struct str text, struct buf *to)
{
    for (size_t i = 0; i < text.n; i++) {
        bool escaped = text.p[i] == '%' && i + 2 < text.n && hex(text.p[i + 1]) >= 0 &&
                       hex(text.p[i + 2]) >= 0;
        buf_addc(to, escaped ? (char)(hex(text.p[i + 1]) * 16 + hex(text.p[i + 2]))
                             : text.p[i]);
        i += escaped ? 2 : 0;
    }
}

static void wipe(struct buf *b)
{
    if (b->n)
        explicit_bzero(b->p, b->n);
    buf_finish(b);
}

/* user:password of a URL as a Proxy-Authorization line. */
static char *authorization(struct str user)
{
    struct buf plain, line;
    buf_init(&plain, USER_MAX);
    buf_init(&line, 4 * USER_MAX);
    decode(user, &plain);
    buf_addz(&line, "Proxy-Authorization: Basic ");
    base64_encode(&line, buf_str(&plain));
    buf_addz(&line, "\r\n");
    char *text = mem_strndup(line.p, line.n);
    wipe(&plain);
    wipe(&line);
    return text;
}

/* One of the two, for SOCKS; NULL when it cannot be sent. */
static char *word(struct str text)
{
    enum { WORD_MAX = 255 };
    struct buf plain;
    buf_init(&plain, USER_MAX);
    decode(text, &plain);
    bool good = plain.n >= 1 && plain.n <= WORD_MAX && !memchr(plain.p, '\0', plain.n);
    char *copy = good ? mem_strndup(plain.p, plain.n) : NULL;
    wipe(&plain);
    return copy;
}

static int take_user(struct host_hop *hop, struct str user, struct err *err)
{
    if (!hop->socks) {
        hop->authorization = authorization(user);
        return 0;
    }
    ptrdiff_t colon = str_find(user, ':');
    struct str name = {user.p, colon < 0 ? user.n : (size_t)colon};
    hop->user = word(name);
    hop->password = colon < 0 ? NULL : word(str_from(user, name.n + 1));
    if (hop->user && hop->password)
        return 0;
    err_set(err, ERR_INVALID,
            "the host's SOCKS proxy needs a user name and a password "
            "of 1 to 255 bytes each");
    return err_remedy(err, "like socks5://user:password@proxy.example:1080");
}

/* The scheme, if there is one, is known: goes behind it. */
static int take_scheme(struct host_hop *hop, struct str *url, struct err *err)
{
    static const char *const socks[] = {"socks5", "socks5h", "socks"};
    const char *end = memmem(url->p, url->n, "://", 3);
    if (!end)
        return 0;
    struct str scheme = {url->p, (size_t)(end - url->p)};
    for (size_t i = 0; i < sizeof socks / sizeof socks[0]; i++)
        hop->socks |= scheme.n == strlen(socks[i]) &&
                      strncasecmp(scheme.p, socks[i], scheme.n) == 0;
    if (!hop->socks && (scheme.n != 4 || strncasecmp(scheme.p, "http", 4) != 0)) {
        err_set(err, ERR_UNAVAILABLE, "the host's proxy is of the kind %.*s://",
                (int)(scheme.n < 20 ? scheme.n : 20), scheme.p);
        return err_remedy(err, "only http:// and socks5:// proxies are supported");
    }
    *url = str_from(*url, scheme.n + 3);
    return 0;
}

/* "http://user:password@host:port/"; the scheme may be missing. */
static int read_hop(struct host_hop *hop, const char *url, struct err *err)
{
    enum { HTTP_PORT = 80, SOCKS_PORT = 1080 };
    struct str rest = str_of(url), user = {0};
    if (rest.n == 0)
        return 0;
    if (take_scheme(hop, &rest, err) < 0)
        return -1;
    ptrdiff_t slash = str_find(rest, '/');
    if (slash >= 0)
        rest.n = (size_t)slash;
    const char *at = rest.n ? memrchr(rest.p, '@', rest.n) : NULL;
    if (at) {
        user = (struct str){rest.p, (size_t)(at - rest.p)};
        rest = str_from(rest, user.n + 1);
    }
    if (egress_target_parse(rest, hop->socks ? SOCKS_PORT : HTTP_PORT, &hop->target,
                            err) < 0 ||
        user.n > USER_MAX) {
        /* Not with the text, which may hold a password. */
        err_set(err, ERR_INVALID, "the host's proxy setting is not a URL");
        return err_remedy(err, "like http://proxy.example:3128");
    }
    return user.n ? take_user(hop, user, err) : 0;
}

int host_proxy_init(struct host_proxy *p, const struct host_proxy_config *config,
                    struct err *err)
{
    *p = (struct host_proxy){.no_proxy = config->no_proxy};
    if ((config->http && read_hop(&p->http, config->http, err) < 0) ||
        (config->https && read_hop(&p->https, config->https, err) < 0) ||
        (config->apt && read_hop(&p->apt, config->apt, err) < 0)) {
        host_proxy_finish(p);
        return -1;
    }
    return 0;
}

static void forget(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    mem_free(secret);
}

static void finish_hop(struct host_hop *hop)
{
    forget(hop->authorization);
    forget(hop->user);
    forget(hop->password);
}

void host_proxy_finish(struct host_proxy *p)
{
    finish_hop(&p->http);
    finish_hop(&p->https);
    finish_hop(&p->apt);
    *p = (struct host_proxy){0};
}

/* One entry of NO_PROXY: "*", ".example.com" or "example.com" (with all below), an
 * address, a network; a port is ignored. */
static bool excepts(struct str entry, const struct egress_target *to)
{
    struct address_range range;
    struct err ignored;
    if (str_eq(entry, STR("*")))
        return true;
    if (to->literal)
        return address_range_parse(entry, &range, &ignored) == 0 &&
               address_range_has(&range, &to->address);
    ptrdiff_t colon = str_find(entry, ':');
    if (colon >= 0)
        entry.n = (size_t)colon;
    if (str_starts(entry, STR("*.")))
        entry = str_from(entry, 2);
    else if (str_starts(entry, STR(".")))
        entry = str_from(entry, 1);
    struct str host = str_of(to->host);
    if (entry.n == 0 || entry.n > host.n ||
        strncasecmp(host.p + host.n - entry.n, entry.p, entry.n) != 0)
        return false;
    return entry.n == host.n || host.p[host.n - entry.n - 1] == '.';
}

const struct host_hop *host_proxy_for(const struct host_proxy *p,
                                      const struct egress_ask *ask)
{
    bool plain = ask->kind == EGRESS_REQUEST;
    const struct host_hop *hop = plain ? &p->http : &p->https;
    struct str rest = p->no_proxy ? str_of(p->no_proxy) : (struct str){0};
    if (plain && ask->by_apt && hop->target.port == 0)
        hop = &p->apt;
    if (hop->target.port == 0)
        return NULL;
    while (rest.n) {
        size_t n = strcspn(rest.p, ", ");
        if (n && excepts((struct str){rest.p, n}, &ask->target))
            return NULL;
        rest = str_from(rest, n + 1);
    }
    return hop;
}
