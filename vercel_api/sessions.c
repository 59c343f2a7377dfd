/* /v2/sandboxes/sessions: runs of sandboxes. */
#include "vercel_api/private.h"

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
    store_save(s->record);
    answer_session(r, s, false);
}
