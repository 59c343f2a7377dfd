#include "base/mem.h"
#include "vercel_api/private.h"

void record_text(char **to, struct str value)
{
    mem_free(*to);
    *to = value.p ? mem_strndup(value.p, value.n) : NULL;
}

void record_json(char **to, struct json value)
{
    struct buf text;
    struct json_writer w;
    struct str none = {0};
    buf_init(&text, API_JSON_MAX * 6);
    jw_init(&w, &text);
    if (json_present(value) && json_type(value) != JSON_NULL) {
        jw_json(&w, value);
        record_text(to, buf_str(&text));
    } else {
        record_text(to, none);
    }
    buf_finish(&text);
}

struct record *record_new(struct vercel_api *api)
{
    struct record *rec = mem_new(struct record);
    rec->api = api;
    api_new_id(rec->local, "sb_", 20, ID_BASE62);
    rec->next = api->records;
    api->records = rec;
    return rec;
}

struct record *record_copy(const struct record *from)
{
    struct record *rec = record_new(from->api);
    const struct {
        char **to;
        const char *from;
    } texts[] = {
        {&rec->project, from->project},
        {&rec->runtime, from->runtime},
        {&rec->image, from->image},
        {&rec->region, from->region},
        {&rec->network_id, from->network_id},
        {&rec->tags, from->tags},
        {&rec->env, from->env},
        {&rec->mounts, from->mounts},
        {&rec->keep_last, from->keep_last},
        {&rec->failover, from->failover},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        record_text(texts[i].to, str_of(texts[i].from));
    rec->persistent = from->persistent;
    rec->timeout_ms = from->timeout_ms;
    rec->vcpus = from->vcpus;
    rec->has_expiration = from->has_expiration;
    rec->expiration_ms = from->expiration_ms;
    rec->has_network = from->has_network;
    network_policy_copy(&rec->network, &from->network);
    memcpy(rec->snapshot, from->snapshot, sizeof rec->snapshot);
    rec->created_ms = rec->updated_ms = api_now_ms();
    rec->route_count = from->route_count;
    for (size_t i = 0; i < rec->route_count; i++) {
        rec->routes[i].port = from->routes[i].port;
        api_new_id(rec->routes[i].subdomain, "sb-", 12, ID_BASE36);
    }
    return rec;
}

void record_free(struct record *rec)
{
    struct record **at = &rec->api->records;
    while (*at != rec)
        at = &(*at)->next;
    *at = rec->next;
    while (rec->current) {
        struct session *s = rec->current;
        rec->current = s->older;
        session_free(s);
    }
    char *const texts[] = {rec->project,    rec->runtime,  rec->image, rec->region,
                           rec->network_id, rec->tags,     rec->env,   rec->mounts,
                           rec->keep_last,  rec->failover, rec->source};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        mem_free(texts[i]);
    network_policy_finish(&rec->network);
    mem_free(rec);
}

struct session *session_new(struct record *rec)
{
    struct session *s = mem_new(struct session);
    s->record = rec;
    s->status = SANDBOX_PENDING;
    s->vcpus = rec->vcpus;
    record_text(&s->mounts, str_of(rec->mounts));
    s->timeout_ms = rec->timeout_ms;
    s->requested_ms = s->created_ms = s->updated_ms = api_now_ms();
    memcpy(s->source_snapshot, rec->snapshot, sizeof s->source_snapshot);
    memcpy(s->cwd, "/workspace", sizeof "/workspace");
    api_new_id(s->id, "sbx_", 28, ID_BASE62);
    s->older = rec->current;
    rec->current = s;
    size_t count = 0;
    for (struct session **at = &rec->current; *at;) {
        struct session *old = *at;
        if (++count <= API_SESSIONS_MAX) {
            at = &old->older;
            continue;
        }
        *at = old->older;
        session_free(old);
    }
    return s;
}

struct record *record_find(struct vercel_api *api, struct str project, struct str name)
{
    for (struct record *rec = api->records; rec; rec = rec->next)
        if (!rec->deleted && str_eq(str_of(rec->name), name) &&
            str_eq(str_of(rec->project), project))
            return rec;
    return NULL;
}

struct session *session_find(struct vercel_api *api, struct str id)
{
    for (struct record *rec = api->records; rec; rec = rec->next)
        for (struct session *s = rec->current; s; s = s->older)
            if (str_eq(str_of(s->id), id))
                return s;
    return NULL;
}
