/* What happens to sandboxes after they are made: lists, stop, time, snapshots.
 *
 * An op is one such request. A backend answers it now or later with sandbox_op_done();
 * the sandbox that it is about may be gone by then (op->sandbox is NULL then). */
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/backend.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static struct sandbox_op *op_new(struct sandboxes *set, enum sandbox_op_kind kind,
                                 uint64_t owner, void *ctx)
{
    struct sandbox_op *op = mem_new(struct sandbox_op);
    op->set = set;
    op->kind = kind;
    op->owner = owner;
    op->ctx = ctx;
    op->next = set->ops;
    set->ops = op;
    return op;
}

static void op_free(struct sandbox_op *op)
{
    struct sandbox_op **at = &op->set->ops;
    while (*at != op)
        at = &(*at)->next;
    *at = op->next;
    arena_finish(&op->arena);
    owned_spec_finish(&op->wish);
    mem_free(op);
}

/* A fork on a backend that has snapshots: one is taken, the new sandbox is made of it,
 * and it is forgotten. */
struct forking {
    struct forking *next;
    struct sandboxes *set;
    uint64_t owner;
    struct owned_spec wish;
    char source[SANDBOX_NAME_MAX + 1], snapshot[SANDBOX_NAME_MAX + 1];
    sandbox_open_fn *fn;
    void *ctx;
};

static void forking_free(struct forking *f)
{
    struct forking **at = &f->set->forks;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    owned_spec_finish(&f->wish);
    mem_free(f);
}

void sandbox_ops_drop(struct sandboxes *set)
{
    while (set->forks)
        forking_free(set->forks);
    while (set->ops)
        op_free(set->ops);
}

/* Makes room for one more row of `size` bytes. */
static void *grow(struct sandbox_op *op, void *rows, size_t size)
{
    if (op->count < op->room)
        return rows;
    op->room = op->room ? 2 * op->room : 16;
    char *bigger = arena_zalloc(&op->arena, op->room * size);
    if (op->count)
        memcpy(bigger, rows, op->count * size);
    return bigger;
}

static void dup(struct arena *a, struct str *s)
{
    *s = arena_dup(a, *s);
}

void sandbox_op_add_info(struct sandbox_op *op, const struct sandbox_info *info)
{
    struct arena *a = &op->arena;
    /* What runs here is listed already. */
    if (op->kind == SANDBOX_OP_LIST && !info->id &&
        sandbox_find_named(op->set, op->owner, info->name))
        return;
    op->infos = grow(op, op->infos, sizeof *op->infos);
    struct sandbox_info *to = &op->infos[op->count++];
    struct owned_spec spec = {.arena = *a};
    *to = *info;
    if (info->spec)
        owned_spec_merge(&spec, info->spec);
    *a = spec.arena;
    struct sandbox_spec *copy = arena_alloc(a, sizeof *copy);
    *copy = spec.spec;
    to->spec = copy;
    dup(a, &to->name);
    dup(a, &to->limited_by);
    dup(a, &to->os);
    dup(a, &to->user);
    dup(a, &to->home);
    dup(a, &to->cwd);
    dup(a, &to->workspace);
    to->first_notice = (struct str){0};
}

void sandbox_op_add_snapshot(struct sandbox_op *op, const struct snapshot_info *info)
{
    op->snapshots = grow(op, op->snapshots, sizeof *op->snapshots);
    struct snapshot_info *to = &op->snapshots[op->count++];
    *to = *info;
    dup(&op->arena, &to->id);
    dup(&op->arena, &to->source);
}

void sandbox_op_add_change(struct sandbox_op *op, char kind, struct str path)
{
    enum { CHANGES_MAX = 10000 };
    op->total++;
    if (op->count == CHANGES_MAX)
        return;
    op->changes = grow(op, op->changes, sizeof *op->changes);
    op->changes[op->count++] =
        (struct workspace_change){.kind = kind, .path = arena_dup(&op->arena, path)};
}

static int older(const void *a, const void *b)
{
    const struct sandbox_info *x = a, *y = b;
    return (x->created_ms > y->created_ms) - (x->created_ms < y->created_ms);
}

static void answer(struct sandbox_op *op, const struct err *err)
{
    struct sandbox_info info, *found = op->count ? op->infos : NULL;
    switch (op->kind) {
    case SANDBOX_OP_LIST:
        if (op->count && op->infos)
            qsort(op->infos, op->count, sizeof *op->infos, older);
        op->fn.list(op->ctx, err ? NULL : op->infos, err ? 0 : op->count, err);
        break;
    case SANDBOX_OP_STOP:
    case SANDBOX_OP_SNAPSHOT_DELETE:
        op->fn.done(op->ctx, err);
        break;
    case SANDBOX_OP_EXTEND:
    case SANDBOX_OP_UPDATE:
        if (op->sandbox && !err) {
            sandbox_info_fill(op->sandbox, &info);
            found = &info;
        }
        op->fn.open(op->ctx, err ? NULL : found, err);
        break;
    case SANDBOX_OP_SNAPSHOT:
    case SANDBOX_OP_SNAPSHOT_MEASURE:
        op->fn.snapshot(op->ctx, err ? NULL : op->snapshots, err);
        break;
    case SANDBOX_OP_CHANGES:
        op->fn.changes(op->ctx, op->changes, op->count, op->total, err);
        break;
    case SANDBOX_OP_SNAPSHOTS:
        op->fn.snapshots(op->ctx, op->snapshots, err ? 0 : op->count, err);
        break;
    }
}

/* The sandbox that was stopped: who waits for it gets it anew. */
static void stopped(struct sandbox *sb, const struct sandbox_op *op, bool failed)
{
    struct sandboxes *set = sb->set;
    bool goes_on = failed && sb->impl; /* it may also have failed after the end */
    if (goes_on || op->in_place) {
        sb->state = SANDBOX_READY;
        sb->halted = !goes_on;
        sandbox_touch(sb);
        if (sb->waiters)
            sandbox_use(sb);
    } else if (sb->waiters) {
        sb->state = SANDBOX_CREATING;
        sb->want = SANDBOX_WANT_ANY;
        sb->expires_ms = 0;
        set->backend->create(set->impl, sb);
    } else {
        sandbox_release(sb);
    }
}

void sandbox_op_done(struct sandbox_op *op, const struct err *err)
{
    struct sandboxes *set = op->set;
    struct err copy;
    if (err)
        copy = *err;
    bool stops = op->kind == SANDBOX_OP_STOP || op->kind == SANDBOX_OP_SNAPSHOT;
    if (op->kind == SANDBOX_OP_UPDATE && op->sandbox && !err)
        owned_spec_merge(&op->sandbox->wish, &op->wish.spec);
    struct sandbox *sb = stops ? op->sandbox : NULL;
    if (stops && !sb && !err)
        sandbox_list_changed(set, op->owner, true);
    if (op->fn.done && !set->finishing)
        answer(op, err ? &copy : NULL);
    if (sb && sandbox_find(set, sb->id) == sb)
        stopped(sb, op, err != NULL);
    op_free(op);
}

static struct sandbox_info *list_live(struct sandbox_op *op)
{
    struct sandboxes *set = op->set;
    struct sandbox_info info;
    for (uint32_t i = 0; i < set->sandbox_slot_count; i++) {
        struct sandbox *sb = set->sandbox_slots[i];
        if (!sb || sb->state == SANDBOX_LOST ||
            sandbox_find_named(set, op->owner, str_of(sb->name)) != sb)
            continue;
        sandbox_info_fill(sb, &info);
        sandbox_op_add_info(op, &info);
    }
    return op->infos;
}

void sandbox_list(struct sandboxes *set, uint64_t owner, sandbox_list_fn *fn, void *ctx)
{
    struct sandbox_op *op = op_new(set, SANDBOX_OP_LIST, owner, ctx);
    op->fn.list = fn;
    list_live(op);
    if (set->backend->list)
        set->backend->list(set->impl, op);
    else
        sandbox_op_done(op, NULL);
}

/* It is ending: an op of the kind that stops has begun. */
static void begin_ending(struct sandbox_op *op, const char *why)
{
    struct sandbox *sb = op->sandbox;
    if (!sb)
        return;
    struct err err;
    err_set(&err, ERR_UNAVAILABLE, "the sandbox was stopped while it was made");
    err_remedy(&err, "call again");
    if (sb->waiters)
        sandbox_answer_waiters(sb, &err);
    command_orphan_all(sb, why);
    sb->state = SANDBOX_ENDING;
}

/* Finds what `name` means and fills the op in. NOT_FOUND for a default sandbox that was
 * never made; CONFLICT while it is ending. */
static int aim(struct sandbox_op *op, struct str name, struct err *err)
{
    name = sandbox_plain_name(op->set, name);
    if (name.n && sandbox_check_name(name, err) < 0)
        return -1;
    op->sandbox = sandbox_find_named(op->set, op->owner, name);
    memcpy(op->name, name.n ? name.p : "", name.n);
    if (!op->sandbox && name.n == 0) {
        err_set(err, ERR_NOT_FOUND, "there is no default sandbox yet");
        return err_remedy(err, "the first call that needs it makes it");
    }
    if (op->sandbox && op->sandbox->state == SANDBOX_ENDING) {
        err_set(err, ERR_CONFLICT, "the sandbox is being stopped");
        return err_remedy(err, "try again in a moment");
    }
    return 0;
}

/* -1: answered. */
static int can(struct sandbox_op *op, const void *row, const char *what,
               struct str name)
{
    struct err err;
    int rc = row ? aim(op, name, &err) : sandbox_unsupported(op->set, what, &err);
    if (rc == 0)
        return 0;
    op->sandbox = NULL;
    sandbox_op_done(op, &err);
    return -1;
}

void sandbox_stop(struct sandboxes *set, uint64_t owner, struct str name,
                  enum sandbox_stop_mode mode, sandbox_done_fn *fn, void *ctx)
{
    struct sandbox_op *op = op_new(set, SANDBOX_OP_STOP, owner, ctx);
    op->fn.done = fn;
    op->mode = mode;
    if (can(op, (const void *)(uintptr_t)set->backend->stop, "stopping a sandbox",
            name) < 0)
        return;
    if (op->sandbox && op->sandbox->halted && mode == SANDBOX_STOP_KEEP) {
        op->in_place = true;
        sandbox_op_done(op, NULL);
        return;
    }
    begin_ending(op, mode == SANDBOX_STOP_DELETE ? "it was deleted" : "it was stopped");
    set->backend->stop(set->impl, op);
}

void sandbox_snapshot(struct sandboxes *set, uint64_t owner, struct str name,
                      snapshot_fn *fn, void *ctx)
{
    struct sandbox_op *op = op_new(set, SANDBOX_OP_SNAPSHOT, owner, ctx);
    op->fn.snapshot = fn;
    if (can(op, (const void *)(uintptr_t)set->backend->snapshot, "a snapshot", name) <
        0)
        return;
    if (op->sandbox && !op->sandbox->kept && !set->backend->snapshots_any) {
        struct err err;
        op->sandbox = NULL;
        err_set(&err, ERR_INVALID, "only a named sandbox can become a snapshot");
        err_remedy(&err, "use one with a name (sandbox_create {name})");
        sandbox_op_done(op, &err);
        return;
    }
    begin_ending(op, "a snapshot was taken");
    set->backend->snapshot(set->impl, op);
}

static void on_forgotten(void *ctx, const struct err *err)
{
    struct forking *f = ctx;
    if (err)
        log_warn("ignoring the snapshot of a fork: %s", err->msg);
    forking_free(f);
}

static void on_forked(void *ctx, const struct sandbox_info *info, const struct err *err)
{
    struct forking *f = ctx;
    f->fn(f->ctx, info, err);
    snapshot_delete(f->set, f->owner, str_of(f->snapshot), on_forgotten, f);
}

static void on_ground(void *ctx, const struct snapshot_info *snapshot,
                      const struct err *err)
{
    struct forking *f = ctx;
    if (err) {
        f->fn(f->ctx, NULL, err);
        forking_free(f);
        return;
    }
    memcpy(f->snapshot, snapshot->id.p, snapshot->id.n);
    f->wish.spec.snapshot = str_of(f->snapshot);
    sandbox_create_from(f->set, f->owner, str_of(f->source), &f->wish.spec, on_forked,
                        f);
}

static void fork_by_snapshot(struct sandboxes *set, uint64_t owner, struct str source,
                             const struct sandbox_spec *spec, sandbox_open_fn *fn,
                             void *ctx)
{
    struct forking *f = mem_new(struct forking);
    *f = (struct forking){
        .next = set->forks, .set = set, .owner = owner, .fn = fn, .ctx = ctx};
    set->forks = f;
    owned_spec_set(&f->wish, spec);
    memcpy(f->source, source.p, source.n);
    sandbox_snapshot(set, owner, source, on_ground, f);
}

void sandbox_fork(struct sandboxes *set, uint64_t owner, struct str source,
                  const struct sandbox_spec *spec, sandbox_open_fn *fn, void *ctx)
{
    struct err err;
    int rc = 0;
    source = sandbox_plain_name(set, source);
    if (!set->backend->forks && !set->backend->snapshot) {
        rc = sandbox_unsupported(set, "a fork", &err);
    } else if (source.n == 0) {
        rc = err_set(&err, ERR_INVALID, "a default sandbox cannot be forked");
        err_remedy(&err, "fork one that has a name (sandbox_create {name})");
    } else if (str_eq(source, spec->name)) {
        rc = err_set(&err, ERR_CONFLICT, "a fork needs a name of its own");
        err_remedy(&err, "choose another name");
    } else {
        rc = sandbox_check_name(source, &err);
    }
    /* Before the source is touched. */
    if (rc == 0 && spec->name.n)
        rc = sandbox_check_new(set, owner, spec->name, &err);
    if (rc < 0)
        fn(ctx, NULL, &err);
    else if (set->backend->forks)
        sandbox_create_from(set, owner, source, spec, fn, ctx);
    else
        fork_by_snapshot(set, owner, source, spec, fn, ctx);
}

void snapshot_list(struct sandboxes *set, uint64_t owner, snapshot_list_fn *fn,
                   void *ctx)
{
    struct sandbox_op *op = op_new(set, SANDBOX_OP_SNAPSHOTS, owner, ctx);
    op->fn.snapshots = fn;
    if (set->backend->snapshots)
        set->backend->snapshots(set->impl, op);
    else
        sandbox_op_done(op, NULL);
}

void snapshot_delete(struct sandboxes *set, uint64_t owner, struct str id,
                     sandbox_done_fn *fn, void *ctx)
{
    struct err err;
    struct sandbox_op *op = op_new(set, SANDBOX_OP_SNAPSHOT_DELETE, owner, ctx);
    op->fn.done = fn;
    int rc = set->backend->snapshot_delete
                 ? sandbox_check_name(id, &err)
                 : sandbox_unsupported(set, "a snapshot", &err);
    if (rc < 0) {
        sandbox_op_done(op, &err);
        return;
    }
    memcpy(op->name, id.p, id.n);
    set->backend->snapshot_delete(set->impl, op);
}

void snapshot_measure(struct sandboxes *set, uint64_t owner, struct str id,
                      snapshot_fn *fn, void *ctx)
{
    struct err err;
    struct sandbox_op *op = op_new(set, SANDBOX_OP_SNAPSHOT_MEASURE, owner, ctx);
    op->fn.snapshot = fn;
    int rc = set->backend->snapshot_measure
                 ? sandbox_check_name(id, &err)
                 : sandbox_unsupported(set, "measuring a snapshot", &err);
    if (rc < 0) {
        sandbox_op_done(op, &err);
        return;
    }
    memcpy(op->name, id.p, id.n);
    set->backend->snapshot_measure(set->impl, op);
}

int sandbox_discard(struct sandboxes *set, const char *path, struct err *err)
{
    if (!set->backend->discard)
        return sandbox_unsupported(set, "removing a mounted directory", err);
    return set->backend->discard(set->impl, path, err);
}

void sandbox_extend(struct sandboxes *set, uint64_t sandbox, uint64_t duration_ms,
                    sandbox_open_fn *fn, void *ctx)
{
    struct sandbox *sb = sandbox_find(set, sandbox);
    struct sandbox_op *op = op_new(set, SANDBOX_OP_EXTEND, sb ? sb->owner : 0, ctx);
    struct err err;
    op->fn.open = fn;
    op->sandbox = sb;
    op->duration_ms = duration_ms;
    if (!sb || sb->state != SANDBOX_READY || sb->halted) {
        op->sandbox = NULL;
        err_set(&err, ERR_NOT_FOUND, "the sandbox is not running");
        err_remedy(&err, "use it, and its time starts anew");
        sandbox_op_done(op, &err);
    } else if (!sb->expires_ms) {
        err_set(&err, ERR_INVALID, "the sandbox has no time limit");
        err_remedy(&err, "nothing needs to be done");
        sandbox_op_done(op, &err);
    } else if (set->backend->extend) {
        set->backend->extend(set->impl, op);
    } else {
        sb->expires_ms += duration_ms;
        sandbox_touch(sb);
        sandbox_op_done(op, NULL);
    }
}

void sandbox_update(struct sandboxes *set, uint64_t owner, struct str name,
                    const struct sandbox_spec *spec, sandbox_open_fn *fn, void *ctx)
{
    struct sandbox_op *op = op_new(set, SANDBOX_OP_UPDATE, owner, ctx);
    op->fn.open = fn;
    owned_spec_set(&op->wish, spec);
    op->wish.spec.name = (struct str){0};
    op->wish.spec.ephemeral = false;
    if (can(op, (const void *)(uintptr_t)set->backend->update, "changing a sandbox",
            name) < 0)
        return;
    set->backend->update(set->impl, op);
}

void workspace_changes(struct sandboxes *set, uint64_t sandbox,
                       enum workspace_action action, workspace_changes_fn *fn,
                       void *ctx)
{
    struct sandbox *sb = sandbox_find(set, sandbox);
    struct sandbox_op *op = op_new(set, SANDBOX_OP_CHANGES, sb ? sb->owner : 0, ctx);
    struct err err;
    op->fn.changes = fn;
    op->action = action;
    if (!sb || sb->state != SANDBOX_READY) {
        err_set(&err, ERR_NOT_FOUND, "the sandbox is gone");
        err_remedy(&err, "call again: a new one is made");
        sandbox_op_done(op, &err);
    } else if (!sb->workspace || !set->config.workspace_overlay ||
               !set->backend->changes) {
        err_set(&err, ERR_INVALID, "the workspace of this sandbox is no overlay");
        err_remedy(&err, "start with --workspace DIR --workspace-mode overlay to have "
                         "changes looked at before they reach DIR");
        sandbox_op_done(op, &err);
    } else {
        op->sandbox = sb;
        set->backend->changes(set->impl, op);
    }
}

/* Only a principal goes on for ever; others take their sandboxes along. */
static uint64_t idle_limit(const struct sandbox *sb)
{
    const struct sandbox_config *config = &sb->set->config;
    if (sb->kept || !sb->is_default || (uint32_t)sb->owner != 0 || sb->running)
        return 0;
    return sb->halted ? config->idle_delete_ms : config->idle_stop_ms;
}

static void stop_quietly(struct sandbox *sb, enum sandbox_stop_mode mode,
                         const char *why)
{
    struct sandboxes *set = sb->set;
    log_info("sandbox %s: %s", sb->name[0] ? sb->name : "default", why);
    if (!set->backend->stop) {
        sandbox_lost(sb, why);
        return;
    }
    struct sandbox_op *op = op_new(set, SANDBOX_OP_STOP, sb->owner, NULL);
    op->sandbox = sb;
    op->mode = mode;
    memcpy(op->name, sb->name, sizeof op->name);
    begin_ending(op, why);
    set->backend->stop(set->impl, op);
}

static void on_timer(void *ctx)
{
    struct sandbox *sb = ctx;
    uint64_t idle = idle_limit(sb);
    if (sb->state != SANDBOX_READY)
        return;
    if (!sb->halted && sb->expires_ms && sandbox_unix_ms() >= sb->expires_ms) {
        sb->expires_ms = 0;
        stop_quietly(sb, SANDBOX_STOP_KEEP, "its time is over");
    } else if (idle && loop_now_ms(sb->set->loop) >= sb->used_ms + idle) {
        stop_quietly(sb, sb->halted ? SANDBOX_STOP_DELETE : SANDBOX_STOP_KEEP,
                     "it was idle");
    } else {
        sandbox_arm(sb);
    }
}

void sandbox_arm(struct sandbox *sb)
{
    enum { AT_MOST_MS = 3600 * 1000 }; /* then looked at again: clocks are set */
    uint64_t idle = idle_limit(sb), wait = UINT64_MAX;
    uint64_t now = loop_now_ms(sb->set->loop), unix_now = sandbox_unix_ms();
    if (sb->expires_ms && !sb->halted)
        wait = sb->expires_ms > unix_now ? sb->expires_ms - unix_now : 0;
    if (idle) {
        uint64_t until = sb->used_ms + idle;
        uint64_t left = until > now ? until - now : 0;
        wait = left < wait ? left : wait;
    }
    if (wait == UINT64_MAX) {
        if (sb->timer)
            loop_timer_stop(sb->timer);
        return;
    }
    if (!sb->timer)
        sb->timer = loop_timer_new(sb->set->loop, on_timer, sb);
    loop_timer_start(sb->timer, wait < AT_MOST_MS ? wait : AT_MOST_MS);
}

void sandbox_touch(struct sandbox *sb)
{
    sb->used_ms = loop_now_ms(sb->set->loop);
    sandbox_arm(sb);
}

void sandboxes_on_doing(struct sandboxes *set, sandbox_doing_fn *fn, void *ctx)
{
    set->doing = fn;
    set->doing_ctx = ctx;
}

void sandboxes_on_change(struct sandboxes *set, sandbox_change_fn *fn, void *ctx)
{
    set->change = fn;
    set->change_ctx = ctx;
}

void sandbox_list_changed(struct sandboxes *set, uint64_t owner, bool kept)
{
    if (set->change && !set->finishing)
        set->change(set->change_ctx,
                    kept ? (uint64_t)sandbox_tenant(owner) << 32 : owner);
}

void sandbox_doing(struct sandbox *sb, const char *fmt, ...)
{
    char text[200];
    struct sandboxes *set = sb->set;
    va_list ap;
    if (!set->doing || set->finishing)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    set->doing(set->doing_ctx, sb->owner, sb->id, str_of(text));
}
