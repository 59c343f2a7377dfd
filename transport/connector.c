#include "transport/connector.h"
#include <string.h>
#include <strings.h>

/* Between "//" and the next '/' or '?', without user and port. */
static struct str host_of(const char *url)
{
    const char *slashes = strstr(url, "//");
    if (!slashes)
        return (struct str){0};
    struct str host = {slashes + 2, strcspn(slashes + 2, "/?#")};
    if (str_find(host, '@') >= 0)
        return (struct str){0};
    ptrdiff_t bracket = host.n && host.p[0] == '[' ? str_find(host, ']') : -1;
    ptrdiff_t end = bracket >= 0 ? bracket + 1 : str_find(host, ':');
    return end < 0 ? host : (struct str){host.p, (size_t)end};
}

bool connector_is_local(const char *url)
{
    static const struct str names[] = {STR_INIT("localhost"), STR_INIT("127.0.0.1"),
                                       STR_INIT("[::1]")};
    struct str host = host_of(url);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (host.n == names[i].n && strncasecmp(host.p, names[i].p, host.n) == 0)
            return true;
    return false;
}
