/* The set of sandboxes of this process: names, owners, creation on demand. */
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/backend.h"
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

void sandbox_limits_default(struct sandbox_limits *limits)
{
    const uint64_t mib = 1024 * 1024;
    *limits = (struct sandbox_limits){
        .memory_bytes = 2048 * mib,
        .disk_bytes = 1024 * mib,
        .kept_disk_bytes = 8192 * mib,
        .disk_inodes = 200000,
        .pids = 512,
        .sandboxes = 16,
        .commands = 64,
        .keep_command_bytes = 64 * mib,
        .keep_sandbox_bytes = 256 * mib,
    };
}

const char *sandbox_status_name(enum sandbox_status status)
{
    static const char *const names[] = {
        "running",      "stopped", "pending", "stopping",
        "snapshotting", "failed",  "aborted",
    };
    return names[status];
}

int sandbox_check_name(struct str name, struct err *err)
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

int sandbox_unsupported(const struct sandboxes *set, const char *what, struct err *err)
{
    err_set(err, ERR_UNAVAILABLE, "%s is not possible on the backend \"%s\"", what,
            set->backend->name);
    return err_remedy(err, "use the backend %s (--backend)",
                      set->backend == &sandbox_local ? "vercel" : "local");
}

uint64_t sandbox_unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int sandboxes_new(struct sandboxes **ret_set, struct loop *loop,
                  const struct sandbox_backend *backend,
                  const struct sandbox_config *config, struct err *err)
{
    if (config->default_name &&
        sandbox_check_name(str_of(config->default_name), err) < 0)
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

const char *sandboxes_backend(const struct sandboxes *set)
{
    return set->backend->name;
}

struct sandbox *sandbox_find(struct sandboxes *set, uint64_t id)
{
    uint32_t slot = (uint32_t)id;
    struct sandbox *sb =
        slot < set->sandbox_slot_count ? set->sandbox_slots[slot] : NULL;
    return sb && sb->id == id ? sb : NULL;
}

struct str sandbox_plain_name(const struct sandboxes *set, struct str name)
{
    if (name.n && !str_eq(name, STR("default")))
        return name;
    return str_of(set->config.default_name);
}

struct sandbox *sandbox_find_named(struct sandboxes *set, uint64_t owner,
                                   struct str name)
{
    for (uint32_t i = 0; i < set->sandbox_slot_count; i++) {
        struct sandbox *sb = set->sandbox_slots[i];
        if (!sb || sb->state == SANDBOX_LOST || !str_eq(str_of(sb->name), name))
            continue;
        if (sb->kept ? sandbox_tenant(sb->owner) == sandbox_tenant(owner)
                     : sb->owner == owner)
            return sb;
    }
    return NULL;
}

static struct sandbox *sandbox_new(struct sandboxes *set, uint64_t owner,
                                   const struct sandbox_spec *spec)
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
    owned_spec_set(&sb->wish, spec);
    if (spec->name.n)
        memcpy(sb->name, spec->name.p, spec->name.n);
    sb->is_default =
        spec->name.n == 0 || str_eq(spec->name, str_of(set->config.default_name));
    sb->kept = spec->name.n && !spec->ephemeral;
    return sb;
}

void sandbox_release(struct sandbox *sb)
{
    sb->set->sandbox_slots[(uint32_t)sb->id] = NULL;
    sandbox_list_changed(sb->set, sb->owner, sb->kept);
    for (struct sandbox_op *op = sb->set->ops; op; op = op->next)
        if (op->sandbox == sb)
            op->sandbox = NULL;
    loop_timer_free(sb->timer);
    owned_spec_finish(&sb->wish);
    mem_free(sb->users);
    mem_free(sb);
}

/* What is in force: what is not asked for is the configuration's. */
static void settle_spec(struct sandbox *sb)
{
    const struct sandbox_limits *limits = &sb->set->config.limits;
    struct sandbox_spec *s = &sb->in_force;
    *s = sb->wish.spec;
    s->memory_bytes = s->memory_bytes ? s->memory_bytes : limits->memory_bytes;
    /* Files in memory count as memory: a full disk must not look like a memory bomb. */
    if (!s->disk_bytes && sb->kept)
        s->disk_bytes = limits->kept_disk_bytes;
    else if (!s->disk_bytes)
        s->disk_bytes = limits->disk_bytes < s->memory_bytes / 2 ? limits->disk_bytes
                                                                 : s->memory_bytes / 2;
    s->cpu_millis = s->cpu_millis ? s->cpu_millis : limits->cpu_millis;
    s->pids = s->pids ? s->pids : limits->pids;
}

const struct sandbox_spec *sandbox_in_force(struct sandbox *sb)
{
    settle_spec(sb);
    return &sb->in_force;
}

void sandbox_info_fill(struct sandbox *sb, struct sandbox_info *ret_info)
{
    *ret_info = (struct sandbox_info){
        .id = sb->id,
        .name = sb->name[0] ? str_of(sb->name) : STR("default"),
        .backend = sb->set->backend->name,
        .status = sb->state == SANDBOX_CREATING ? SANDBOX_PENDING
                  : sb->state == SANDBOX_ENDING ? SANDBOX_STOPPING
                  : sb->halted                  ? SANDBOX_STOPPED
                                                : SANDBOX_RUNNING,
        .is_default = sb->is_default,
        .kept = sb->kept,
        .resumed = sb->resumed,
        .level = sb->level,
        .layers = sb->layers,
        .created_ms = sb->created_ms,
        .updated_ms = sb->updated_ms,
        .expires_ms = sb->expires_ms,
        .spec = sandbox_in_force(sb),
        .limited_by = str_of(sb->limited_by),
        .os = str_of(sb->os),
        .user = str_of(sb->user),
        .home = str_of(sb->home),
        .cwd = str_of(sb->cwd),
        .workspace = str_of(sb->workspace),
        .installs = sb->installs,
        .running = sb->running,
    };
}

void sandbox_answer_waiters(struct sandbox *sb, const struct err *err)
{
    struct sandbox_info info;
    char notice[sizeof sb->notice];
    memcpy(notice, sb->notice, sizeof notice);
    sandbox_info_fill(sb, &info);
    info.first_notice = err ? (struct str){0} : str_of(notice);
    sb->notice[0] = '\0';
    sb->resumed = false;
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

static const char was_resumed[] = "Resumed: files kept, processes of before are gone.";

void sandbox_created(struct sandbox *sb, int level, uint32_t layers, const char *notice)
{
    sb->state = SANDBOX_READY;
    sb->level = level;
    sb->layers = layers;
    snprintf(sb->notice, sizeof sb->notice, "%s%s%s", notice,
             notice[0] && sb->resumed ? " " : "", sb->resumed ? was_resumed : "");
    sb->updated_ms = sandbox_unix_ms();
    if (!sb->created_ms)
        sb->created_ms = sb->updated_ms;
    if (!sb->expires_ms && sb->wish.spec.timeout_ms)
        sb->expires_ms = sb->updated_ms + sb->wish.spec.timeout_ms;
    sandbox_touch(sb);
    sandbox_list_changed(sb->set, sb->owner, sb->kept);
    sandbox_answer_waiters(sb, NULL);
}

void sandbox_failed(struct sandbox *sb, const struct err *err)
{
    struct err copy = *err;
    sb->state = SANDBOX_LOST;
    sb->set->backend->destroy(sb->set->impl, sb);
    sandbox_answer_waiters(sb, &copy);
    sandbox_release(sb);
}

void sandbox_lost(struct sandbox *sb, const char *why)
{
    struct err err;
    log_info("sandbox %s ended: %s", sb->name[0] ? sb->name : "default", why);
    err_set(&err, ERR_UNAVAILABLE, "the sandbox ended: %s", why);
    err_remedy(&err,
               sb->kept
                   ? "call again: it is resumed, its files are kept"
                   : "call again: a new sandbox is made; unsaved files of this one are "
                     "gone");
    sb->state = SANDBOX_LOST;
    command_orphan_all(sb, why);
    sb->set->backend->destroy(sb->set->impl, sb);
    sandbox_answer_waiters(sb, &err);
    sandbox_release(sb);
}

static int check_limit(struct sandboxes *set, uint64_t owner, struct err *err)
{
    struct buf names;
    uint32_t count = 0;
    buf_init(&names, 120);
    for (uint32_t i = 0; i < set->sandbox_slot_count; i++) {
        const struct sandbox *sb = set->sandbox_slots[i];
        if (!sb || sandbox_tenant(sb->owner) != sandbox_tenant(owner))
            continue;
        if (sb->owner == owner || sb->kept)
            buf_addf(&names, "%s%s", names.n ? ", " : "",
                     sb->name[0] ? sb->name : "default");
        count++;
    }
    int rc = 0;
    if (count >= set->config.limits.sandboxes) {
        err_set(err, ERR_LIMIT, "%u sandboxes are running, which is the limit: %.*s",
                count, STR_FMT(buf_str(&names)));
        rc = err_remedy(err, "use one of them or stop one (sandbox_stop), or start the "
                             "server with --max-sandboxes");
    }
    buf_finish(&names);
    return rc;
}

static void add_waiter(struct sandbox *sb, sandbox_open_fn *fn, void *ctx)
{
    struct sandbox_waiter *w = mem_new(struct sandbox_waiter), **at = &sb->waiters;
    *w = (struct sandbox_waiter){.fn = fn, .ctx = ctx};
    while (*at)
        at = &(*at)->next;
    *at = w;
}

static void add_user(struct sandbox *sb, uint64_t owner)
{
    for (size_t i = 0; i < sb->user_count; i++)
        if (sb->users[i] == owner)
            return;
    sb->users = mem_realloc(sb->users, (sb->user_count + 1) * sizeof *sb->users);
    sb->users[sb->user_count++] = owner;
}

void sandbox_open(struct sandboxes *set, uint64_t owner, struct str name,
                  sandbox_open_fn *fn, void *ctx)
{
    sandbox_open_with(set, owner, name, NULL, 0, fn, ctx);
}

void sandbox_open_with(struct sandboxes *set, uint64_t owner, struct str name,
                       const struct sandbox_mount *mounts, size_t mount_count,
                       sandbox_open_fn *fn, void *ctx)
{
    struct err err;
    name = sandbox_plain_name(set, name);
    struct sandbox *sb = sandbox_find_named(set, owner, name);
    if (!sb && ((name.n && sandbox_check_name(name, &err) < 0) ||
                check_limit(set, owner, &err) < 0)) {
        fn(ctx, NULL, &err);
        return;
    }
    bool fresh = !sb;
    if (fresh)
        sb = sandbox_new(set, owner,
                         &(struct sandbox_spec){.name = name,
                                                .mounts = mounts,
                                                .mount_count = mount_count});
    add_waiter(sb, fn, ctx);
    add_user(sb, owner);
    if (fresh)
        set->backend->create(set->impl, sb);
    else if (sb->state == SANDBOX_READY)
        sandbox_use(sb);
}

void sandbox_use(struct sandbox *sb)
{
    if (sb->halted) {
        sb->halted = false;
        sb->resumed = true;
        snprintf(sb->notice, sizeof sb->notice, "%s", was_resumed);
        if (sb->wish.spec.timeout_ms)
            sb->expires_ms = sandbox_unix_ms() + sb->wish.spec.timeout_ms;
    }
    sandbox_touch(sb);
    sandbox_answer_waiters(sb, NULL);
}

/* sb-xxxxxxxx: easy to say, and nobody else's. */
static void make_up_name(char to[SANDBOX_NAME_MAX + 1])
{
    static const char letters[] = "abcdefghjkmnpqrstuvwxyz23456789x";
    unsigned char random[8] = {0};
    char word[9] = "";
    if (getrandom(random, sizeof random, 0) != sizeof random)
        memset(random, (int)sandbox_unix_ms() & 0xff, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        word[i] = letters[random[i] % 32];
    snprintf(to, SANDBOX_NAME_MAX + 1, "sb-%s", word);
}

int sandbox_check_new(struct sandboxes *set, uint64_t owner, struct str name,
                      struct err *err)
{
    if (sandbox_check_name(name, err) < 0)
        return -1;
    if (str_eq(name, STR("default"))) {
        err_set(err, ERR_INVALID, "\"default\" is the name of your default sandbox");
        return err_remedy(err, "use another name; the default one needs no creation");
    }
    if (sandbox_find_named(set, owner, name)) {
        err_set(err, ERR_CONFLICT, "there is a sandbox %.*s", STR_FMT(name));
        return err_remedy(err, "use it by its name, or choose another one");
    }
    return check_limit(set, owner, err);
}

void sandbox_create_from(struct sandboxes *set, uint64_t owner, struct str source,
                         const struct sandbox_spec *spec, sandbox_open_fn *fn,
                         void *ctx)
{
    char made_up[SANDBOX_NAME_MAX + 1];
    struct sandbox_spec named = *spec;
    struct err err;
    if (named.name.n == 0) {
        make_up_name(made_up);
        named.name = str_of(made_up);
    }
    if (sandbox_check_new(set, owner, named.name, &err) < 0) {
        fn(ctx, NULL, &err);
        return;
    }
    struct sandbox *sb = sandbox_new(set, owner, &named);
    sb->want = SANDBOX_WANT_NEW;
    if (source.n)
        memcpy(sb->source, source.p, source.n);
    add_waiter(sb, fn, ctx);
    add_user(sb, owner);
    set->backend->create(set->impl, sb);
}

void sandbox_create(struct sandboxes *set, uint64_t owner,
                    const struct sandbox_spec *spec, sandbox_open_fn *fn, void *ctx)
{
    sandbox_create_from(set, owner, (struct str){0}, spec, fn, ctx);
}

int sandbox_get(struct sandboxes *set, uint64_t sandbox, struct sandbox_info *ret_info,
                struct err *err)
{
    struct sandbox *sb = sandbox_find(set, sandbox);
    if (!sb) {
        err_set(err, ERR_NOT_FOUND, "the sandbox is gone");
        return err_remedy(err, "call again: a new one is made");
    }
    sandbox_info_fill(sb, ret_info);
    return 0;
}

static void forget_waiters(struct sandbox *sb)
{
    while (sb->waiters) {
        struct sandbox_waiter *next = sb->waiters->next;
        mem_free(sb->waiters);
        sb->waiters = next;
    }
}

static void drop(struct sandbox *sb, const char *why)
{
    struct err err;
    err_set(&err, ERR_CANCELLED, "the sandbox ended: %s", why);
    sb->state = SANDBOX_LOST;
    command_orphan_all(sb, why);
    sb->set->backend->destroy(sb->set->impl, sb);
    if (sb->set->finishing)
        forget_waiters(sb);
    else
        sandbox_answer_waiters(sb, &err);
    sandbox_release(sb);
}

/* True when nobody else uses it. */
static bool drop_user(struct sandbox *sb, uint64_t owner)
{
    for (size_t i = 0; i < sb->user_count; i++)
        if (sb->users[i] == owner)
            sb->users[i--] = sb->users[--sb->user_count];
    return sb->user_count == 0;
}

void sandboxes_count(const struct sandboxes *set, size_t *ret_sandboxes,
                     size_t *ret_running)
{
    size_t sandboxes = 0, running = 0;
    for (uint32_t i = 0; i < set->sandbox_slot_count; i++)
        sandboxes += set->sandbox_slots[i] != NULL;
    for (uint32_t i = 0; i < set->command_slot_count; i++)
        running +=
            set->command_slots[i] && set->command_slots[i]->status == COMMAND_RUNNING;
    *ret_sandboxes = sandboxes;
    *ret_running = running;
}

void sandboxes_drop_owner(struct sandboxes *set, uint64_t owner)
{
    for (uint32_t i = 0; i < set->sandbox_slot_count; i++) {
        struct sandbox *sb = set->sandbox_slots[i];
        if (sb && sb->state != SANDBOX_ENDING && drop_user(sb, owner))
            drop(sb, "its owner has gone");
    }
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
            drop(set->sandbox_slots[i], "the server ends");
    command_forget_all(set);
    set->backend->finish(set->impl);
    sandbox_ops_drop(set);
    loop_later_free(set->tell);
    mem_free(set->sandbox_slots);
    mem_free(set->command_slots);
    mem_free(set);
}
