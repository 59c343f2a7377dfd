/* Who is told of changes. Legacy: every connection of changed lists, subscribers of
 * updated resources. Modern: only subscriptions/listen requests, each of what it asked
 * for, in messages that carry its id; such a request has no response while it lives.
 * Specification: "Resources" (legacy), "Subscriptions" (2026-07-28). */
#include "base/mem.h"
#include "mcp/tasks.h"

/* An acknowledgement lists them all, perhaps escaped, and has to fit one message. */
enum { URI_MAX = 2048, URIS_MAX = 256 };

/* URIs that somebody wants to hear about. */
struct uri_set {
    char *uri[URIS_MAX];
    size_t count;
};

struct listen {
    struct listen *next;
    char *id; /* raw JSON */
    uint64_t stream;
    unsigned lists; /* enum mcp_feature: whose changes it is told */
    struct uri_set uris, tasks;
};

struct subscriptions {
    struct uri_set legacy;
    struct listen *listens;
    size_t listen_count;
};

/* The changes of lists: what they are called. */
static const struct {
    enum mcp_feature feature;
    const char *filter; /* in the filter of a listen */
    const char *method;
} changes[] = {
    {MCP_TOOLS_CHANGE, "toolsListChanged", "notifications/tools/list_changed"},
    {MCP_PROMPTS_CHANGE, "promptsListChanged", "notifications/prompts/list_changed"},
    {MCP_RESOURCES_CHANGE, "resourcesListChanged",
     "notifications/resources/list_changed"},
};
enum { CHANGES = sizeof changes / sizeof changes[0] };

static void uris_finish(struct uri_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        mem_free(set->uri[i]);
    set->count = 0;
}

static size_t uris_find(const struct uri_set *set, struct str uri)
{
    size_t i = 0;
    while (i < set->count && !str_eq(str_of(set->uri[i]), uri))
        i++;
    return i;
}

/* -1: there are too many. */
static int uris_add(struct uri_set *set, struct str uri)
{
    if (uris_find(set, uri) < set->count)
        return 0;
    if (set->count == URIS_MAX)
        return -1;
    set->uri[set->count++] = mem_strndup(uri.p, uri.n);
    return 0;
}

/* A resource that was subscribed to, or one below it. */
static bool uris_cover(const struct uri_set *set, struct str uri)
{
    for (size_t i = 0; i < set->count; i++) {
        struct str s = str_of(set->uri[i]);
        if (str_starts(uri, s) &&
            (uri.n == s.n || uri.p[s.n] == '/' || (s.n && s.p[s.n - 1] == '/')))
            return true;
    }
    return false;
}

static struct subscriptions *subscriptions_of(struct session *s)
{
    if (!s->subscriptions)
        s->subscriptions = mem_new(struct subscriptions);
    return s->subscriptions;
}

/* --- Legacy --- */

static bool read_uri(struct request *r, struct str *ret_uri)
{
    struct json uri = json_get(r->params, STR("uri"));
    *ret_uri = json_str(uri, &r->session->arena);
    if (ret_uri->p && ret_uri->n > 0 && ret_uri->n <= URI_MAX &&
        !memchr(ret_uri->p, 0, ret_uri->n))
        return true;
    request_refuse(r, "params.uri must be a URI of at most 2 KiB");
    return false;
}

void subscriptions_subscribe(struct request *r)
{
    struct str uri;
    if (!read_uri(r, &uri))
        return;
    if (uris_add(&subscriptions_of(r->session)->legacy, uri) < 0)
        request_error(r, RPC_INTERNAL_ERROR,
                      "too many subscriptions: give some of them up first");
    else
        request_acknowledge(r);
}

void subscriptions_unsubscribe(struct request *r)
{
    struct str uri;
    if (!read_uri(r, &uri))
        return;
    struct uri_set *set = &subscriptions_of(r->session)->legacy;
    size_t i = uris_find(set, uri);
    if (i < set->count) {
        mem_free(set->uri[i]);
        set->uri[i] = set->uri[--set->count];
    }
    request_acknowledge(r);
}

void subscriptions_forget(struct session *s)
{
    if (s->subscriptions)
        uris_finish(&s->subscriptions->legacy);
}

/* --- Modern --- */

static void free_listen(struct session *s, struct listen *l)
{
    s->subscriptions->listen_count--;
    s->server->listens--;
    uris_finish(&l->uris);
    uris_finish(&l->tasks);
    mem_free(l->id);
    mem_free(l);
}

/* Every message of a listen says which one it is. */
static void write_subscription(struct json_writer *w, const struct listen *l)
{
    jw_key(w, "_meta");
    jw_object(w);
    jw_key_raw(w, MCP_META "subscriptionId", str_of(l->id));
    jw_end_object(w);
}

/* -1: there are too many, or one is nothing of the kind; that is answered. */
static int read_set(struct request *r, struct json filter, const char *key,
                    struct uri_set *set)
{
    struct json items = json_get(filter, str_of(key));
    bool good = !json_present(items) || json_type(items) == JSON_ARRAY;
    for (struct json u = json_first(items); good && json_present(u); u = json_next(u)) {
        struct str s = json_str(u, &r->session->arena);
        good =
            s.n > 0 && s.n <= URI_MAX && !memchr(s.p, 0, s.n) && uris_add(set, s) == 0;
    }
    if (!good)
        request_refuse(r, "resourceSubscriptions and taskIds must be arrays of at most "
                          "256 strings of at most 2 KiB each");
    return good ? 0 : -1;
}

/* -1: the filter is refused, and that is answered. */
static int read_filter(struct request *r, struct json filter, struct listen *l)
{
    unsigned features = r->session->server->config.features;
    for (size_t i = 0; i < CHANGES; i++)
        if ((features & changes[i].feature) &&
            json_is_true(json_get(filter, str_of(changes[i].filter))))
            l->lists |= changes[i].feature;
    if (read_set(r, filter, "resourceSubscriptions", &l->uris) < 0 ||
        read_set(r, filter, "taskIds", &l->tasks) < 0)
        return -1;
    if (!(features & MCP_RESOURCES_SUBSCRIBE))
        uris_finish(&l->uris);
    if (!(features & MCP_TASKS) || !(r->client & CAPABILITY_TASKS))
        uris_finish(&l->tasks);
    return 0;
}

static void write_set(struct json_writer *w, const char *key, const struct uri_set *set)
{
    if (set->count == 0)
        return;
    jw_key(w, key);
    jw_array(w);
    for (size_t i = 0; i < set->count; i++)
        jw_cstr(w, set->uri[i]);
    jw_end_array(w);
}

/* The first message: the part of the filter that is honoured. */
static void acknowledge(struct session *s, const struct listen *l)
{
    struct json_writer w;
    size_t start =
        session_begin_notification(s, &w, "notifications/subscriptions/acknowledged");
    write_subscription(&w, l);
    jw_key(&w, "notifications");
    jw_object(&w);
    for (size_t i = 0; i < CHANGES; i++)
        if (l->lists & changes[i].feature)
            jw_key_bool(&w, changes[i].filter, true);
    write_set(&w, "resourceSubscriptions", &l->uris);
    write_set(&w, "taskIds", &l->tasks);
    jw_end_object(&w);
    session_end_notification_on(s, &w, start, l->stream);
}

void subscriptions_listen(struct request *r)
{
    struct session *s = r->session;
    struct json filter = json_get(r->params, STR("notifications"));
    if (json_type(filter) != JSON_OBJECT) {
        request_refuse(r, "params.notifications must be an object");
        return;
    }
    struct subscriptions *all = subscriptions_of(s);
    if (all->listen_count == MCP_SESSION_LISTENS_MAX ||
        s->server->listens == MCP_LISTENS_MAX) {
        request_error(r, RPC_INTERNAL_ERROR, "too many subscriptions/listen requests");
        return;
    }
    struct listen *l = mem_new(struct listen);
    all->listen_count++;
    s->server->listens++;
    l->id = mem_strndup(r->id.p, r->id.n);
    l->stream = s->stream;
    if (read_filter(r, filter, l) < 0) {
        free_listen(s, l);
        return;
    }
    l->next = all->listens;
    all->listens = l;
    acknowledge(s, l);
}

static struct listen **find(struct session *s, struct str id)
{
    static struct listen *nothing;
    if (!s->subscriptions)
        return &nothing;
    struct listen **at = &s->subscriptions->listens;
    while (*at && !str_eq(str_of((*at)->id), id))
        at = &(*at)->next;
    return at;
}

bool subscriptions_has(struct session *s, struct str id)
{
    return *find(s, id) != NULL;
}

void subscriptions_cancel(struct session *s, struct str id)
{
    struct listen **at = find(s, id);
    struct listen *l = *at;
    if (!l)
        return;
    *at = l->next;
    free_listen(s, l);
}

size_t subscriptions_on(const struct session *s, uint64_t stream)
{
    size_t count = 0;
    const struct listen *l = s->subscriptions ? s->subscriptions->listens : NULL;
    for (; l; l = l->next)
        count += l->stream == stream;
    return count;
}

void subscriptions_finish(struct session *s)
{
    if (!s->subscriptions)
        return;
    while (s->subscriptions->listens)
        subscriptions_cancel(s, str_of(s->subscriptions->listens->id));
    uris_finish(&s->subscriptions->legacy);
    mem_free(s->subscriptions);
    s->subscriptions = NULL;
}

void session_end_listens(struct session *s)
{
    while (s->subscriptions && s->subscriptions->listens) {
        struct listen *l = s->subscriptions->listens;
        struct json_writer w;
        size_t start = session_begin(s, &w);
        jw_object(&w);
        jw_key_raw(&w, "jsonrpc", STR("\"2.0\""));
        jw_key_raw(&w, "id", str_of(l->id));
        jw_key(&w, "result");
        jw_object(&w);
        jw_key_cstr(&w, "resultType", "complete");
        write_subscription(&w, l);
        jw_end_object(&w);
        jw_end_object(&w);
        session_end(
            s, start,
            &(struct mcp_message){.stream = l->stream, .final = true, .status = 200});
        s->subscriptions->listens = l->next;
        free_listen(s, l);
    }
    session_wake(s);
}

/* --- Telling --- */

static void tell_changed(struct session *s, const char *method, const struct listen *l)
{
    struct json_writer w;
    size_t start = session_begin_notification(s, &w, method);
    if (l)
        write_subscription(&w, l);
    session_end_notification_on(s, &w, start, l ? l->stream : 0);
}

static void tell_updated(struct session *s, struct str uri, const struct listen *l)
{
    struct json_writer w;
    size_t start = session_begin_notification(s, &w, "notifications/resources/updated");
    if (l)
        write_subscription(&w, l);
    jw_key_str(&w, "uri", uri);
    session_end_notification_on(s, &w, start, l ? l->stream : 0);
}

static bool concerns(uint64_t owner, const struct session *s)
{
    bool all_of_it = (uint32_t)owner == 0 && owner >> 32 == s->config.owner >> 32;
    return owner == 0 || owner == s->config.owner || all_of_it;
}

static void session_changed(struct session *s, size_t change)
{
    if (s->initialized)
        tell_changed(s, changes[change].method, NULL);
    struct listen *l = s->subscriptions ? s->subscriptions->listens : NULL;
    for (; l; l = l->next)
        if (l->lists & changes[change].feature)
            tell_changed(s, changes[change].method, l);
}

void mcp_server_changed(struct mcp_server *server, uint64_t owner, unsigned lists)
{
    for (size_t i = 0; i < CHANGES; i++)
        if (lists & server->config.features & changes[i].feature)
            for (struct session *s = server->sessions; s; s = s->next)
                if (concerns(owner, s))
                    session_changed(s, i);
}

static void session_updated(struct session *s, struct str uri)
{
    if (!s->subscriptions)
        return;
    if (uris_cover(&s->subscriptions->legacy, uri))
        tell_updated(s, uri, NULL);
    for (struct listen *l = s->subscriptions->listens; l; l = l->next)
        if (uris_cover(&l->uris, uri))
            tell_updated(s, uri, l);
}

void mcp_server_updated(struct mcp_server *server, uint64_t owner, struct str uri)
{
    for (struct session *s = server->sessions; s; s = s->next)
        if (concerns(owner, s))
            session_updated(s, uri);
}

static void tell_task(struct session *s, const struct task *task,
                      const struct listen *l)
{
    struct json_writer w;
    size_t start = session_begin_notification(s, &w, "notifications/tasks");
    write_subscription(&w, l);
    task_write(task, &w, true);
    session_end_notification_on(s, &w, start, l->stream);
}

void subscriptions_tell_task(const struct task *task)
{
    for (struct session *s = task->server->sessions; s; s = s->next) {
        struct listen *l = s->subscriptions ? s->subscriptions->listens : NULL;
        for (; l && s->config.owner == task->owner; l = l->next)
            if (uris_find(&l->tasks, str_of(task->id)) < l->tasks.count)
                tell_task(s, task, l);
    }
}
