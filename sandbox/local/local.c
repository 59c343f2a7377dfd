/* The local backend: an embedded Linux sandbox. The server talks to the zygote (which
 * makes sandboxes) and to one guest a sandbox; what comes from a guest is checked as if
 * an attacker had sent it. */
#include "sandbox/local/local.h"
#include "base/mem.h"
#include <signal.h>

static void *start(struct sandboxes *set, struct err *err)
{
    local_limits_fit(&set->config.limits);
    const struct sandbox_limits *limits = &set->config.limits;
    struct sandbox_spec spec = {.memory_bytes = limits->memory_bytes,
                                .disk_bytes = limits->disk_bytes,
                                .cpu_millis = limits->cpu_millis,
                                .pids = limits->pids};
    if (local_limits_check(&spec, &spec, false, err) < 0)
        return NULL;
    struct local *l = mem_new(struct local);
    l->set = set;
    l->zygote_pid = l->zygote_pidfd = -1;
    return l;
}

static void finish(void *self)
{
    struct local *l = self;
    local_life_finish(l);
    local_zygote_stop(l);
    host_proxy_finish(&l->host_proxy);
    mem_free(l);
}

static void destroy(void *self, struct sandbox *sb)
{
    struct box *box = sb->impl;
    sb->impl = NULL;
    local_life_cancel(self, sb);
    if (box)
        local_box_free(box);
}

static void run(void *self, struct command *c, const struct command_spec *spec)
{
    (void)self;
    local_guest_run(c->sandbox->impl, c, spec);
}

static void kill_all(void *self, struct command *c)
{
    (void)self;
    if (c->sandbox)
        local_guest_kill(c->sandbox->impl, c, 0);
}

static int send_signal(void *self, struct command *c, int signum, struct err *err)
{
    (void)self;
    (void)err;
    local_guest_kill(c->sandbox->impl, c, signum);
    return 0;
}

static int resize(void *self, struct command *c, struct pty_size size, struct err *err)
{
    (void)self;
    return streams_resize(c->impl, size, err);
}

static void input(void *self, struct command *c)
{
    (void)self;
    if (c->impl)
        streams_input(c->impl);
}

static void flow(void *self, struct command *c)
{
    (void)self;
    if (c->impl)
        streams_flow(c->impl);
}

static void forget(void *self, struct command *c)
{
    (void)self;
    streams_free(c->impl);
    c->impl = NULL;
}

static void file(void *self, struct file_op *op)
{
    (void)self;
    local_guest_file(op->sandbox->impl, op);
}

const struct sandbox_backend sandbox_local = {
    .name = "local",
    .start = start,
    .finish = finish,
    .create = local_create,
    .destroy = destroy,
    .run = run,
    .kill = kill_all,
    .signal = send_signal,
    .resize = resize,
    .input = input,
    .flow = flow,
    .forget = forget,
    .open_file = file,
    .write_file = file,
    .fills = true,
    .make_dir = file,
    .list = local_list,
    .stop = local_stop,
    .update = local_update,
    .snapshots_any = true,
    .changes = local_changes,
    .network_log = local_network_log,
    .expose = local_expose,
    .unexpose = local_unexpose,
    .connect = local_connect,
    .discard = local_discard,
    .snapshot_measure = local_snapshot_measure,
    .snapshot = local_snapshot,
    .snapshots = local_snapshots,
    .snapshot_delete = local_snapshot_delete,
};
