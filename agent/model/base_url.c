#include "agent/model/base_url.h"
#include "net/address.h"
#include <strings.h>

static bool starts_nocase(struct str s, struct str prefix)
{
    return s.n >= prefix.n && strncasecmp(s.p, prefix.p, prefix.n) == 0;
}

/* What stands between "//" and the path. */
static struct str authority_of(struct str url)
{
    static const struct str slashes = STR_INIT("://");
    ptrdiff_t colon = str_find(url, ':');
    struct str rest = colon < 0 ? (struct str){0} : str_from(url, (size_t)colon);
    rest = str_from(rest, str_starts(rest, slashes) ? slashes.n : rest.n);
    size_t n = 0;
    while (n < rest.n && !strchr("/?#", rest.p[n]))
        n++;
    return (struct str){rest.p, n};
}

/* Without the port, and without the brackets of an IPv6 address. */
static struct str host_of(struct str authority)
{
    char end = ':';
    if (authority.n && authority.p[0] == '[') {
        authority = str_from(authority, 1);
        end = ']';
    }
    ptrdiff_t at = str_find(authority, end);
    return at < 0 ? authority : (struct str){authority.p, (size_t)at};
}

bool base_url_is_local(struct str url)
{
    static const struct str name = STR_INIT("localhost");
    struct str host = host_of(authority_of(url));
    struct address address;
    if (host.n == name.n && starts_nocase(host, name))
        return true;
    return address_parse(host, &address) && address_class(&address) == ADDRESS_LOOPBACK;
}

bool base_url_is_anthropic(struct str url)
{
    static const struct str host = STR_INIT("api.anthropic.com");
    struct str authority = authority_of(url);
    return starts_nocase(url, STR("https://")) && authority.n == host.n &&
           starts_nocase(authority, host);
}

static struct str without_end(struct str url)
{
    static const struct str ends[] = {STR_INIT("/v1/messages"), STR_INIT("/v1")};
    while (url.n && url.p[url.n - 1] == '/')
        url.n--;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (str_ends(url, ends[i])) {
            url.n -= ends[i].n;
            break;
        }
    while (url.n && url.p[url.n - 1] == '/')
        url.n--;
    return url;
}

static int invalid(struct err *err, const char *what)
{
    err_set(err, ERR_INVALID, "the base URL %s", what);
    return err_remedy(err, "it looks like %s or http://localhost:11434",
                      BASE_URL_ANTHROPIC);
}

int base_url_check(struct str url, bool with_secret, struct str *ret_url,
                   struct err *err)
{
    bool plain = starts_nocase(url, STR("http://"));
    struct str authority = authority_of(url);
    if (!plain && !starts_nocase(url, STR("https://")))
        return invalid(err, "begins with neither https:// nor http://");
    for (size_t i = 0; i < url.n; i++)
        if (url.p[i] <= ' ' || url.p[i] >= 0x7f || strchr("\"<>\\^`{|}?#", url.p[i]))
            return invalid(err, "holds a character that does not belong there");
    if (host_of(authority).n == 0)
        return invalid(err, "has no host");
    if (str_find(authority, '@') >= 0)
        return invalid(err, "holds a name or password; a key goes into "
                            "ANTHROPIC_API_KEY");
    if (plain && with_secret && !base_url_is_local(url)) {
        err_set(err, ERR_DENIED,
                "the key would go over the network in the clear to "
                "%.*s",
                STR_FMT(authority));
        return err_remedy(err, "use https://, or a server on this machine");
    }
    *ret_url = without_end(url);
    return 0;
}
