#include "vercel_api/drives.h"
#include "base/log.h"
#include "base/mem.h"
#include "vercel_api/store.h"
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#define SIZE_DEFAULT (1ULL << 40) /* 1 TiB, as a paid plan has it */
#define SIZE_MOST (16ULL << 40)

enum { DRIVES_MAX = 1000 };

static void save(const struct drive *d)
{
    struct store_out out;
    store_begin(&out);
    struct json_writer *w = &out.w;
    jw_key_cstr(w, "name", d->name);
    jw_key_cstr(w, "project", d->project);
    jw_key_cstr(w, "region", d->region);
    jw_key_i64(w, "maxSize", (int64_t)d->max_bytes);
    jw_key_i64(w, "created", (int64_t)d->created_ms);
    jw_key_i64(w, "updated", (int64_t)d->updated_ms);
    store_end(&out, d->api->drive_records_dir, d->id);
}

/* Those that were made first are in front. */
static struct drive *add(struct vercel_api *api)
{
    struct drive *d = mem_new(struct drive), **at = &api->drives;
    while (*at)
        at = &(*at)->next;
    d->api = api;
    *at = d;
    return d;
}

static void drive_free(struct drive *d)
{
    struct drive **at = &d->api->drives;
    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    mem_free(d->project);
    mem_free(d->region);
    mem_free(d);
}

static void load(void *ctx, const char *id, struct json v, struct arena *a)
{
    struct drive *d = add(ctx);
    snprintf(d->id, sizeof d->id, "%s", id);
    STORE_TEXT(d->name, v, "name", a);
    record_text(&d->project, json_str(json_get(v, STR("project")), a));
    record_text(&d->region, json_str(json_get(v, STR("region")), a));
    d->max_bytes = store_number(v, "maxSize");
    d->created_ms = store_number(v, "created");
    d->updated_ms = store_number(v, "updated");
}

int drives_open(struct vercel_api *api, struct err *err)
{
    if (store_dir(api->state_dir, "drive-records", &api->drive_records_dir, err) < 0 ||
        store_dir(api->state_dir, "drives", &api->drives_dir, err) < 0)
        return -1;
    store_each(api->drive_records_dir, load, api);
    return 0;
}

void drives_free(struct vercel_api *api)
{
    while (api->drives)
        drive_free(api->drives);
}

static struct drive *find(struct vercel_api *api, struct str project, struct str name)
{
    for (struct drive *d = api->drives; d; d = d->next)
        if (str_eq(str_of(d->project), project) &&
            (str_eq(str_of(d->name), name) || str_eq(str_of(d->id), name)))
            return d;
    return NULL;
}

/* Mounts */

static bool is_snapshot(struct json mount)
{
    struct json mode = json_get(mount, STR("mode"));
    return json_str_is(mode, STR("snapshot")) || json_str_is(mode, STR("read-only"));
}

static bool lies_in(struct str path, struct str dir)
{
    return str_starts(path, dir) && (path.n == dir.n || path.p[dir.n] == '/');
}

static int bad_path(struct str path, const char *why, struct err *err)
{
    return err_set(err, ERR_INVALID, "`mounts`: %.*s %s",
                   (int)(path.n > 150 ? 150 : path.n), path.p, why);
}

static int check_mount(struct json mounts, struct json key, struct arena *a,
                       struct err *err)
{
    struct json v = json_value(key), mode = json_get(v, STR("mode"));
    struct str path = json_str(key, a);
    if (path.n < 2 || path.p[0] != '/' || path.n > SANDBOX_PATH_MAX)
        return bad_path(path, "should be an absolute path", err);
    if (json_type(v) != JSON_OBJECT ||
        json_type(json_get(v, STR("drive"))) != JSON_STRING)
        return bad_path(path, "should have the name of a drive as `drive`", err);
    if (json_present(mode) && !is_snapshot(v) && !json_str_is(mode, STR("read-write")))
        return bad_path(path, "should have the `mode` read-write or snapshot", err);
    for (struct json o = json_first(mounts); json_present(o); o = json_next(o))
        if (o.i != key.i && lies_in(path, json_str(o, a)))
            return bad_path(path, "lies in another one", err);
    return 0;
}

int drives_check_mounts(struct json mounts, struct arena *a, struct err *err)
{
    if (!json_present(mounts) || json_type(mounts) == JSON_NULL)
        return 0;
    if (json_type(mounts) != JSON_OBJECT || json_len(mounts) > DRIVE_MOUNTS_MAX)
        return err_set(err, ERR_INVALID,
                       "`mounts` should be an object of at most %d drives",
                       DRIVE_MOUNTS_MAX);
    for (struct json k = json_first(mounts); json_present(k); k = json_next(k))
        if (check_mount(mounts, k, a, err) < 0)
            return -1;
    return 0;
}

/* Of a record or a session: they have been checked. */
static struct json read_mounts(const char *mounts, struct json_doc *doc,
                               struct arena *a)
{
    struct err err;
    if (!mounts || json_parse(doc, a, str_of(mounts), &err) < 0)
        return (struct json){0};
    return json_root(doc);
}

static struct drive *drive_of(const struct record *rec, struct json key,
                              struct arena *a)
{
    struct str name = json_str(json_get(json_value(key), STR("drive")), a);
    return find(rec->api, str_of(rec->project), name);
}

size_t drives_mounts(const struct session *s, struct arena *a,
                     struct sandbox_mount mounts[DRIVE_MOUNTS_MAX])
{
    const struct record *rec = s->record;
    struct json_doc doc;
    size_t n = 0;
    struct json all = read_mounts(s->mounts, &doc, a);
    for (struct json k = json_first(all); json_present(k) && n < DRIVE_MOUNTS_MAX;
         k = json_next(k)) {
        const struct drive *d = drive_of(rec, k, a);
        struct buf host;
        if (!d)
            continue; /* drives_admit() has looked */
        buf_init(&host, SANDBOX_PATH_MAX);
        buf_addf(&host, "%s/drives/%s", rec->api->config.state_dir, d->id);
        mounts[n++] = (struct sandbox_mount){.host = arena_dup(a, buf_str(&host)),
                                             .inside = json_str(k, a),
                                             .readonly = is_snapshot(json_value(k))};
        buf_finish(&host);
    }
    return n;
}

void drives_write_mounts(struct json_writer *w, const struct record *rec)
{
    struct arena a = {0};
    struct json_doc doc;
    struct json all = read_mounts(rec->mounts, &doc, &a);
    if (json_present(all)) {
        jw_key(w, "mounts");
        jw_object(w);
        for (struct json k = json_first(all); json_present(k); k = json_next(k)) {
            jw_key_any(w, json_str(k, &a));
            jw_object(w);
            jw_key_str(w, "drive", json_str(json_get(json_value(k), STR("drive")), &a));
            jw_key_cstr(w, "mode",
                        is_snapshot(json_value(k)) ? "snapshot" : "read-write");
            jw_end_object(w);
        }
        jw_end_object(w);
    }
    arena_finish(&a);
}

static bool is_live(const struct session *s)
{
    return s && (s->status == SANDBOX_RUNNING || s->status == SANDBOX_PENDING ||
                 s->status == SANDBOX_STOPPING || s->status == SANDBOX_SNAPSHOTTING);
}

/* A sandbox other than `but` that has it mounted now, and whether it writes. */
static const struct record *user_of(const struct drive *d, const struct record *but,
                                    bool writers_only, bool *ret_writes)
{
    for (const struct record *rec = d->api->records; rec; rec = rec->next) {
        struct arena a = {0};
        struct json_doc doc;
        bool uses = false;
        if (rec == but || !is_live(rec->current))
            continue;
        struct json all = read_mounts(rec->current->mounts, &doc, &a);
        for (struct json k = json_first(all); json_present(k) && !uses;
             k = json_next(k)) {
            *ret_writes = !is_snapshot(json_value(k));
            uses = drive_of(rec, k, &a) == d && (*ret_writes || !writers_only);
        }
        arena_finish(&a);
        if (uses)
            return rec;
    }
    return NULL;
}

static int admit(struct request *r, const struct record *rec, struct json key,
                 struct arena *a)
{
    struct str name = json_str(json_get(json_value(key), STR("drive")), a);
    const struct drive *d = drive_of(rec, key, a);
    bool writes, snapshot = is_snapshot(json_value(key));
    if (!d) {
        api_fail(r, HTTP_BAD_REQUEST, "bad_request",
                 "Invalid request: drive '%.*s' not found for this project.",
                 STR_FMT(name));
        return -1;
    }
    if (strcmp(d->region, rec->region) != 0) {
        api_fail(r, HTTP_UNPROCESSABLE, "drive_region_mismatch",
                 "Drive '%s' is in %s, and the sandbox in %s.", d->name, d->region,
                 rec->region);
        return -1;
    }
    const struct record *user = user_of(d, rec, snapshot, &writes);
    if (!user)
        return 0;
    api_fail(r, HTTP_CONFLICT, "conflict",
             "Drive '%s' is mounted %s by sandbox '%s', which runs: stop that first.",
             d->name, writes ? "read-write" : "as a snapshot", user->name);
    return -1;
}

int drives_admit(struct request *r, const struct record *rec)
{
    struct arena a = {0};
    struct json_doc doc;
    struct json all = read_mounts(rec->mounts, &doc, &a);
    int rc = 0;
    for (struct json k = json_first(all); json_present(k) && rc == 0; k = json_next(k))
        rc = admit(r, rec, k, &a);
    arena_finish(&a);
    return rc;
}

/* Endpoints */

static void object_drive(struct json_writer *w, const struct drive *d)
{
    bool writes;
    const struct record *user = user_of(d, NULL, true, &writes);
    jw_object(w);
    jw_key_cstr(w, "id", d->id);
    jw_key_cstr(w, "name", d->name);
    jw_key_cstr(w, "projectId", d->project);
    jw_key_cstr(w, "region", d->region);
    jw_key_i64(w, "maxSizeBytes", (int64_t)d->max_bytes);
    if (user) {
        jw_key_cstr(w, "currentSessionId", user->current->id);
        jw_key_cstr(w, "currentSandboxName", user->name);
    }
    jw_key_i64(w, "createdAt", (int64_t)d->created_ms);
    jw_key_i64(w, "updatedAt", (int64_t)d->updated_ms);
    jw_end_object(w);
}

static void answer(struct request *r, const struct drive *d, enum http_code status)
{
    struct reply reply;
    reply_begin(&reply);
    jw_key(&reply.w, "drive");
    object_drive(&reply.w, d);
    reply_end(&reply, r, status);
}

/* p NULL: answered. */
static struct str needed_project(struct request *r)
{
    struct str project = request_project(r);
    if (!project.n)
        api_fail(r, HTTP_BAD_REQUEST, "bad_request",
                 "Invalid request: missing required property `projectId`");
    return project;
}

void drive_list_page(struct request *r)
{
    struct str project = needed_project(r), prefix = request_arg(r, "namePrefix");
    bool by_name = request_arg_is(r, "sortBy", "name");
    struct page page;
    size_t count = 0;
    if (!project.n)
        return;
    if (prefix.p && !by_name) {
        api_fail(r, HTTP_BAD_REQUEST, "bad_request",
                 "Invalid request: `namePrefix` needs `sortBy=name`");
        return;
    }
    struct page_row *rows = arena_alloc(&r->arena, DRIVES_MAX * sizeof rows[0]);
    for (struct drive *d = r->api->drives; d && count < DRIVES_MAX; d = d->next)
        if (str_eq(str_of(d->project), project) &&
            (!prefix.p || str_starts(str_of(d->name), prefix)))
            rows[count++] = (struct page_row){
                .key = by_name ? 0 : d->created_ms, .id = d->name, .item = d};
    if (api_page(r, rows, count, !by_name, &page) < 0)
        return;
    struct reply reply;
    reply_begin(&reply);
    jw_key(&reply.w, "drives");
    jw_array(&reply.w);
    for (size_t i = 0; i < page.count; i++)
        object_drive(&reply.w, rows[page.first + i].item);
    jw_end_array(&reply.w);
    api_write_page(&reply.w, &page);
    reply_end(&reply, r, HTTP_OK);
}

/* NULL: answered. */
static struct drive *request_drive(struct request *r)
{
    struct str project = needed_project(r);
    struct drive *d = project.n ? find(r->api, project, r->route.ids[0]) : NULL;
    if (project.n && !d)
        api_fail(r, HTTP_NOT_FOUND, "not_found",
                 "Drive '%.*s' not found for this project.", STR_FMT(r->route.ids[0]));
    return d;
}

void drive_show(struct request *r)
{
    struct drive *d = request_drive(r);
    if (d)
        answer(r, d, HTTP_OK);
}

static bool is_name(struct str name)
{
    bool good = name.n > 0 && name.n <= DRIVE_NAME_MAX;
    for (size_t i = 0; i < name.n && good; i++)
        good = (name.p[i] >= 'a' && name.p[i] <= 'z') ||
               (name.p[i] >= 'A' && name.p[i] <= 'Z') ||
               (name.p[i] >= '0' && name.p[i] <= '9') || name.p[i] == '_' ||
               name.p[i] == '-';
    return good;
}

static void create(struct request *r, struct str project, struct str region,
                   uint64_t max_bytes)
{
    struct vercel_api *api = r->api;
    char id[API_ID_MAX];
    size_t count = 0;
    for (const struct drive *d = api->drives; d; d = d->next)
        count++;
    if (count >= DRIVES_MAX) {
        api_fail(r, HTTP_TOO_MANY, "rate_limited", "There are %d drives, the most.",
                 DRIVES_MAX);
        return;
    }
    api_new_id(id, "drv_", 28, ID_BASE62);
    if (mkdirat(api->drives_dir, id, 0755) < 0) {
        log_error("a drive's directory could not be made: %s", strerror(errno));
        api_fail(r, HTTP_BAD_REQUEST, "file_error", "The drive could not be made: %s",
                 strerror(errno));
        return;
    }
    struct drive *d = add(api);
    memcpy(d->id, id, sizeof d->id);
    memcpy(d->name, r->route.ids[0].p, r->route.ids[0].n);
    record_text(&d->project, project);
    record_text(&d->region, region.n ? region : STR("iad1"));
    d->max_bytes = max_bytes ? max_bytes : SIZE_DEFAULT;
    d->created_ms = d->updated_ms = api_now_ms();
    save(d);
    answer(r, d, HTTP_CREATED);
}

void drive_make(struct request *r)
{
    struct str project = needed_project(r), name = r->route.ids[0];
    struct str region = json_str(json_get(r->body, STR("region")), &r->arena);
    struct json size = json_get(r->body, STR("maxSizeBytes"));
    int64_t max_bytes = 0;
    if (!project.n)
        return;
    if (!is_name(name) || region.n > DRIVE_NAME_MAX ||
        (json_present(size) && (!json_i64(size, &max_bytes) || max_bytes < 1 ||
                                (uint64_t)max_bytes > SIZE_MOST))) {
        api_fail(r, HTTP_BAD_REQUEST, "bad_request",
                 "Invalid request: a drive has a name of at most 64 letters, digits, _ "
                 "and -, a region, and a `maxSizeBytes` of at most 16 TiB");
        return;
    }
    struct drive *d = find(r->api, project, name);
    if (!d)
        create(r, project, region, (uint64_t)max_bytes);
    else if ((region.n && !str_eq(region, str_of(d->region))) ||
             (max_bytes && (uint64_t)max_bytes != d->max_bytes))
        api_fail(r, HTTP_CONFLICT, "conflict",
                 "Drive '%s' exists with another region or size.", d->name);
    else
        answer(r, d, HTTP_OK);
}

void drive_remove(struct request *r)
{
    struct drive *d = request_drive(r);
    struct err err;
    char path[SANDBOX_PATH_MAX];
    bool writes;
    if (!d)
        return;
    const struct record *user = user_of(d, NULL, false, &writes);
    if (user) {
        api_fail(r, HTTP_CONFLICT, "conflict",
                 "Drive '%s' is attached to sandbox '%s'.", d->name, user->name);
        return;
    }
    snprintf(path, sizeof path, "%s/drives/%s", r->api->config.state_dir, d->id);
    if (sandbox_discard(r->api->set, path, &err) < 0) {
        api_fail_err(r, &err);
        return;
    }
    store_remove(r->api->drive_records_dir, d->id);
    answer(r, d, HTTP_OK);
    drive_free(d);
}
