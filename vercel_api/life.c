/* The life of a session: it starts, its time runs, it stops. While it changes, who asks
 * for it waits (struct waiter). */
#include "base/log.h"
#include "base/mem.h"
#include "vercel_api/drives.h"
#include "vercel_api/snapshots.h"
#include <stdio.h>
#include <sys/sysinfo.h>
#include <unistd.h>

enum { MIB_PER_VCPU = 2048, ENV_ROOM = 256 };

static struct sandboxes *set_of(const struct session *s)
{
    return s->record->api->set;
}

void session_wait(struct session *s, struct request *r, session_fn *fn)
{
    struct waiter *w = mem_new(struct waiter);
    *w = (struct waiter){.fn = fn, .request = r};
    request_hold(r);
    struct waiter **at = &s->waiters;
    while (*at)
        at = &(*at)->next;
    *at = w;
}

/* Who waits is told when the loop has come back from what has just happened, so that
 * everything may be asked of the session again; a deleted sandbox goes away then. */
static void on_later(void *ctx)
{
    struct session *s = ctx;
    struct record *rec = s->record;
    struct waiter *w = s->waiters;
    struct err failed = s->failed;
    s->waiters = NULL;
    while (w) {
        struct waiter *next = w->next;
        struct request *r = w->request;
        w->fn(r, s, failed.kind ? &failed : NULL);
        mem_free(w);
        request_drop(r);
        w = next;
    }
    if (rec->deleted) {
        record_forget(rec);
        record_free(rec);
    }
}

static void tell(struct session *s, const struct err *err)
{
    s->failed = err ? *err : (struct err){0};
    if (!s->later)
        s->later = loop_later_new(s->record->api->loop, on_later, s);
    loop_later_ask(s->later);
}

static void set_status(struct session *s, enum sandbox_status status)
{
    s->status = status;
    s->updated_ms = s->record->updated_ms = api_now_ms();
}

/* It runs no more, for whatever reason. */
static void has_ended(struct session *s, enum sandbox_status status)
{
    loop_timer_free(s->timer);
    s->timer = NULL;
    s->sandbox = 0;
    commands_free(s);
    record_forget_urls(s->record);
    set_status(s, status);
    s->stopped_ms = s->updated_ms;
    if (s->started_ms && s->stopped_ms > s->started_ms)
        s->record->total_ms += s->stopped_ms - s->started_ms;
    record_save(s->record);
}

static void on_timer(void *ctx)
{
    struct session *s = ctx;
    log_info("the time of sandbox %s is over", s->record->name);
    session_end(s, ENDING_STOP, NULL, NULL);
}

void session_set_timer(struct session *s)
{
    uint64_t now = api_now_ms(), due = s->started_ms + s->timeout_ms;
    if (!s->timer)
        s->timer = loop_timer_new(s->record->api->loop, on_timer, s);
    loop_timer_start(s->timer, due > now ? due - now : 0);
}

/* Of what could not be made nothing is left. */
static void has_failed(struct session *s, const struct err *err)
{
    struct err copy = *err;
    has_ended(s, SANDBOX_FAILED);
    s->record->deleted = !s->record->has_files && !s->older;
    tell(s, &copy);
}

static void on_unmade(void *ctx, const struct err *err)
{
    struct session *s = ctx;
    struct err why = s->failed;
    if (err)
        log_error("ignoring that files of %s are left: %s", s->record->name, err->msg);
    has_failed(s, &why);
}

static void runs(struct session *s)
{
    s->record->has_files = true;
    set_status(s, SANDBOX_RUNNING);
    s->started_ms = s->updated_ms;
    session_set_timer(s);
    session_open_ports(s);
    record_save(s->record);
    tell(s, NULL);
}

static void on_set_up(struct session *s, const struct err *err)
{
    struct record *rec = s->record;
    record_text(&rec->source, (struct str){0}); /* it may hold a password */
    if (!err) {
        runs(s);
        return;
    }
    s->failed = *err;
    sandbox_stop(set_of(s), API_OWNER, str_of(rec->local), SANDBOX_STOP_DELETE,
                 on_unmade, s);
}

static void on_open(void *ctx, const struct sandbox_info *info, const struct err *err)
{
    struct session *s = ctx;
    if (err) {
        has_failed(s, err);
        return;
    }
    s->sandbox = info->id;
    if (info->cwd.n && info->cwd.n < sizeof s->cwd) {
        memcpy(s->cwd, info->cwd.p, info->cwd.n);
        s->cwd[info->cwd.n] = '\0';
    }
    if (s->record->has_files)
        runs(s);
    else
        session_setup(s, s->record->source, on_set_up);
}

static size_t read_env(const char *json, struct arena *a, struct str env[ENV_ROOM])
{
    struct json_doc doc;
    struct err err;
    size_t n = 0;
    if (!json || json_parse(&doc, a, str_of(json), &err) < 0)
        return 0;
    for (struct json k = json_first(json_root(&doc)); json_present(k) && n < ENV_ROOM;
         k = json_next(k)) {
        struct buf text;
        buf_init(&text, SANDBOX_ENV_MAX);
        buf_adds(&text, json_str(k, a));
        buf_addc(&text, '=');
        buf_adds(&text, json_str(json_value(k), a));
        env[n++] = arena_dup(a, buf_str(&text));
        buf_finish(&text);
    }
    return n;
}

/* What a vCPU stands for, as far as this machine has it. */
static void limit(struct sandbox_spec *spec, unsigned vcpus)
{
    struct sysinfo machine;
    uint64_t memory = (uint64_t)vcpus * MIB_PER_VCPU << 20;
    uint64_t cpus = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
    if (sysinfo(&machine) == 0 &&
        (uint64_t)machine.totalram * machine.mem_unit < memory)
        memory = (uint64_t)machine.totalram * machine.mem_unit;
    spec->memory_bytes = memory;
    spec->cpu_millis = 1000 * (vcpus < cpus ? vcpus : cpus);
}

static void on_updated(void *ctx, const struct sandbox_info *info,
                       const struct err *err)
{
    struct session *s = ctx;
    (void)info;
    if (err) {
        on_open(s, NULL, err);
        return;
    }
    struct arena arena = {0};
    struct sandbox_mount mounts[DRIVE_MOUNTS_MAX];
    size_t count = drives_mounts(s, &arena, mounts);
    sandbox_open_with(set_of(s), API_OWNER, str_of(s->record->local), mounts, count,
                      on_open, s);
    arena_finish(&arena);
}

/* What create() wants of the record; strings live in *a. */
static void make_spec(const struct session *s, struct arena *a,
                      struct str env[ENV_ROOM], struct sandbox_spec *spec)
{
    const struct record *rec = s->record;
    *spec = (struct sandbox_spec){.name = str_of(rec->local), .env = env};
    spec->env_count = read_env(rec->env, a, env);
    limit(spec, s->vcpus);
    if (rec->has_network)
        spec->network = &rec->network;
}

static void create(struct session *s)
{
    struct arena arena = {0};
    struct str env[ENV_ROOM];
    struct sandbox_spec spec;
    struct snapshot *snap = snapshot_find(s->record->api, str_of(s->source_snapshot));
    struct sandbox_mount mounts[DRIVE_MOUNTS_MAX];
    make_spec(s, &arena, env, &spec);
    spec.mounts = mounts;
    spec.mount_count = drives_mounts(s, &arena, mounts);
    if (s->source_snapshot[0] && !snap) {
        struct err err;
        err_set(&err, ERR_NOT_FOUND, "Snapshot '%s' is not available.",
                s->source_snapshot);
        on_open(s, NULL, &err);
        arena_finish(&arena);
        return;
    }
    if (snap) {
        spec.snapshot = str_of(snap->local);
        snapshot_use(snap);
    }
    sandbox_create(set_of(s), API_OWNER, &spec, on_open, s);
    arena_finish(&arena);
}

static void on_cleared(void *ctx, const struct err *err)
{
    (void)err; /* if it is still there, that is told now */
    create(ctx);
}

int session_can_start(const struct record *rec, struct err *err)
{
    bool snapshot = snapshot_find(rec->api, str_of(rec->snapshot)) != NULL;
    if (rec->has_files && !rec->rebase)
        return 0;
    if (rec->snapshot[0] && !snapshot)
        return err_set(err, ERR_NOT_FOUND, "Snapshot '%s' is not available.",
                       rec->snapshot);
    if (!snapshot && rec->current)
        return err_set(err, ERR_INVALID,
                       "Cannot resume sandbox: no snapshot available.");
    return 0;
}

void session_start(struct session *s, struct request *r, session_fn *fn)
{
    struct record *rec = s->record;
    struct arena arena = {0};
    struct str env[ENV_ROOM];
    struct sandbox_spec spec;
    session_wait(s, r, fn);
    if (rec->has_files && !rec->rebase) {
        make_spec(s, &arena, env, &spec);
        sandbox_update(set_of(s), API_OWNER, spec.name, &spec, on_updated, s);
        arena_finish(&arena);
    } else if (rec->has_files) {
        rec->has_files = rec->rebase = false;
        sandbox_stop(set_of(s), API_OWNER, str_of(rec->local), SANDBOX_STOP_DELETE,
                     on_cleared, s);
    } else {
        create(s);
    }
}

static void on_stopped(void *ctx, const struct err *err)
{
    struct session *s = ctx;
    struct record *rec = s->record;
    struct err copy;
    if (err)
        copy = *err;
    if (err && err->kind == ERR_NOT_FOUND)
        err = NULL; /* it was gone already */
    if (!err && (!rec->persistent || s->deleting) && !s->by_hand)
        rec->has_files = false;
    rec->deleted = s->deleting && !err;
    s->deleting = false;
    if (s->sandbox)
        has_ended(s, err ? SANDBOX_FAILED : SANDBOX_STOPPED);
    tell(s, err ? &copy : NULL);
}

static void on_measured(void *ctx, const struct snapshot_info *info,
                        const struct err *err)
{
    struct session *s = ctx;
    if (err)
        log_warn("ignoring the size of a snapshot: %s", err->msg);
    snapshot_new(s, &(struct snapshot_info){.id = str_of(s->taken),
                                            .size_bytes = info ? info->size_bytes : 0});
    snapshots_evict(s->record);
    on_stopped(s, NULL);
}

/* Its files stay also when no snapshot could be made of them. */
static void on_snapshot(void *ctx, const struct snapshot_info *info,
                        const struct err *err)
{
    struct session *s = ctx;
    struct err copy;
    if (info) {
        snprintf(s->taken, sizeof s->taken, "%.*s", STR_FMT(info->id));
        snapshot_measure(set_of(s), API_OWNER, str_of(s->taken), on_measured, s);
        return;
    }
    copy = *err;
    log_warn("sandbox %s stopped without a snapshot: %s", s->record->name, err->msg);
    on_stopped(s, NULL);
    if (s->by_hand)
        tell(s, &copy);
}

void session_end(struct session *s, enum ending how, struct request *r, session_fn *fn)
{
    struct record *rec = s->record;
    bool snapshot = how == ENDING_SNAPSHOT || (how == ENDING_STOP && rec->persistent);
    if (fn)
        session_wait(s, r, fn);
    if (s->status != SANDBOX_RUNNING && how != ENDING_DELETE) {
        tell(s, NULL);
        return;
    }
    s->deleting = how == ENDING_DELETE;
    s->by_hand = how == ENDING_SNAPSHOT;
    loop_timer_free(s->timer);
    s->timer = NULL;
    commands_free(s);
    if (s->status == SANDBOX_RUNNING) {
        s->stop_requested_ms = s->by_hand ? 0 : api_now_ms();
        set_status(s, s->by_hand ? SANDBOX_SNAPSHOTTING : SANDBOX_STOPPING);
    }
    if (snapshot)
        sandbox_snapshot(set_of(s), API_OWNER, str_of(rec->local), on_snapshot, s);
    else
        sandbox_stop(set_of(s), API_OWNER, str_of(rec->local), SANDBOX_STOP_DELETE,
                     on_stopped, s);
}

void session_look(struct session *s)
{
    struct sandbox_info info;
    struct err err;
    if (s->status == SANDBOX_RUNNING &&
        sandbox_get(set_of(s), s->sandbox, &info, &err) < 0)
        has_ended(s, SANDBOX_ABORTED);
}

void session_free(struct session *s)
{
    while (s->waiters) {
        struct waiter *next = s->waiters->next;
        mem_free(s->waiters);
        s->waiters = next;
    }
    loop_timer_free(s->timer);
    loop_later_free(s->later);
    commands_free(s);
    mem_free(s->mounts);
    mem_free(s);
}

struct session *request_session(struct request *r)
{
    struct session *s = session_find(r->api, r->route.ids[0]);
    if (!s) {
        api_fail(r, HTTP_NOT_FOUND, "not_found", "Session '%.*s' not found.",
                 STR_FMT(r->route.ids[0]));
        return NULL;
    }
    session_look(s);
    switch (s->status) {
    case SANDBOX_RUNNING:
        return s;
    case SANDBOX_PENDING:
        api_fail(r, HTTP_UNPROCESSABLE, "sandbox_pending", "Sandbox is starting");
        return NULL;
    case SANDBOX_STOPPING:
        api_fail(r, HTTP_UNPROCESSABLE, "sandbox_stopping", "Sandbox is stopping");
        return NULL;
    case SANDBOX_SNAPSHOTTING:
        api_fail(r, HTTP_UNPROCESSABLE, "sandbox_snapshotting",
                 "Sandbox is creating a snapshot");
        return NULL;
    default:
        api_fail(r, HTTP_GONE, "sandbox_stopped",
                 "Sandbox has stopped execution and is no longer available");
        return NULL;
    }
}

struct record *request_record(struct request *r)
{
    struct str project = request_project(r);
    if (!project.n) {
        api_fail(r, HTTP_BAD_REQUEST, "bad_request",
                 "Invalid request: missing required property `projectId`");
        return NULL;
    }
    struct record *rec = record_find(r->api, project, r->route.ids[0]);
    if (rec)
        session_look(rec->current);
    else
        api_fail(r, HTTP_NOT_FOUND, "not_found",
                 "Named sandbox '%.*s' not found for this project.",
                 STR_FMT(r->route.ids[0]));
    return rec;
}
