/* One sandbox, there: made or found, resumed when its session is over, kept alive while
 * somebody has it, deleted or left to its time-out.
 *
 * A default sandbox is `persistent: false` with a time-out of five minutes that is
 * extended while its owner lives: whatever becomes of this process, it is gone five
 * minutes later. A kept one is left running when its owner goes; its time-out stops it,
 * and that keeps its files. */
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/vercel/private.h"
#include <stdio.h>
#include <sys/random.h>

enum {
    TIMEOUT_MS = 5 * 60 * 1000,
    BEATS = 5, /* in a time-out; two of them make an interval */
    CREATE_TRIES = 3,
};

static const char gone_remedy[] = "call again: a new sandbox is made";

static void generate_name(char to[SANDBOX_NAME_MAX + 1])
{
    unsigned char random[12] = {0};
    if (getrandom(random, sizeof random, 0) != sizeof random)
        memcpy(random, &(uint64_t){sandbox_unix_ms()}, 8);
    int n = snprintf(to, SANDBOX_NAME_MAX + 1, "sandquay-");
    for (size_t i = 0; i < sizeof random; i++)
        n += snprintf(to + n, SANDBOX_NAME_MAX + 1 - (size_t)n, "%02x", random[i]);
}

void machine_name(uint64_t owner, struct str name, char to[SANDBOX_NAME_MAX + 1])
{
    if (sandbox_tenant(owner))
        snprintf(to, SANDBOX_NAME_MAX + 1, "t%08x-%.*s", sandbox_tenant(owner),
                 STR_FMT(name));
    else
        snprintf(to, SANDBOX_NAME_MAX + 1, "%.*s", STR_FMT(name));
}

/* 2 GiB and one vCPU come together; one or an even number of them. */
unsigned machine_vcpus(const struct vercel *v, const struct sandbox_spec *spec)
{
    const uint64_t gib2 = 2048ULL * 1024 * 1024;
    uint64_t memory = spec->memory_bytes ? spec->memory_bytes : v->asked.memory_bytes;
    uint64_t millis = spec->cpu_millis ? spec->cpu_millis : v->asked.cpu_millis;
    uint64_t vcpus = (memory + gib2 - 1) / gib2, cpus = (millis + 999) / 1000;
    if (cpus > vcpus)
        vcpus = cpus;
    if (vcpus > 64)
        vcpus = 64;
    return (unsigned)(vcpus > 1 ? (vcpus + 1) / 2 * 2 : vcpus);
}

static void set_text(char *to, size_t room, struct str s)
{
    snprintf(to, room, "%.*s", STR_FMT(s));
}

void machine_take_routes(struct machine *m, const struct vercel_route *routes,
                         size_t count)
{
    arena_reset(&m->arena);
    m->route_count = count;
    for (size_t i = 0; i < count; i++) {
        m->routes[i] = routes[i];
        m->routes[i].url = arena_dup(&m->arena, routes[i].url);
    }
}

/* The newest answer counts: session, cwd, routes, what it has of memory and time. */
static void take_opened(struct machine *m, const struct vercel_opened *o)
{
    struct sandbox *sb = m->sandbox;
    set_text(m->session, sizeof m->session, o->session.id);
    machine_take_routes(m, o->routes, o->route_count);
    m->timeout_ms = TIMEOUT_MS;
    if (o->session.timeout_ms > 0 && o->session.timeout_ms < TIMEOUT_MS)
        m->timeout_ms = (uint64_t)o->session.timeout_ms; /* the plan allows no more */
    if (!sb)
        return;
    struct str cwd = o->session.cwd.n ? o->session.cwd : STR("/vercel");
    set_text(sb->cwd, sizeof sb->cwd, cwd);
    if (!sb->home[0])
        set_text(sb->home, sizeof sb->home, cwd);
    snprintf(sb->limited_by, sizeof sb->limited_by, "a microVM of its own");
    if (o->sandbox.created_ms > 0)
        sb->created_ms = (uint64_t)o->sandbox.created_ms;
    owned_spec_merge(
        &sb->wish,
        &(struct sandbox_spec){
            .memory_bytes =
                o->session.memory_mb > 0 ? (uint64_t)o->session.memory_mb << 20 : 0,
            .cpu_millis =
                o->session.vcpus > 0 ? (uint64_t)o->session.vcpus * 1000 : 0});
    if (sb->wish.spec.timeout_ms)
        sb->expires_ms = sandbox_unix_ms() + sb->wish.spec.timeout_ms;
}

/* Time limits: a heartbeat, unless the sandbox was given a time of its own. */

/* Two fifths of its time: two beats may fail before it is over. */
static uint64_t interval_ms(const struct machine *m)
{
    return m->timeout_ms * 2 / BEATS;
}

static void on_extended(void *ctx, const struct exchange_result *r)
{
    struct machine *m = ctx;
    m->extending = NULL;
    if (!r->err) {
        m->owed_ms = 0;
        loop_timer_start(m->heartbeat, interval_ms(m));
    } else if (r->status == 404 || r->status == 410 || r->status == 422) {
        log_info("vercel: %s: no heartbeat: %s", m->name, r->err->msg);
    } else if (r->status >= 400 && r->status < 500 && r->status != 429) {
        log_warn("vercel: %s cannot be extended and will end in a few minutes, "
                 "giving up: %s",
                 m->name, r->err->msg);
        if (m->sandbox)
            snprintf(m->sandbox->notice, sizeof m->sandbox->notice,
                     "This sandbox has reached the longest time of the account's plan "
                     "and will end in a few minutes%s.",
                     m->temporary ? ", with its files: save what is needed now"
                                  : "; its files are kept");
    } else {
        uint64_t soon_ms = interval_ms(m) / BEATS;
        loop_timer_start(m->heartbeat, soon_ms);
        m->owed_ms += soon_ms;
    }
}

static void extend(struct machine *m, uint64_t by_ms)
{
    struct vercel_scope scope = vercel_scope_of(m->vercel);
    m->extending = exchange_start(
        m->vercel, &(struct exchange_spec){.request = vercel_extend(&scope, by_ms),
                                           .machine = m,
                                           .done = on_extended,
                                           .ctx = m});
}

static void on_heartbeat(void *ctx)
{
    struct machine *m = ctx;
    if (!m->extending)
        extend(m, interval_ms(m) + m->owed_ms);
}

static void start_heartbeat(struct machine *m)
{
    if (!m->sandbox || m->sandbox->wish.spec.timeout_ms)
        return;
    if (!m->heartbeat)
        m->heartbeat = loop_timer_new(m->vercel->loop, on_heartbeat, m);
    m->owed_ms = 0;
    loop_timer_start(m->heartbeat, interval_ms(m));
}

/* A session that was running already may be near its end. */
static uint64_t missing_ms(const struct vercel_session *s)
{
    int64_t now = (int64_t)sandbox_unix_ms();
    int64_t left = s->started_ms + s->timeout_ms - now;
    if (left < 0 || left > s->timeout_ms)
        left = 0; /* clocks differ */
    return left < TIMEOUT_MS ? (uint64_t)(TIMEOUT_MS - left) : 0;
}

/* Creation */

static void take_system(struct sandbox *sb, struct str text)
{
    struct str lines[3] = {{0}};
    for (int i = 0; i < 3 && text.n; i++) {
        ptrdiff_t end = str_find(text, '\n');
        lines[i] = (struct str){text.p, end < 0 ? text.n : (size_t)end};
        text = str_from(text, lines[i].n + 1);
    }
    set_text(sb->os, sizeof sb->os, lines[0]);
    set_text(sb->user, sizeof sb->user, lines[1]);
    if (lines[2].n)
        set_text(sb->home, sizeof sb->home, lines[2]);
}

static void on_settled(void *ctx, const struct script_result *r)
{
    char notice[200] = "";
    struct machine *m = ctx;
    int minutes = account_minutes_left(m->vercel);
    m->asking = NULL;
    if (!r->err && r->exit_code == 0)
        take_system(m->sandbox, r->out);
    else
        log_info("vercel: %s: its system is not known, ignoring", m->name);
    if (minutes >= 0)
        snprintf(notice, sizeof notice,
                 "%s expires in %d min: renew it (`vercel env pull`) and restart.",
                 m->vercel->config->credentials->source, minutes);
    sandbox_created(m->sandbox, 1, 0, notice);
}

/* What system it is; and /workspace, where all backends' files are to be found, leads
 * to its working directory. */
static const char settle_script[] =
    ". /etc/os-release; echo \"$PRETTY_NAME\"; id -un; echo \"$HOME\"\n"
    "[ -e /workspace ] || sudo -n ln -s \"$PWD\" /workspace 2>/dev/null\n"
    "exit 0";

static void settle(struct machine *m)
{
    m->asking = script_start(m, settle_script, NULL, 0, false, on_settled, m);
}

static void restrict_network(struct machine *m, exchange_fn *done)
{
    struct vercel_scope scope = vercel_scope_of(m->vercel);
    struct network_policy policy = {0};
    policy_in_force(m->vercel, &m->sandbox->wish.spec, &policy);
    m->making = exchange_start(
        m->vercel, &(struct exchange_spec){.request = vercel_network(&scope, &policy),
                                           .machine = m,
                                           .done = done,
                                           .ctx = m});
    network_policy_finish(&policy);
}

static void give_up(struct machine *m, const struct err *err)
{
    sandbox_failed(m->sandbox, err); /* which destroys m */
}

static void on_restricted(void *ctx, const struct exchange_result *r)
{
    struct machine *m = ctx;
    m->making = NULL;
    if (r->err)
        give_up(m, r->err);
    else
        settle(m);
}

/* One that was made by somebody else, or before, has the policy of then. */
static void ready(struct machine *m, const struct vercel_opened *o, bool existed)
{
    struct sandbox *sb = m->sandbox;
    take_opened(m, o);
    start_heartbeat(m);
    if (existed && !o->resumed && !sb->wish.spec.timeout_ms && missing_ms(&o->session))
        extend(m, missing_ms(&o->session));
    sb->resumed = o->resumed;
    if (existed && policy_restricts(m->vercel, &sb->wish.spec))
        restrict_network(m, on_restricted);
    else
        settle(m);
}

static void post(struct machine *m);
static void look_at_source(struct machine *m);
static void get(struct machine *m, exchange_fn *done, bool resume);

static int read_opened(const struct exchange_result *r, struct vercel_opened *o,
                       struct err *err)
{
    return vercel_read_opened(r->root, r->arena, o, err);
}

/* The answer to a creation was lost: is it there? The name is ours alone, or it was
 * looked for just before. */
static void on_found_after_loss(void *ctx, const struct exchange_result *r)
{
    struct machine *m = ctx;
    struct vercel_opened o;
    struct err err;
    m->making = NULL;
    if (r->err && r->status == 404 && ++m->tries < CREATE_TRIES)
        post(m);
    else if (r->err)
        give_up(m, r->err);
    else if (read_opened(r, &o, &err) < 0)
        give_up(m, &err);
    else
        ready(m, &o, false);
}

static void on_posted(void *ctx, const struct exchange_result *r)
{
    struct machine *m = ctx;
    struct sandbox *sb = m->sandbox;
    struct vercel_opened o;
    struct err err;
    m->making = NULL;
    if (r->err && r->unknown) {
        log_info("vercel: %s: looking whether it was made", r->err->msg);
        get(m, on_found_after_loss, true);
    } else if (r->err && r->status == 409 && sb->want == SANDBOX_WANT_ANY) {
        get(m, on_found_after_loss, true); /* somebody was faster */
    } else if (r->err) {
        m->made = false;
        give_up(m, r->err);
    } else if (read_opened(r, &o, &err) < 0) {
        give_up(m, &err);
    } else {
        ready(m, &o, false);
    }
}

static void post(struct machine *m)
{
    struct vercel *v = m->vercel;
    struct sandbox *sb = m->sandbox;
    struct vercel_scope scope = vercel_scope_of(v);
    struct sandbox_spec spec = sb->wish.spec;
    struct network_policy policy = {0};
    spec.network = NULL;
    if (!spec.image.n)
        spec.image = str_of(v->set->config.image);
    if (policy_restricts(v, &sb->wish.spec)) {
        policy_in_force(v, &sb->wish.spec, &policy);
        spec.network = &policy;
    }
    struct vercel_create create = {
        .name = str_of(m->name),
        .persistent = !m->temporary,
        .timeout_ms = spec.timeout_ms ? spec.timeout_ms : TIMEOUT_MS,
        .vcpus = machine_vcpus(v, &spec),
        .spec = &spec,
    };
    char source[SANDBOX_NAME_MAX + 1];
    machine_name(sb->owner, str_of(sb->source), source);
    m->made = true;
    sandbox_doing(sb, sb->source[0] ? "forking the sandbox"
                      : sb->wish.spec.snapshot.n
                          ? "creating the sandbox from a snapshot"
                          : "creating the sandbox");
    m->making = exchange_start(
        v, &(struct exchange_spec){
               .request = sb->source[0] ? vercel_fork(&scope, str_of(source), &create)
                                        : vercel_create(&scope, &create),
               .machine = m,
               .done = on_posted,
               .ctx = m});
    network_policy_finish(&policy);
}

static void get(struct machine *m, exchange_fn *done, bool resume)
{
    struct vercel_scope scope = vercel_scope_of(m->vercel);
    m->making = exchange_start(
        m->vercel,
        &(struct exchange_spec){.request = vercel_get(&scope, str_of(m->name), resume),
                                .machine = m,
                                .done = done,
                                .ctx = m});
}

/* A kept one is looked for first. */
static void on_looked(void *ctx, const struct exchange_result *r)
{
    struct machine *m = ctx;
    struct vercel_opened o;
    struct err err;
    m->making = NULL;
    if (r->err && r->status == 404 && m->sandbox->source[0]) {
        look_at_source(m);
    } else if (r->err && r->status == 404) {
        post(m);
    } else if (r->err) {
        give_up(m, r->err);
    } else if (m->sandbox->want == SANDBOX_WANT_NEW) {
        err_set(&err, ERR_CONFLICT, "there is a sandbox %s", m->sandbox->name);
        err_remedy(&err, "use it by its name, or choose another one");
        give_up(m, &err);
    } else if (read_opened(r, &o, &err) < 0) {
        give_up(m, &err);
    } else {
        ready(m, &o, true);
    }
}

/* A fork starts from its source's newest snapshot: of a running one that is taken now,
 * so that nothing is left out. */

/* Who has the source open here learns that it was stopped. */
static void source_stopped(const struct machine *m)
{
    char source[SANDBOX_NAME_MAX + 1];
    machine_name(m->sandbox->owner, str_of(m->sandbox->source), source);
    for (struct machine *s = m->vercel->machines; s; s = s->next)
        if (s->sandbox && strcmp(s->name, source) == 0)
            s->sandbox->halted = s->sandbox->state == SANDBOX_READY;
}

static void on_source_kept(void *ctx, const struct exchange_result *r)
{
    struct machine *m = ctx;
    m->making = NULL;
    if (r->err && r->status != 410) {
        give_up(m, r->err);
    } else {
        source_stopped(m);
        post(m);
    }
}

static void on_source(void *ctx, const struct exchange_result *r)
{
    struct machine *m = ctx;
    struct vercel_scope scope = vercel_scope_of(m->vercel);
    struct vercel_opened o;
    struct err err;
    m->making = NULL;
    if (r->err && r->status == 404) {
        err_set(&err, ERR_NOT_FOUND, "there is no sandbox %s", m->sandbox->source);
        err_remedy(&err, "sandbox_list tells which there are");
        give_up(m, &err);
    } else if (r->err) {
        give_up(m, r->err);
    } else if (read_opened(r, &o, &err) < 0) {
        give_up(m, &err);
    } else if (o.session.status != SANDBOX_RUNNING) {
        post(m);
    } else {
        set_text(m->session, sizeof m->session, o.session.id);
        sandbox_doing(m->sandbox, "taking a snapshot of the source");
        m->making = exchange_start(
            m->vercel, &(struct exchange_spec){.request = vercel_snapshot_take(&scope),
                                               .machine = m,
                                               .done = on_source_kept,
                                               .ctx = m});
    }
}

static void look_at_source(struct machine *m)
{
    struct vercel_scope scope = vercel_scope_of(m->vercel);
    char source[SANDBOX_NAME_MAX + 1];
    machine_name(m->sandbox->owner, str_of(m->sandbox->source), source);
    m->making = exchange_start(
        m->vercel,
        &(struct exchange_spec){.request = vercel_get(&scope, str_of(source), false),
                                .machine = m,
                                .done = on_source,
                                .ctx = m});
}

static void on_prepared(void *ctx, const struct err *err)
{
    struct machine *m = ctx;
    if (err) {
        give_up(m, err);
    } else if (m->generated) {
        post(m);
    } else {
        bool resume = m->sandbox->want == SANDBOX_WANT_ANY;
        sandbox_doing(m->sandbox, "opening the sandbox");
        get(m, on_looked, resume);
    }
}

void machine_create(struct vercel *v, struct sandbox *sb)
{
    struct machine *m = mem_new(struct machine);
    *m = (struct machine){.vercel = v,
                          .sandbox = sb,
                          .next = v->machines,
                          .at = &v->machines,
                          .temporary = !sb->kept,
                          .generated = sb->name[0] == '\0'};
    if (m->next)
        m->next->at = &m->next;
    v->machines = m;
    sb->impl = m;
    if (m->generated)
        generate_name(m->name);
    else
        machine_name(sb->owner, str_of(sb->name), m->name);
    account_prepare(v, on_prepared, m);
}

/* The end */

static void on_deleted(void *ctx, const struct exchange_result *r)
{
    (void)ctx;
    if (r->err && r->status != 404)
        log_warn("vercel: a sandbox was not deleted (it ends by itself within 5 "
                 "minutes), ignoring: %s",
                 r->err->msg);
}

static void delete_there(struct vercel *v, const char *name)
{
    struct vercel_scope scope = vercel_scope_of(v);
    exchange_start(
        v, &(struct exchange_spec){.request = vercel_delete(&scope, str_of(name), true),
                                   .done = on_deleted});
}

void machine_destroy(struct machine *m)
{
    struct vercel *v = m->vercel;
    struct err err;
    m->sandbox = NULL;
    exchange_cancel(m->making);
    exchange_cancel(m->resuming);
    exchange_cancel(m->extending);
    script_cancel(m->asking);
    m->making = m->resuming = m->extending = NULL;
    m->asking = NULL;
    account_forget(v, m);
    err_set(&err, ERR_UNAVAILABLE, "the sandbox ended");
    err_remedy(&err, "%s", gone_remedy);
    if (v->set->finishing)
        files_drop(m);
    waiting_tell(&m->for_resume, &err);
    exchange_fail_all(m, &err);
    if (m->temporary && m->made)
        delete_there(v, m->name);
    loop_timer_free(m->heartbeat);
    arena_finish(&m->arena);
    *m->at = m->next;
    if (m->next)
        m->next->at = m->at;
    mem_free(m);
}

/* Resuming */

static void resume_failed(struct machine *m, const struct exchange_result *r)
{
    struct err copy = *r->err;
    bool gone = r->status == 404 || r->status == 410 ||
                (r->status == 400 && str_eq(r->code, STR("snapshot_not_found")));
    if (!gone || !m->sandbox) {
        waiting_tell(&m->for_resume, &copy);
        return;
    }
    m->made = r->status != 404;
    sandbox_lost(m->sandbox, r->status == 404
                                 ? "it was deleted by somebody else"
                                 : "its time was over, and its files were not kept");
}

static void on_restricted_again(void *ctx, const struct exchange_result *r)
{
    struct machine *m = ctx;
    m->making = NULL;
    waiting_tell(&m->for_resume, r->err);
}

static void on_resumed(void *ctx, const struct exchange_result *r)
{
    struct machine *m = ctx;
    struct vercel_opened o;
    struct err err;
    m->resuming = NULL;
    if (r->err) {
        resume_failed(m, r);
        return;
    }
    if (read_opened(r, &o, &err) < 0) {
        waiting_tell(&m->for_resume, &err);
        return;
    }
    bool other = !str_eq(o.session.id, str_of(m->session));
    take_opened(m, &o);
    start_heartbeat(m);
    if (other)
        snprintf(m->sandbox->notice, sizeof m->sandbox->notice,
                 "Resumed: files kept, processes of before are gone.");
    if (policy_restricts(m->vercel, &m->sandbox->wish.spec))
        restrict_network(m, on_restricted_again);
    else
        waiting_tell(&m->for_resume, NULL);
}

void machine_resume(struct machine *m, void (*fn)(void *ctx, const struct err *err),
                    void *ctx)
{
    struct vercel_scope scope = vercel_scope_of(m->vercel);
    waiting_add(&m->for_resume, fn, ctx);
    if (m->resuming || m->making)
        return;
    if (m->sandbox)
        sandbox_doing(m->sandbox, "resuming the sandbox from its snapshot");
    m->resuming = exchange_start(
        m->vercel,
        &(struct exchange_spec){.request = vercel_get(&scope, str_of(m->name), true),
                                .done = on_resumed,
                                .ctx = m});
}
