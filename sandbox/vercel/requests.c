#include "sandbox/vercel/requests.h"
#include "base/json_write.h"

enum {
    PATH_MAX_BYTES = 4096,
    BODY_MAX_BYTES = 1024 * 1024, /* a command with its environment, escaped */
    SHORT_MS = 60 * 1000,
    LONG_MS = 300 * 1000, /* boots, stops and snapshots block */
};

void vercel_request_finish(struct vercel_request *r)
{
    buf_finish(&r->path);
    buf_finish(&r->body);
}

void vercel_escape(struct buf *b, struct str s)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
            (c >= 'a' && c <= 'z') || c == '-' || c == '_' || c == '.' || c == '~') {
            buf_addc(b, (char)c);
        } else {
            buf_addc(b, '%');
            buf_addc(b, hex[c >> 4]);
            buf_addc(b, hex[c & 15]);
        }
    }
}

static void add_query(struct vercel_request *r, const char *key, struct str value)
{
    if (value.n == 0)
        return;
    bool first = str_find(buf_str(&r->path), '?') < 0;
    buf_addf(&r->path, "%c%s=", first ? '?' : '&', key);
    vercel_escape(&r->path, value);
}

static void add_page(struct vercel_request *r, struct str cursor)
{
    add_query(r, "limit", STR("50")); /* the most that one page may have */
    add_query(r, "cursor", cursor);
}

static struct vercel_request request(const char *method, const char *doing,
                                     bool repeatable)
{
    struct vercel_request r = {.method = method,
                               .doing = doing,
                               .repeatable = repeatable,
                               .head_ms = SHORT_MS};
    buf_init(&r.path, PATH_MAX_BYTES);
    buf_init(&r.body, BODY_MAX_BYTES);
    return r;
}

/* Of one sandbox: /v2/sandboxes/NAME<rest>?teamId&projectId */
static struct vercel_request of_sandbox(const struct vercel_scope *s,
                                        const char *method, const char *doing,
                                        struct str name, const char *rest)
{
    struct vercel_request r = request(method, doing, true);
    buf_addz(&r.path, "/v2/sandboxes/");
    vercel_escape(&r.path, name);
    buf_addz(&r.path, rest);
    add_query(&r, "teamId", s->team);
    add_query(&r, "projectId", s->project);
    return r;
}

static struct vercel_request in_session(const struct vercel_scope *s,
                                        const char *method, const char *doing,
                                        const char *rest, bool repeatable)
{
    struct vercel_request r = request(method, doing, repeatable);
    r.in_session = true;
    buf_addz(&r.path, rest);
    add_query(&r, "teamId", s->team);
    return r;
}

void vercel_request_path(const struct vercel_request *r, struct str session,
                         struct buf *to)
{
    if (r->in_session) {
        buf_addz(to, "/v2/sandboxes/sessions/");
        vercel_escape(to, session);
    }
    buf_adds(to, buf_str(&r->path));
}

static void write_map(struct json_writer *w, const char *key, const struct str *pairs,
                      size_t count)
{
    jw_key(w, key);
    jw_object(w);
    for (size_t i = 0; i < count; i++) {
        ptrdiff_t equals = str_find(pairs[i], '=');
        struct str name = {pairs[i].p, equals < 0 ? pairs[i].n : (size_t)equals};
        jw_key_any(w, name);
        jw_str(w, str_from(pairs[i], name.n + 1));
    }
    jw_end_object(w);
}

/* What was there before images, and still is made by the older call. */
static bool is_runtime(struct str image)
{
    static const struct str runtimes[] = {STR_INIT("node22"), STR_INIT("node24"),
                                          STR_INIT("node26"), STR_INIT("python3.13")};
    for (size_t i = 0; i < sizeof runtimes / sizeof runtimes[0]; i++)
        if (str_eq(image, runtimes[i]))
            return true;
    return false;
}

/* Where its files come from. */
static void write_source(struct json_writer *w, const struct sandbox_spec *spec)
{
    if (spec->snapshot.n) {
        jw_key(w, "source");
        jw_object(w);
        jw_key_cstr(w, "type", "snapshot");
        jw_key_str(w, "snapshotId", spec->snapshot);
        jw_end_object(w);
    } else if (spec->image.n) {
        jw_key_str(w, is_runtime(spec->image) ? "runtime" : "image", spec->image);
    }
}

static void write_size(struct json_writer *w, const struct vercel_create *c,
                       bool with_memory)
{
    if (c->timeout_ms)
        jw_key_i64(w, "timeout", (int64_t)c->timeout_ms);
    if (c->vcpus) {
        jw_key(w, "resources");
        jw_object(w);
        jw_key_i64(w, "vcpus", c->vcpus);
        if (with_memory)
            jw_key_i64(w, "memory", 2048 * (int64_t)c->vcpus);
        jw_end_object(w);
    }
}

static void write_rest(struct json_writer *w, const struct sandbox_spec *spec)
{
    if (spec->network) {
        jw_key(w, "networkPolicy");
        network_policy_write_request(spec->network, w);
    }
    if (spec->env_count)
        write_map(w, "env", spec->env, spec->env_count);
    if (spec->tag_count)
        write_map(w, "tags", spec->tags, spec->tag_count);
}

static void write_ports(struct json_writer *w, const struct sandbox_spec *spec)
{
    jw_key(w, "ports");
    jw_array(w);
    for (size_t i = 0; i < spec->port_count; i++)
        jw_i64(w, spec->ports[i]);
    jw_end_array(w);
}

struct vercel_request vercel_create(const struct vercel_scope *s,
                                    const struct vercel_create *c)
{
    struct vercel_request r = request("POST", "creating the sandbox", false);
    struct json_writer w;
    r.head_ms = LONG_MS;
    bool old = !c->spec->snapshot.n && is_runtime(c->spec->image);
    buf_addz(&r.path, old ? "/v2/sandboxes" : "/v3/sandboxes");
    add_query(&r, "teamId", s->team);
    jw_init(&w, &r.body);
    jw_object(&w);
    jw_key_str(&w, "projectId", s->project);
    write_ports(&w, c->spec);
    write_source(&w, c->spec);
    write_size(&w, c, false);
    jw_key_str(&w, "name", c->name);
    jw_key_bool(&w, "persistent", c->persistent);
    write_rest(&w, c->spec);
    jw_end_object(&w);
    return r;
}

struct vercel_request vercel_fork(const struct vercel_scope *s, struct str source,
                                  const struct vercel_create *c)
{
    struct vercel_request r =
        of_sandbox(s, "POST", "forking the sandbox", source, "/fork");
    struct json_writer w;
    r.repeatable = false;
    r.head_ms = LONG_MS;
    jw_init(&w, &r.body);
    jw_object(&w);
    jw_key_str(&w, "name", c->name);
    if (c->spec->port_count)
        write_ports(&w, c->spec);
    jw_key_bool(&w, "persistent", c->persistent);
    write_size(&w, c, false);
    write_rest(&w, c->spec);
    jw_end_object(&w);
    return r;
}

struct vercel_request vercel_get(const struct vercel_scope *s, struct str name,
                                 bool resume)
{
    struct vercel_request r = of_sandbox(
        s, "GET", resume ? "opening the sandbox" : "looking for the sandbox", name, "");
    if (resume) {
        add_query(&r, "resume", STR("true"));
        r.head_ms = LONG_MS;
    }
    return r;
}

struct vercel_request vercel_list(const struct vercel_scope *s, struct str cursor)
{
    struct vercel_request r = request("GET", "listing the sandboxes", true);
    buf_addz(&r.path, "/v2/sandboxes");
    add_query(&r, "teamId", s->team);
    add_query(&r, "project", s->project);
    add_page(&r, cursor);
    return r;
}

struct vercel_request vercel_update(const struct vercel_scope *s,
                                    const struct vercel_create *c)
{
    struct vercel_request r =
        of_sandbox(s, "PATCH", "changing the sandbox", c->name, "");
    struct json_writer w;
    jw_init(&w, &r.body);
    jw_object(&w);
    write_size(&w, c, true);
    write_rest(&w, c->spec);
    if (c->spec->port_count)
        write_ports(&w, c->spec);
    jw_end_object(&w);
    return r;
}

struct vercel_request vercel_ports(const struct vercel_scope *s, struct str name,
                                   const uint16_t *ports, size_t count)
{
    struct vercel_request r = of_sandbox(s, "PATCH", "opening the port", name, "");
    struct json_writer w;
    jw_init(&w, &r.body);
    jw_object(&w);
    write_ports(&w, &(struct sandbox_spec){.ports = ports, .port_count = count});
    jw_end_object(&w);
    return r;
}

struct vercel_request vercel_persist(const struct vercel_scope *s, struct str name)
{
    struct vercel_request r =
        of_sandbox(s, "PATCH", "having the sandbox keep its files", name, "");
    buf_addz(&r.body, "{\"persistent\":true,\"snapshotExpiration\":86400000}");
    return r;
}

struct vercel_request vercel_delete(const struct vercel_scope *s, struct str name,
                                    bool with_snapshots)
{
    struct vercel_request r = of_sandbox(s, "DELETE", "deleting the sandbox", name, "");
    if (with_snapshots)
        add_query(&r, "deleteOrphanSnapshots", STR("true"));
    r.head_ms = LONG_MS;
    return r;
}

struct vercel_request vercel_stop(const struct vercel_scope *s)
{
    struct vercel_request r =
        in_session(s, "POST", "stopping the sandbox", "/stop", true);
    r.head_ms = LONG_MS;
    return r;
}

/* Twice gives more time than asked for, which harms nobody. */
struct vercel_request vercel_extend(const struct vercel_scope *s, uint64_t duration_ms)
{
    struct vercel_request r =
        in_session(s, "POST", "extending the sandbox's time", "/extend-timeout", true);
    buf_addf(&r.body, "{\"duration\":%llu}", (unsigned long long)duration_ms);
    return r;
}

struct vercel_request vercel_network(const struct vercel_scope *s,
                                     const struct network_policy *policy)
{
    struct vercel_request r =
        in_session(s, "POST", "setting the network's policy", "/network-policy", true);
    struct json_writer w;
    jw_init(&w, &r.body);
    network_policy_write_request(policy, &w);
    return r;
}

struct vercel_request vercel_snapshot_take(const struct vercel_scope *s)
{
    struct vercel_request r =
        in_session(s, "POST", "taking a snapshot", "/snapshot", false);
    r.head_ms = LONG_MS;
    return r;
}

struct vercel_request vercel_mkdir(const struct vercel_scope *s, struct str path,
                                   bool recursive)
{
    struct vercel_request r =
        in_session(s, "POST", "making the directory", "/fs/mkdir", recursive);
    struct json_writer w;
    jw_init(&w, &r.body);
    jw_object(&w);
    jw_key_str(&w, "path", path);
    jw_key_bool(&w, "recursive", recursive);
    jw_end_object(&w);
    return r;
}

struct vercel_request vercel_read(const struct vercel_scope *s, struct str path)
{
    struct vercel_request r =
        in_session(s, "POST", "reading the file", "/fs/read", true);
    struct json_writer w;
    jw_init(&w, &r.body);
    jw_object(&w);
    jw_key_str(&w, "path", path);
    jw_end_object(&w);
    return r;
}

/* The file that it writes has a name of its own: again is the same. */
struct vercel_request vercel_write(const struct vercel_scope *s)
{
    struct vercel_request r =
        in_session(s, "POST", "writing the file", "/fs/write", true);
    r.gzip = true;
    r.head_ms = LONG_MS;
    return r;
}

struct vercel_request vercel_run(const struct vercel_scope *s,
                                 const struct vercel_run *run)
{
    struct vercel_request r =
        in_session(s, "POST", "starting the command", "/cmd", false);
    struct json_writer w;
    jw_init(&w, &r.body);
    jw_object(&w);
    jw_key_cstr(&w, "command", "bash");
    jw_key(&w, "args");
    jw_array(&w);
    for (size_t i = 0; i < run->arg_count; i++)
        jw_str(&w, run->args[i]);
    jw_end_array(&w);
    if (run->cwd.n)
        jw_key_str(&w, "cwd", run->cwd);
    write_map(&w, "env", run->env, run->env_count);
    jw_key_bool(&w, "sudo", run->sudo);
    if (run->wait) {
        jw_key_bool(&w, "wait", true);
        jw_key_bool(&w, "logs", true);
    }
    if (run->timeout_ms)
        jw_key_i64(&w, "timeout", (int64_t)run->timeout_ms);
    jw_end_object(&w);
    return r;
}

struct vercel_request vercel_commands(const struct vercel_scope *s)
{
    return in_session(s, "GET", "listing the commands", "/cmd", true);
}

static struct vercel_request of_command(const struct vercel_scope *s,
                                        const char *method, const char *doing,
                                        struct str id, const char *rest)
{
    struct vercel_request r = request(method, doing, true);
    r.in_session = true;
    buf_addz(&r.path, "/cmd/");
    vercel_escape(&r.path, id);
    buf_addz(&r.path, rest);
    add_query(&r, "teamId", s->team);
    return r;
}

struct vercel_request vercel_command(const struct vercel_scope *s, struct str id,
                                     bool wait)
{
    struct vercel_request r =
        of_command(s, "GET", "asking how the command ended", id, "");
    if (wait) {
        add_query(&r, "wait", STR("true"));
        r.head_ms = LONG_MS;
    }
    return r;
}

struct vercel_request vercel_logs(const struct vercel_scope *s, struct str id)
{
    return of_command(s, "GET", "reading the command's output", id, "/logs");
}

struct vercel_request vercel_kill(const struct vercel_scope *s, struct str id,
                                  int signum)
{
    struct vercel_request r =
        of_command(s, "POST", "signalling the command", id, "/kill");
    buf_addf(&r.body, "{\"signal\":%d}", signum);
    r.repeatable = signum == 9;
    return r;
}

struct vercel_request vercel_snapshots(const struct vercel_scope *s, struct str cursor)
{
    struct vercel_request r = request("GET", "listing the snapshots", true);
    buf_addz(&r.path, "/v2/sandboxes/snapshots");
    add_query(&r, "teamId", s->team);
    add_query(&r, "project", s->project);
    add_page(&r, cursor);
    return r;
}

struct vercel_request vercel_snapshot_delete(const struct vercel_scope *s,
                                             struct str id)
{
    struct vercel_request r = request("DELETE", "deleting the snapshot", true);
    buf_addz(&r.path, "/v2/sandboxes/snapshots/");
    vercel_escape(&r.path, id);
    add_query(&r, "teamId", s->team);
    return r;
}

struct vercel_request vercel_user(void)
{
    struct vercel_request r = request("GET", "asking whose token it is", true);
    buf_addz(&r.path, "/v2/user");
    return r;
}

struct vercel_request vercel_project(struct str team, struct str name)
{
    struct vercel_request r = request("GET", "looking for the project", true);
    buf_addz(&r.path, "/v2/projects/");
    vercel_escape(&r.path, name);
    add_query(&r, "teamId", team);
    return r;
}

/* A second one of that name is refused. */
struct vercel_request vercel_project_new(struct str team, struct str name)
{
    struct vercel_request r = request("POST", "making the project", true);
    struct json_writer w;
    buf_addz(&r.path, "/v11/projects");
    add_query(&r, "teamId", team);
    jw_init(&w, &r.body);
    jw_object(&w);
    jw_key_str(&w, "name", name);
    jw_end_object(&w);
    return r;
}
