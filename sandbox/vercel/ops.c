/* What is asked about sandboxes as a whole: lists, stop, time, settings, snapshots.
 *
 * An op may be about a sandbox that nobody here has open; then its session is found out
 * first. The op's `impl` is a struct job, gone before the op is answered. */
#include "base/mem.h"
#include "sandbox/vercel/private.h"
#include <stdio.h>

enum { PAGES_MAX = 200 };

struct job {
    struct vercel *vercel;
    struct sandbox_op *op;
    struct exchange *exchange;
    void (*go)(struct job *job);
    exchange_fn *found;              /* after looking the sandbox up */
    void (*then)(struct job *job);   /* after making it persistent */
    char name[SANDBOX_NAME_MAX + 1]; /* there */
    char session[VERCEL_ID_MAX + 1];
    char source[SANDBOX_NAME_MAX + 1];
    int pages;
};

static void finish(struct job *job, const struct err *err)
{
    struct sandbox_op *op = job->op;
    struct err copy;
    if (err)
        copy = *err;
    op->impl = NULL;
    mem_free(job);
    sandbox_op_done(op, err ? &copy : NULL);
}

/* Why something about the sandbox that was named failed. */
static void refuse(struct job *job, const struct exchange_result *r)
{
    struct err err = *r->err;
    if (r->status == 404) {
        err_set(&err, ERR_NOT_FOUND, "there is no sandbox %s", job->op->name);
        err_remedy(&err, "sandbox_list tells which there are");
    }
    finish(job, &err);
}

static void on_prepared(void *ctx, const struct err *err)
{
    struct job *job = ctx;
    if (err)
        finish(job, err);
    else
        job->go(job);
}

static struct machine *machine_of(const struct sandbox_op *op)
{
    return op->sandbox ? op->sandbox->impl : NULL;
}

static void begin(void *self, struct sandbox_op *op, void (*go)(struct job *job))
{
    struct job *job = mem_new(struct job);
    const struct machine *m = machine_of(op);
    *job = (struct job){.vercel = self, .op = op, .go = go};
    op->impl = job;
    if (m)
        memcpy(job->name, m->name, sizeof job->name);
    else if (op->name[0])
        machine_name(op->owner, str_of(op->name), job->name);
    account_prepare(self, on_prepared, job);
}

static void ask(struct job *job, struct vercel_request request, exchange_fn *done)
{
    job->exchange = exchange_start(
        job->vercel,
        &(struct exchange_spec){.request = request, .done = done, .ctx = job});
}

static void ask_in_session(struct job *job, struct vercel_request request,
                           exchange_fn *done)
{
    job->exchange = exchange_start(
        job->vercel,
        &(struct exchange_spec){
            .request = request, .session = job->session, .done = done, .ctx = job});
}

/* Which session the sandbox has, wherever it runs. */
static void on_looked_up(void *ctx, const struct exchange_result *r)
{
    struct job *job = ctx;
    struct vercel_opened o;
    struct err err;
    if (r->err) {
        refuse(job, r);
    } else if (vercel_read_opened(r->root, r->arena, &o, &err) < 0) {
        finish(job, &err);
    } else {
        snprintf(job->session, sizeof job->session, "%.*s", STR_FMT(o.session.id));
        job->found(job, r);
    }
}

static void look_up(struct job *job, bool resume, exchange_fn *found)
{
    struct vercel_scope scope = vercel_scope_of(job->vercel);
    job->found = found;
    ask(job, vercel_get(&scope, str_of(job->name), resume), on_looked_up);
}

/* Lists */

/* The name here of what is called so there; empty: another tenant's. */
static struct str name_here(const struct sandbox_op *op, struct str name)
{
    char prefix[SANDBOX_NAME_MAX + 1];
    machine_name(op->owner, (struct str){"", 0}, prefix);
    if (!str_starts(name, str_of(prefix)))
        return (struct str){0};
    return str_from(name, strlen(prefix));
}

static size_t read_tags(struct json tags, struct arena *a, const struct str **ret_tags)
{
    struct str *list = arena_alloc(a, (json_len(tags) + 1) * sizeof *list);
    size_t n = 0;
    for (struct json k = json_first(tags); json_present(k); k = json_next(k)) {
        struct str key = json_str(k, a), value = json_str(json_value(k), a);
        char *pair = arena_alloc(a, key.n + 1 + value.n);
        memcpy(pair, key.p ? key.p : "", key.n);
        pair[key.n] = '=';
        memcpy(pair + key.n + 1, value.p ? value.p : "", value.n);
        list[n++] = (struct str){pair, key.n + 1 + value.n};
    }
    *ret_tags = list;
    return n;
}

static uint64_t positive(int64_t v)
{
    return v > 0 ? (uint64_t)v : 0;
}

static void add_info(struct sandbox_op *op, const struct vercel_sandbox *s,
                     struct str name, struct arena *a)
{
    struct sandbox_spec spec = {.memory_bytes = positive(s->memory_mb) << 20,
                                .cpu_millis = positive(s->vcpus) * 1000,
                                .timeout_ms = positive(s->timeout_ms),
                                .image = s->image};
    spec.tag_count = read_tags(s->tags, a, &spec.tags);
    sandbox_op_add_info(op, &(struct sandbox_info){
                                .name = name,
                                .backend = "vercel",
                                .status = s->status,
                                .kept = s->persistent,
                                .level = 1,
                                .created_ms = positive(s->created_ms),
                                .updated_ms = positive(s->updated_ms),
                                .expires_ms = positive(s->expires_ms),
                                .spec = &spec,
                                .limited_by = STR("a microVM of its own"),
                            });
}

/* Sandboxes that last only as long as a server are that server's business. */
static bool is_listed(const struct job *job, const struct vercel_sandbox *s)
{
    for (const struct machine *m = job->vercel->machines; m; m = m->next)
        if (str_eq(str_of(m->name), s->name))
            return false; /* listed already, under its name here */
    return s->persistent || s->status != SANDBOX_STOPPED;
}

static void list_page(struct job *job, struct str cursor);

static void on_list(void *ctx, const struct exchange_result *r)
{
    struct job *job = ctx;
    struct err err;
    if (r->err) {
        finish(job, r->err);
        return;
    }
    struct json list = json_get(r->root, STR("sandboxes"));
    for (struct json j = json_first(list); json_present(j); j = json_next(j)) {
        struct vercel_sandbox s;
        if (vercel_read_sandbox(j, r->arena, &s, &err) < 0)
            continue;
        struct str name = name_here(job->op, s.name);
        if (name.n && is_listed(job, &s))
            add_info(job->op, &s, name, r->arena);
    }
    struct str next = vercel_next_page(r->root, r->arena);
    if (next.n && ++job->pages < PAGES_MAX)
        list_page(job, next);
    else
        finish(job, NULL);
}

static void list_page(struct job *job, struct str cursor)
{
    struct vercel_scope scope = vercel_scope_of(job->vercel);
    ask(job, vercel_list(&scope, cursor), on_list);
}

static void list_first(struct job *job)
{
    list_page(job, (struct str){0});
}

void ops_list(void *self, struct sandbox_op *op)
{
    begin(self, op, list_first);
}

/* Stop */

static bool is_temporary(const struct job *job)
{
    const struct machine *m = machine_of(job->op);
    return m && m->temporary;
}

/* The machine here is over: the VM is stopped, or deleted. A temporary one that was
 * stopped stays, and is resumed when it is used. */
static void let_go(struct sandbox_op *op, bool deleted)
{
    struct machine *m = machine_of(op);
    if (!m)
        return;
    op->in_place = m->temporary && !deleted;
    if (op->in_place)
        return;
    if (deleted)
        m->made = false;
    op->sandbox->impl = NULL;
    machine_destroy(m);
}

static void on_deleted(void *ctx, const struct exchange_result *r)
{
    struct job *job = ctx;
    if (r->err && r->status != 404) {
        finish(job, r->err);
        return;
    }
    /* One that was never kept is gone either way. */
    if (r->err && !machine_of(job->op)) {
        refuse(job, r);
        return;
    }
    let_go(job->op, true);
    finish(job, NULL);
}

static void delete_it(struct job *job)
{
    struct vercel_scope scope = vercel_scope_of(job->vercel);
    ask(job, vercel_delete(&scope, str_of(job->name), is_temporary(job)), on_deleted);
}

static void on_stopped(void *ctx, const struct exchange_result *r)
{
    struct job *job = ctx;
    if (r->err && r->status != 410) {
        finish(job, r->err);
        return;
    }
    let_go(job->op, false);
    finish(job, NULL);
}

static void on_found_to_stop(void *ctx, const struct exchange_result *r)
{
    struct job *job = ctx;
    struct vercel_scope scope = vercel_scope_of(job->vercel);
    struct vercel_opened o;
    struct err err;
    if (vercel_read_opened(r->root, r->arena, &o, &err) < 0)
        finish(job, &err);
    else if (o.session.status == SANDBOX_STOPPED ||
             o.session.status == SANDBOX_FAILED || o.session.status == SANDBOX_ABORTED)
        finish(job, NULL);
    else
        ask_in_session(job, vercel_stop(&scope), on_stopped);
}

/* A default sandbox is not persistent there, and its files would go with its session.
 * Before that is ended on purpose it is made persistent. */

static void on_persistent(void *ctx, const struct exchange_result *r)
{
    struct job *job = ctx;
    if (r->err)
        finish(job, r->err);
    else
        job->then(job);
}

static void persist_then(struct job *job, void (*then)(struct job *job))
{
    struct vercel_scope scope = vercel_scope_of(job->vercel);
    job->then = then;
    ask(job, vercel_persist(&scope, str_of(job->name)), on_persistent);
}

static void stop_session(struct job *job)
{
    struct vercel_scope scope = vercel_scope_of(job->vercel);
    memcpy(job->session, machine_of(job->op)->session, sizeof job->session);
    ask_in_session(job, vercel_stop(&scope), on_stopped);
}

static void stop_it(struct job *job)
{
    if (!machine_of(job->op))
        look_up(job, false, on_found_to_stop);
    else if (is_temporary(job))
        persist_then(job, stop_session);
    else
        stop_session(job);
}

void ops_stop(void *self, struct sandbox_op *op)
{
    begin(self, op, op->mode == SANDBOX_STOP_DELETE ? delete_it : stop_it);
}

/* Time */

static void on_extended(void *ctx, const struct exchange_result *r)
{
    struct job *job = ctx;
    struct sandbox *sb = job->op->sandbox;
    struct vercel_session s;
    struct err err;
    if (r->err) {
        finish(job, r->err);
    } else if (vercel_read_session(json_get(r->root, STR("session")), r->arena, &s,
                                   &err) < 0) {
        finish(job, &err);
    } else {
        if (sb && sb->expires_ms) {
            sb->expires_ms += job->op->duration_ms;
            sandbox_arm(sb);
        }
        finish(job, NULL);
    }
}

static void extend_it(struct job *job)
{
    const struct machine *m = machine_of(job->op);
    struct vercel_scope scope = vercel_scope_of(job->vercel);
    struct err err;
    if (!m) {
        err_set(&err, ERR_NOT_FOUND, "the sandbox is gone");
        finish(job, &err);
        return;
    }
    memcpy(job->session, m->session, sizeof job->session);
    ask_in_session(job, vercel_extend(&scope, job->op->duration_ms), on_extended);
}

void ops_extend(void *self, struct sandbox_op *op)
{
    begin(self, op, extend_it);
}

/* Settings */

/* The record has the policy for later sessions; the one that runs is told, too. */

static void on_network(void *ctx, const struct exchange_result *r)
{
    struct job *job = ctx;
    /* One that has just stopped gets it when it is resumed. */
    bool stopped = r->err && (r->status == 410 || r->status == 422);
    finish(job, stopped ? NULL : r->err);
}

static void set_network(struct job *job)
{
    struct vercel_scope scope = vercel_scope_of(job->vercel);
    struct network_policy policy = {0};
    policy_in_force(job->vercel, &job->op->wish.spec, &policy);
    memcpy(job->session, machine_of(job->op)->session, sizeof job->session);
    ask_in_session(job, vercel_network(&scope, &policy), on_network);
    network_policy_finish(&policy);
}

static void on_updated(void *ctx, const struct exchange_result *r)
{
    struct job *job = ctx;
    struct vercel_sandbox s;
    struct err err;
    if (r->err) {
        refuse(job, r);
        return;
    }
    if (!job->op->sandbox &&
        vercel_read_sandbox(json_get(r->root, STR("sandbox")), r->arena, &s, &err) == 0)
        add_info(job->op, &s, str_of(job->op->name), r->arena);
    if (job->op->wish.spec.network && machine_of(job->op))
        set_network(job);
    else
        finish(job, NULL);
}

static void update_it(struct job *job)
{
    struct sandbox_spec wish = job->op->wish.spec;
    struct vercel_scope scope = vercel_scope_of(job->vercel);
    struct network_policy policy = {0};
    if (wish.network) {
        policy_in_force(job->vercel, &wish, &policy);
        wish.network = &policy;
    }
    struct vercel_create c = {
        .name = str_of(job->name), .timeout_ms = wish.timeout_ms, .spec = &wish};
    if (wish.memory_bytes || wish.cpu_millis)
        c.vcpus = machine_vcpus(job->vercel, &wish);
    ask(job, vercel_update(&scope, &c), on_updated);
    network_policy_finish(&policy);
}

void ops_update(void *self, struct sandbox_op *op)
{
    begin(self, op, update_it);
}

/* Snapshots */

static void add_snapshot(struct sandbox_op *op, const struct vercel_snapshot *s,
                         struct str source)
{
    sandbox_op_add_snapshot(
        op, &(struct snapshot_info){.id = s->id,
                                    .source = source,
                                    .created_ms = positive(s->created_ms),
                                    .expires_ms = positive(s->expires_ms),
                                    .size_bytes = positive(s->size_bytes)});
}

/* Taking one stops the session there. */
static void on_snapshot(void *ctx, const struct exchange_result *r)
{
    struct job *job = ctx;
    struct vercel_snapshot s;
    struct err err;
    if (r->err) {
        finish(job, r->err);
    } else if (vercel_read_snapshot(json_get(r->root, STR("snapshot")), r->arena, &s,
                                    &err) < 0) {
        finish(job, &err);
    } else {
        add_snapshot(job->op, &s, str_of(job->op->name));
        let_go(job->op, false);
        finish(job, NULL);
    }
}

static void on_found_to_snapshot(void *ctx, const struct exchange_result *r)
{
    struct job *job = ctx;
    struct vercel_scope scope = vercel_scope_of(job->vercel);
    (void)r;
    ask_in_session(job, vercel_snapshot_take(&scope), on_snapshot);
}

static void snapshot_session(struct job *job)
{
    struct vercel_scope scope = vercel_scope_of(job->vercel);
    memcpy(job->session, machine_of(job->op)->session, sizeof job->session);
    ask_in_session(job, vercel_snapshot_take(&scope), on_snapshot);
}

static void snapshot_it(struct job *job)
{
    if (!machine_of(job->op))
        look_up(job, true, on_found_to_snapshot);
    else if (is_temporary(job))
        persist_then(job, snapshot_session);
    else
        snapshot_session(job);
}

void ops_snapshot(void *self, struct sandbox_op *op)
{
    begin(self, op, snapshot_it);
}

static void snapshots_page(struct job *job, struct str cursor);

static void on_snapshots(void *ctx, const struct exchange_result *r)
{
    struct job *job = ctx;
    struct err err;
    if (r->err) {
        finish(job, r->err);
        return;
    }
    struct json list = json_get(r->root, STR("snapshots"));
    for (struct json j = json_first(list); json_present(j); j = json_next(j)) {
        struct vercel_snapshot s;
        if (vercel_read_snapshot(j, r->arena, &s, &err) == 0 &&
            str_eq(s.status, STR("created")))
            add_snapshot(job->op, &s, s.session);
    }
    struct str next = vercel_next_page(r->root, r->arena);
    if (next.n && ++job->pages < PAGES_MAX)
        snapshots_page(job, next);
    else
        finish(job, NULL);
}

static void snapshots_page(struct job *job, struct str cursor)
{
    struct vercel_scope scope = vercel_scope_of(job->vercel);
    ask(job, vercel_snapshots(&scope, cursor), on_snapshots);
}

static void snapshots_first(struct job *job)
{
    snapshots_page(job, (struct str){0});
}

void ops_snapshots(void *self, struct sandbox_op *op)
{
    begin(self, op, snapshots_first);
}

static void on_snapshot_deleted(void *ctx, const struct exchange_result *r)
{
    finish(ctx, r->err);
}

static void delete_snapshot(struct job *job)
{
    struct vercel_scope scope = vercel_scope_of(job->vercel);
    ask(job, vercel_snapshot_delete(&scope, str_of(job->op->name)),
        on_snapshot_deleted);
}

void ops_snapshot_delete(void *self, struct sandbox_op *op)
{
    begin(self, op, delete_snapshot);
}
