#include "cli/host_network.h"
#include "base/fd.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_MAX = 64 * 1024, VALUE_MAX = 1024, TOLD_MAX = 16 };

static struct host_network found;
static char room[TOLD_MAX][VALUE_MAX + 64]; /* K=V */
static const char *told[TOLD_MAX];

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

/* The lower-case name goes before, as with curl. */
static const char *first_of(const char *const *names)
{
    for (; *names; names++)
        if (variable(*names))
            return variable(*names);
    return NULL;
}

static void tell(const char *name, struct str value)
{
    size_t n = found.env_count;
    if (n == TOLD_MAX || value.n == 0 || value.n > VALUE_MAX)
        return;
    for (size_t i = 0; i < value.n; i++)
        if ((unsigned char)value.p[i] < ' ')
            return;
    snprintf(room[n], sizeof room[n], "%s=%.*s", name, STR_FMT(value));
    told[n] = room[n];
    found.env_count++;
}

/* A file: its text, up to FILE_MAX; empty if there is none. Overwritten by the next. */
static struct str slurp(const char *path)
{
    static char text[FILE_MAX];
    size_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    while (fd >= 0 && n < sizeof text) {
        ssize_t got = read(fd, text + n, sizeof text - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    fd_close(&fd);
    return (struct str){text, n};
}

static struct str trim(struct str s)
{
    while (s.n && strchr(" \t\r\"'", s.p[0]))
        s = str_from(s, 1);
    while (s.n && strchr(" \t\r\"';", s.p[s.n - 1]))
        s.n--;
    return s;
}

/* "key = value" of a file like .npmrc or pip.conf; the last one counts. What npm would
 * expand ("${HOME}") is left out. */
static struct str setting(struct str text, const char *key)
{
    struct str value = {0};
    while (text.n) {
        ptrdiff_t end = str_find(text, '\n');
        struct str line = {text.p, end < 0 ? text.n : (size_t)end};
        text = str_from(text, line.n + 1);
        ptrdiff_t equals = str_find(line, '=');
        if (equals < 1 ||
            !str_eq(trim((struct str){line.p, (size_t)equals}), str_of(key)))
            continue;
        struct str v = trim(str_from(line, (size_t)equals + 1));
        if (!memmem(v.p, v.n, "${", 2))
            value = v;
    }
    return value;
}

/* A URL without its user and password. */
static void tell_url(const char *name, struct str url)
{
    char text[VALUE_MAX];
    const char *scheme = url.n ? memmem(url.p, url.n, "://", 3) : NULL;
    if (!scheme || url.n >= sizeof text)
        return;
    struct str rest = str_from(url, (size_t)(scheme - url.p) + 3);
    size_t authority = 0;
    while (authority < rest.n && !strchr("/?#", rest.p[authority]))
        authority++;
    const char *at = authority ? memrchr(rest.p, '@', authority) : NULL;
    struct str bare = at ? str_from(rest, (size_t)(at - rest.p) + 1) : rest;
    int n = snprintf(text, sizeof text, "%.*s://%.*s", (int)(scheme - url.p), url.p,
                     STR_FMT(bare));
    tell(name, (struct str){text, (size_t)n});
}

static void tell_url_of(const char *name, const char *from_variable,
                        struct str from_file)
{
    const char *value = variable(from_variable);
    tell_url(name, value ? str_of(value) : from_file);
}

static const char *keep(struct str s)
{
    static char kept[8][VALUE_MAX];
    static size_t count;
    if (s.n == 0 || s.n >= VALUE_MAX || count == 8)
        return NULL;
    memcpy(kept[count], s.p, s.n);
    kept[count][s.n] = '\0';
    return kept[count++];
}

static void read_npm(const char *path)
{
    struct str text = slurp(path), proxy = setting(text, "https-proxy");
    struct host_proxy_config *p = &found.proxy;
    if (proxy.n == 0)
        proxy = setting(text, "proxy");
    if (!p->https)
        p->https = keep(proxy);
    if (!p->no_proxy)
        p->no_proxy = keep(setting(text, "noproxy"));
    tell_url_of("npm_config_registry", "npm_config_registry",
                setting(text, "registry"));
}

static void read_pip(const char *path)
{
    struct str text = slurp(path);
    tell_url_of("PIP_INDEX_URL", "PIP_INDEX_URL", setting(text, "index-url"));
    tell_url_of("PIP_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL",
                setting(text, "extra-index-url"));
}

static bool is_told(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < found.env_count; i++)
        if (strncmp(told[i], name, n) == 0 && told[i][n] == '=')
            return true;
    return false;
}

/* The nearer file goes before. */
static void read_package_managers(const char *home)
{
    static const char *const npm[] = {"/.npmrc", NULL};
    static const char *const pip[] = {"/.config/pip/pip.conf", "/.pip/pip.conf", NULL};
    char path[PATH_MAX];
    for (int i = 0; home && npm[i] && !is_told("npm_config_registry"); i++) {
        snprintf(path, sizeof path, "%s%s", home, npm[i]);
        read_npm(path);
    }
    if (!is_told("npm_config_registry"))
        read_npm("/etc/npmrc");
    for (int i = 0; home && pip[i] && !is_told("PIP_INDEX_URL"); i++) {
        snprintf(path, sizeof path, "%s%s", home, pip[i]);
        read_pip(path);
    }
    if (!is_told("PIP_INDEX_URL"))
        read_pip("/etc/pip.conf");
}

/* Acquire::http::Proxy "http://..."; of one file */
static struct str apt_proxy(struct str text)
{
    static const struct str key = STR_INIT("Acquire::http::Proxy ");
    struct str value = {0};
    while (text.n) {
        ptrdiff_t end = str_find(text, '\n');
        struct str line = trim((struct str){text.p, end < 0 ? text.n : (size_t)end});
        text = end < 0 ? (struct str){0} : str_from(text, (size_t)end + 1);
        if (str_starts(line, key))
            value = trim(str_from(line, key.n));
    }
    return str_eq(value, STR("DIRECT")) ? (struct str){0} : value;
}

static void read_apt(void)
{
    static const char place[] = "/etc/apt/apt.conf.d";
    struct dirent **entries = NULL;
    int count = scandir(place, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", place, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && !found.proxy.apt)
            found.proxy.apt = keep(apt_proxy(slurp(path)));
        free(entries[i]); /* allowed: scandir() */
    }
    free(entries); /* allowed: scandir() */
    if (!found.proxy.apt)
        found.proxy.apt = keep(apt_proxy(slurp("/etc/apt/apt.conf")));
}

/* Is the file there inside as well? */
static bool seen_inside(const char *path)
{
    static const char *const places[] = {"/etc/ssl/certs", "/etc/pki/", "/usr/"};
    if (strncmp(path, "/usr/local/etc", 14) == 0 || strstr(path, "/../"))
        return false;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (strncmp(path, places[i], strlen(places[i])) == 0)
            return access(path, R_OK) == 0;
    return false;
}

/* Where the host's user trusts more than the usual authorities. */
static void tell_certificates(void)
{
    static const char *const names[] = {
        "SSL_CERT_FILE", "SSL_CERT_DIR",      "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE",
        "PIP_CERT",      "CARGO_HTTP_CAINFO", "GIT_SSL_CAINFO",
    };
    static const char *const system_bundles[] = {"/etc/ssl/certs/ca-certificates.crt",
                                                 "/etc/pki/tls/certs/ca-bundle.crt"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *path = variable(names[i]);
        if (path && seen_inside(path))
            tell(names[i], str_of(path));
    }
    const char *node = variable("NODE_EXTRA_CA_CERTS");
    if (!node || !seen_inside(node))
        return;
    /* It costs each start of node 40 ms; to trust the system's bundle costs nothing. */
    for (size_t i = 0; i < sizeof system_bundles / sizeof system_bundles[0]; i++)
        if (strcmp(node, system_bundles[i]) == 0) {
            tell("NODE_OPTIONS", STR("--use-openssl-ca"));
            if (!is_told("SSL_CERT_FILE"))
                tell("SSL_CERT_FILE", str_of(node));
            return;
        }
    tell("NODE_EXTRA_CA_CERTS", str_of(node));
}

const struct host_network *host_network_find(void)
{
    static const char *const http[] = {"http_proxy", "HTTP_PROXY", "all_proxy",
                                       "ALL_PROXY", NULL};
    static const char *const https[] = {"https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY", NULL};
    static const char *const except[] = {"no_proxy", "NO_PROXY", NULL};
    if (found.env)
        return &found;
    found.env = told;
    found.proxy = (struct host_proxy_config){
        .http = first_of(http), .https = first_of(https), .no_proxy = first_of(except)};
    tell_certificates();
    read_package_managers(variable("HOME"));
    if (!found.proxy.http)
        read_apt();
    return &found;
}
