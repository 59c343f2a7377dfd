/* The life of local sandboxes beyond one guest: finding and holding what is kept,
 * stopping, deleting.
 *
 * A stop is answered when the zygote says that every process is dead; only then is the
 * sandbox's directory free for others. Files are removed by a process of their own (the
 * guest program as sweeper), so that a large tree keeps nobody waiting. */
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/local/local.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HOLDER_DYING_MS = 2000, LOOK_AGAIN_MS = 5 };

/* A box that dies; what is to be done when it is dead. */
struct ending {
    struct ending *next;
    uint32_t create_id;
    struct sandbox_op *op;
    struct local_hold hold;
};

/* What needs a kept sandbox whose last holder is dead, or is this server, which has let
 * it go, but not yet all of its processes: one that is to run, or an op. */
struct waiting {
    struct waiting *next;
    struct local *local;
    struct sandbox *sandbox;
    struct sandbox_op *op;
    struct loop_timer *timer;
    uint64_t until_ms;
};

/* A snapshot that waits: until the layers of its sandbox are one, or its files copied.
 */
struct merging {
    struct merging *next;
    struct sandbox_op *op;
    struct local_hold hold;
    struct local_merge merge;
    int tree; /* the files of one that is not kept, or -1 */
};

static void stop_kept(struct local *l, struct sandbox_op *op);

static void waiting_free(struct waiting *w)
{
    struct waiting **at = &w->local->waiting;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    loop_timer_free(w->timer);
    mem_free(w);
}

void local_life_cancel(struct local *l, const struct sandbox *sb)
{
    for (struct waiting *w = l->waiting; w; w = w->next)
        if (w->sandbox == sb) {
            waiting_free(w);
            return;
        }
}

static void on_waited(void *ctx)
{
    struct waiting *w = ctx;
    if (w->sandbox)
        local_create(w->local, w->sandbox);
    else if (w->op->kind == SANDBOX_OP_UPDATE)
        local_update(w->local, w->op);
    else
        stop_kept(w->local, w->op);
}

static struct waiting *waiting_of(struct local *l, const struct sandbox *sb,
                                  const struct sandbox_op *op)
{
    struct waiting *w = l->waiting;
    while (w && (w->sandbox != sb || w->op != op))
        w = w->next;
    return w;
}

static void op_waited(struct local *l, const struct sandbox_op *op)
{
    struct waiting *w = waiting_of(l, NULL, op);
    if (w)
        waiting_free(w);
}

/* True when it is worth another try. One of sb and op is NULL. */
static bool wait_for_holder(struct local *l, struct sandbox *sb, struct sandbox_op *op,
                            const struct err *err)
{
    struct waiting *w = waiting_of(l, sb, op);
    uint64_t now = loop_now_ms(l->set->loop);
    bool ours = err->sys == getpid();
    bool dying = err->kind == ERR_CONFLICT && err->sys > 0 &&
                 (ours || (kill(err->sys, 0) < 0 && errno == ESRCH));
    bool working = ours && (l->endings || l->merging);
    if (!dying || (w && now > w->until_ms && !working))
        return false;
    if (!w) {
        w = mem_new(struct waiting);
        *w = (struct waiting){.next = l->waiting,
                              .local = l,
                              .sandbox = sb,
                              .op = op,
                              .until_ms = now + HOLDER_DYING_MS};
        w->timer = loop_timer_new(l->set->loop, on_waited, w);
        l->waiting = w;
    }
    loop_timer_start(w->timer, LOOK_AGAIN_MS);
    return true;
}

static int make_places(const struct local_hold *hold, struct err *err)
{
    if (mkdirat(hold->dir, "files", 0755) < 0 && errno != EEXIST)
        return err_sys(err, errno, "making a sandbox's directory");
    return 0;
}

static void ground_finish(struct local_ground *g)
{
    local_hold_finish(&g->hold);
    fd_close(&g->layers.lock);
}

/* What the record says and what is asked for, together, for this run. */
static int settle_kept(struct sandbox *sb, struct local_ground *g,
                       struct local_record *record, struct err *err)
{
    struct str snapshot = sb->wish.spec.snapshot;
    if (make_places(&g->hold, err) < 0)
        return -1;
    int rc = 0;
    if (!sb->resumed && snapshot.n)
        rc = local_layers_begin(sb->set, sb->owner, snapshot, sb->source[0], record,
                                &g->layers, err);
    else
        rc = local_layers_settle(sb->set, sb->owner, &g->hold, record, &g->layers, err);
    if (rc < 0)
        return -1;
    sb->created_ms = record->created_ms ? record->created_ms : sandbox_unix_ms();
    owned_spec_merge(&record->wish, &sb->wish.spec);
    if (!sb->resumed && !snapshot.n)
        local_image_begin(sb->set, &record->wish);
    owned_spec_set(&sb->wish, &record->wish.spec);
    record->created_ms = sb->created_ms;
    record->updated_ms = sandbox_unix_ms();
    return local_record_save(g->hold.dir, record, err);
}

/* Finds and holds the directory of a kept sandbox and writes down what it is. */
static int hold_kept(struct sandbox *sb, struct local_ground *g, struct err *err)
{
    struct local_record record = {0};
    if (local_store_hold(sb->set, sb->owner, sb->name,
                         sb->want == SANDBOX_WANT_NEW ? STORE_MUST_BE_NEW
                                                      : STORE_MAY_EXIST,
                         &g->hold, &record, &sb->resumed, err) < 0)
        return -1;
    int rc = settle_kept(sb, g, &record, err);
    local_record_finish(&record);
    return rc;
}

/* An unnamed one has only what it begins with. */
static int find_layers(struct sandbox *sb, struct local_ground *g, struct err *err)
{
    struct local_record record = {0};
    struct str snapshot = sb->wish.spec.snapshot;
    if (snapshot.n == 0) {
        local_image_begin(sb->set, &sb->wish);
        return 0;
    }
    int rc = local_layers_begin(sb->set, sb->owner, snapshot, sb->source[0], &record,
                                &g->layers, err);
    owned_spec_merge(&record.wish, &sb->wish.spec);
    owned_spec_set(&sb->wish, &record.wish.spec);
    local_record_finish(&record);
    return rc;
}

static void sweep(struct local *l, struct sandbox_op *op);

/* What servers that died have left. Where nothing has ever been kept, nothing is made.
 */
static void sweep_leftovers(struct local *l, uint64_t owner)
{
    const char *state = l->set->config.state_dir;
    struct stat st;
    if (!state || stat(state, &st) < 0)
        return;
    local_snapshot_collect(l->set, owner);
    sweep(l, NULL);
}

void local_create(void *self, struct sandbox *sb)
{
    struct local *l = self;
    struct err err;
    struct local_ground g = {.hold = {.dir = -1, .lock = -1}, .layers = {.lock = -1}};
    struct box *box = NULL;
    if (!l->swept) {
        l->swept = true;
        sweep_leftovers(l, sb->owner);
    }
    int rc = local_limits_check(&sb->wish.spec, sandbox_in_force(sb), sb->kept, &err);
    if (rc == 0)
        rc = sb->kept ? hold_kept(sb, &g, &err) : find_layers(sb, &g, &err);
    if (rc < 0 && wait_for_holder(l, sb, NULL, &err))
        return;
    local_life_cancel(l, sb);
    if (rc == 0) /* limits of before, maybe of another machine */
        rc = local_limits_check(&sb->wish.spec, sandbox_in_force(sb), sb->kept, &err);
    if (rc == 0 && l->zygote && (box = local_spare_take(l, sb))) {
        local_box_ready(box);
        return;
    }
    if (rc == 0 && (l->zygote || local_zygote_start(l, &err) == 0))
        box = local_box_new(l, sb, &g, &err);
    if (box)
        return;
    if (sb->kept && !sb->resumed && g.hold.dir >= 0) {
        struct err ignored; /* nothing is left of what could not be made */
        local_store_discard(l->set, &g.hold, &ignored);
    }
    ground_finish(&g);
    sandbox_failed(sb, &err);
}

static void on_swept(struct local *l, void *ctx, int status)
{
    struct sandbox_op *op = ctx;
    struct err err;
    (void)l;
    if (!op)
        return;
    if (status) {
        err_set(&err, ERR_IO, "not all of its files could be removed");
        err_remedy(&err, "look at the directory trash beside the sandboxes");
    }
    sandbox_op_done(op, status ? &err : NULL);
}

/* op, which may be NULL, is answered when the trash is empty. */
static void sweep(struct local *l, struct sandbox_op *op)
{
    char program[] = "sandquay-guest", verb[] = "sweep";
    char *const argv[] = {program, verb, NULL};
    struct err err;
    bool full;
    int trash = local_store_trash(l->set, &full);
    bool started = trash >= 0 && full &&
                   local_helper_start(l, argv, &trash, 1, on_swept, op, &err) == 0;
    fd_close(&trash);
    if (!started && op)
        sandbox_op_done(op, NULL); /* the next start goes on with it */
}

int local_discard(void *self, const char *path, struct err *err)
{
    struct local *l = self;
    if (local_store_throw(l->set, path, err) < 0)
        return -1;
    sweep(l, NULL);
    return 0;
}

static void take_now(struct local *l, struct sandbox_op *op, struct local_hold *hold)
{
    struct err err;
    char id[SANDBOX_NAME_MAX + 1];
    struct snapshot_info info;
    int rc = local_snapshot_take(l->set, op->owner, op->name, hold, id, &info, &err);
    if (rc == 0)
        sandbox_op_add_snapshot(op, &info);
    local_hold_finish(hold);
    sandbox_op_done(op, rc < 0 ? &err : NULL);
}

static void merging_free(struct local *l, struct merging *m)
{
    struct merging **at = &l->merging;
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    fd_close(&m->tree);
    local_hold_finish(&m->hold);
    mem_free(m);
}

static void on_merged(struct local *l, void *ctx, int status)
{
    struct merging *m = ctx;
    struct sandbox_op *op = m->op;
    struct local_hold hold = m->hold;
    struct err err;
    int rc = local_merge_end(l->set, op->owner, &hold, &m->merge, status, &err);
    m->hold = (struct local_hold){.dir = -1, .lock = -1};
    merging_free(l, m);
    if (rc == 0) {
        take_now(l, op, &hold);
        sweep(l, NULL);
    } else {
        local_hold_finish(&hold);
        sandbox_op_done(op, &err);
    }
}

/* Where it lies upon as many layers as can be, they become one first. */
static void take_snapshot(struct local *l, struct sandbox_op *op,
                          struct local_hold *hold)
{
    struct err err;
    struct merging *m = mem_zalloc(sizeof *m);
    int rc = local_merge_begin(l->set, op->owner, hold, &m->merge, &err);
    if (rc > 0)
        rc = local_helper_start(l, m->merge.argv, &m->merge.snapshots, 1, on_merged, m,
                                &err) < 0
                 ? local_merge_end(l->set, op->owner, hold, &m->merge, -1, &err)
                 : 1;
    if (rc > 0) {
        m->op = op;
        m->hold = *hold;
        m->tree = -1;
        m->next = l->merging;
        l->merging = m;
        return;
    }
    mem_free(m);
    if (rc == 0) {
        take_now(l, op, hold);
    } else {
        local_hold_finish(hold);
        sandbox_op_done(op, &err);
    }
}

/* All of its processes are dead: its files stay, or go to the trash. */
static void let_go(struct local *l, struct sandbox_op *op, struct local_hold *hold)
{
    struct err err;
    int rc = 0;
    if (op->kind == SANDBOX_OP_SNAPSHOT) {
        take_snapshot(l, op, hold);
        return;
    }
    bool discard = op->mode == SANDBOX_STOP_DELETE && hold->dir >= 0;
    if (discard)
        rc = local_store_discard(l->set, hold, &err);
    local_hold_finish(hold);
    if (discard && rc == 0)
        local_snapshot_collect(l->set, op->owner);
    if (rc < 0)
        sandbox_op_done(op, &err);
    else if (discard)
        sweep(l, op);
    else
        sandbox_op_done(op, NULL);
}

void local_box_gone(struct local *l, uint32_t create_id)
{
    struct ending **at = &l->endings;
    while (*at && (*at)->create_id != create_id)
        at = &(*at)->next;
    struct ending *e = *at;
    if (!e)
        return;
    *at = e->next;
    let_go(l, e->op, &e->hold);
    mem_free(e);
}

void local_all_gone(struct local *l)
{
    while (l->endings)
        local_box_gone(l, l->endings->create_id);
}

static void end_box(struct local *l, struct box *box, struct sandbox_op *op)
{
    struct ending *e = mem_new(struct ending);
    *e = (struct ending){
        .next = l->endings, .create_id = box->create_id, .op = op, .hold = box->hold};
    box->hold = (struct local_hold){.dir = -1, .lock = -1};
    l->endings = e;
    op->sandbox->impl = NULL;
    local_box_free(box);
}

/* One that does not run here. */
static void stop_kept(struct local *l, struct sandbox_op *op)
{
    struct err err;
    struct local_hold hold;
    struct local_record record;
    bool existed;
    if (local_store_hold(l->set, op->owner, op->name,
                         op->mode == SANDBOX_STOP_DELETE ? STORE_TO_DELETE
                                                         : STORE_MUST_EXIST,
                         &hold, &record, &existed, &err) < 0) {
        if (wait_for_holder(l, NULL, op, &err))
            return;
        op_waited(l, op);
        sandbox_op_done(op, &err);
        return;
    }
    op_waited(l, op);
    local_record_finish(&record);
    let_go(l, op, &hold);
}

void local_stop(void *self, struct sandbox_op *op)
{
    struct local *l = self;
    struct sandbox *sb = op->sandbox;
    struct box *box = sb ? sb->impl : NULL;
    if (sb)
        local_life_cancel(l, sb);
    if (!box && (!sb || sb->kept))
        stop_kept(l, op);
    else if (!box)
        sandbox_op_done(op, NULL);
    else if (!sb->kept && op->mode == SANDBOX_STOP_KEEP && box->created && box->ready)
        local_guest_halt(box, op);
    else
        end_box(l, box, op);
}

static void on_copied(struct local *l, void *ctx, int status)
{
    struct merging *m = ctx;
    struct sandbox_op *op = m->op;
    struct err err;
    int rc = local_copy_end(l->set, op->owner, &m->merge, status, &err);
    struct snapshot_info info = {.id = str_of(m->merge.id),
                                 .source = str_of(op->name[0] ? op->name : "default"),
                                 .created_ms = sandbox_unix_ms()};
    if (rc == 0)
        sandbox_op_add_snapshot(op, &info);
    merging_free(l, m);
    op->in_place = op->sandbox != NULL; /* unless it ended meanwhile */
    sandbox_op_done(op, rc < 0 ? &err : NULL);
}

void local_tree_came(struct box *box, struct sandbox_op *op, int tree)
{
    struct local *l = box->local;
    struct err err;
    struct merging *m = mem_new(struct merging);
    *m = (struct merging){
        .next = l->merging, .op = op, .hold = {.dir = -1, .lock = -1}, .tree = tree};
    l->merging = m;
    int rc = local_copy_begin(l->set, op->owner, op->name[0] ? op->name : "default",
                              &box->sandbox->wish, &box->ground, &m->merge, &err);
    const int fds[] = {m->merge.snapshots, tree};
    if (rc == 0 &&
        local_helper_start(l, m->merge.argv, fds, 2, on_copied, m, &err) == 0)
        return;
    if (rc == 0)
        local_merge_abandon(&m->merge);
    merging_free(l, m);
    op->in_place = true;
    sandbox_op_done(op, &err);
}

static void snapshot_unnamed(struct sandbox_op *op)
{
    struct err err;
    struct box *box = op->sandbox->impl;
    if (box && box->ready && box->launcher == LAUNCH_NAMESPACES) {
        local_guest_tree(box, op);
        return;
    }
    err_set(&err, ERR_UNAVAILABLE,
            box && box->ready ? "at isolation levels 3 and 4 only a named sandbox can "
                                "become a snapshot"
                              : "the sandbox does not run yet");
    err_remedy(&err, "use one with a name (sandbox_create {name})");
    op->in_place = true;
    sandbox_op_done(op, &err);
}

/* That runs or not; its processes end. */
void local_snapshot(void *self, struct sandbox_op *op)
{
    struct local *l = self;
    if (op->sandbox && !op->sandbox->kept)
        snapshot_unnamed(op);
    else
        local_stop(l, op);
}

void local_snapshots(void *self, struct sandbox_op *op)
{
    struct local *l = self;
    local_snapshot_each(l->set, op->owner, op);
    sandbox_op_done(op, NULL);
}

void local_snapshot_delete(void *self, struct sandbox_op *op)
{
    struct local *l = self;
    struct err err;
    if (local_snapshot_forget(l->set, op->owner, op->name, &err) < 0) {
        sandbox_op_done(op, &err);
        return;
    }
    local_snapshot_collect(l->set, op->owner);
    sweep(l, op);
}

static void add_row(void *ctx, const char *name, const struct local_record *record,
                    long held_by)
{
    struct sandbox_op *op = ctx;
    struct sandbox_info info = {
        .name = str_of(name),
        .backend = "local",
        .status = held_by ? SANDBOX_RUNNING : SANDBOX_STOPPED,
        .kept = true,
        .created_ms = record->created_ms,
        .updated_ms = record->updated_ms,
        .spec = &record->wish.spec,
        .held_by = held_by,
    };
    sandbox_op_add_info(op, &info);
}

void local_list(void *self, struct sandbox_op *op)
{
    struct local *l = self;
    local_store_each(l->set, op->owner, add_row, op);
    sandbox_op_done(op, NULL);
}

static int update_record(int dir, struct local_record *record,
                         const struct sandbox_spec *change, struct err *err)
{
    owned_spec_merge(&record->wish, change);
    record->updated_ms = sandbox_unix_ms();
    return local_record_save(dir, record, err);
}

void local_update(void *self, struct sandbox_op *op)
{
    struct local *l = self;
    struct err err;
    struct local_record record = {0};
    struct local_hold hold = {.dir = -1, .lock = -1};
    struct box *box = op->sandbox ? op->sandbox->impl : NULL;
    bool existed;
    int rc = 0;
    if (box && box->hold.dir >= 0)
        rc = local_record_load(box->hold.dir, &record, &err);
    else if (!op->sandbox)
        rc = local_store_hold(l->set, op->owner, op->name, STORE_MUST_EXIST, &hold,
                              &record, &existed, &err);
    if (rc < 0 && !op->sandbox && wait_for_holder(l, NULL, op, &err))
        return;
    op_waited(l, op);
    int dir = op->sandbox ? (box ? box->hold.dir : -1) : hold.dir;
    if (rc == 0 && dir >= 0)
        rc = update_record(dir, &record, &op->wish.spec, &err);
    if (rc == 0 && box && op->wish.spec.network)
        local_network_policy(box, op->wish.spec.network);
    if (rc == 0 && !op->sandbox)
        add_row(op, op->name, &record, 0);
    local_hold_finish(&hold);
    local_record_finish(&record);
    sandbox_op_done(op, rc < 0 ? &err : NULL);
}

/* The ops are dropped by the set; nobody is told any more. */
void local_life_finish(struct local *l)
{
    local_changes_finish(l);
    local_spare_finish(l);
    while (l->waiting)
        waiting_free(l->waiting);
    while (l->endings) {
        struct ending *e = l->endings;
        l->endings = e->next;
        local_hold_finish(&e->hold);
        mem_free(e);
    }
    local_helpers_finish(l); /* the next start goes on with it */
    local_measure_finish(l);
    while (l->merging) {
        local_merge_abandon(&l->merging->merge);
        merging_free(l, l->merging);
    }
}
