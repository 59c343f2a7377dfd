/* Records on disk: <state>/records/LOCAL.json, one a sandbox, replaced atomically. A
 * reader ignores what it does not know; a newer `version` is refused. What ran when the
 * server ended has ended with it. */
#include "base/fd.h"
#include "base/log.h"
#include "vercel_api/private.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STORE_VERSION = 1, STORE_BYTES_MAX = 4 * 1024 * 1024 };

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
    key_text(w, "sourceSnapshot", s->source_snapshot);
    jw_key_cstr(w, "cwd", s->cwd);
    jw_end_object(w);
}

static void write_record(struct json_writer *w, const struct record *rec)
{
    jw_object(w);
    jw_key_i64(w, "version", STORE_VERSION);
    jw_key_cstr(w, "name", rec->name);
    jw_key_cstr(w, "project", rec->project);
    jw_key_bool(w, "persistent", rec->persistent);
    jw_key_bool(w, "hasFiles", rec->has_files);
    jw_key_i64(w, "created", (int64_t)rec->created_ms);
    jw_key_i64(w, "updated", (int64_t)rec->updated_ms);
    jw_key_i64(w, "timeout", (int64_t)rec->timeout_ms);
    jw_key_i64(w, "total", (int64_t)rec->total_ms);
    jw_key_i64(w, "vcpus", rec->vcpus);
    key_text(w, "runtime", rec->runtime);
    key_text(w, "image", rec->image);
    key_text(w, "region", rec->region);
    key_text(w, "networkId", rec->network_id);
    key_json(w, "tags", rec->tags);
    key_json(w, "env", rec->env);
    key_json(w, "mounts", rec->mounts);
    key_json(w, "keepLast", rec->keep_last);
    key_json(w, "failover", rec->failover);
    if (rec->has_expiration)
        jw_key_i64(w, "expiration", (int64_t)rec->expiration_ms);
    if (rec->has_network) {
        jw_key(w, "network");
        network_policy_write_request(&rec->network, w);
    }
    key_text(w, "snapshot", rec->snapshot);
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
    jw_end_object(w);
}

static void file_name(const struct record *rec, char to[API_ID_MAX + 8])
{
    snprintf(to, API_ID_MAX + 8, "%s.json", rec->local);
}

void store_save(const struct record *rec)
{
    struct buf text;
    struct json_writer w;
    char name[API_ID_MAX + 8];
    int dir = rec->api->records_dir;
    buf_init(&text, STORE_BYTES_MAX);
    jw_init(&w, &text);
    write_record(&w, rec);
    file_name(rec, name);
    int fd = openat(dir, ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && !text.overflow && fd_write_all(fd, buf_str(&text)) == 0 &&
              renameat(dir, ".new", dir, name) == 0;
    if (!ok)
        log_error("sandbox %s could not be written down, ignoring that: %s", rec->name,
                  strerror(errno));
    fd_close(&fd);
    buf_finish(&text);
}

void store_forget(const struct record *rec)
{
    char name[API_ID_MAX + 8];
    file_name(rec, name);
    if (unlinkat(rec->api->records_dir, name, 0) < 0 && errno != ENOENT)
        log_error("ignoring that %s could not be removed: %s", name, strerror(errno));
}

static uint64_t number(struct json v, const char *key)
{
    int64_t value = 0;
    json_i64(json_get(v, str_of(key)), &value);
    return value > 0 ? (uint64_t)value : 0;
}

static void copy(char *to, size_t room, struct json v, struct arena *a)
{
    struct str s = json_str(v, a);
    snprintf(to, room, "%.*s", STR_FMT(s));
}

#define COPY(to, v, key, a) copy(to, sizeof(to), json_get(v, STR(key)), a)

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
    COPY(s->id, v, "id", a);
    COPY(s->source_snapshot, v, "sourceSnapshot", a);
    COPY(s->cwd, v, "cwd", a);
    s->status = status_of(json_get(v, STR("status")));
    s->requested_ms = number(v, "requested");
    s->created_ms = number(v, "created");
    s->started_ms = number(v, "started");
    s->updated_ms = number(v, "updated");
    s->stop_requested_ms = number(v, "stopRequested");
    s->stopped_ms = number(v, "stopped");
    s->snapshotted_ms = number(v, "snapshotted");
    s->timeout_ms = number(v, "timeout");
    s->vcpus = (unsigned)number(v, "vcpus");
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
        route->port = (uint16_t)number(k, "port");
        COPY(route->subdomain, k, "subdomain", a);
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
    COPY(rec->name, v, "name", a);
    COPY(rec->snapshot, v, "snapshot", a);
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
    rec->created_ms = number(v, "created");
    rec->updated_ms = number(v, "updated");
    rec->timeout_ms = number(v, "timeout");
    rec->total_ms = number(v, "total");
    rec->vcpus = (unsigned)number(v, "vcpus");
    rec->has_expiration = json_present(json_get(v, STR("expiration")));
    rec->expiration_ms = number(v, "expiration");
    struct json network = json_get(v, STR("network"));
    rec->has_network =
        json_present(network) && network_policy_read(&rec->network, network, &err) == 0;
    read_routes(rec, json_get(v, STR("routes")), a);
    read_sessions(rec, json_get(v, STR("sessions")), a);
}

static int load_text(struct vercel_api *api, const char *file, struct str text,
                     struct err *err)
{
    struct arena arena = {0};
    struct json_doc doc;
    int rc = json_parse(&doc, &arena, text, err);
    struct json v = rc == 0 ? json_root(&doc) : (struct json){0};
    if (rc == 0 && number(v, "version") != STORE_VERSION)
        rc = err_set(err, ERR_UNAVAILABLE, "it is of another version of sandquay");
    if (rc == 0) {
        struct record *rec = record_new(api);
        snprintf(rec->local, sizeof rec->local, "%.*s", (int)(strlen(file) - 5), file);
        read_record(rec, v, &arena);
    }
    arena_finish(&arena);
    return rc;
}

static int load(struct vercel_api *api, const char *file, struct err *err)
{
    struct buf text;
    buf_init(&text, STORE_BYTES_MAX);
    int fd = openat(api->records_dir, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0) {
        char *room = buf_reserve(&text, BUFSIZ);
        n = room ? read(fd, room, BUFSIZ) : -1;
        if (n > 0)
            text.n += (size_t)n;
    }
    int rc = n < 0 ? err_sys(err, errno, "reading it")
                   : load_text(api, file, buf_str(&text), err);
    fd_close(&fd);
    buf_finish(&text);
    return rc;
}

/* What cannot be read stays where it is, and is told. */
static void load_all(struct vercel_api *api)
{
    int fd = openat(api->records_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        fd_close(&fd);
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        struct err err;
        struct str name = str_of(entry->d_name);
        if (name.p[0] != '.' && name.n < API_ID_MAX + 5 &&
            str_ends(name, STR(".json")) && load(api, entry->d_name, &err) < 0)
            log_warn("ignoring the record %s: %s", entry->d_name, err.msg);
    }
    closedir(dir);
}

static int open_dir(int at, const char *path, int *ret_fd, struct err *err)
{
    if (mkdirat(at, path, 0700) < 0 && errno != EEXIST)
        return err_sys(err, errno, "%s", path);
    *ret_fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd < 0 ? err_sys(err, errno, "%s", path) : 0;
}

int store_open(struct vercel_api *api, struct err *err)
{
    if (open_dir(AT_FDCWD, api->config.state_dir, &api->state_dir, err) < 0 ||
        open_dir(api->state_dir, "records", &api->records_dir, err) < 0)
        return -1;
    if (flock(api->records_dir, LOCK_EX | LOCK_NB) < 0) {
        err_set(err, ERR_CONFLICT, "another sandquay vercel-api uses %s",
                api->config.state_dir);
        return err_remedy(err, "end it, or give this one its own --state-dir");
    }
    load_all(api);
    return 0;
}
