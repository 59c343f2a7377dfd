/* Copies of what is asked for that own their strings. */
#include "sandbox/backend.h"
#include "sandbox/network_policy.h"

static const struct str *copy_list(struct arena *a, const struct str *list, size_t n)
{
    struct str *copy = arena_alloc(a, (n + 1) * sizeof *copy);
    for (size_t i = 0; i < n; i++)
        copy[i] = arena_dup(a, list[i]);
    return copy;
}

static const uint16_t *copy_ports(struct arena *a, const uint16_t *ports, size_t n)
{
    uint16_t *copy = arena_alloc(a, (n + 1) * sizeof *copy);
    if (n)
        memcpy(copy, ports, n * sizeof *copy);
    return copy;
}

static const struct sandbox_mount *
copy_mounts(struct arena *a, const struct sandbox_mount *mounts, size_t n)
{
    struct sandbox_mount *copy = arena_alloc(a, (n + 1) * sizeof *copy);
    for (size_t i = 0; i < n; i++)
        copy[i] = (struct sandbox_mount){.host = arena_dup(a, mounts[i].host),
                                         .inside = arena_dup(a, mounts[i].inside),
                                         .readonly = mounts[i].readonly};
    return copy;
}

void owned_spec_set(struct owned_spec *to, const struct sandbox_spec *spec)
{
    struct arena old = to->arena;
    *to = (struct owned_spec){0};
    owned_spec_merge(to, spec);
    arena_finish(&old); /* only now: spec may point into it */
}

void owned_spec_merge(struct owned_spec *to, const struct sandbox_spec *from)
{
    struct sandbox_spec *s = &to->spec;
    struct arena *a = &to->arena;
    if (from->name.n)
        s->name = arena_dup(a, from->name);
    if (from->snapshot.n)
        s->snapshot = arena_dup(a, from->snapshot);
    if (from->image.n)
        s->image = arena_dup(a, from->image);
    if (from->memory_bytes)
        s->memory_bytes = from->memory_bytes;
    if (from->disk_bytes)
        s->disk_bytes = from->disk_bytes;
    if (from->cpu_millis)
        s->cpu_millis = from->cpu_millis;
    if (from->pids)
        s->pids = from->pids;
    if (from->timeout_ms)
        s->timeout_ms = from->timeout_ms;
    if (from->env_count) {
        s->env = copy_list(a, from->env, from->env_count);
        s->env_count = from->env_count;
    }
    if (from->tag_count) {
        s->tags = copy_list(a, from->tags, from->tag_count);
        s->tag_count = from->tag_count;
    }
    if (from->port_count) {
        s->ports = copy_ports(a, from->ports, from->port_count);
        s->port_count = from->port_count;
    }
    if (from->mount_count) {
        s->mounts = copy_mounts(a, from->mounts, from->mount_count);
        s->mount_count = from->mount_count;
    }
    if (from->network)
        s->network = network_policy_dup(a, from->network);
    s->ephemeral |= from->ephemeral;
}

void owned_spec_finish(struct owned_spec *spec)
{
    arena_finish(&spec->arena);
    *spec = (struct owned_spec){0};
}
