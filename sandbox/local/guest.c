/* Requests to a guest and its answers. A guest is an attacker until proven otherwise:
 * types, ids, lengths and descriptors are checked here, and nothing it says is a size
 * to allocate. */
#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/file_error.h"
#include "sandbox/local/local.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Tools answer within 45 s. */
enum { HALT_LIMIT_MS = 5000, ANSWER_LIMIT_MS = 40000 };

/* Is it for the guest to say something soon? */
static bool is_due(const struct pending *p)
{
    if (p->kind == PENDING_EXEC)
        return !p->started;
    return p->kind != PENDING_KILL && p->kind != PENDING_HALT &&
           p->kind != PENDING_TREE; /* have timers */
}

/* Until the oldest request is overdue; with none, nothing wakes us. */
static void watch_answers(struct box *box)
{
    const struct pending *oldest = NULL;
    for (const struct pending *p = box->pending; p; p = p->next)
        if (is_due(p))
            oldest = p;
    if (!oldest) {
        loop_timer_stop(box->answers);
        return;
    }
    uint64_t limit_ms = box->local->set->config.answer_limit_ms;
    uint64_t due = oldest->asked_ms + (limit_ms ? limit_ms : ANSWER_LIMIT_MS);
    uint64_t now = loop_now_ms(box->local->set->loop);
    loop_timer_start(box->answers, due > now ? due - now : 1);
}

void local_guest_overdue(void *ctx)
{
    struct box *box = ctx;
    if (box->spare)
        local_spare_drop(box->local);
    else
        sandbox_lost(box->sandbox, "its first process does not answer");
}

static struct pending *expect(struct box *box, enum pending_kind kind)
{
    struct pending *p = mem_new(struct pending);
    *p = (struct pending){.next = box->pending,
                          .id = ++box->last_id,
                          .kind = kind,
                          .asked_ms = loop_now_ms(box->local->set->loop)};
    box->pending = p;
    if (is_due(p) && !(p->next && is_due(p->next)))
        watch_answers(box);
    return p;
}

static struct pending *find(struct box *box, uint32_t id)
{
    for (struct pending *p = box->pending; p; p = p->next)
        if (p->id == id)
            return p;
    return NULL;
}

static void done(struct box *box, struct pending *gone)
{
    for (struct pending **at = &box->pending; *at; at = &(*at)->next)
        if (*at == gone) {
            *at = gone->next;
            mem_free(gone);
            watch_answers(box);
            return;
        }
}

static void finish_file(struct file_op *op, bool existed, const struct err *err)
{
    if (op->write_fn)
        op->write_fn(op->ctx, existed, err);
    else if (op->done_fn)
        op->done_fn(op->ctx, err);
    else
        op->open_fn(op->ctx, -1, 0, err);
    file_op_free(op);
}

static void tree_failed(struct sandbox_op *op, int sys)
{
    struct err err;
    err_set(&err, ERR_UNAVAILABLE, "the snapshot could not be taken: %s",
            sys == ENOENT ? "the sandbox ended" : strerror(sys));
    err_remedy(&err, "use a sandbox with a name (sandbox_create {name})");
    op->in_place = op->sandbox && sys != ENOENT;
    sandbox_op_done(op, &err);
}

void local_guest_drop_pending(struct box *box)
{
    while (box->pending) {
        struct pending *p = box->pending;
        box->pending = p->next;
        bool finishing = box->local->set->finishing;
        if (p->kind == PENDING_TREE && !finishing) {
            tree_failed(p->halt, ENOENT);
        } else if (p->halt && !finishing) {
            p->halt->sandbox = NULL; /* it goes away by itself */
            sandbox_op_done(p->halt, NULL);
        } else if (p->op && !finishing) {
            struct err err;
            err_set(&err, ERR_UNAVAILABLE, "the sandbox ended");
            err_remedy(&err, "call again: a new one is made");
            finish_file(p->op, false, &err);
        } else if (p->op) {
            file_op_free(p->op);
        }
        mem_free(p);
    }
}

static int send_message(struct box *box, const struct wire_out *m, struct err *err)
{
    if (wire_send(loop_io_fd(box->socket), m) == 0)
        return 0;
    err_sys(err, errno, "asking the sandbox");
    return err_remedy(err, "it is overloaded or ending: try again");
}

/* %b: directories of toolchains; %u: user; %h: home; %t: the directory for temporary
 * files; %p: the proxy's port; %T: the kind of terminal. */
static const char *const environment[] = {
    ("PATH=%h/.local/bin:%b/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/"
     "bin:"
     "/opt/sandquay/bin"),
    "HOME=%h",
    "USER=%u",
    "LOGNAME=%u",
    "SHELL=/bin/bash",
    "LC_CTYPE=C.UTF-8", /* LANG costs each shell 0.13 ms: it opens 12 files */
    "TERM=%T",
    "TMPDIR=%t",
    "PIP_BREAK_SYSTEM_PACKAGES=1", /* the system is the sandbox's own */
    "PIP_ROOT_USER_ACTION=ignore",
};
enum { ENVIRONMENT = sizeof environment / sizeof environment[0] };

/* Where /usr is the machine's: `npm install -g` goes where PATH begins. */
static const char *const readonly_system[] = {"npm_config_prefix=%h/.local"};

/* Where the machine's own /etc is seen, and not to be read. */
static const char *const weak_system[] = {"GIT_CONFIG_NOSYSTEM=1"};

static void add_filled(struct buf *b, const struct box *box, const char *text,
                       bool terminal)
{
    for (const char *p = text; *p; p++) {
        if (*p != '%') {
            buf_addc(b, *p);
            continue;
        }
        p++;
        if (*p == 'p')
            buf_addf(b, "%u", box->proxy_port);
        else if (*p == 'b')
            local_toolchains_path(&box->local->set->config, b);
        else if (*p == 'T')
            buf_addz(b, terminal ? "xterm-256color" : "dumb");
        else if (*p == 'u')
            buf_addz(b, box->layers & LAYER_USERNS ? "root" : "user");
        else
            buf_addz(b, *p == 'h' ? box->home : box->tmp);
    }
    buf_addc(b, '\0');
}

static struct str variable_name(struct str v)
{
    ptrdiff_t equals = str_find(v, '=');
    return (struct str){v.p, equals < 0 ? v.n : (size_t)equals};
}

static bool in_list(struct str name, const struct str *env, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(variable_name(env[i]), name))
            return true;
    return false;
}

static void add_string(struct buf *b, struct str s)
{
    buf_adds(b, s);
    buf_addc(b, '\0');
}

static bool is_overridden(const char *variable, const struct box *box,
                          const struct command_spec *spec)
{
    const struct sandbox_spec *sandbox = &box->sandbox->wish.spec;
    struct str name = variable_name(str_of(variable));
    return in_list(name, spec->env, spec->env_count) ||
           in_list(name, sandbox->env, sandbox->env_count);
}

static void write_defaults(struct buf *tail, const struct box *box,
                           const char *const *list, size_t n,
                           const struct command_spec *spec, uint32_t *count)
{
    for (size_t i = 0; i < n; i++) {
        if (is_overridden(list[i], box, spec))
            continue;
        add_filled(tail, box, list[i], spec->pty.cols != 0);
        ++*count;
    }
}

/* The host's: as they are. */
static void write_settings(struct buf *tail, const struct box *box,
                           const struct command_spec *spec, uint32_t *count)
{
    size_t n;
    const char *const *list = local_network_settings(box, &n);
    for (size_t i = 0; i < n; i++) {
        if (is_overridden(list[i], box, spec))
            continue;
        add_string(tail, str_of(list[i]));
        ++*count;
    }
}

/* The usual variables, the sandbox's own, the command's: the later one wins. */
static void write_environment(struct buf *tail, const struct box *box,
                              const struct command_spec *spec, uint32_t *count)
{
    const struct sandbox_spec *sandbox = &box->sandbox->wish.spec;
    size_t n;
    const char *const *network = local_network_variables(box, &n);
    write_defaults(tail, box, environment, ENVIRONMENT, spec, count);
    write_defaults(tail, box, network, n, spec, count);
    if (!(box->layers & LAYER_OVERLAY))
        write_defaults(tail, box, readonly_system, 1, spec, count);
    write_settings(tail, box, spec, count);
    if (box->layers & LAYER_LANDLOCK)
        write_defaults(tail, box, weak_system, 1, spec, count);
    for (size_t i = 0; i < sandbox->env_count; i++) {
        if (in_list(variable_name(sandbox->env[i]), spec->env, spec->env_count))
            continue;
        add_string(tail, sandbox->env[i]);
        ++*count;
    }
    for (size_t i = 0; i < spec->env_count; i++) {
        add_string(tail, spec->env[i]);
        ++*count;
    }
}

static void write_exec(struct buf *tail, const struct box *box,
                       const struct command_spec *spec, struct guest_exec *request)
{
    const struct str shell[] = {STR("/bin/bash"), STR("-c"), spec->command};
    const struct str *argv = spec->argv_count ? spec->argv : shell;
    request->argc = spec->argv_count ? (uint32_t)spec->argv_count : 3;
    for (uint32_t i = 0; i < request->argc; i++)
        add_string(tail, argv[i]);
    write_environment(tail, box, spec, &request->envc);
    add_string(tail, spec->cwd.n ? spec->cwd : str_of(box->workspace));
}

static int check_strings(const struct command_spec *spec, struct err *err)
{
    bool bad = spec->cwd.n && memchr(spec->cwd.p, '\0', spec->cwd.n);
    for (size_t i = 0; i < spec->env_count && !bad; i++)
        bad = memchr(spec->env[i].p, '\0', spec->env[i].n) ||
              str_find(spec->env[i], '=') < 1;
    if (!bad)
        return 0;
    err_set(err, ERR_INVALID,
            "cwd and env must not hold NUL, and a variable needs a name");
    return err_remedy(err, "correct the arguments");
}

static int send_exec(struct box *box, const struct pending *p,
                     const struct guest_exec *request, const struct buf *tail,
                     const int fds[3], struct err *err)
{
    return send_message(box,
                        &(struct wire_out){.type = GUEST_EXEC,
                                           .id = p->id,
                                           .body = request,
                                           .body_bytes = sizeof *request,
                                           .tail = buf_str(tail),
                                           .fds = fds,
                                           .fd_count = p->terminal ? 0 : 3},
                        err);
}

void local_guest_run(struct box *box, struct command *c,
                     const struct command_spec *spec)
{
    struct err err;
    struct guest_exec request = {0};
    struct buf tail;
    int fds[3] = {-1, -1, -1};
    bool terminal = spec->pty.cols != 0;
    if (check_strings(spec, &err) == 0)
        c->impl = terminal ? streams_new_terminal(c)
                           : streams_new(c, fds, spec->keep_stdin, &err);
    if (!c->impl) {
        command_failed(c, &err);
        return;
    }
    request.cols = spec->pty.cols;
    request.rows = spec->pty.rows;
    buf_init(&tail, GUEST_MESSAGE_MAX - 1024);
    write_exec(&tail, box, spec, &request);
    local_disk_watch(box);
    struct pending *p = expect(box, PENDING_EXEC);
    p->command = c->id;
    p->program = spec->argv_count > 0;
    p->terminal = terminal;
    snprintf(p->cwd, sizeof p->cwd, "%.*s",
             (int)(spec->cwd.n > 100 ? 100 : spec->cwd.n),
             spec->cwd.n ? spec->cwd.p : "");
    int rc = tail.overflow
                 ? err_set(&err, ERR_LIMIT, "command and environment are too long")
                 : send_exec(box, p, &request, &tail, fds, &err);
    buf_finish(&tail);
    for (int i = 0; i < 3; i++)
        fd_close(&fds[i]);
    if (rc < 0) {
        done(box, p);
        command_failed(c, &err);
    }
}

void local_guest_warm(struct box *box)
{
    struct err err;
    struct guest_exec request = {0};
    struct command_spec spec = {.command = STR(":")};
    struct buf tail;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int fds[3] = {null, null, null};
    buf_init(&tail, GUEST_MESSAGE_MAX - 1024);
    write_exec(&tail, box, &spec, &request);
    struct pending *p = expect(box, PENDING_EXEC); /* of no command */
    if (null < 0 || send_exec(box, p, &request, &tail, fds, &err) < 0)
        done(box, p); /* then its first command is the slow one */
    buf_finish(&tail);
    fd_close(&null);
}

/* signum 0: SIGKILL to everything that it started. */
void local_guest_kill(struct box *box, struct command *c, int signum)
{
    struct err err;
    struct guest_kill request = {.signal = signum ? signum : SIGKILL,
                                 .whole_tree = !signum};
    for (struct pending *p = box->pending; p; p = p->next)
        if (p->kind == PENDING_EXEC && p->command == c->id)
            request.exec_id = p->id;
    struct pending *p = expect(box, PENDING_KILL);
    p->command = c->id;
    if (send_message(box,
                     &(struct wire_out){.type = GUEST_KILL,
                                        .id = p->id,
                                        .body = &request,
                                        .body_bytes = sizeof request},
                     &err) < 0)
        done(box, p); /* the command's timer ends the sandbox then */
}

static void exec_started(struct box *box, struct pending *p)
{
    struct command *c = command_find(box->local->set, p->command);
    p->started = true;
    watch_answers(box);
    if (c && !c->started)
        command_started(c);
}

/* With its terminal, if it was to have one. -1: what was given is none. */
static int exec_start(struct box *box, struct pending *p, struct wire_message *m)
{
    const struct command *c = command_find(box->local->set, p->command);
    if (c && !c->started && c->pty && streams_attach(c->impl, &m->fds[0]) < 0)
        return -1;
    exec_started(box, p);
    return 0;
}

static void exec_failed(struct box *box, struct pending *p,
                        const struct guest_failed *failed)
{
    struct command *c = command_find(box->local->set, p->command);
    struct err err;
    if (!c) {
        done(box, p);
        return;
    }
    if (c->started) { /* as no honest guest does */
        done(box, p);
        command_ended(c, &(struct command_end){.unknown = true});
        return;
    }
    if (failed->what == GUEST_WHAT_BAD_CWD) {
        err_set(&err, ERR_INVALID, "the working directory %.100s: %s", p->cwd,
                strerror(failed->sys));
        err_remedy(&err, "give a directory that exists in the sandbox as cwd");
    } else if (failed->what == GUEST_WHAT_NO_TERMINAL) {
        err_set(&err, ERR_UNAVAILABLE, "no terminal can be made in this sandbox: %s",
                strerror(failed->sys));
        err_remedy(&err, local_level(box->layers) == 4
                             ? "isolation level 4 has none: run it without one"
                             : "run it without one, or end commands that have one");
    } else if (failed->sys == EAGAIN) {
        err_set(&err, ERR_LIMIT, "the sandbox's process limit is reached");
        err_remedy(&err,
                   "end processes in it, or start the server with a larger --pids");
    } else {
        err_sys(&err, failed->sys, "starting %.100s in the sandbox",
                p->program ? c->text : "bash");
        if (p->program && failed->what == GUEST_WHAT_NO_COMMAND) {
            err.kind = failed->sys == ENOENT ? ERR_NOT_FOUND : ERR_INVALID;
            err_remedy(&err, "name a program that is in the sandbox");
        }
    }
    done(box, p);
    command_failed(c, &err);
}

static void exec_ended(struct box *box, struct pending *p, const struct guest_exited *e)
{
    exec_started(box, p); /* as every honest guest has said before */
    struct command *c = command_find(box->local->set, p->command);
    bool disk_over = p->disk_over;
    box->left_behind |= e->left_behind > 0;
    box->disk.over &= disk_over; /* else it may have deleted something */
    done(box, p);
    if (!c)
        return;
    if (c->impl)
        streams_drain(c->impl);
    command_ended(c, &(struct command_end){.exit_code = e->exit_code & 0xff,
                                           .signal = e->signal & 0x7f,
                                           .left_behind = e->left_behind,
                                           .oom_killed = e->oom_killed,
                                           .pids_hit = e->pids_hit,
                                           .disk_full = e->disk_full,
                                           .disk_over = disk_over});
}

static void halt(struct box *box, struct sandbox_op *op, enum pending_kind kind,
                 uint32_t type)
{
    struct err err;
    struct pending *p = expect(box, kind);
    p->halt = op;
    loop_timer_start(box->patience, HALT_LIMIT_MS);
    if (send_message(box, &(struct wire_out){.type = type, .id = p->id}, &err) < 0) {
        done(box, p);
        loop_timer_stop(box->patience);
        sandbox_op_done(op, &err);
    }
}

/* Ends all of its processes; the guest stays, and the files with it. */
void local_guest_halt(struct box *box, struct sandbox_op *op)
{
    halt(box, op, PENDING_HALT, GUEST_HALT);
}

void local_guest_tree(struct box *box, struct sandbox_op *op)
{
    halt(box, op, PENDING_TREE, GUEST_TREE);
}

bool local_guest_busy(const struct box *box)
{
    for (const struct pending *p = box->pending; p; p = p->next)
        if (p->kind == PENDING_EXEC)
            return true;
    return false;
}

void local_guest_end_all(struct box *box)
{
    struct err err;
    for (struct pending *p = box->pending; p; p = p->next)
        p->disk_over |= p->kind == PENDING_EXEC;
    box->left_behind = false;
    /* Nobody waits for the answer: the commands' ends come before it. */
    if (send_message(box, &(struct wire_out){.type = GUEST_HALT, .id = ++box->last_id},
                     &err) < 0)
        sandbox_lost(box->sandbox, err.msg);
}

/* Its end is told by the end of the report. */
int local_guest_changes(struct box *box, enum workspace_action action, int report,
                        struct err *err)
{
    struct guest_changes request = {
        .action = action == WORKSPACE_COMMIT    ? GUEST_CHANGES_COMMIT
                  : action == WORKSPACE_DISCARD ? GUEST_CHANGES_DISCARD
                                                : GUEST_CHANGES_LIST};
    return send_message(box,
                        &(struct wire_out){.type = GUEST_CHANGES,
                                           .id = ++box->last_id,
                                           .body = &request,
                                           .body_bytes = sizeof request,
                                           .fds = &report,
                                           .fd_count = 1},
                        err);
}

static void halted(struct box *box, struct pending *p)
{
    struct sandbox_op *op = p->halt;
    done(box, p);
    loop_timer_stop(box->patience);
    local_ports_close(box);
    local_dials_end(box);
    op->in_place = true;
    sandbox_op_done(op, NULL);
}

/* Whatever descriptor it has given: no file but a directory is looked into. */
static void tree_came(struct box *box, struct pending *p, int *tree)
{
    struct sandbox_op *op = p->halt;
    struct stat st;
    done(box, p);
    loop_timer_stop(box->patience);
    local_ports_close(box);
    if (*tree < 0 || fstat(*tree, &st) < 0 || !S_ISDIR(st.st_mode)) {
        tree_failed(op, *tree < 0 ? EOPNOTSUPP : ENOTDIR);
        return;
    }
    local_tree_came(box, op, *tree);
    *tree = -1;
}

void local_guest_file(struct box *box, struct file_op *op)
{
    struct err err;
    struct guest_open request = {.mode = GUEST_OPEN_READ};
    enum pending_kind kind = PENDING_OPEN;
    if (!op->open_fn && local_disk_check(box, &err) < 0) {
        finish_file(op, false, &err);
        return;
    }
    if (op->write_fn) {
        local_disk_watch(box);
        kind = PENDING_WRITE;
        request.mode = GUEST_OPEN_REPLACE;
        request.create_mode = op->mode;
    } else if (op->done_fn) {
        kind = PENDING_DIR;
        request.mode = op->parents ? GUEST_OPEN_MAKE_DIRS : GUEST_OPEN_MAKE_DIR;
    }
    struct pending *p = expect(box, kind);
    p->op = op;
    if (send_message(box,
                     &(struct wire_out){.type = GUEST_OPEN,
                                        .id = p->id,
                                        .body = &request,
                                        .body_bytes = sizeof request,
                                        .tail = str_of(op->path)},
                     &err) < 0) {
        done(box, p);
        finish_file(op, false, &err);
    }
}

static void explain_file(const struct guest_failed *failed, const char *path,
                         struct err *err)
{
    if (failed->what == GUEST_WHAT_IS_DIRECTORY)
        file_error_directory(path, err);
    else if (failed->what == GUEST_WHAT_NOT_REGULAR)
        file_error_not_regular(path, err);
    else
        file_error(failed->sys, path, err);
}

static void file_failed(struct box *box, struct pending *p,
                        const struct guest_failed *failed)
{
    struct err err;
    struct file_op *op = p->op;
    explain_file(failed, op->path, &err);
    done(box, p);
    finish_file(op, false, &err);
}

/* The temporary file is open: fill it and have it take its place. */
static void file_opened_for_writing(struct box *box, struct pending *p, int fd,
                                    const struct guest_opened *opened)
{
    struct err err, ignored;
    struct file_op *op = p->op;
    bool ok = file_op_write(op, fd, &err) == 0;
    if (!ok && err.sys)
        explain_file(&(struct guest_failed){.sys = err.sys}, op->path, &err);
    struct guest_commit request = {.token = opened->token, .keep = ok};
    struct pending *commit = expect(box, PENDING_COMMIT);
    commit->existed = opened->existed;
    commit->op = ok ? op : NULL;
    int rc = send_message(box,
                          &(struct wire_out){.type = GUEST_COMMIT,
                                             .id = commit->id,
                                             .body = &request,
                                             .body_bytes = sizeof request},
                          ok ? &err : &ignored);
    done(box, p);
    if (rc < 0)
        done(box, commit);
    if (rc < 0 || !ok)
        finish_file(op, false, &err);
}

static void file_opened(struct box *box, struct pending *p, struct wire_message *m)
{
    struct guest_opened opened;
    struct stat st;
    struct file_op *op = p->op;
    memcpy(&opened, m->body, sizeof opened);
    if (fstat(m->fds[0], &st) < 0 || !S_ISREG(st.st_mode)) {
        file_failed(box, p, &(struct guest_failed){.what = GUEST_WHAT_NOT_REGULAR});
    } else if (p->kind == PENDING_WRITE) {
        file_opened_for_writing(box, p, m->fds[0], &opened);
    } else {
        done(box, p);
        op->open_fn(op->ctx, m->fds[0], (uint64_t)st.st_size, NULL);
        file_op_free(op);
    }
}

static void committed(struct box *box, struct pending *p)
{
    struct file_op *op = p->op;
    bool existed = p->existed;
    done(box, p);
    if (op)
        finish_file(op, existed, NULL);
}

int local_guest_connect(struct box *box, uint64_t number, uint16_t port, bool v6)
{
    struct err ignored;
    struct guest_connect request = {.port = port, .v6 = v6};
    struct pending *p = expect(box, PENDING_CONNECT);
    p->dial = number;
    if (send_message(box,
                     &(struct wire_out){.type = GUEST_CONNECT,
                                        .id = p->id,
                                        .body = &request,
                                        .body_bytes = sizeof request},
                     &ignored) == 0)
        return 0;
    done(box, p);
    return -1;
}

static void connect_done(struct box *box, struct pending *p, int fd)
{
    uint64_t number = p->dial;
    done(box, p);
    local_dial_answer(box, number, fd);
}

static void failed_message(struct box *box, struct pending *p,
                           const struct wire_message *m)
{
    struct guest_failed failed;
    memcpy(&failed, m->body, sizeof failed);
    if (p->kind == PENDING_EXEC)
        exec_failed(box, p, &failed);
    else if (p->kind == PENDING_CONNECT)
        connect_done(box, p, -1);
    else if (p->kind == PENDING_TREE)
        tree_came(box, p, &(int){-1});
    else if (p->op)
        file_failed(box, p, &failed);
    else
        done(box, p);
}

/* The type, the size of the body and the number of descriptors are those of an answer
 * to this request. */
static bool is_answer(const struct pending *p, const struct wire_message *m)
{
    switch (m->type) {
    case GUEST_FAILED:
        return m->body_bytes == sizeof(struct guest_failed) && m->fd_count == 0;
    case GUEST_STARTED:
        return p->kind == PENDING_EXEC && m->fd_count == p->terminal;
    case GUEST_EXITED:
        return p->kind == PENDING_EXEC && m->fd_count == 0 &&
               m->body_bytes == sizeof(struct guest_exited);
    case GUEST_OPENED:
        return (p->kind == PENDING_OPEN || p->kind == PENDING_WRITE) &&
               m->fd_count == 1 && m->body_bytes == sizeof(struct guest_opened);
    case GUEST_TREE_IS:
        return p->kind == PENDING_TREE && m->fd_count == 1;
    case GUEST_CONNECTED:
        return p->kind == PENDING_CONNECT && m->fd_count == 1;
    case GUEST_DONE:
        return (p->kind == PENDING_COMMIT || p->kind == PENDING_KILL ||
                p->kind == PENDING_HALT || p->kind == PENDING_DIR) &&
               m->fd_count == 0;
    default:
        return false;
    }
}

static void made_dir(struct box *box, struct pending *p)
{
    struct file_op *op = p->op;
    done(box, p);
    finish_file(op, false, NULL);
}

static void request_done(struct box *box, struct pending *p)
{
    if (p->kind == PENDING_COMMIT)
        committed(box, p);
    else if (p->kind == PENDING_DIR)
        made_dir(box, p);
    else if (p->kind == PENDING_HALT)
        halted(box, p);
    else
        done(box, p);
}

static void count_answer(struct box *box, const struct pending *p,
                         const struct wire_message *m)
{
    static const char *const calls[] = {
        [PENDING_EXEC] = "exec", [PENDING_KILL] = "kill",
        [PENDING_OPEN] = "open", [PENDING_WRITE] = "write",
        [PENDING_DIR] = "mkdir", [PENDING_COMMIT] = "commit",
        [PENDING_HALT] = "halt", [PENDING_CONNECT] = "connect",
        [PENDING_TREE] = "tree",
    };
    if (m->type != GUEST_EXITED) /* it was counted when it started */
        backend_called(box->local->set, calls[p->kind],
                       m->type == GUEST_FAILED ? "failed" : "ok");
}

int local_guest_message(struct box *box, struct wire_message *m)
{
    if (m->type == GUEST_NETWORK)
        return local_network_more(box, m);
    struct pending *p = find(box, m->id);
    if (!p)
        return 0; /* about something that has been given up */
    if (!is_answer(p, m))
        return -1;
    count_answer(box, p, m);
    if (m->type == GUEST_FAILED) {
        failed_message(box, p, m);
    } else if (m->type == GUEST_STARTED) {
        return exec_start(box, p, m);
    } else if (m->type == GUEST_EXITED) {
        struct guest_exited exited;
        memcpy(&exited, m->body, sizeof exited);
        exec_ended(box, p, &exited);
    } else if (m->type == GUEST_OPENED) {
        file_opened(box, p, m);
    } else if (m->type == GUEST_TREE_IS) {
        tree_came(box, p, &m->fds[0]);
    } else if (m->type == GUEST_CONNECTED) {
        int fd = m->fds[0];
        m->fds[0] = -1;
        connect_done(box, p, fd);
    } else {
        request_done(box, p);
    }
    return 0;
}
