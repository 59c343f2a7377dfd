#include "vercel_api/route.h"

/* "*" is a part of the path that is given to the endpoint. */
static const struct row {
    enum http_method method;
    const char *path;
    enum endpoint endpoint;
} rows[] = {
    {HTTP_GET, "/health", HEALTH},
    {HTTP_GET, "/v2/user", USER_GET},
    {HTTP_GET, "/v2/teams", TEAM_LIST},
    {HTTP_GET, "/v2/teams/*", TEAM_GET},
    {HTTP_GET, "/v2/projects/*", PROJECT_GET},
    {HTTP_GET, "/v9/projects/*", PROJECT_GET},
    {HTTP_POST, "/v11/projects", PROJECT_MAKE},

    {HTTP_POST, "/v2/sandboxes", SANDBOX_MAKE},
    {HTTP_POST, "/v3/sandboxes", SANDBOX_MAKE},
    {HTTP_POST, "/v4/sandboxes", SANDBOX_MAKE},
    {HTTP_GET, "/v2/sandboxes", SANDBOX_LIST},

    {HTTP_GET, "/v2/sandboxes/sessions", SESSION_LIST},
    {HTTP_GET, "/v2/sandboxes/sessions/*", SESSION_GET},
    {HTTP_POST, "/v2/sandboxes/sessions/*/stop", SESSION_STOP},
    {HTTP_POST, "/v2/sandboxes/sessions/*/extend-timeout", SESSION_EXTEND},
    {HTTP_POST, "/v2/sandboxes/sessions/*/network-policy", SESSION_NETWORK},
    {HTTP_POST, "/v2/sandboxes/sessions/*/snapshot", SESSION_SNAPSHOT},
    {HTTP_POST, "/v3/sandboxes/sessions/*/snapshot", SESSION_SNAPSHOT},
    {HTTP_POST, "/v2/sandboxes/sessions/*/interactive", SESSION_INTERACTIVE},
    {HTTP_POST, "/v2/sandboxes/sessions/*/cmd", COMMAND_RUN},
    {HTTP_GET, "/v2/sandboxes/sessions/*/cmd", COMMAND_LIST},
    {HTTP_GET, "/v2/sandboxes/sessions/*/cmd/*", COMMAND_GET},
    {HTTP_GET, "/v2/sandboxes/sessions/*/cmd/*/logs", COMMAND_LOGS},
    {HTTP_POST, "/v2/sandboxes/sessions/*/cmd/*/kill", COMMAND_KILL},
    {HTTP_POST, "/v2/sandboxes/sessions/*/fs/write", FILE_WRITE},
    {HTTP_POST, "/v2/sandboxes/sessions/*/fs/read", FILE_READ},
    {HTTP_POST, "/v2/sandboxes/sessions/*/fs/mkdir", DIR_MAKE},

    {HTTP_GET, "/v2/sandboxes/snapshots", SNAPSHOT_LIST},
    {HTTP_GET, "/v2/sandboxes/snapshots/tree", SNAPSHOT_TREE},
    {HTTP_GET, "/v2/sandboxes/snapshots/*", SNAPSHOT_GET},
    {HTTP_DELETE, "/v2/sandboxes/snapshots/*", SNAPSHOT_DELETE},

    {HTTP_GET, "/v2/sandboxes/drives", DRIVE_LIST},
    {HTTP_GET, "/v2/sandboxes/drives/*", DRIVE_GET},
    {HTTP_POST, "/v2/sandboxes/drives/*", DRIVE_MAKE},
    {HTTP_DELETE, "/v2/sandboxes/drives/*", DRIVE_DELETE},

    /* after what cannot be a sandbox's name */
    {HTTP_GET, "/v2/sandboxes/*", SANDBOX_GET},
    {HTTP_PATCH, "/v2/sandboxes/*", SANDBOX_UPDATE},
    {HTTP_DELETE, "/v2/sandboxes/*", SANDBOX_DELETE},
    {HTTP_POST, "/v2/sandboxes/*/fork", SANDBOX_FORK},
    {HTTP_POST, "/v3/sandboxes/*/fork", SANDBOX_FORK},
};

/* The part of the path before the next slash. */
static struct str next_part(struct str *rest)
{
    ptrdiff_t slash = str_find(*rest, '/');
    struct str part = {rest->p, slash < 0 ? rest->n : (size_t)slash};
    *rest = slash < 0 ? (struct str){0} : str_from(*rest, (size_t)slash + 1);
    return part;
}

static bool matches(const char *pattern, struct str path, struct str ids[2])
{
    struct str wanted = str_from(str_of(pattern), 1), given = str_from(path, 1);
    int id = 0;
    do {
        struct str part = next_part(&given);
        struct str want = next_part(&wanted);
        if (!str_eq(want, STR("*"))) {
            if (!str_eq(part, want))
                return false;
        } else if (part.n == 0) {
            return false;
        } else {
            ids[id++] = part;
        }
    } while (wanted.p && given.p);
    return !wanted.p && !given.p;
}

int route_find(enum http_method method, struct str path, struct route *ret_route,
               struct http_refusal *refusal)
{
    bool known = false;
    if (str_starts(path, STR("/api/")))
        path = str_from(path, 4);
    if (path.n > 1 && path.p[0] == '/')
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            struct route route = {.endpoint = rows[i].endpoint};
            if (!matches(rows[i].path, path, route.ids))
                continue;
            known = true;
            if (rows[i].method != method)
                continue;
            *ret_route = route;
            return 0;
        }
    if (known)
        return http_refuse(refusal, HTTP_METHOD_NOT_ALLOWED,
                           "This method is not allowed here");
    return http_refuse(refusal, HTTP_NOT_FOUND, "There is no such endpoint");
}
