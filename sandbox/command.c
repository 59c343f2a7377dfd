/* Commands: state, time limits, kept output, watchers. */
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/backend.h"
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

enum { KILL_LIMIT_MS = 2500, FINISHED_MAX = 256 };

struct command *command_find(struct sandboxes *set, uint64_t id)
{
    uint32_t slot = (uint32_t)id;
    struct command *c =
        slot < set->command_slot_count ? set->command_slots[slot] : NULL;
    return c && c->id == id ? c : NULL;
}

static uint64_t kept(const struct command *c)
{
    return output_kept(&c->out[0]) + output_kept(&c->out[1]);
}

static void command_free(struct command *c)
{
    struct sandboxes *set = c->set;
    set->backend->forget(set->impl, c);
    set->command_slots[(uint32_t)c->id] = NULL;
    *(c->previous ? &c->previous->next : &set->oldest) = c->next;
    *(c->next ? &c->next->previous : &set->newest) = c->previous;
    loop_timer_free(c->timer);
    output_finish(&c->out[0]);
    output_finish(&c->out[1]);
    buf_finish(&c->input);
    mem_free(c->text);
    mem_free(c);
}

static void give_slot(struct sandboxes *set, struct command *c)
{
    uint32_t slot = 0;
    while (slot < set->command_slot_count && set->command_slots[slot])
        slot++;
    if (slot == set->command_slot_count) {
        set->command_slot_count = slot ? 2 * slot : 32;
        set->command_slots = mem_realloc(
            set->command_slots, set->command_slot_count * sizeof *set->command_slots);
        for (uint32_t i = slot; i < set->command_slot_count; i++)
            set->command_slots[i] = NULL;
    }
    set->command_slots[slot] = c;
    c->id = (uint64_t)++set->generation << 32 | slot;
    c->previous = set->newest;
    *(set->newest ? &set->newest->next : &set->oldest) = c;
    set->newest = c;
}

static void on_timer(void *ctx)
{
    struct command *c = ctx;
    if (!c->ending) {
        command_kill(c->set, c->id, COMMAND_TIMED_OUT);
        return;
    }
    if (c->sandbox) {
        command_warn(c,
                     "The command could not be killed alone; its sandbox was ended.");
        sandbox_lost(c->sandbox, "a command could not be killed");
    }
}

/* As it is shown. */
static char *text_of(const struct command_spec *spec)
{
    struct buf text;
    buf_init(&text, SANDBOX_COMMAND_MAX + 1);
    if (!spec->argv_count)
        buf_adds(&text, spec->command);
    for (size_t i = 0; i < spec->argv_count; i++) {
        if (i)
            buf_addc(&text, ' ');
        buf_adds(&text, spec->argv[i]);
    }
    char *copy = mem_strndup(text.p, text.n);
    buf_finish(&text);
    return copy;
}

static struct command *command_new(struct sandbox *sb, const struct command_spec *spec)
{
    struct sandboxes *set = sb->set;
    struct command *c = mem_new(struct command);
    c->set = set;
    c->sandbox = sb;
    c->sandbox_id = sb->id;
    c->owner = sb->owner;
    c->kept = sb->kept;
    snprintf(c->sandbox_name, sizeof c->sandbox_name, "%s",
             sb->name[0] ? sb->name : "default");
    c->text = text_of(spec);
    c->timeout_ms = spec->timeout_ms;
    c->input_open = spec->keep_stdin && set->backend->input;
    c->pty = spec->pty.cols != 0;
    c->hold = spec->hold;
    c->started_us = loop_now_us(set->loop);
    for (int i = 0; i < 2; i++)
        output_init(&c->out[i], set->config.limits.keep_command_bytes / 2,
                    set->config.temp_dir);
    buf_init(&c->input, SANDBOX_INPUT_QUEUE_MAX);
    give_slot(set, c);
    return c;
}

/* Of finished commands only so many are remembered. */
static void forget_old(struct sandboxes *set)
{
    unsigned finished = 0;
    for (struct command *c = set->newest, *before; c; c = before) {
        before = c->previous;
        if (c->status != COMMAND_RUNNING && ++finished > FINISHED_MAX)
            command_free(c);
    }
}

static int check_spec(struct sandbox *sb, const struct command_spec *spec,
                      struct err *err)
{
    const struct str *argv = spec->argv_count ? spec->argv : &spec->command;
    size_t argc = spec->argv_count ? spec->argv_count : 1, bytes = argc - 1, env = 0;
    bool nul = false;
    for (size_t i = 0; i < argc; i++) {
        bytes += argv[i].n;
        nul |= argv[i].n && memchr(argv[i].p, '\0', argv[i].n);
    }
    for (size_t i = 0; i < spec->env_count; i++)
        env += spec->env[i].n + 1;
    if (argv[0].n == 0 || bytes > SANDBOX_COMMAND_MAX) {
        err_set(err, ERR_LIMIT, "a command has 1 to %d bytes, this one %zu",
                SANDBOX_COMMAND_MAX, bytes);
        return err_remedy(err, "write a script with write_file and run that");
    }
    if (nul) {
        err_set(err, ERR_INVALID, "the command holds a NUL character");
        return err_remedy(err,
                          "use \\0 escapes of the program that needs it, or a file");
    }
    if (env > SANDBOX_ENV_MAX || spec->cwd.n > SANDBOX_PATH_MAX) {
        err_set(err, ERR_LIMIT, "the environment is over %d bytes", SANDBOX_ENV_MAX);
        return err_remedy(err, "put large values into a file");
    }
    if (spec->pty.cols && !sb->set->backend->resize) {
        err_set(err, ERR_UNAVAILABLE, "the %s backend has no terminals",
                sb->set->backend->name);
        return err_remedy(err, "run it without a terminal, or use --backend local");
    }
    if (sb->running >= sb->set->config.limits.commands) {
        err_set(err, ERR_LIMIT,
                "%u commands are running in this sandbox, which is the limit",
                sb->running);
        return err_remedy(err, "end one (command_input with a signal) or wait for one");
    }
    return 0;
}

void command_start(struct sandboxes *set, uint64_t sandbox,
                   const struct command_spec *spec, command_start_fn *fn, void *ctx)
{
    struct err err;
    struct sandbox *sb = sandbox_find(set, sandbox);
    if (!sb || sb->state != SANDBOX_READY) {
        err_set(&err, ERR_NOT_FOUND, "the sandbox is gone");
        err_remedy(&err, "call again: a new one is made");
        fn(ctx, 0, &err);
        return;
    }
    if (check_spec(sb, spec, &err) < 0) {
        fn(ctx, 0, &err);
        return;
    }
    struct command *c = command_new(sb, spec);
    c->start_fn = fn;
    c->start_ctx = ctx;
    sb->running++;
    sandbox_touch(sb);
    set->backend->run(set->impl, c, spec);
}

static struct command *find_remote(const struct sandbox *sb, struct str remote)
{
    for (struct command *c = sb->set->newest; c; c = c->previous)
        if (c->sandbox == sb && c->started && str_eq(str_of(c->remote), remote))
            return c;
    return NULL;
}

/* It becomes a part of a path there. */
static bool is_remote(struct str s)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    for (size_t i = 0; i < s.n; i++)
        if (!memchr(letters, s.p[i], sizeof letters - 1))
            return false;
    return s.n > 0 && s.n < COMMAND_REMOTE_BYTES;
}

void command_adopt(struct sandboxes *set, uint64_t sandbox, struct str remote,
                   command_start_fn *fn, void *ctx)
{
    struct err err;
    struct sandbox *sb = sandbox_find(set, sandbox);
    struct command *c = sb ? find_remote(sb, remote) : NULL;
    if (c) {
        fn(ctx, c->id, NULL);
        return;
    }
    if (!sb || sb->state != SANDBOX_READY || !set->backend->adopt ||
        !is_remote(remote)) {
        err_set(&err, ERR_NOT_FOUND, "there is no such command");
        err_remedy(&err, "command_output without commandId lists the commands");
        fn(ctx, 0, &err);
        return;
    }
    struct command_spec unknown = {.command = remote};
    c = command_new(sb, &unknown);
    snprintf(c->remote, sizeof c->remote, "%.*s", STR_FMT(remote));
    c->start_fn = fn;
    c->start_ctx = ctx;
    sb->running++;
    sandbox_touch(sb);
    set->backend->adopt(set->impl, c);
}

void command_adopted(struct command *c, struct str text, uint64_t age_ms)
{
    uint64_t now_us = loop_now_us(c->set->loop), age_us = age_ms * 1000;
    mem_free(c->text);
    c->text = mem_strndup(text.p, text.n);
    c->started_us = age_us < now_us ? now_us - age_us : 0;
}

void command_started(struct command *c)
{
    c->started = true;
    if (c->timeout_ms) {
        c->timer = loop_timer_new(c->set->loop, on_timer, c);
        loop_timer_start(c->timer, c->timeout_ms);
    }
    command_start_fn *fn = c->start_fn;
    c->start_fn = NULL;
    if (fn)
        fn(c->start_ctx, c->id, NULL);
}

void command_failed(struct command *c, const struct err *err)
{
    struct err copy = *err;
    command_start_fn *fn = c->start_fn;
    void *ctx = c->start_ctx;
    if (c->sandbox)
        c->sandbox->running--;
    command_free(c);
    if (fn)
        fn(ctx, 0, &copy);
}

static void has_news(struct command *c)
{
    c->news = true;
    if (!c->set->finishing && c->set->watches)
        loop_later_ask(c->set->tell);
}

/* The oldest finished command's output makes room. */
static void make_room(struct command *newest)
{
    struct sandboxes *set = newest->set;
    uint64_t total = 0;
    for (struct command *c = set->oldest; c; c = c->next)
        if (c->sandbox_id == newest->sandbox_id)
            total += kept(c);
    for (struct command *c = set->oldest;
         c && total > set->config.limits.keep_sandbox_bytes; c = c->next) {
        if (c->sandbox_id != newest->sandbox_id || c->status == COMMAND_RUNNING ||
            !kept(c))
            continue;
        total -= kept(c);
        output_evict(&c->out[0]);
        output_evict(&c->out[1]);
        c->evicted = true;
    }
}

/* The end of a stream that is kept is a quarter of the command's limit (output.h). It
 * must hold what is unread when we pause, the chunk that made us pause and, at the
 * command's end, what its pipe still has. */
static void update_flow(struct command *c)
{
    enum { SHARE = 16 };
    uint64_t unread = 0;
    for (int i = 0; i < 2; i++)
        if (c->out[i].total > c->read_from[i])
            unread += c->out[i].total - c->read_from[i];
    bool pause = c->hold && unread > c->set->config.limits.keep_command_bytes / SHARE;
    if (pause == c->paused)
        return;
    c->paused = pause;
    c->set->backend->flow(c->set->impl, c);
}

void command_feed(struct command *c, enum command_stream stream, struct str bytes)
{
    if (bytes.n == 0)
        return;
    output_add(&c->out[stream], bytes);
    if (c->out[stream].fd >= 0)
        make_room(c);
    if (c->hold)
        update_flow(c);
    has_news(c);
}

void command_warn(struct command *c, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t n = strlen(c->warning);
    if (!strstr(c->warning, text))
        snprintf(c->warning + n, sizeof c->warning - n, "%s%s", n ? " " : "", text);
}

/* Does the end of stderr hold one of these? */
static bool said(const struct command *c, const char *const *phrases)
{
    enum { TAIL = 4096 };
    char tail[TAIL];
    const struct output *o = &c->out[COMMAND_STDERR];
    uint64_t from = o->total > TAIL ? o->total - TAIL : 0;
    size_t n = output_read(o, from, tail, sizeof tail);
    for (; *phrases; phrases++)
        if (n && memmem(tail, n, *phrases, strlen(*phrases)))
            return true;
    return false;
}

static void explain_memory(struct command *c, const struct sandbox_spec *limits,
                           bool killed)
{
    command_warn(c,
                 "%s: the sandbox has %llu MiB. Use less, or a sandbox with more "
                 "(sandbox_create {memoryMb}, or the server's --memory).",
                 killed ? "Something was killed for want of memory"
                        : "It seems that memory ran out",
                 (unsigned long long)(limits->memory_bytes >> 20));
}

static void explain_disk(struct command *c, const struct sandbox_spec *limits,
                         bool over)
{
    if (over)
        command_warn(c,
                     "The sandbox's files take more than its %llu MiB, and more were "
                     "written: all of its processes were ended. Delete what is not "
                     "needed, or use a sandbox with more (sandbox_create {diskMb}, or "
                     "the server's --disk).",
                     (unsigned long long)(limits->disk_bytes >> 20));
    else if (c->sandbox->kept || c->sandbox->workspace)
        command_warn(c,
                     "The disk is full: that of the machine, where the files of this "
                     "sandbox are. Delete what is not needed.");
    else
        command_warn(c,
                     "The disk is full: the sandbox has %llu MiB, and a limited number "
                     "of files. Delete what is not needed, or use a sandbox with more "
                     "(sandbox_create {diskMb, memoryMb}, or the server's --disk).",
                     (unsigned long long)(limits->disk_bytes >> 20));
}

/* What a limit has done is told as such, with the remedy. */
static void explain(struct command *c, const struct command_end *end)
{
    static const char *const no_memory[] = {"Cannot allocate memory", "MemoryError",
                                            "bad_alloc", "heap out of memory", NULL};
    static const char *const no_disk[] = {"No space left on device", "ENOSPC",
                                          "Disk quota exceeded", NULL};
    static const char *const no_pids[] = {"fork: retry: Resource temporarily",
                                          "fork: Resource temporarily",
                                          "can't start new thread", NULL};
    bool failed = end->exit_code || end->signal;
    const struct sandbox_spec *limits =
        c->sandbox ? sandbox_in_force(c->sandbox) : NULL;
    if (limits && (end->oom_killed || (failed && said(c, no_memory))))
        explain_memory(c, limits, end->oom_killed);
    if (limits && (end->disk_full || end->disk_over || (failed && said(c, no_disk))))
        explain_disk(c, limits, end->disk_over);
    if (limits && (end->pids_hit || said(c, no_pids)))
        command_warn(c,
                     "A process could not be started: the sandbox's limit is %u "
                     "processes and threads. Use fewer, or a sandbox with more "
                     "(sandbox_create {pids}, or the server's --pids).",
                     limits->pids);
    if (end->left_behind && c->wanted == COMMAND_RUNNING)
        command_warn(c,
                     "Processes that it started are still running; they end with the "
                     "sandbox.");
}

void command_ended(struct command *c, const struct command_end *end)
{
    if (c->status != COMMAND_RUNNING)
        return;
    c->status = end->unknown                   ? COMMAND_UNKNOWN
                : c->wanted != COMMAND_RUNNING ? c->wanted
                                               : COMMAND_EXITED;
    c->signal = end->signal;
    c->exit_code = end->signal ? 128 + end->signal : end->exit_code;
    if (c->status == COMMAND_TIMED_OUT)
        c->exit_code = 128 + SIGKILL;
    c->oom_killed = end->oom_killed;
    c->left_behind = end->left_behind;
    c->ended_us = end->duration_ms ? c->started_us + end->duration_ms * 1000
                                   : loop_now_us(c->set->loop);
    c->input_open = false;
    buf_finish(&c->input);
    loop_timer_free(c->timer);
    c->timer = NULL;
    explain(c, end);
    if (c->sandbox) {
        c->sandbox->running--;
        sandbox_touch(c->sandbox);
    }
    has_news(c);
    forget_old(c->set);
}

void command_orphan_all(struct sandbox *sb, const char *why)
{
    for (struct command *c = sb->set->oldest, *next; c; c = next) {
        next = c->next;
        if (c->sandbox != sb)
            continue;
        if (!c->started) {
            struct err err;
            err_set(&err, ERR_UNAVAILABLE, "the sandbox ended: %s", why);
            command_failed(c, &err);
            continue;
        }
        if (c->status == COMMAND_RUNNING) {
            if (c->wanted == COMMAND_RUNNING)
                c->wanted = COMMAND_KILLED;
            command_warn(c, "The sandbox ended: %s.", why);
            command_ended(c, &(struct command_end){.exit_code = 128 + SIGKILL,
                                                   .signal = SIGKILL});
        }
        sb->set->backend->forget(sb->set->impl, c);
        c->sandbox = NULL;
    }
}

/* As its sandbox belongs to its owner alone, or to all of the tenant. */
static bool belongs_to(const struct command *c, uint64_t owner)
{
    return c->kept ? sandbox_tenant(c->owner) == sandbox_tenant(owner)
                   : c->owner == owner;
}

void command_forget_owner(struct sandboxes *set, uint64_t owner)
{
    for (struct command *c = set->oldest, *next; c; c = next) {
        next = c->next;
        bool others = c->kept && c->sandbox; /* others use the sandbox */
        if (c->owner == owner && !others)
            command_free(c);
    }
}

void command_forget_all(struct sandboxes *set)
{
    while (set->oldest)
        command_free(set->oldest);
}

int command_get(struct sandboxes *set, uint64_t owner, uint64_t command,
                struct command_info *ret_info, struct err *err)
{
    const struct command *c = command_find(set, command);
    if (!c || !belongs_to(c, owner) || !c->started) {
        err_set(err, ERR_NOT_FOUND, "there is no such command");
        return err_remedy(err, "command_output without commandId lists the commands");
    }
    uint64_t until =
        c->status == COMMAND_RUNNING ? loop_now_us(set->loop) : c->ended_us;
    *ret_info = (struct command_info){
        .id = c->id,
        .sandbox = c->sandbox_id,
        .sandbox_name = str_of(c->sandbox_name),
        .remote = c->kept ? str_of(c->remote) : (struct str){"", 0},
        .status = c->status,
        .exit_code = c->exit_code,
        .signal = c->signal,
        .oom_killed = c->oom_killed,
        .left_behind = c->left_behind,
        .evicted = c->evicted,
        .started_ms = c->started_us / 1000,
        .duration_ms = (until - c->started_us) / 1000,
        .command = str_of(c->text),
        .warning = str_of(c->warning),
        .out = {output_counts(&c->out[0]), output_counts(&c->out[1])},
        .input_queued_bytes = c->input.n,
        .input_open = c->input_open,
    };
    return 0;
}

size_t command_list(struct sandboxes *set, uint64_t owner, uint64_t *ret_ids,
                    size_t max)
{
    size_t n = 0;
    for (const struct command *c = set->oldest; c; c = c->next) {
        if (!belongs_to(c, owner) || !c->started)
            continue;
        if (n < max)
            ret_ids[n] = c->id;
        n++;
    }
    return n;
}

size_t command_read(struct sandboxes *set, uint64_t command, enum command_stream stream,
                    uint64_t offset, char *to, size_t max)
{
    const struct command *c = command_find(set, command);
    return c ? output_read(&c->out[stream], offset, to, max) : 0;
}

void command_hold(struct sandboxes *set, uint64_t command, bool hold,
                  const uint64_t from_offset[2])
{
    struct command *c = command_find(set, command);
    if (!c)
        return;
    c->hold = hold;
    c->read_from[0] = from_offset[0];
    c->read_from[1] = from_offset[1];
    update_flow(c);
}

uint64_t command_watch(struct sandboxes *set, uint64_t command, command_news_fn *fn,
                       void *ctx)
{
    if (!command_find(set, command))
        return 0;
    struct watch *w = mem_new(struct watch);
    *w = (struct watch){.next = set->watches,
                        .number = ++set->last_watch,
                        .command = command,
                        .fn = fn,
                        .ctx = ctx};
    set->watches = w;
    return w->number;
}

void command_unwatch(struct sandboxes *set, uint64_t watch)
{
    for (struct watch **at = &set->watches; *at; at = &(*at)->next)
        if ((*at)->number == watch) {
            struct watch *w = *at;
            *at = w->next;
            mem_free(w);
            return;
        }
}

/* A callback may watch and unwatch: after each one the list is walked afresh. */
void command_tell(void *ctx)
{
    struct sandboxes *set = ctx;
    uint64_t until = set->last_watch;
    for (struct watch *w = set->watches; w;) {
        const struct command *c = command_find(set, w->command);
        bool due = w->number <= until && (!c || c->news);
        if (!due) {
            w = w->next;
            continue;
        }
        uint64_t next_below = w->number; /* newer ones stand in front */
        w->fn(w->ctx, w->command);
        for (w = set->watches; w && w->number >= next_below; w = w->next)
            ;
    }
    for (struct command *c = set->oldest; c; c = c->next)
        c->news = false;
}

int command_input(struct sandboxes *set, uint64_t command, struct str bytes, bool close,
                  size_t *ret_taken, struct err *err)
{
    if (!set->backend->input) {
        sandbox_unsupported(set, "stdin of a running command", err);
        return err_remedy(err, "write the input to a file, and run: command < file");
    }
    struct command *c = command_find(set, command);
    if (!c || !c->input_open || c->input_closing) {
        err_set(err, ERR_INVALID, "the command's stdin is not open");
        return err_remedy(err, "start it with background: true to feed it");
    }
    size_t room = SANDBOX_INPUT_QUEUE_MAX - c->input.n;
    *ret_taken = bytes.n < room ? bytes.n : room;
    buf_add(&c->input, bytes.p, *ret_taken);
    c->input_closing = close && *ret_taken == bytes.n;
    set->backend->input(set->impl, c);
    return 0;
}

void command_input_taken(struct command *c, size_t n)
{
    buf_drop(&c->input, n);
    has_news(c);
}

void command_input_gone(struct command *c)
{
    c->input_open = false;
    buf_reset(&c->input, 0);
    has_news(c);
}

int command_signal(struct sandboxes *set, uint64_t command, int signum, struct err *err)
{
    struct command *c = command_find(set, command);
    if (!c || c->status != COMMAND_RUNNING) {
        err_set(err, ERR_NOT_FOUND, "the command is not running");
        return err_remedy(err, "command_output tells how it ended");
    }
    return set->backend->signal(set->impl, c, signum, err);
}

int command_resize(struct sandboxes *set, uint64_t command, struct pty_size size,
                   struct err *err)
{
    struct command *c = command_find(set, command);
    if (!c || c->status != COMMAND_RUNNING) {
        err_set(err, ERR_NOT_FOUND, "the command is not running");
        return err_remedy(err, "command_output tells how it ended");
    }
    if (!c->pty) {
        err_set(err, ERR_INVALID, "the command has no terminal");
        return err_remedy(err, "start it with pty");
    }
    return set->backend->resize(set->impl, c, size, err);
}

void command_kill(struct sandboxes *set, uint64_t command, enum command_status status)
{
    struct command *c = command_find(set, command);
    if (!c || c->status != COMMAND_RUNNING || c->ending)
        return;
    c->wanted = status;
    c->ending = true;
    if (!c->timer)
        c->timer = loop_timer_new(set->loop, on_timer, c);
    uint32_t limit_ms = set->backend->kill_limit_ms;
    loop_timer_start(c->timer, limit_ms ? limit_ms : KILL_LIMIT_MS);
    set->backend->kill(set->impl, c);
}
