/* /v2/sandboxes: the records. */
#include "base/mem.h"
#include "vercel_api/drives.h"
#include "vercel_api/snapshots.h"

static bool changes(const struct session *s)
{
    return s->deleting || s->status == SANDBOX_PENDING ||
           s->status == SANDBOX_STOPPING || s->status == SANDBOX_SNAPSHOTTING;
}

static void on_made(struct request *r, struct session *s, const struct err *err)
{
    if (!err) {
        api_answer_opened(r, s, r->route.endpoint == SANDBOX_GET ? r->resumed : -1);
        return;
    }
    api_fail_err(r, err);
}

static void fail_taken(struct request *r, struct str name)
{
    api_fail(r, HTTP_CONFLICT, "conflict",
             "Named sandbox '%.*s' already exists for this project.", STR_FMT(name));
}

static void start_new(struct request *r, struct record *rec, struct str name)
{
    if (drives_admit(r, rec) < 0) {
        record_free(rec);
        return;
    }
    if (!name.n)
        api_new_id(rec->name, "sandbox-", 12, ID_BASE36);
    session_start(session_new(rec), r, on_made);
}

void sandbox_make(struct request *r)
{
    struct err err;
    struct str source =
        json_str(json_pointer(r->body, "/source/snapshotId"), &r->arena);
    struct str project = request_project(r);
    struct str name = json_str(json_get(r->body, STR("name")), &r->arena);
    if (!project.n) {
        api_fail(r, HTTP_BAD_REQUEST, "bad_request",
                 "Invalid request: missing required property `projectId`");
        return;
    }
    if (settings_check(r->body, SETTINGS_CREATE, &r->arena, &err) < 0) {
        api_fail_err(r, &err);
        return;
    }
    if (name.n && record_find(r->api, project, name)) {
        fail_taken(r, name);
        return;
    }
    if (source.n && !snapshot_find(r->api, source)) {
        api_fail(r, HTTP_GONE, "snapshot_not_found",
                 "Snapshot '%.*s' is not available.", STR_FMT(source));
        return;
    }
    struct record *rec = record_new(r->api);
    record_text(&rec->project, project);
    rec->persistent = true;
    rec->created_ms = rec->updated_ms = api_now_ms();
    settings_take(rec, r->body, &r->arena);
    memcpy(rec->snapshot, source.n ? source.p : "", source.n);
    if (!source.n)
        record_json(&rec->source, json_get(r->body, STR("source")));
    start_new(r, rec, name);
}

void sandbox_copy(struct request *r)
{
    struct err err;
    struct record *source = request_record(r);
    struct str name = json_str(json_get(r->body, STR("name")), &r->arena);
    if (!source)
        return;
    if (settings_check(r->body, SETTINGS_FORK, &r->arena, &err) < 0) {
        api_fail_err(r, &err);
        return;
    }
    if (name.n && record_find(r->api, str_of(source->project), name)) {
        fail_taken(r, name);
        return;
    }
    if (source->snapshot[0] && !snapshot_find(r->api, str_of(source->snapshot))) {
        api_fail(r, HTTP_GONE, "snapshot_not_found", "Snapshot '%s' is not available.",
                 source->snapshot);
        return;
    }
    struct record *rec = record_copy(source);
    settings_take(rec, r->body, &r->arena);
    start_new(r, rec, name);
}

static void try_to_open(struct request *r, struct record *rec);

static void fail_gone(struct request *r)
{
    api_fail(r, HTTP_NOT_FOUND, "not_found",
             "Named sandbox '%.*s' not found for this project.",
             STR_FMT(r->route.ids[0]));
}

static void on_changed(struct request *r, struct session *s, const struct err *err)
{
    (void)err; /* what became of it is looked at anew */
    if (r->ex && s->record->deleted)
        fail_gone(r);
    else if (r->ex)
        try_to_open(r, s->record);
}

/* Answers when it runs; whoever asks meanwhile waits for the same start. */
static void try_to_open(struct request *r, struct record *rec)
{
    struct session *s = rec->current;
    struct err err;
    session_look(s);
    if (changes(s)) {
        r->resumed |= s->status == SANDBOX_PENDING;
        session_wait(s, r, on_changed);
    } else if (s->status == SANDBOX_RUNNING) {
        api_answer_opened(r, s, r->resumed);
    } else if (session_can_start(rec, &err) < 0) {
        api_fail(r, err.kind == ERR_NOT_FOUND ? HTTP_GONE : HTTP_BAD_REQUEST,
                 "snapshot_not_found", "%s", err.msg);
    } else if (drives_admit(r, rec) == 0) {
        r->resumed = true;
        session_start(session_new(rec), r, on_made);
    }
}

void sandbox_show(struct request *r)
{
    struct record *rec = request_record(r);
    if (!rec)
        return;
    if (request_arg_is(r, "resume", "true"))
        try_to_open(r, rec);
    else
        api_answer_opened(r, rec->current, 0);
}

void sandbox_change(struct request *r)
{
    struct err err;
    struct record *rec = request_record(r);
    if (!rec)
        return;
    if (settings_check(r->body, SETTINGS_UPDATE, &r->arena, &err) < 0) {
        api_fail_err(r, &err);
        return;
    }
    struct str name = json_str(json_get(r->body, STR("name")), &r->arena);
    if (name.n && !str_eq(name, str_of(rec->name))) {
        api_fail(r, HTTP_BAD_REQUEST, "bad_request",
                 "Invalid request: `name` cannot be changed");
        return;
    }
    struct str snapshot =
        json_str(json_get(r->body, STR("currentSnapshotId")), &r->arena);
    if (snapshot.n && !snapshot_find(r->api, snapshot)) {
        api_fail(r, HTTP_NOT_FOUND, "not_found", "Snapshot '%.*s' not found.",
                 STR_FMT(snapshot));
        return;
    }
    struct api_route before[API_PORTS_MAX];
    size_t count = rec->route_count;
    memcpy(before, rec->routes, sizeof before);
    settings_take(rec, r->body, &r->arena);
    if (rec->current->status == SANDBOX_RUNNING) {
        session_close_ports(rec->current, before, count);
        session_open_ports(rec->current);
    }
    if (snapshot.n) {
        memset(rec->snapshot, 0, sizeof rec->snapshot);
        memcpy(rec->snapshot, snapshot.p, snapshot.n);
        rec->rebase = true;
    }
    rec->updated_ms = api_now_ms();
    record_save(rec);
    struct reply reply;
    reply_begin(&reply);
    jw_key(&reply.w, "sandbox");
    object_sandbox(&reply.w, rec);
    jw_key(&reply.w, "routes");
    object_routes(&reply.w, rec, false);
    reply_end(&reply, r, HTTP_OK);
}

static void on_removed(struct request *r, struct session *s, const struct err *err)
{
    struct record *rec = s->record;
    bool orphans = r->ex && request_arg_is(r, "deleteOrphanSnapshots", "true");
    if (err) {
        api_fail_err(r, err);
        return;
    }
    if (orphans)
        snapshots_delete_orphans(rec);
    struct reply reply;
    reply_begin(&reply);
    jw_key(&reply.w, "sandbox");
    object_sandbox(&reply.w, rec);
    reply_end(&reply, r, HTTP_OK);
}

static void on_quiet(struct request *r, struct session *s, const struct err *err)
{
    (void)err;
    if (s->record->deleted)
        fail_gone(r);
    else
        sandbox_remove(r);
}

void sandbox_remove(struct request *r)
{
    struct record *rec = r->ex ? request_record(r) : NULL;
    if (!rec)
        return;
    if (changes(rec->current))
        session_wait(rec->current, r, on_quiet);
    else
        session_end(rec->current, ENDING_DELETE, r, on_removed);
}

/* "key:value" */
static bool has_tag(const struct record *rec, struct str tag)
{
    struct arena arena = {0};
    struct json_doc doc;
    struct err err;
    ptrdiff_t colon = str_find(tag, ':');
    bool has = false;
    if (rec->tags && colon >= 0 &&
        json_parse(&doc, &arena, str_of(rec->tags), &err) == 0)
        has = json_str_is(json_get(json_root(&doc), (struct str){tag.p, (size_t)colon}),
                          str_from(tag, (size_t)colon + 1));
    arena_finish(&arena);
    return has;
}

static bool is_wanted(const struct record *rec, const struct request *r,
                      struct str project)
{
    struct str prefix = request_arg(r, "namePrefix"), tag = request_arg(r, "tags");
    struct str status = request_arg(r, "status");
    return !rec->deleted && str_eq(str_of(rec->project), project) &&
           (!prefix.p || str_starts(str_of(rec->name), prefix)) &&
           (!tag.p || has_tag(rec, tag)) &&
           (!status.p ||
            str_eq(status, str_of(sandbox_status_name(rec->current->status))));
}

/* -1: answered. */
static int sort_key(struct request *r, int *ret_kind)
{
    static const char *const kinds[] = {"createdAt", "name", "statusUpdatedAt"};
    struct str by = request_arg(r, "sortBy");
    *ret_kind = by.p ? -1 : 0;
    for (int i = 0; i < 3; i++)
        if (str_eq(by, str_of(kinds[i])))
            *ret_kind = i;
    if (*ret_kind < 0)
        api_fail(r, HTTP_BAD_REQUEST, "bad_request",
                 "Invalid request: `sortBy` should be createdAt, name or "
                 "statusUpdatedAt");
    else if (*ret_kind != 1 && request_arg(r, "namePrefix").p) {
        api_fail(r, HTTP_BAD_REQUEST, "bad_request",
                 "Invalid request: `namePrefix` needs `sortBy=name`");
        *ret_kind = -1;
    }
    return *ret_kind < 0 ? -1 : 0;
}

void sandbox_list_page(struct request *r)
{
    struct str project = request_project(r);
    struct page page;
    size_t count = 0, room = 0;
    int kind;
    if (!project.n) {
        api_fail(r, HTTP_BAD_REQUEST, "bad_request",
                 "Invalid request: missing required property `project`");
        return;
    }
    if (sort_key(r, &kind) < 0)
        return;
    for (struct record *rec = r->api->records; rec; rec = rec->next)
        room++;
    struct page_row *rows = arena_alloc(&r->arena, (room + 1) * sizeof rows[0]);
    for (struct record *rec = r->api->records; rec; rec = rec->next) {
        session_look(rec->current);
        if (!is_wanted(rec, r, project))
            continue;
        rows[count++] = (struct page_row){.key = kind == 0   ? rec->created_ms
                                                 : kind == 2 ? rec->current->updated_ms
                                                             : 0,
                                          .id = rec->name,
                                          .item = rec};
    }
    if (api_page(r, rows, count, kind != 1, &page) < 0)
        return;
    struct reply reply;
    reply_begin(&reply);
    jw_key(&reply.w, "sandboxes");
    jw_array(&reply.w);
    for (size_t i = 0; i < page.count; i++)
        object_sandbox(&reply.w, rows[page.first + i].item);
    jw_end_array(&reply.w);
    api_write_page(&reply.w, &page);
    reply_end(&reply, r, HTTP_OK);
}
