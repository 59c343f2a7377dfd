/* Records on disk: <state>/records/LOCAL.json, one a sandbox. What ran when the server
 * ended has ended with it. */
#include "base/log.h"
#include "vercel_api/private.h"
#include "vercel_api/store.h"
#include <stddef.h>
#include <stdio.h>

static void write_session(struct json_writer *w, const struct session *s)
{
    jw_object(w);
    jw_key_cstr(w, "id", s->id);
    jw_key_cstr(w, "status", sandbox_status_name(s->status));
    jw_key_i64(w, "requested", (int64_t)s->requested_ms);
    jw_key_i64(w, "created", (int64_t)s->created_ms);
    jw_key_i64(w, "started", (int64_t)s->started_ms);
    jw_key_i64(w, "updated", (int64_t)s->updated_ms);
    jw_key_i64(w, "stopRequested", (int64_t)s->stop_requested_ms);
    jw_key_i64(w, "stopped", (int64_t)s->stopped_ms);
    jw_key_i64(w, "snapshotted", (int64_t)s->snapshotted_ms);
    jw_key_i64(w, "timeout", (int64_t)s->timeout_ms);
    jw_key_i64(w, "vcpus", s->vcpus);
    store_key_text(w, "sourceSnapshot", s->source_snapshot);
    jw_key_cstr(w, "cwd", s->cwd);
    jw_end_object(w);
}

static void write_record(struct json_writer *w, const struct record *rec)
{
    jw_key_cstr(w, "name", rec->name);
    jw_key_cstr(w, "project", rec->project);
    jw_key_bool(w, "persistent", rec->persistent);
    jw_key_bool(w, "hasFiles", rec->has_files);
    jw_key_bool(w, "rebase", rec->rebase);
    jw_key_i64(w, "created", (int64_t)rec->created_ms);
    jw_key_i64(w, "updated", (int64_t)rec->updated_ms);
    jw_key_i64(w, "timeout", (int64_t)rec->timeout_ms);
    jw_key_i64(w, "total", (int64_t)rec->total_ms);
    jw_key_i64(w, "vcpus", rec->vcpus);
    store_key_text(w, "runtime", rec->runtime);
    store_key_text(w, "image", rec->image);
    store_key_text(w, "region", rec->region);
    store_key_text(w, "networkId", rec->network_id);
    store_key_json(w, "tags", rec->tags);
    store_key_json(w, "env", rec->env);
    store_key_json(w, "mounts", rec->mounts);
    store_key_json(w, "keepLast", rec->keep_last);
    store_key_json(w, "failover", rec->failover);
    if (rec->has_expiration)
        jw_key_i64(w, "expiration", (int64_t)rec->expiration_ms);
    if (rec->has_network) {
        jw_key(w, "network");
        network_policy_write_request(&rec->network, w);
    }
    store_key_text(w, "snapshot", rec->snapshot);
    jw_key(w, "routes");
    jw_array(w);
    for (size_t i = 0; i < rec->route_count; i++) {
        jw_object(w);
        jw_key_i64(w, "port", rec->routes[i].port);
        jw_key_cstr(w, "subdomain", rec->routes[i].subdomain);
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_key(w, "sessions"); /* newest first */
    jw_array(w);
    for (const struct session *s = rec->current; s; s = s->older)
        write_session(w, s);
    jw_end_array(w);
}

void record_save(const struct record *rec)
{
    struct store_out out;
    store_begin(&out);
    write_record(&out.w, rec);
    store_end(&out, rec->api->records_dir, rec->local);
}

void record_forget(const struct record *rec)
{
    store_remove(rec->api->records_dir, rec->local);
}

static enum sandbox_status status_of(struct json v)
{
    for (int i = SANDBOX_RUNNING; i <= SANDBOX_ABORTED; i++)
        if (json_str_is(v, str_of(sandbox_status_name((enum sandbox_status)i))))
            return (enum sandbox_status)i;
    return SANDBOX_FAILED;
}

static struct session *read_session(struct record *rec, struct json v, struct arena *a)
{
    struct session *s = session_new(rec);
    STORE_TEXT(s->id, v, "id", a);
    STORE_TEXT(s->source_snapshot, v, "sourceSnapshot", a);
    STORE_TEXT(s->cwd, v, "cwd", a);
    s->status = status_of(json_get(v, STR("status")));
    s->requested_ms = store_number(v, "requested");
    s->created_ms = store_number(v, "created");
    s->started_ms = store_number(v, "started");
    s->updated_ms = store_number(v, "updated");
    s->stop_requested_ms = store_number(v, "stopRequested");
    s->stopped_ms = store_number(v, "stopped");
    s->snapshotted_ms = store_number(v, "snapshotted");
    s->timeout_ms = store_number(v, "timeout");
    s->vcpus = (unsigned)store_number(v, "vcpus");
    if (s->status != SANDBOX_STOPPED && s->status != SANDBOX_FAILED &&
        s->status != SANDBOX_ABORTED) {
        s->status = SANDBOX_ABORTED;
        s->updated_ms = s->stopped_ms = api_now_ms();
    }
    return s;
}

static void read_routes(struct record *rec, struct json list, struct arena *a)
{
    for (struct json k = json_first(list);
         json_present(k) && rec->route_count < API_PORTS_MAX; k = json_next(k)) {
        struct api_route *route = &rec->routes[rec->route_count++];
        route->port = (uint16_t)store_number(k, "port");
        STORE_TEXT(route->subdomain, k, "subdomain", a);
    }
}

static void read_sessions(struct record *rec, struct json list, struct arena *a)
{
    for (size_t i = json_len(list); i > 0; i--) /* the newest one last */
        read_session(rec, json_at(list, i - 1), a);
    if (!rec->current)
        session_new(rec)->status = SANDBOX_FAILED;
}

static void read_record(struct record *rec, struct json v, struct arena *a)
{
    static const struct {
        const char *key;
        size_t at;
        bool json;
    } texts[] = {
        {"project", offsetof(struct record, project), false},
        {"runtime", offsetof(struct record, runtime), false},
        {"image", offsetof(struct record, image), false},
        {"region", offsetof(struct record, region), false},
        {"networkId", offsetof(struct record, network_id), false},
        {"tags", offsetof(struct record, tags), true},
        {"env", offsetof(struct record, env), true},
        {"mounts", offsetof(struct record, mounts), true},
        {"keepLast", offsetof(struct record, keep_last), true},
        {"failover", offsetof(struct record, failover), true},
    };
    struct err err;
    STORE_TEXT(rec->name, v, "name", a);
    STORE_TEXT(rec->snapshot, v, "snapshot", a);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct json value = json_get(v, str_of(texts[i].key));
        char **to = (char **)(void *)((char *)rec + texts[i].at);
        if (texts[i].json)
            record_json(to, value);
        else if (json_present(value))
            record_text(to, json_str(value, a));
    }
    rec->persistent = json_is_true(json_get(v, STR("persistent")));
    rec->has_files = json_is_true(json_get(v, STR("hasFiles")));
    rec->rebase = json_is_true(json_get(v, STR("rebase")));
    rec->created_ms = store_number(v, "created");
    rec->updated_ms = store_number(v, "updated");
    rec->timeout_ms = store_number(v, "timeout");
    rec->total_ms = store_number(v, "total");
    rec->vcpus = (unsigned)store_number(v, "vcpus");
    rec->has_expiration = json_present(json_get(v, STR("expiration")));
    rec->expiration_ms = store_number(v, "expiration");
    struct json network = json_get(v, STR("network"));
    rec->has_network =
        json_present(network) && network_policy_read(&rec->network, network, &err) == 0;
    read_routes(rec, json_get(v, STR("routes")), a);
    read_sessions(rec, json_get(v, STR("sessions")), a);
}

static void load(void *ctx, const char *id, struct json v, struct arena *a)
{
    struct record *rec = record_new(ctx);
    snprintf(rec->local, sizeof rec->local, "%s", id);
    read_record(rec, v, a);
}

void records_load(struct vercel_api *api)
{
    store_each(api->records_dir, load, api);
}
