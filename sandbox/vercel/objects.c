#include "sandbox/vercel/objects.h"

static int64_t number(struct json v, struct str key)
{
    int64_t value = 0;
    json_i64(json_get(v, key), &value);
    return value;
}

static int missing(const char *what, struct err *err)
{
    err_set(err, ERR_PROTOCOL, "the API's answer has no usable %s", what);
    return err_remedy(err, "try again; if it stays, check VERCEL_SANDBOX_API_URL");
}

/* An id goes into paths: what would change one is not an id. */
static bool is_id(struct str s)
{
    bool ok = s.n > 0 && s.n <= VERCEL_ID_MAX;
    for (size_t i = 0; i < s.n && ok; i++) {
        char c = s.p[i];
        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
             (c >= '0' && c <= '9') || c == '_' || c == '-';
    }
    return ok;
}

/* A status that is not known (yet) is neither usable nor gone. */
static enum sandbox_status status_of(struct json v)
{
    for (int s = SANDBOX_RUNNING; s <= SANDBOX_ABORTED; s++)
        if (json_str_is(v, str_of(sandbox_status_name((enum sandbox_status)s))))
            return (enum sandbox_status)s;
    return SANDBOX_PENDING;
}

int vercel_read_session(struct json v, struct arena *a, struct vercel_session *ret,
                        struct err *err)
{
    struct vercel_session s = {
        .id = json_str(json_get(v, STR("id")), a),
        .cwd = json_str(json_get(v, STR("cwd")), a),
        .status = status_of(json_get(v, STR("status"))),
        .timeout_ms = number(v, STR("timeout")),
        .started_ms = number(v, STR("startedAt")),
        .vcpus = number(v, STR("vcpus")),
        .memory_mb = number(v, STR("memory")),
    };
    if (!is_id(s.id))
        return missing("session id", err);
    *ret = s;
    return 0;
}

int vercel_read_sandbox(struct json v, struct arena *a, struct vercel_sandbox *ret,
                        struct err *err)
{
    struct vercel_sandbox s = {
        .name = json_str(json_get(v, STR("name")), a),
        .session = json_str(json_get(v, STR("currentSessionId")), a),
        .snapshot = json_str(json_get(v, STR("currentSnapshotId")), a),
        .image = json_str(json_get(v, STR("image")), a),
        .status = status_of(json_get(v, STR("status"))),
        .persistent = json_is_true(json_get(v, STR("persistent"))),
        .created_ms = number(v, STR("createdAt")),
        .updated_ms = number(v, STR("updatedAt")),
        .expires_ms = number(v, STR("expiresAt")),
        .timeout_ms = number(v, STR("timeout")),
        .vcpus = number(v, STR("vcpus")),
        .memory_mb = number(v, STR("memory")),
        .tags = json_get(v, STR("tags")),
    };
    if (!is_id(s.name))
        return missing("sandbox name", err);
    *ret = s;
    return 0;
}

size_t vercel_read_routes(struct json list, struct arena *a,
                          struct vercel_route ret_routes[VERCEL_ROUTES_MAX])
{
    size_t n = 0;
    for (struct json r = json_first(list); json_present(r) && n < VERCEL_ROUTES_MAX;
         r = json_next(r)) {
        int64_t port = number(r, STR("port"));
        if (port < 1 || port > UINT16_MAX || json_is_true(json_get(r, STR("system"))))
            continue;
        ret_routes[n++] = (struct vercel_route){
            .url = json_str(json_get(r, STR("url")), a), .port = (uint16_t)port};
    }
    return n;
}

int vercel_read_opened(struct json v, struct arena *a, struct vercel_opened *ret_opened,
                       struct err *err)
{
    struct vercel_opened opened = {.resumed =
                                       json_is_true(json_get(v, STR("resumed")))};
    if (vercel_read_sandbox(json_get(v, STR("sandbox")), a, &opened.sandbox, err) < 0 ||
        vercel_read_session(json_get(v, STR("session")), a, &opened.session, err) < 0)
        return -1;
    opened.route_count =
        vercel_read_routes(json_get(v, STR("routes")), a, opened.routes);
    *ret_opened = opened;
    return 0;
}

int vercel_read_command(struct json v, struct arena *a, struct vercel_command *ret,
                        struct err *err)
{
    int64_t code = 0;
    struct vercel_command c = {
        .id = json_str(json_get(v, STR("id")), a),
        .session = json_str(json_get(v, STR("sessionId")), a),
        .args = json_get(v, STR("args")),
        .running = !json_i64(json_get(v, STR("exitCode")), &code),
        .started_ms = number(v, STR("startedAt")),
        .duration_ms = number(v, STR("durationMs")),
    };
    if (!is_id(c.id))
        return missing("command id", err);
    c.exit_code = (int)(code & 0xff);
    *ret = c;
    return 0;
}

int vercel_read_snapshot(struct json v, struct arena *a, struct vercel_snapshot *ret,
                         struct err *err)
{
    struct vercel_snapshot s = {
        .id = json_str(json_get(v, STR("id")), a),
        .session = json_str(json_get(v, STR("sourceSessionId")), a),
        .status = json_str(json_get(v, STR("status")), a),
        .created_ms = number(v, STR("createdAt")),
        .expires_ms = number(v, STR("expiresAt")),
        .size_bytes = number(v, STR("sizeBytes")),
    };
    if (!is_id(s.id))
        return missing("snapshot id", err);
    *ret = s;
    return 0;
}

struct vercel_refusal vercel_read_refusal(struct json v, struct arena *a)
{
    struct json e = json_get(v, STR("error"));
    return (struct vercel_refusal){
        .code = json_str(json_get(e, STR("code")), a),
        .message = json_str(json_get(e, STR("message")), a),
    };
}

struct str vercel_next_page(struct json v, struct arena *a)
{
    return json_str(json_get(json_get(v, STR("pagination")), STR("next")), a);
}
