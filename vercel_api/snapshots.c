/* /v2/sandboxes/snapshots, and how snapshots come and go. */
#include "vercel_api/snapshots.h"
#include "base/log.h"
#include "base/mem.h"
#include "vercel_api/store.h"
#include <stdio.h>

enum { LIFE_DEFAULT_DAYS = 30, DAY_MS = 24 * 3600 * 1000, SNAPSHOTS_ROOM = 64 };

static void save(const struct snapshot *snap)
{
    struct store_out out;
    store_begin(&out);
    struct json_writer *w = &out.w;
    store_key_text(w, "parent", snap->parent);
    jw_key_cstr(w, "local", snap->local);
    jw_key_cstr(w, "source", snap->source);
    jw_key_cstr(w, "sourceLocal", snap->source_local);
    jw_key_cstr(w, "session", snap->session);
    jw_key_cstr(w, "project", snap->project);
    jw_key_cstr(w, "region", snap->region);
    jw_key_bool(w, "deleted", snap->deleted);
    jw_key_bool(w, "byHand", snap->by_hand);
    jw_key_i64(w, "created", (int64_t)snap->created_ms);
    jw_key_i64(w, "updated", (int64_t)snap->updated_ms);
    jw_key_i64(w, "used", (int64_t)snap->used_ms);
    jw_key_i64(w, "expires", (int64_t)snap->expires_ms);
    jw_key_i64(w, "life", (int64_t)snap->life_ms);
    jw_key_i64(w, "size", (int64_t)snap->size_bytes);
    store_end(&out, snap->api->snapshots_dir, snap->id);
}

static struct snapshot *add(struct vercel_api *api)
{
    struct snapshot *snap = mem_new(struct snapshot);
    snap->api = api;
    snap->next = api->snapshots;
    api->snapshots = snap;
    return snap;
}

/* The newest one in front. */
static void sort_in(struct snapshot *snap)
{
    struct snapshot **at = &snap->api->snapshots;
    *at = snap->next;
    while (*at && (*at)->created_ms > snap->created_ms)
        at = &(*at)->next;
    snap->next = *at;
    *at = snap;
}

static void load(void *ctx, const char *id, struct json v, struct arena *a)
{
    struct snapshot *snap = add(ctx);
    snprintf(snap->id, sizeof snap->id, "%s", id);
    STORE_TEXT(snap->parent, v, "parent", a);
    STORE_TEXT(snap->local, v, "local", a);
    STORE_TEXT(snap->source, v, "source", a);
    STORE_TEXT(snap->source_local, v, "sourceLocal", a);
    STORE_TEXT(snap->session, v, "session", a);
    record_text(&snap->project, json_str(json_get(v, STR("project")), a));
    record_text(&snap->region, json_str(json_get(v, STR("region")), a));
    snap->deleted = json_is_true(json_get(v, STR("deleted")));
    snap->by_hand = json_is_true(json_get(v, STR("byHand")));
    snap->created_ms = store_number(v, "created");
    snap->updated_ms = store_number(v, "updated");
    snap->used_ms = store_number(v, "used");
    snap->expires_ms = store_number(v, "expires");
    snap->life_ms = store_number(v, "life");
    snap->size_bytes = store_number(v, "size");
    sort_in(snap);
}

void snapshots_load(struct vercel_api *api)
{
    store_each(api->snapshots_dir, load, api);
}

void snapshots_free(struct vercel_api *api)
{
    while (api->snapshots) {
        struct snapshot *snap = api->snapshots;
        api->snapshots = snap->next;
        mem_free(snap->project);
        mem_free(snap->region);
        mem_free(snap);
    }
}

static void on_deleted(void *ctx, const struct err *err)
{
    (void)ctx;
    if (err && err->kind != ERR_NOT_FOUND)
        log_error("ignoring that a snapshot's files are left: %s", err->msg);
}

static void forget(struct snapshot *snap)
{
    if (snap->deleted)
        return;
    snap->deleted = true;
    snap->updated_ms = api_now_ms();
    save(snap);
    snapshot_delete(snap->api->set, API_OWNER, str_of(snap->local), on_deleted, NULL);
}

/* Time is looked at when somebody asks. */
static bool is_there(struct snapshot *snap)
{
    if (snap->expires_ms && api_now_ms() >= snap->expires_ms)
        forget(snap);
    return !snap->deleted;
}

static struct snapshot *find_any(struct vercel_api *api, struct str id)
{
    for (struct snapshot *snap = api->snapshots; snap; snap = snap->next)
        if (str_eq(str_of(snap->id), id))
            return snap;
    return NULL;
}

struct snapshot *snapshot_find(struct vercel_api *api, struct str id)
{
    struct snapshot *snap = find_any(api, id);
    return snap && is_there(snap) ? snap : NULL;
}

static void move_expiry(struct snapshot *snap)
{
    snap->expires_ms = snap->life_ms ? snap->used_ms + snap->life_ms : 0;
    save(snap);
}

void snapshot_use(struct snapshot *snap)
{
    snap->used_ms = snap->updated_ms = api_now_ms();
    move_expiry(snap);
}

void snapshot_set_life(struct snapshot *snap, uint64_t life_ms)
{
    snap->life_ms = life_ms;
    move_expiry(snap);
}

struct snapshot *snapshot_new(struct session *s, const struct snapshot_info *info)
{
    struct record *rec = s->record;
    struct snapshot *snap = add(rec->api);
    api_new_id(snap->id, "snap_", 28, ID_BASE62);
    snprintf(snap->local, sizeof snap->local, "%.*s", STR_FMT(info->id));
    memcpy(snap->parent, s->source_snapshot, sizeof snap->parent);
    memcpy(snap->source, rec->name, sizeof snap->source);
    memcpy(snap->source_local, rec->local, sizeof snap->source_local);
    memcpy(snap->session, s->id, sizeof snap->session);
    record_text(&snap->project, str_of(rec->project));
    record_text(&snap->region, str_of(rec->region));
    snap->by_hand = s->by_hand;
    snap->created_ms = snap->updated_ms = snap->used_ms = api_now_ms();
    snap->size_bytes = info->size_bytes;
    snapshot_set_life(snap, rec->has_expiration ? rec->expiration_ms
                                                : (uint64_t)LIFE_DEFAULT_DAYS * DAY_MS);
    if (!rec->rebase)
        memcpy(rec->snapshot, snap->id, sizeof rec->snapshot);
    s->snapshotted_ms = snap->created_ms;
    return snap;
}

/* Is it what a sandbox other than `but` starts with? */
static bool is_current(const struct snapshot *snap, const struct record *but)
{
    for (const struct record *rec = snap->api->records; rec; rec = rec->next)
        if (rec != but && !rec->deleted && strcmp(rec->snapshot, snap->id) == 0)
            return true;
    return false;
}

void snapshots_evict(const struct record *rec)
{
    struct arena arena = {0};
    struct json_doc doc;
    struct err err;
    if (!rec->keep_last || json_parse(&doc, &arena, str_of(rec->keep_last), &err) < 0)
        return;
    struct json v = json_root(&doc);
    uint64_t keep = store_number(v, "count");
    bool deletes = json_is_true(json_get(v, STR("deleteEvicted")));
    /* The newest one is in front. */
    for (struct snapshot *snap = rec->api->snapshots; snap; snap = snap->next) {
        if (strcmp(snap->source_local, rec->local) != 0 || !is_there(snap))
            continue;
        if (keep > 0)
            keep--;
        else if (deletes && !is_current(snap, NULL))
            forget(snap);
        else if (json_present(json_get(v, STR("expiration"))))
            snapshot_set_life(snap, store_number(v, "expiration"));
    }
    arena_finish(&arena);
}

static bool has_source(const struct snapshot *snap)
{
    for (const struct record *rec = snap->api->records; rec; rec = rec->next)
        if (!rec->deleted && strcmp(rec->local, snap->source_local) == 0)
            return true;
    return false;
}

void snapshots_delete_orphans(const struct record *rec)
{
    for (struct snapshot *snap = rec->api->snapshots; snap; snap = snap->next) {
        bool own = strcmp(snap->source_local, rec->local) == 0;
        bool left = strcmp(snap->id, rec->snapshot) == 0 && !has_source(snap);
        if ((own || left) && !is_current(snap, rec))
            forget(snap);
    }
}

static void key_time(struct json_writer *w, const char *key, uint64_t ms)
{
    if (ms)
        jw_key_i64(w, key, (int64_t)ms);
}

void object_snapshot(struct json_writer *w, const struct snapshot *snap)
{
    jw_object(w);
    jw_key_cstr(w, "id", snap->id);
    jw_key_cstr(w, "sourceSessionId", snap->session);
    jw_key_cstr(w, "region", snap->region);
    jw_key(w, "regions");
    jw_array(w);
    jw_cstr(w, snap->region);
    jw_end_array(w);
    jw_key_cstr(w, "status", snap->deleted ? "deleted" : "created");
    jw_key_i64(w, "sizeBytes", (int64_t)snap->size_bytes);
    key_time(w, "expiresAt", snap->expires_ms);
    key_time(w, "createdAt", snap->created_ms);
    key_time(w, "updatedAt", snap->updated_ms);
    key_time(w, "lastUsedAt", snap->used_ms);
    jw_key_cstr(w, "creationMethod", snap->by_hand ? "manual" : "automatic");
    if (snap->parent[0])
        jw_key_cstr(w, "parentId", snap->parent);
    jw_end_object(w);
}

static size_t count_all(const struct vercel_api *api)
{
    size_t n = 0;
    for (const struct snapshot *snap = api->snapshots; snap; snap = snap->next)
        n++;
    return n;
}

static struct str needed_project(struct request *r)
{
    struct str project = request_project(r);
    if (!project.n)
        api_fail(r, HTTP_BAD_REQUEST, "bad_request",
                 "Invalid request: missing required property `project`");
    return project;
}

void snapshot_list_page(struct request *r)
{
    struct str project = needed_project(r), name = request_arg(r, "name");
    struct page page;
    size_t count = 0;
    if (!project.n)
        return;
    struct page_row *rows =
        arena_alloc(&r->arena, (count_all(r->api) + 1) * sizeof rows[0]);
    for (struct snapshot *snap = r->api->snapshots; snap; snap = snap->next)
        if (str_eq(str_of(snap->project), project) && is_there(snap) &&
            (!name.p || str_eq(str_of(snap->source), name)))
            rows[count++] = (struct page_row){
                .key = snap->created_ms, .id = snap->id, .item = snap};
    if (api_page(r, rows, count, true, &page) < 0)
        return;
    struct reply reply;
    reply_begin(&reply);
    jw_key(&reply.w, "snapshots");
    jw_array(&reply.w);
    for (size_t i = 0; i < page.count; i++)
        object_snapshot(&reply.w, rows[page.first + i].item);
    jw_end_array(&reply.w);
    api_write_page(&reply.w, &page);
    reply_end(&reply, r, HTTP_OK);
}

static struct snapshot *find(struct request *r, struct str id)
{
    struct snapshot *snap = find_any(r->api, id);
    if (!snap)
        api_fail(r, HTTP_NOT_FOUND, "not_found", "Snapshot '%.*s' not found.",
                 STR_FMT(id));
    else
        is_there(snap);
    return snap;
}

static void answer(struct request *r, const struct snapshot *snap)
{
    struct reply reply;
    reply_begin(&reply);
    jw_key(&reply.w, "snapshot");
    object_snapshot(&reply.w, snap);
    reply_end(&reply, r, HTTP_OK);
}

void snapshot_show(struct request *r)
{
    struct snapshot *snap = find(r, r->route.ids[0]);
    if (snap)
        answer(r, snap);
}

void snapshot_remove(struct request *r)
{
    struct snapshot *snap = find(r, r->route.ids[0]);
    if (!snap)
        return;
    forget(snap);
    answer(r, snap);
}

/* One snapshot of a tree, with the others that were taken of the same one. */
static void write_node(struct json_writer *w, const struct snapshot *snap)
{
    size_t count = 0;
    jw_object(w);
    jw_key(w, "snapshot");
    object_snapshot(w, snap);
    jw_key(w, "siblings");
    jw_array(w);
    for (struct snapshot *other = snap->api->snapshots; other; other = other->next)
        if (other != snap && snap->parent[0] &&
            strcmp(other->parent, snap->parent) == 0) {
            if (count++ < SNAPSHOTS_ROOM)
                object_snapshot(w, other);
        }
    jw_end_array(w);
    char text[24];
    snprintf(text, sizeof text, "%zu", count);
    jw_key_cstr(w, "count", text);
    jw_end_object(w);
}

/* The one before it, or the oldest that was taken of it. */
static struct snapshot *next_node(const struct snapshot *snap, bool ancestors)
{
    struct snapshot *found = NULL;
    if (ancestors)
        return snap->parent[0] ? find_any(snap->api, str_of(snap->parent)) : NULL;
    for (struct snapshot *other = snap->api->snapshots; other; other = other->next)
        if (strcmp(other->parent, snap->id) == 0)
            found = other; /* the list is newest first */
    return found;
}

void snapshot_tree(struct request *r)
{
    enum { LIMIT_DEFAULT = 10 };
    struct str project = needed_project(r), id = request_arg(r, "snapshotId");
    struct page page = {0};
    bool ancestors = !request_arg_is(r, "sortOrder", "asc");
    if (!project.n)
        return;
    struct snapshot *anchor = find(r, id);
    if (!anchor)
        return;
    struct str limit = request_arg(r, "limit");
    size_t most = limit.n == 1 && limit.p[0] >= '1' && limit.p[0] <= '9'
                      ? (size_t)(limit.p[0] - '0')
                      : LIMIT_DEFAULT;
    struct reply reply;
    reply_begin(&reply);
    jw_key(&reply.w, "anchor");
    write_node(&reply.w, anchor);
    jw_key(&reply.w, "snapshots");
    jw_array(&reply.w);
    const struct snapshot *snap = next_node(anchor, ancestors);
    for (const struct snapshot *last = NULL; snap; snap = next_node(snap, ancestors)) {
        if (page.count == most) {
            snprintf(page.next, sizeof page.next, "%s", last->id);
            break;
        }
        write_node(&reply.w, snap);
        last = snap;
        page.count++;
    }
    jw_end_array(&reply.w);
    api_write_page(&reply.w, &page);
    reply_end(&reply, r, HTTP_OK);
}
