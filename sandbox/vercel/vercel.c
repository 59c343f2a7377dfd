#include "sandbox/vercel/vercel.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/module.h"
#include "sandbox/vercel/private.h"

enum {
    GOODBYE_MS = 700, /* of the second that an ending server has */
    KILL_LIMIT_MS = 60 * 1000,
};

/* What flags asked for, where it is not the local default. */
static struct sandbox_limits take_limits(struct sandbox_limits *limits)
{
    struct sandbox_limits usual, asked = *limits;
    sandbox_limits_default(&usual);
    if (asked.memory_bytes == usual.memory_bytes)
        asked.memory_bytes = 0;
    limits->memory_bytes = limits->disk_bytes = limits->disk_inodes = 0;
    limits->kept_disk_bytes = 0;
    limits->cpu_millis = 0;
    limits->pids = 0;
    return asked;
}

static void *start(struct sandboxes *set, struct err *err)
{
    const struct http_config http = {
        .user_agent = "sandquay/" SANDQUAY_VERSION,
        .ca_file = set->config.vercel->ca_file,
    };
    if (set->config.workspace) {
        err_set(
            err, ERR_UNAVAILABLE,
            "--workspace: a directory of this machine is not in Vercel's sandboxes");
        err_remedy(err, "use --backend local, or copy files (sandquay cp)");
        return NULL;
    }
    struct vercel *v = mem_new(struct vercel);
    v->set = set;
    v->loop = set->loop;
    v->config = set->config.vercel;
    if (http_client_new(&v->http, v->loop, &http, err) < 0) {
        mem_free(v);
        return NULL;
    }
    v->asked = take_limits(&set->config.limits);
    account_init(v);
    return v;
}

/* What was said at the end (deletions) is given a moment to arrive. */
static void finish(void *self)
{
    struct vercel *v = self;
    if (v->exchanges)
        http_client_drain(v->http, GOODBYE_MS);
    while (v->exchanges)
        exchange_cancel(v->exchanges);
    account_finish(v);
    http_client_free(v->http);
    for (struct sandbox_op *op = v->set->ops; op; op = op->next) {
        mem_free(op->impl);
        op->impl = NULL;
    }
    mem_free(v);
}

static void create(void *self, struct sandbox *sb)
{
    machine_create(self, sb);
}

static void destroy(void *self, struct sandbox *sb)
{
    struct machine *m = sb->impl;
    (void)self;
    sb->impl = NULL;
    if (m)
        machine_destroy(m);
}

static void run(void *self, struct command *c, const struct command_spec *spec)
{
    (void)self;
    run_start(c->sandbox->impl, c, spec);
}

static void adopt(void *self, struct command *c)
{
    (void)self;
    run_adopt(c->sandbox->impl, c);
}

static void kill_all(void *self, struct command *c)
{
    (void)self;
    run_kill(c);
}

static int send_signal(void *self, struct command *c, int signum, struct err *err)
{
    (void)self;
    return run_signal(c, signum, err);
}

static void flow(void *self, struct command *c)
{
    (void)self;
    run_flow(c);
}

static void forget(void *self, struct command *c)
{
    (void)self;
    run_forget(c);
}

static void open_file(void *self, struct file_op *op)
{
    (void)self;
    files_open(op->sandbox->impl, op);
}

static void write_file(void *self, struct file_op *op)
{
    (void)self;
    files_write(op->sandbox->impl, op);
}

static void make_dir(void *self, struct file_op *op)
{
    (void)self;
    files_make_dir(op->sandbox->impl, op);
}

static void expose(void *self, struct sandbox *sb, uint16_t port, sandbox_expose_fn *fn,
                   void *ctx)
{
    (void)self;
    ports_expose(sb->impl, port, fn, ctx);
}

static bool unexpose(void *self, struct sandbox *sb, uint16_t port)
{
    (void)self;
    return ports_unexpose(sb->impl, port);
}

static const struct sandbox_backend backend = {
    .name = "vercel",
    .start = start,
    .finish = finish,
    .create = create,
    .destroy = destroy,
    .run = run,
    .adopt = adopt,
    .kill = kill_all,
    .signal = send_signal,
    .flow = flow,
    .forget = forget,
    .open_file = open_file,
    .write_file = write_file,
    .make_dir = make_dir,
    .list = ops_list,
    .stop = ops_stop,
    .extend = ops_extend,
    .update = ops_update,
    .snapshot = ops_snapshot,
    .snapshots = ops_snapshots,
    .snapshot_delete = ops_snapshot_delete,
    .snapshots_any = true,
    .forks = true,
    .kill_limit_ms = KILL_LIMIT_MS,
    .expose = expose,
    .unexpose = unexpose,
};

static const struct vercel_entries entries = {.backend = &backend};

MODULE_EXPORT("vercel", &entries);
