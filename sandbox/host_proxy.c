#include "sandbox/host_proxy.h"
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

/* user:password of a URL, percent-decoded, as a Proxy-Authorization line. */
static char *authorization(struct str user)
{
    struct buf plain, line;
    buf_init(&plain, USER_MAX);
    buf_init(&line, 4 * USER_MAX);
    for (size_t i = 0; i < user.n; i++) {
        bool escaped = user.p[i] == '%' && i + 2 < user.n && hex(user.p[i + 1]) >= 0 &&
                       hex(user.p[i + 2]) >= 0;
        buf_addc(&plain, escaped ? (char)(hex(user.p[i + 1]) * 16 + hex(user.p[i + 2]))
                                 : user.p[i]);
        i += escaped ? 2 : 0;
    }
    buf_addz(&line, "Proxy-Authorization: Basic ");
    base64_encode(&line, buf_str(&plain));
    buf_addz(&line, "\r\n");
    char *text = mem_strndup(line.p, line.n);
    explicit_bzero(plain.p, plain.n);
    explicit_bzero(line.p, line.n);
    buf_finish(&plain);
    buf_finish(&line);
    return text;
}

/* "http://user:password@host:port/"; the scheme may be missing. */
static int read_hop(struct host_hop *hop, const char *url, struct err *err)
{
    struct str rest = str_of(url), user = {0};
    const char *scheme = strstr(url, "://");
    if (rest.n == 0)
        return 0;
    if (scheme) {
        size_t n = (size_t)(scheme - url);
        if (n != 4 || strncasecmp(url, "http", 4) != 0) {
            err_set(err, ERR_UNAVAILABLE, "the host's proxy is of the kind %.*s://",
                    (int)(n < 20 ? n : 20), url);
            return err_remedy(err, "only http:// proxies are supported");
        }
        rest = str_from(rest, n + 3);
    }
    ptrdiff_t slash = str_find(rest, '/');
    if (slash >= 0)
        rest.n = (size_t)slash;
    const char *at = rest.n ? memrchr(rest.p, '@', rest.n) : NULL;
    if (at) {
        user = (struct str){rest.p, (size_t)(at - rest.p)};
        rest = str_from(rest, user.n + 1);
    }
    if (egress_target_parse(rest, 80, &hop->target, err) < 0 || user.n > USER_MAX) {
        /* Not with the text, which may hold a password. */
        err_set(err, ERR_INVALID, "the host's proxy setting is not a URL");
        return err_remedy(err, "like http://proxy.example:3128");
    }
    if (user.n)
        hop->authorization = authorization(user);
    return 0;
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

static void finish_hop(struct host_hop *hop)
{
    if (hop->authorization)
        explicit_bzero(hop->authorization, strlen(hop->authorization));
    mem_free(hop->authorization);
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
