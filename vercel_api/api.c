/* The server: who may ask, where a request goes, and how long it lives. */
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/module.h"
#include "base/sha256.h"
#include "vercel_api/domain.h"
#include "vercel_api/drives.h"
#include "vercel_api/private.h"
#include "vercel_api/pty.h"
#include "vercel_api/snapshots.h"
#include "vercel_api/store.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>

enum { BODY_MAX = 128 * 1024 * 1024 };

uint64_t api_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void api_new_id(char *to, const char *prefix, int n, enum id_letters letters)
{
    static const char all[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    unsigned base = letters == ID_HEX ? 16 : letters == ID_BASE36 ? 36 : 62;
    size_t at = strlen(prefix);
    unsigned char random[API_ID_MAX];
    if (getrandom(random, (size_t)n, 0) != n)
        abort(); /* no randomness, no ids */
    memcpy(to, prefix, at);
    for (int i = 0; i < n; i++)
        to[at++] = all[random[i] % base];
    to[at] = '\0';
}

void request_hold(struct request *r)
{
    r->holds++;
}

static void free_if_over(struct request *r)
{
    if (r->ex || r->holds)
        return;
    *r->at = r->next;
    if (r->next)
        r->next->at = r->at;
    arena_finish(&r->arena);
    mem_free(r);
}

void request_drop(struct request *r)
{
    r->holds--;
    free_if_over(r);
}

struct str request_arg(const struct request *r, const char *key)
{
    struct str value = http_arg(&r->ex->head, str_of(key));
    return value.n ? value : (struct str){0};
}

bool request_arg_is(const struct request *r, const char *key, const char *value)
{
    return str_eq(request_arg(r, key), str_of(value));
}

struct str request_project(struct request *r)
{
    struct str project = json_str(json_get(r->body, STR("projectId")), &r->arena);
    if (!project.n)
        project = request_arg(r, "projectId");
    if (!project.n)
        project = request_arg(r, "project");
    return project;
}

static int authenticate(const struct vercel_api *api, const struct http_head *head,
                        struct http_refusal *refusal)
{
    struct str token = http_bearer(head);
    if (!token.n) {
        http_refuse(refusal, HTTP_UNAUTHORIZED,
                    "A token is required: Authorization: Bearer TOKEN");
        refusal->code = "unauthorized";
        return -1;
    }
    unsigned char digest[SHA256_SIZE];
    struct sha256 hash;
    sha256_init(&hash);
    sha256_add(&hash, token);
    sha256_end(&hash, digest);
    if (api->any_token || sha256_same(digest, api->token, sizeof digest))
        return 0;
    http_refuse(refusal, HTTP_FORBIDDEN, "Not authorized");
    refusal->code = "forbidden";
    return -1;
}

static struct request *request_new(struct vercel_api *api, struct http_exchange *ex)
{
    struct request *r = mem_new(struct request);
    r->api = api;
    r->ex = ex;
    r->next = api->requests;
    r->at = &api->requests;
    if (r->next)
        r->next->at = &r->next;
    api->requests = r;
    ex->app = r;
    return r;
}

static int on_request(void *ctx, struct http_exchange *ex, struct http_refusal *refusal)
{
    struct vercel_api *api = ctx;
    struct route route;
    if (route_find(ex->head.method == HTTP_HEAD ? HTTP_GET : ex->head.method,
                   ex->head.path, &route, refusal) < 0)
        return -1;
    if (route.endpoint != HEALTH && authenticate(api, &ex->head, refusal) < 0)
        return -1;
    request_new(api, ex)->route = route;
    return 0;
}

typedef void endpoint_fn(struct request *r);

static endpoint_fn *const endpoints[ENDPOINTS] = {
    [USER_GET] = account_answer,
    [TEAM_LIST] = account_answer,
    [TEAM_GET] = account_answer,
    [PROJECT_GET] = account_answer,
    [PROJECT_MAKE] = account_answer,
    [HEALTH] = account_answer,
    [SANDBOX_MAKE] = sandbox_make,
    [SANDBOX_LIST] = sandbox_list_page,
    [SANDBOX_GET] = sandbox_show,
    [SANDBOX_UPDATE] = sandbox_change,
    [SANDBOX_DELETE] = sandbox_remove,
    [SANDBOX_FORK] = sandbox_copy,
    [SESSION_LIST] = session_list_page,
    [SESSION_GET] = session_show,
    [SESSION_STOP] = session_stop,
    [SESSION_EXTEND] = session_extend,
    [SESSION_NETWORK] = session_network,
    [SESSION_SNAPSHOT] = session_snapshot,
    [SESSION_INTERACTIVE] = session_interactive,
    [COMMAND_RUN] = api_command_run,
    [COMMAND_LIST] = api_command_list,
    [COMMAND_GET] = api_command_get,
    [COMMAND_LOGS] = api_command_logs,
    [COMMAND_KILL] = api_command_kill,
    [FILE_WRITE] = fs_write,
    [FILE_READ] = fs_read,
    [DIR_MAKE] = fs_mkdir,
    [SNAPSHOT_LIST] = snapshot_list_page,
    [SNAPSHOT_TREE] = snapshot_tree,
    [SNAPSHOT_GET] = snapshot_show,
    [SNAPSHOT_DELETE] = snapshot_remove,
    [DRIVE_LIST] = drive_list_page,
    [DRIVE_GET] = drive_show,
    [DRIVE_MAKE] = drive_make,
    [DRIVE_DELETE] = drive_remove,
};

/* -1: answered. */
static int parse_body(struct request *r)
{
    struct err err;
    struct str text = buf_str(&r->ex->body);
    if (text.n == 0 || r->route.endpoint == FILE_WRITE)
        return 0;
    if (text.n > API_JSON_MAX) {
        api_fail(r, HTTP_TOO_LARGE, "bad_request",
                 "Invalid request: the body is over %d bytes", API_JSON_MAX);
        return -1;
    }
    text = arena_dup(&r->arena, text);
    if (json_parse(&r->doc, &r->arena, text, &err) < 0) {
        api_fail(r, HTTP_BAD_REQUEST, "bad_request", "Invalid request: %s", err.msg);
        return -1;
    }
    r->body = json_root(&r->doc);
    if (json_type(r->body) == JSON_OBJECT)
        return 0;
    api_fail(r, HTTP_BAD_REQUEST, "bad_request",
             "Invalid request: the body should be an object");
    return -1;
}

static void on_body_end(void *ctx, struct http_exchange *ex)
{
    (void)ctx;
    struct request *r = ex->app;
    request_hold(r);
    if (parse_body(r) == 0)
        endpoints[r->route.endpoint](r);
    request_drop(r);
}

static void on_drained(void *ctx, struct http_exchange *ex)
{
    (void)ctx;
    struct request *r = ex->app;
    if (r->drained)
        r->drained(r);
}

static void on_release(void *ctx, struct http_exchange *ex)
{
    (void)ctx;
    struct request *r = ex->app;
    if (!r)
        return;
    ex->app = NULL;
    if (r->gone)
        r->gone(r);
    r->ex = NULL;
    free_if_over(r);
}

static void on_write_refusal(void *ctx, struct buf *to, const struct http_refusal *r)
{
    (void)ctx;
    api_write_error(to,
                    r->code                       ? r->code
                    : r->status == HTTP_NOT_FOUND ? "not_found"
                                                  : "bad_request",
                    str_of(r->message));
}

static const struct http_app app = {
    .request = on_request,
    .body_end = on_body_end,
    .drained = on_drained,
    .release = on_release,
    .write_refusal = on_write_refusal,
    .upgrade = pty_upgrade,
    .socket_open = pty_open,
    .socket_receive = pty_receive,
    .socket_writable = pty_writable,
    .socket_release = pty_release,
    .is_tunnel = domain_is,
    .tunnel = domain_visit,
};

static void on_stopped(void *ctx)
{
    struct vercel_api *api = ctx;
    api->config.stopped(api->config.ctx);
}

static void server_free(struct vercel_api *api)
{
    if (!api)
        return;
    api->finishing = true;
    domains_free(api);
    http_server_free(api->http);
    while (api->records)
        record_free(api->records);
    while (api->requests) {
        struct request *r = api->requests;
        r->holds = 0;
        r->ex = NULL;
        free_if_over(r);
    }
    snapshots_free(api);
    drives_free(api);
    pty_tickets_free(api);
    fd_close(&api->drives_dir);
    fd_close(&api->drive_records_dir);
    fd_close(&api->snapshots_dir);
    fd_close(&api->records_dir);
    fd_close(&api->state_dir);
    mem_free(api);
}

static int start_listening(struct vercel_api *api, struct err *err)
{
    const struct vercel_api_config *config = &api->config;
    struct http_server_config http = {
        .app = &app,
        .ctx = api,
        .addresses = config->addresses,
        .address_count = config->address_count,
        .hosts = config->hosts,
        .host_count = config->host_count,
        .tls_cert = config->tls_cert,
        .tls_key = config->tls_key,
        .protocol = "",
        .chunked_bodies = true,
        .stopped = on_stopped,
    };
    http_limits_default(&http.limits);
    http.limits.body_bytes = BODY_MAX;
    return http_server_new(&api->http, api->loop, &http, err);
}

static int open_state(struct vercel_api *api, struct err *err)
{
    if (store_dir(AT_FDCWD, api->config.state_dir, &api->state_dir, err) < 0 ||
        store_dir(api->state_dir, "records", &api->records_dir, err) < 0 ||
        store_dir(api->state_dir, "snapshot-records", &api->snapshots_dir, err) < 0)
        return -1;
    if (flock(api->records_dir, LOCK_EX | LOCK_NB) < 0) {
        err_set(err, ERR_CONFLICT, "another sandquay vercel-api uses %s",
                api->config.state_dir);
        return err_remedy(err, "end it, or give this one its own --state-dir");
    }
    snapshots_load(api);
    records_load(api);
    return drives_open(api, err);
}

static int server_new(struct vercel_api **ret_api, struct loop *loop,
                      const struct vercel_api_config *config, struct err *err)
{
    struct vercel_api *api = mem_new(struct vercel_api);
    struct sha256 hash;
    api->config = *config;
    api->loop = loop;
    api->set = config->sandboxes;
    api->any_token = config->token.n == 0;
    api->state_dir = api->records_dir = api->snapshots_dir = -1;
    api->drives_dir = api->drive_records_dir = -1;
    sha256_init(&hash);
    sha256_add(&hash, config->token);
    sha256_end(&hash, api->token);
    if (open_state(api, err) < 0 || start_listening(api, err) < 0) {
        server_free(api);
        return -1;
    }
    *ret_api = api;
    return 0;
}

static const char *server_address(const struct vercel_api *api, size_t i)
{
    return http_server_address(api->http, i);
}

static const struct vercel_api_entries entries = {
    .server_new = server_new,
    .server_free = server_free,
    .server_address = server_address,
};
MODULE_EXPORT("vercel-api", &entries);
