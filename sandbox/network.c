/* The network of sandboxes, for all backends. */
#include "sandbox/backend.h"
#include "sandbox/network_policy.h"

const struct network_policy *sandboxes_network(const struct sandboxes *set)
{
    static const struct network_policy allow_all;
    return set->config.network ? set->config.network : &allow_all;
}

static struct sandbox *find(struct sandboxes *set, uint64_t sandbox, struct err *err)
{
    struct sandbox *sb = sandbox_find(set, sandbox);
    if (sb && sb->state == SANDBOX_READY)
        return sb;
    err_set(err, ERR_NOT_FOUND, "the sandbox is gone");
    err_remedy(err, "call again: a new one is made");
    return NULL;
}

void sandbox_network(struct sandboxes *set, uint64_t sandbox,
                     const struct network_policy *policy, sandbox_open_fn *fn,
                     void *ctx)
{
    struct err err;
    struct sandbox *sb = find(set, sandbox, &err);
    struct sandbox_spec spec = {.network = policy};
    if (!sb) {
        fn(ctx, NULL, &err);
        return;
    }
    struct str name = sb->is_default ? (struct str){0} : str_of(sb->name);
    sandbox_update(set, sb->owner, name, &spec, fn, ctx);
}

int sandbox_network_log(struct sandboxes *set, uint64_t sandbox, uint64_t since,
                        network_attempt_fn *fn, void *ctx, struct err *err)
{
    struct sandbox *sb = find(set, sandbox, err);
    if (!sb)
        return -1;
    if (!set->backend->network_log)
        return sandbox_unsupported(set, "a log of network access", err);
    set->backend->network_log(set->impl, sb, since, fn, ctx);
    return 0;
}

void sandbox_expose(struct sandboxes *set, uint64_t sandbox, uint16_t port,
                    sandbox_expose_fn *fn, void *ctx)
{
    struct err err;
    struct sandbox *sb = find(set, sandbox, &err);
    int rc = sb ? 0 : -1;
    if (rc == 0 && port == 0)
        rc = err_set(&err, ERR_INVALID, "a port is a number from 1 to 65535");
    if (rc == 0 && !set->backend->expose)
        rc = sandbox_unsupported(set, "reaching ports", &err);
    if (rc < 0)
        fn(ctx, (struct str){0}, &err);
    else
        set->backend->expose(set->impl, sb, port, fn, ctx);
}

void sandbox_connect(struct sandboxes *set, uint64_t sandbox, uint16_t port,
                     sandbox_connect_fn *fn, void *ctx)
{
    struct err err;
    struct sandbox *sb = find(set, sandbox, &err);
    int rc = sb ? 0 : -1;
    if (rc == 0 && !set->backend->connect)
        rc = sandbox_unsupported(set, "connecting to ports", &err);
    if (rc < 0)
        fn(ctx, -1, &err);
    else
        set->backend->connect(set->impl, sb, port, fn, ctx);
}

int sandbox_unexpose(struct sandboxes *set, uint64_t sandbox, uint16_t port,
                     struct err *err)
{
    struct sandbox *sb = find(set, sandbox, err);
    if (!sb)
        return -1;
    if (set->backend->unexpose && set->backend->unexpose(set->impl, sb, port))
        return 0;
    err_set(err, ERR_NOT_FOUND, "port %u of the sandbox is not exposed", port);
    return err_remedy(err, "there is nothing to close");
}
