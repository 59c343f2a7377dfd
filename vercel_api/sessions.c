/* /v2/sandboxes/sessions: runs of sandboxes. */
#include "base/mem.h"
#include "vercel_api/snapshots.h"

void session_list_page(struct request *r)
{
    struct str project = request_project(r), name = request_arg(r, "name");
    struct page page;
    size_t count = 0, room = 0;
    if (!project.n) {
        api_fail(r, HTTP_BAD_REQUEST, "bad_request",
                 "Invalid request: missing required property `project`");
        return;
    }
    for (struct record *rec = r->api->records; rec; rec = rec->next)
        for (struct session *s = rec->current; s; s = s->older)
            room++;
    struct page_row *rows = arena_alloc(&r->arena, (room + 1) * sizeof rows[0]);
    for (struct record *rec = r->api->records; rec; rec = rec->next) {
        if (!str_eq(str_of(rec->project), project) ||
            (name.p && !str_eq(str_of(rec->name), name)))
            continue;
        session_look(rec->current);
        for (struct session *s = rec->current; s; s = s->older)
            rows[count++] =
                (struct page_row){.key = s->created_ms, .id = s->id, .item = s};
    }
    if (api_page(r, rows, count, true, &page) < 0)
        return;
    struct reply reply;
    reply_begin(&reply);
    jw_key(&reply.w, "sessions");
    jw_array(&reply.w);
    for (size_t i = 0; i < page.count; i++)
        object_session(&reply.w, rows[page.first + i].item);
    jw_end_array(&reply.w);
    api_write_page(&reply.w, &page);
    reply_end(&reply, r, HTTP_OK);
}

static struct session *find(struct request *r)
{
    struct session *s = session_find(r->api, r->route.ids[0]);
    if (s)
        session_look(s);
    else
        api_fail(r, HTTP_NOT_FOUND, "not_found", "Session '%.*s' not found.",
                 STR_FMT(r->route.ids[0]));
    return s;
}

void session_show(struct request *r)
{
    struct session *s = find(r);
    struct reply reply;
    if (!s)
        return;
    reply_begin(&reply);
    jw_key(&reply.w, "session");
    object_session(&reply.w, s);
    jw_key(&reply.w, "routes");
    object_routes(&reply.w, s->record,
                  request_arg_is(r, "__includeSystemRoutes", "true"));
    reply_end(&reply, r, HTTP_OK);
}

static struct snapshot *snapshot_of(const struct session *s)
{
    for (struct snapshot *snap = s->record->api->snapshots; snap; snap = snap->next)
        if (strcmp(snap->session, s->id) == 0)
            return snap;
    return NULL;
}

static void answer_session(struct request *r, const struct session *s, bool sandbox)
{
    struct reply reply;
    if (!r->ex)
        return;
    reply_begin(&reply);
    jw_key(&reply.w, "session");
    object_session(&reply.w, s);
    if (sandbox) {
        jw_key(&reply.w, "sandbox");
        object_sandbox(&reply.w, s->record);
        if (snapshot_of(s)) {
            jw_key(&reply.w, "snapshot");
            object_snapshot(&reply.w, snapshot_of(s));
        }
    }
    reply_end(&reply, r, HTTP_OK);
}

static void on_stopped(struct request *r, struct session *s, const struct err *err)
{
    if (err)
        api_fail_err(r, err);
    else
        answer_session(r, s, true);
}

static void on_started(struct request *r, struct session *s, const struct err *err)
{
    if (err)
        on_stopped(r, s, NULL); /* it failed: it does not run */
    else
        session_end(s, ENDING_STOP, r, on_stopped);
}

/* A second stop, or one of what has ended, is fine. */
void session_stop(struct request *r)
{
    struct session *s = find(r);
    if (!s)
        return;
    if (s->status == SANDBOX_PENDING)
        session_wait(s, r, on_started);
    else if (s->status == SANDBOX_STOPPING || s->status == SANDBOX_SNAPSHOTTING)
        session_wait(s, r, on_stopped);
    else
        session_end(s, ENDING_STOP, r, on_stopped);
}

void session_extend(struct request *r)
{
    enum { DURATION_LEAST_MS = 1000, LONGEST_MS = 24 * 3600 * 1000 };
    int64_t duration = 0;
    struct session *s = request_session(r);
    if (!s)
        return;
    if (!json_i64(json_get(r->body, STR("duration")), &duration) ||
        duration < DURATION_LEAST_MS) {
        api_fail(r, HTTP_BAD_REQUEST, "bad_request",
                 "Invalid request: `duration` should be at least %d milliseconds",
                 DURATION_LEAST_MS);
        return;
    }
    if ((uint64_t)duration > LONGEST_MS ||
        s->timeout_ms + (uint64_t)duration > LONGEST_MS) {
        api_fail(r, HTTP_BAD_REQUEST, "bad_request",
                 "Invalid request: a session lasts at most 24 hours");
        return;
    }
    s->timeout_ms += (uint64_t)duration;
    s->updated_ms = api_now_ms();
    session_set_timer(s);
    record_save(s->record);
    answer_session(r, s, false);
}

static void on_snapshot(struct request *r, struct session *s, const struct err *err)
{
    struct snapshot *snap = snapshot_of(s);
    int64_t life = 0;
    if (err || !snap) {
        api_fail(r, HTTP_BAD_REQUEST, "snapshot_failed", "%s",
                 err ? err->msg : "The snapshot could not be made.");
        return;
    }
    if (json_i64(json_get(r->body, STR("expiration")), &life))
        snapshot_set_life(snap, (uint64_t)life);
    struct reply reply;
    reply_begin(&reply);
    jw_key(&reply.w, "snapshot");
    object_snapshot(&reply.w, snap);
    jw_key(&reply.w, "session");
    object_session(&reply.w, s);
    reply_end(&reply, r, HTTP_CREATED);
}

void session_snapshot(struct request *r)
{
    enum { LEAST_MS = 24 * 3600 * 1000 };
    struct session *s = request_session(r);
    struct json given = json_get(r->body, STR("expiration"));
    int64_t life = 0;
    if (!s)
        return;
    if (json_present(given) &&
        (!json_i64(given, &life) || (life != 0 && life < LEAST_MS))) {
        api_fail(
            r, HTTP_BAD_REQUEST, "bad_request",
            "Invalid request: `expiration` should be 0 or at least %d milliseconds",
            LEAST_MS);
        return;
    }
    session_end(s, ENDING_SNAPSHOT, r, on_snapshot);
}

/* A network policy that is being put into force. */
struct changing {
    struct request *request; /* held */
    char session_id[API_ID_MAX];
    struct network_policy policy;
};

static void on_network(void *ctx, const struct sandbox_info *info,
                       const struct err *err)
{
    struct changing *change = ctx;
    struct request *r = change->request;
    struct session *s = session_find(r->api, str_of(change->session_id));
    (void)info;
    if (err) {
        api_fail_err(r, err);
    } else if (s) {
        struct record *rec = s->record;
        network_policy_finish(&rec->network);
        rec->network = change->policy;
        change->policy = (struct network_policy){0};
        rec->has_network = true;
        s->updated_ms = rec->updated_ms = api_now_ms();
        record_save(rec);
        answer_session(r, s, false);
    }
    network_policy_finish(&change->policy);
    mem_free(change);
    request_drop(r);
}

void session_network(struct request *r)
{
    struct session *s = request_session(r);
    struct network_policy policy;
    struct err err;
    if (!s)
        return;
    if (network_policy_read(&policy, r->body, &err) < 0) {
        api_fail_err(r, &err);
        return;
    }
    struct changing *change = mem_new(struct changing);
    change->request = r;
    request_hold(r);
    change->policy = policy;
    memcpy(change->session_id, s->id, sizeof change->session_id);
    sandbox_network(r->api->set, s->sandbox, &change->policy, on_network, change);
}
