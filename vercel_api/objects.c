/* The objects of the API as they are answered: what is not known is left out (the SDK
 * refuses null), times are unix milliseconds. */
#include "vercel_api/drives.h"
#include <stdio.h>

static void key_time(struct json_writer *w, const char *key, uint64_t ms)
{
    if (ms)
        jw_key_i64(w, key, (int64_t)ms);
}

static void key_text(struct json_writer *w, const char *key, const char *text)
{
    if (text && text[0])
        jw_key_cstr(w, key, text);
}

static void key_json(struct json_writer *w, const char *key, const char *json)
{
    if (json)
        jw_key_raw(w, key, str_of(json));
}

static void write_size(struct json_writer *w, unsigned vcpus)
{
    jw_key_i64(w, "vcpus", vcpus);
    jw_key_i64(w, "memory", 2048 * (int64_t)vcpus);
    jw_key_cstr(w, "architecture", "amd64");
}

static void write_network(struct json_writer *w, const struct record *rec)
{
    if (!rec->has_network)
        return;
    jw_key(w, "networkPolicy");
    network_policy_write(&rec->network, w);
}

void object_sandbox(struct json_writer *w, const struct record *rec)
{
    const struct session *s = rec->current;
    jw_object(w);
    jw_key_cstr(w, "name", rec->name);
    jw_key_cstr(w, "currentSessionId", s->id);
    jw_key_cstr(w, "status", sandbox_status_name(s->status));
    jw_key_i64(w, "statusUpdatedAt", (int64_t)s->updated_ms);
    jw_key_bool(w, "persistent", rec->persistent);
    key_text(w, "region", rec->region);
    key_json(w, "failoverRegions", rec->failover);
    key_text(w, "networkId", rec->network_id);
    write_size(w, rec->vcpus);
    key_text(w, "runtime", rec->runtime);
    key_text(w, "image", rec->image);
    jw_key_i64(w, "timeout", (int64_t)rec->timeout_ms);
    key_text(w, "cwd", s->cwd);
    write_network(w, rec);
    key_json(w, "tags", rec->tags);
    drives_write_mounts(w, rec);
    if (rec->has_expiration)
        jw_key_i64(w, "snapshotExpiration", (int64_t)rec->expiration_ms);
    key_json(w, "keepLastSnapshots", rec->keep_last);
    key_text(w, "currentSnapshotId", rec->snapshot);
    if (s->status == SANDBOX_RUNNING)
        key_time(w, "expiresAt", s->started_ms + s->timeout_ms);
    key_time(w, "totalDurationMs", rec->total_ms);
    key_time(w, "createdAt", rec->created_ms);
    key_time(w, "updatedAt", rec->updated_ms);
    jw_end_object(w);
}

void object_session(struct json_writer *w, const struct session *s)
{
    const struct record *rec = s->record;
    jw_object(w);
    jw_key_cstr(w, "id", s->id);
    key_text(w, "runtime", rec->runtime);
    key_time(w, "requestedAt", s->requested_ms);
    key_time(w, "startedAt", s->started_ms);
    jw_key_cstr(w, "status", sandbox_status_name(s->status));
    write_size(w, s->vcpus);
    jw_key_i64(w, "timeout", (int64_t)s->timeout_ms);
    jw_key_cstr(w, "region", rec->region);
    jw_key_cstr(w, "cwd", s->cwd);
    key_time(w, "createdAt", s->created_ms);
    key_time(w, "updatedAt", s->updated_ms);
    key_time(w, "requestedStopAt", s->stop_requested_ms);
    key_time(w, s->status == SANDBOX_ABORTED ? "abortedAt" : "stoppedAt",
             s->stopped_ms);
    key_time(w, "snapshottedAt", s->snapshotted_ms);
    if (s->stopped_ms && s->started_ms)
        jw_key_i64(w, "duration", (int64_t)(s->stopped_ms - s->started_ms));
    key_text(w, "sourceSnapshotId", s->source_snapshot);
    write_network(w, rec);
    jw_key_i64(w, "interactivePort", API_INTERACTIVE_PORT);
    jw_key_cstr(w, "sourceSandboxName", rec->name);
    jw_key_cstr(w, "projectId", rec->project);
    jw_end_object(w);
}

void object_routes(struct json_writer *w, const struct record *rec, bool with_system)
{
    (void)with_system; /* the terminal needs no route of its own here */
    jw_array(w);
    for (size_t i = 0; i < rec->route_count; i++) {
        const struct api_route *route = &rec->routes[i];
        char url[64];
        snprintf(url, sizeof url, "https://%s" API_ROUTES_DOMAIN, route->subdomain);
        jw_object(w);
        jw_key_cstr(w, "url", route->url[0] ? route->url : url);
        jw_key_cstr(w, "subdomain", route->subdomain);
        jw_key_i64(w, "port", route->port);
        jw_end_object(w);
    }
    jw_end_array(w);
}

void object_command(struct json_writer *w, const struct api_command *c, bool running)
{
    jw_object(w);
    jw_key_cstr(w, "id", c->id);
    jw_key_cstr(w, "name", c->name);
    jw_key_raw(w, "args", str_of(c->args));
    jw_key_cstr(w, "cwd", c->cwd);
    jw_key_cstr(w, "sessionId", c->session->id);
    jw_key_i64(w, "startedAt", (int64_t)c->started_ms);
    jw_key(w, "exitCode");
    if (running || !c->ended) {
        jw_null(w);
    } else {
        jw_i64(w, c->exit_code);
        jw_key_i64(w, "durationMs", (int64_t)c->duration_ms);
    }
    jw_end_object(w);
}

void api_answer_opened(struct request *r, const struct session *s, int resumed)
{
    struct reply reply;
    if (!r->ex)
        return;
    reply_begin(&reply);
    jw_key(&reply.w, "sandbox");
    object_sandbox(&reply.w, s->record);
    jw_key(&reply.w, "session");
    object_session(&reply.w, s);
    jw_key(&reply.w, "routes");
    object_routes(&reply.w, s->record,
                  request_arg_is(r, "__includeSystemRoutes", "true"));
    if (resumed >= 0)
        jw_key_bool(&reply.w, "resumed", resumed > 0);
    reply_end(&reply, r, HTTP_OK);
}
