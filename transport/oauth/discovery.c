#include "transport/oauth/discovery.h"
#include "base/json.h"
#include "base/json_write.h"
#include "transport/connector.h"
#include <stdio.h>
#include <strings.h>

static const char resource_place[] = "/.well-known/oauth-protected-resource";

enum {
    URL_GIVEN_MAX = DISCOVERY_URL_MAX - 128
}; /* with a place added, it still fits */

int discovery_check_url(const char *url, const char *what, struct err *err)
{
    bool https = strncasecmp(url, "https://", 8) == 0;
    bool http = strncasecmp(url, "http://", 7) == 0;
    const char *host = strstr(url, "//");
    bool clean = strlen(url) <= URL_GIVEN_MAX && !strpbrk(url, "?#@\\\"");
    for (const char *p = url; *p; p++)
        clean &= *p > ' ' && *p < 0x7f;
    if ((!https && !http) || !host[2] || host[2] == '/' || host[2] == ':' || !clean) {
        err_set(err, ERR_INVALID, "%s is not a URL like https://auth.example.com/path",
                what);
        return err_remedy(err, "an absolute URL without user, query and fragment");
    }
    if (http && !connector_is_local(url)) {
        err_set(err, ERR_INVALID, "%s must be an https URL", what);
        return err_remedy(err, "http is for this machine alone (127.0.0.1, localhost)");
    }
    return 0;
}

const char *discovery_path(const char *url)
{
    const char *host = strstr(url, "//") + 2;
    return host + strcspn(host, "/");
}

bool discovery_place(const char *issuer, size_t i, char ret_url[DISCOVERY_URL_MAX])
{
    const char *path = discovery_path(issuer);
    int origin_n = (int)(path - issuer), path_n = (int)strlen(path);
    if (path_n && path[path_n - 1] == '/')
        path_n--;
    if (i == 2 && path_n)
        snprintf(ret_url, DISCOVERY_URL_MAX,
                 "%.*s%.*s/.well-known/openid-configuration", origin_n, issuer, path_n,
                 path);
    else if (i < 2)
        snprintf(ret_url, DISCOVERY_URL_MAX, "%.*s/.well-known/%s%.*s", origin_n,
                 issuer, i ? "openid-configuration" : "oauth-authorization-server",
                 path_n, path);
    else
        return false;
    return true;
}

static int take_uri(struct json uri, char ret_jwks_uri[DISCOVERY_URL_MAX],
                    struct err *err)
{
    struct arena a = {0};
    struct str s = json_str(uri, &a);
    bool fits = s.n > 0 && s.n < DISCOVERY_URL_MAX && !memchr(s.p, '\0', s.n);
    if (fits) {
        memcpy(ret_jwks_uri, s.p, s.n);
        ret_jwks_uri[s.n] = '\0';
    }
    arena_finish(&a);
    if (!fits)
        return err_set(err, ERR_PROTOCOL, "the issuer's metadata has no jwks_uri");
    return discovery_check_url(ret_jwks_uri, "the jwks_uri of the issuer", err);
}

int discovery_parse(struct str text, const char *issuer,
                    char ret_jwks_uri[DISCOVERY_URL_MAX], struct err *err)
{
    struct arena a = {0};
    struct json_doc doc;
    int rc = json_parse(&doc, &a, text, err);
    struct json named =
        rc < 0 ? (struct json){0} : json_get(json_root(&doc), STR("issuer"));
    if (rc < 0 || json_type(named) != JSON_STRING) {
        rc = err_set(err, ERR_PROTOCOL, "it is not the metadata of an OAuth issuer");
    } else if (!json_str_is(named, str_of(issuer))) {
        struct str other = json_str(named, &a);
        rc = err_set(err, ERR_PROTOCOL, "the issuer there calls itself \"%.*s\"",
                     (int)(other.n > 160 ? 160 : other.n), other.p);
        err_remedy(err, "give --oauth-issuer exactly that, if it is the one");
    } else {
        rc = take_uri(json_get(json_root(&doc), STR("jwks_uri")), ret_jwks_uri, err);
    }
    arena_finish(&a);
    return rc;
}

void discovery_resource_place(const char *resource, char ret_url[DISCOVERY_URL_MAX])
{
    const char *path = discovery_path(resource);
    snprintf(ret_url, DISCOVERY_URL_MAX, "%.*s%s%s", (int)(path - resource), resource,
             resource_place, strcmp(path, "/") == 0 ? "" : path);
}

void discovery_write_resource(struct buf *to, const char *resource, const char *issuer,
                              const char *scope)
{
    struct json_writer w;
    jw_init(&w, to);
    jw_object(&w);
    jw_key_cstr(&w, "resource", resource);
    jw_key(&w, "authorization_servers");
    jw_array(&w);
    jw_cstr(&w, issuer);
    jw_end_array(&w);
    if (scope) {
        jw_key(&w, "scopes_supported");
        jw_array(&w);
        for (size_t n; *scope; scope += n) {
            n = strspn(scope, " ");
            scope += n;
            n = strcspn(scope, " ");
            if (n)
                jw_str(&w, (struct str){scope, n});
        }
        jw_end_array(&w);
    }
    jw_key(&w, "bearer_methods_supported");
    jw_array(&w);
    jw_cstr(&w, "header");
    jw_end_array(&w);
    jw_key_cstr(&w, "resource_name", "sandquay");
    jw_end_object(&w);
}
