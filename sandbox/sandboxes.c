/* The set of sandboxes of this process: names, owners, creation on demand. */
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/backend.h"
#include <stdio.h>

void sandbox_limits_default(struct sandbox_limits *limits)
{
    const uint64_t mib = 1024 * 1024;
    *limits = (struct sandbox_limits){
        .memory_bytes = 2048 * mib,
        .disk_bytes = 1024 * mib,
        .disk_inodes = 200000,
        .pids = 512,
        .sandboxes = 16,
        .commands = 64,
        .keep_command_bytes = 64 * mib,
        .keep_sandbox_bytes = 256 * mib,
    };
}

static int check_name(struct str name, struct err *err)
{
    bool ok = name.n > 0 && name.n <= SANDBOX_NAME_MAX;
    for (size_t i = 0; i < name.n && ok; i++) {
        char c = name.p[i];
        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
             (c >= '0' && c <= '9') || c == '-' || c == '_';
    }
    if (ok)
        return 0;
    err_set(err, ERR_INVALID, "\"%.*s\" is not a sandbox name",
            (int)(name.n > 60 ? 60 : name.n), name.p);
    return err_remedy(err, "use 1 to %d letters, digits, _ or -", SANDBOX_NAME_MAX);
}

int sandboxes_new(struct sandboxes **ret_set, struct loop *loop,
                  const struct sandbox_backend *backend,
                  const struct sandbox_config *config, struct err *err)
{
    if (config->default_name && check_name(str_of(config->default_name), err) < 0)
        return -1;
    struct sandboxes *set = mem_new(struct sandboxes);
    set->loop = loop;
    set->backend = backend;
    set->config = *config;
    set->impl = backend->start(set, err);
    if (!set->impl) {
        mem_free(set);
        return -1;
    }
    set->tell = loop_later_new(loop, command_tell, set);
    *ret_set = set;
    return 0;
}

struct sandbox *sandbox_find(struct sandboxes *set, uint64_t id)
{
    uint32_t slot = (uint32_t)id;
    struct sandbox *sb =
        slot < set->sandbox_slot_count ? set->sandbox_slots[slot] : NULL;
    return sb && sb->id == id ? sb : NULL;
}

static struct sandbox *sandbox_new(struct sandboxes *set, uint64_t owner,
                                   struct str name)
{
    struct sandbox *sb = mem_new(struct sandbox);
    uint32_t slot = 0;
    while (slot < set->sandbox_slot_count && set->sandbox_slots[slot])
        slot++;
    if (slot == set->sandbox_slot_count) {
        set->sandbox_slot_count = slot ? 2 * slot : 8;
        set->sandbox_slots = mem_realloc(
            set->sandbox_slots, set->sandbox_slot_count * sizeof *set->sandbox_slots);
        for (uint32_t i = slot; i < set->sandbox_slot_count; i++)
            set->sandbox_slots[i] = NULL;
    }
    set->sandbox_slots[slot] = sb;
    sb->set = set;
    sb->id = (uint64_t)++set->generation << 32 | slot;
    sb->owner = owner;
    sb->is_default = name.n == 0;
    if (sb->is_default && set->config.default_name)
        name = str_of(set->config.default_name);
    memcpy(sb->name, name.p ? name.p : "", name.n);
    return sb;
}

static void answer_waiters(struct sandbox *sb, const struct err *err)
{
    struct sandbox_info info = {.id = sb->id,
                                .name = sb->name[0] ? str_of(sb->name) : STR("default"),
                                .backend = sb->set->backend->name,
                                .level = sb->level,
                                .layers = sb->layers};
    char notice[sizeof sb->notice];
    memcpy(notice, sb->notice, sizeof notice);
    info.first_notice = err ? (struct str){0} : str_of(notice);
    sb->notice[0] = '\0';
    struct sandbox_waiter *w = sb->waiters;
    sb->waiters = NULL;
    while (w) {
        struct sandbox_waiter *next = w->next;
        w->fn(w->ctx, err ? NULL : &info, err);
        info.first_notice = (struct str){0};
        mem_free(w);
        w = next;
    }
}

static void sandbox_release(struct sandbox *sb)
{
    sb->set->sandbox_slots[(uint32_t)sb->id] = NULL;
    mem_free(sb);
}

void sandbox_created(struct sandbox *sb, int level, uint32_t layers, const char *notice)
{
    sb->state = SANDBOX_READY;
    sb->level = level;
    sb->layers = layers;
    snprintf(sb->notice, sizeof sb->notice, "%s", notice);
    answer_waiters(sb, NULL);
}

void sandbox_failed(struct sandbox *sb, const struct err *err)
{
    struct err copy = *err;
    sb->state = SANDBOX_LOST;
    sb->set->backend->destroy(sb->set->impl, sb);
    answer_waiters(sb, &copy);
    sandbox_release(sb);
}

void sandbox_lost(struct sandbox *sb, const char *why)
{
    struct err err;
    log_info("sandbox %s ended: %s", sb->name[0] ? sb->name : "default", why);
    err_set(&err, ERR_UNAVAILABLE, "the sandbox ended: %s", why);
    err_remedy(&err,
               "call again: a new sandbox is made; unsaved files of this one are gone");
    sb->state = SANDBOX_LOST;
    command_orphan_all(sb, why);
    sb->set->backend->destroy(sb->set->impl, sb);
    answer_waiters(sb, &err);
    sandbox_release(sb);
}

static struct sandbox *find_named(struct sandboxes *set, uint64_t owner,
                                  struct str name)
{
    for (uint32_t i = 0; i < set->sandbox_slot_count; i++) {
        struct sandbox *sb = set->sandbox_slots[i];
        if (sb && sb->owner == owner && sb->state != SANDBOX_LOST &&
            (name.n == 0 ? sb->is_default : str_eq(str_of(sb->name), name)))
            return sb;
    }
    return NULL;
}

static int check_limit(struct sandboxes *set, uint64_t owner, struct err *err)
{
    struct buf names;
    uint32_t count = 0;
    buf_init(&names, 120);
    for (uint32_t i = 0; i < set->sandbox_slot_count; i++) {
        const struct sandbox *sb = set->sandbox_slots[i];
        if (!sb || sb->owner != owner)
            continue;
        buf_addf(&names, "%s%s", count++ ? ", " : "",
                 sb->name[0] ? sb->name : "default");
    }
    int rc = 0;
    if (count >= set->config.limits.sandboxes) {
        err_set(err, ERR_LIMIT, "%u sandboxes exist, which is the limit: %.*s", count,
                STR_FMT(buf_str(&names)));
        rc = err_remedy(err,
                        "use one of them, or start the server with --max-sandboxes");
    }
    buf_finish(&names);
    return rc;
}

void sandbox_open(struct sandboxes *set, uint64_t owner, struct str name,
                  sandbox_open_fn *fn, void *ctx)
{
    struct err err;
    struct sandbox *sb = find_named(set, owner, name);
    if (!sb &&
        ((name.n && check_name(name, &err) < 0) || check_limit(set, owner, &err) < 0)) {
        fn(ctx, NULL, &err);
        return;
    }
    bool fresh = !sb;
    if (fresh)
        sb = sandbox_new(set, owner, name);
    struct sandbox_waiter *w = mem_new(struct sandbox_waiter), **at = &sb->waiters;
    *w = (struct sandbox_waiter){.fn = fn, .ctx = ctx};
    while (*at)
        at = &(*at)->next;
    *at = w;
    if (fresh)
        set->backend->create(set->impl, sb);
    else if (sb->state == SANDBOX_READY)
        answer_waiters(sb, NULL);
}

static void drop(struct sandbox *sb)
{
    while (sb->waiters) {
        struct sandbox_waiter *next = sb->waiters->next;
        mem_free(sb->waiters);
        sb->waiters = next;
    }
    command_orphan_all(sb, "its owner has gone");
    sb->set->backend->destroy(sb->set->impl, sb);
    sandbox_release(sb);
}

void sandboxes_drop_owner(struct sandboxes *set, uint64_t owner)
{
    for (uint32_t i = 0; i < set->sandbox_slot_count; i++)
        if (set->sandbox_slots[i] && set->sandbox_slots[i]->owner == owner)
            drop(set->sandbox_slots[i]);
    command_forget_owner(set, owner);
}

void sandboxes_free(struct sandboxes *set)
{
    if (!set)
        return;
    set->finishing = true;
    while (set->watches) {
        struct watch *next = set->watches->next;
        mem_free(set->watches);
        set->watches = next;
    }
    for (uint32_t i = 0; i < set->sandbox_slot_count; i++)
        if (set->sandbox_slots[i])
            drop(set->sandbox_slots[i]);
    command_forget_all(set);
    set->backend->finish(set->impl);
    loop_later_free(set->tell);
    mem_free(set->sandbox_slots);
    mem_free(set->command_slots);
    mem_free(set);
}

void file_op_free(struct file_op *op)
{
    mem_free(op);
}

static struct file_op *file_op_new(struct sandboxes *set, uint64_t sandbox,
                                   struct str path, struct err *err)
{
    struct sandbox *sb = sandbox_find(set, sandbox);
    if (!sb || sb->state != SANDBOX_READY) {
        err_set(err, ERR_NOT_FOUND, "the sandbox is gone");
        err_remedy(err, "call again: a new one is made");
        return NULL;
    }
    if (path.n == 0 || path.n > SANDBOX_PATH_MAX || memchr(path.p, '\0', path.n)) {
        err_set(err, ERR_INVALID, "a path has 1 to %d bytes and no NUL",
                SANDBOX_PATH_MAX);
        err_remedy(err, "give an absolute path, or one relative to /workspace");
        return NULL;
    }
    struct file_op *op = mem_new(struct file_op);
    op->sandbox = sb;
    memcpy(op->path, path.p, path.n);
    return op;
}

void file_open(struct sandboxes *set, uint64_t sandbox, struct str path,
               file_open_fn *fn, void *ctx)
{
    struct err err;
    struct file_op *op = file_op_new(set, sandbox, path, &err);
    if (!op) {
        fn(ctx, -1, 0, &err);
        return;
    }
    op->open_fn = fn;
    op->ctx = ctx;
    set->backend->open_file(set->impl, op);
}

void file_write(struct sandboxes *set, uint64_t sandbox, struct str path,
                struct str content, file_write_fn *fn, void *ctx)
{
    struct err err;
    struct file_op *op = file_op_new(set, sandbox, path, &err);
    if (!op) {
        fn(ctx, false, &err);
        return;
    }
    op->content = content;
    op->write_fn = fn;
    op->ctx = ctx;
    set->backend->write_file(set->impl, op);
}
