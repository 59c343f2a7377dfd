/* A server as a child process, its stdin and stdout two pipes of ours.
 *
 * The child gets a session of its own (setsid): Ctrl-C at our terminal is ours to
 * handle and must not reach it. Lines are framed as in stdio.c. */
#include "transport/spawn.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "mcp/server.h"
#include "transport/inherit.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    READ_BYTES = 64 * 1024,
    READ_KEEP = 1024 * 1024,
    CLOSE_WAIT_MS = 2000,
    TERM_WAIT_MS = 1000,
};

struct spawn {
    struct client *client;
    struct loop_io *in, *out, *process; /* its stdin, its stdout, its pidfd */
    pid_t pid;                          /* 0 once reaped */
    int status;                         /* of waitpid */
    struct buf line;
    size_t scanned, sent;
    bool out_ended, told, ending;
    struct timespec end_began;
    void (*lost)(void *ctx, int exit_code, int signal);
    void *ctx;
};

static bool reap(struct spawn *s, int options)
{
    if (s->pid == 0)
        return true;
    pid_t pid;
    do
        pid = waitpid(s->pid, &s->status, options);
    while (pid < 0 && errno == EINTR);
    if (pid == 0)
        return false;
    s->pid = 0;
    return true;
}

/* Once both its stdout and the process have ended. */
static void tell_lost(struct spawn *s)
{
    if (s->told || !s->out_ended || s->pid != 0)
        return;
    s->told = true;
    int code = WIFEXITED(s->status) ? WEXITSTATUS(s->status) : -1;
    int signum = WIFSIGNALED(s->status) ? WTERMSIG(s->status) : 0;
    struct err err;
    if (signum)
        err_set(&err, ERR_UNAVAILABLE, "the server was killed by signal %d", signum);
    else
        err_set(&err, ERR_UNAVAILABLE, "the server ended with status %d", code);
    client_lost(s->client, &err);
    s->lost(s->ctx, code, signum);
}

/* Closes our end of a pipe at once; the loop lets go of the number later. */
static void close_now(struct loop_io *io)
{
    loop_io_want(io, 0);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup3(null, loop_io_fd(io), O_CLOEXEC);
        fd_close(&null);
    }
}

static void out_ended(struct spawn *s)
{
    s->out_ended = true;
    loop_io_want(s->out, 0);
    close_now(s->in);
    tell_lost(s);
}

static void handle_line(struct spawn *s, struct str line)
{
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    struct err err;
    if (line.n && client_recv(s->client, line, &err) < 0)
        log_warn("ignoring a line of the server: %s", err.msg);
}

static void handle_lines(struct spawn *s)
{
    size_t head = 0;
    const char *lf;
    while (s->line.n > s->scanned &&
           (lf = memchr(s->line.p + s->scanned, '\n', s->line.n - s->scanned))) {
        struct str line = {s->line.p + head, (size_t)(lf - s->line.p) - head};
        head = s->scanned = (size_t)(lf - s->line.p) + 1;
        handle_line(s, line);
    }
    s->scanned = s->line.n - head;
    if (head == s->line.n)
        buf_reset(&s->line, READ_KEEP);
    else
        buf_drop(&s->line, head);
}

static void on_readable(void *ctx, unsigned events)
{
    (void)events;
    struct spawn *s = ctx;
    char *to = buf_reserve(&s->line, READ_BYTES);
    if (!to) {
        log_error("giving up on the server: a line of more than %d MiB",
                  MCP_MESSAGE_IN_MAX / (1024 * 1024));
        out_ended(s);
        return;
    }
    ssize_t n = read(loop_io_fd(s->out), to, s->line.cap - s->line.n);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        out_ended(s);
        return;
    }
    s->line.n += (size_t)n;
    if (s->line.n > READ_BYTES)
        inherited_widen(loop_io_fd(s->out));
    handle_lines(s);
    spawn_flush(s);
}

static void on_exit_of_process(void *ctx, unsigned events)
{
    (void)events;
    struct spawn *s = ctx;
    if (!reap(s, WNOHANG))
        return;
    loop_io_want(s->process, 0);
    tell_lost(s);
}

void spawn_flush(struct spawn *s)
{
    bool blocked = false;
    while (!s->out_ended && !blocked) {
        struct str all = client_output(s->client);
        if (all.n == s->sent)
            break;
        ssize_t n = write(loop_io_fd(s->in), all.p + s->sent, all.n - s->sent);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            break; /* it went away: its stdout will say so */
        blocked = n < 0;
        if (n > 0)
            s->sent += (size_t)n;
        if (n > 0 && all.n - s->sent > READ_BYTES)
            inherited_widen(loop_io_fd(s->in));
    }
    if (!blocked && s->sent > 0) {
        s->sent = 0;
        client_sent(s->client);
    }
    if (!s->out_ended)
        loop_io_want(s->in, blocked ? LOOP_WRITE : 0);
}

static void on_writable(void *ctx, unsigned events)
{
    (void)events;
    spawn_flush(ctx);
}

/* posix_spawn with stdin and stdout in place, default signals, a session of its own. */
static int start(const struct spawn_config *config, int in, int out, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    if (config->stderr_fd > 0)
        posix_spawn_file_actions_adddup2(&actions, config->stderr_fd, 2);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETSID);
    /* posix_spawn's type promises nothing about const, its manual does. */
    union {
        const char *const *in;
        char *const *out;
    } argv = {.in = config->argv}, env = {.in = config->env};
    int rc = posix_spawnp(ret_pid, config->argv[0], &actions, &attr, argv.out, env.out);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return rc;
}

int spawn_new(struct spawn **ret_spawn, struct loop *loop, struct client *client,
              const struct spawn_config *config, struct err *err)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    int in[2] = {-1, -1}, out[2] = {-1, -1}, process = -1;
    pid_t pid = 0;
    int rc = sigaction(SIGPIPE, &ignore, NULL) < 0 || pipe2(in, O_CLOEXEC) < 0 ||
                     pipe2(out, O_CLOEXEC) < 0
                 ? errno
                 : start(config, in[0], out[1], &pid);
    fd_close(&in[0]);
    fd_close(&out[1]);
    if (rc == 0) {
        process = (int)syscall(SYS_pidfd_open, pid, 0);
        rc = process < 0 ? errno : 0;
    }
    if (rc != 0) {
        fd_close(&in[1]);
        fd_close(&out[0]);
        return err_sys(err, rc, "starting %s", config->argv[0]);
    }
    struct spawn *s = mem_new(struct spawn);
    s->client = client;
    s->pid = pid;
    s->lost = config->lost;
    s->ctx = config->ctx;
    buf_init(&s->line, MCP_MESSAGE_IN_MAX);
    s->in = loop_io_new(loop, in[1], on_writable, s);
    s->out = loop_io_new(loop, out[0], on_readable, s);
    s->process = loop_io_new(loop, process, on_exit_of_process, s);
    loop_io_want(s->out, LOOP_READ);
    loop_io_want(s->process, LOOP_READ);
    *ret_spawn = s;
    return 0;
}

static bool gone_within(struct spawn *s, int wait_ms)
{
    struct pollfd p = {.fd = loop_io_fd(s->process), .events = POLLIN};
    int rc;
    do
        rc = poll(&p, 1, wait_ms);
    while (rc < 0 && errno == EINTR);
    return rc > 0;
}

void spawn_end(struct spawn *s)
{
    if (s->ending)
        return;
    s->ending = true;
    clock_gettime(CLOCK_MONOTONIC, &s->end_began);
    close_now(s->in);
    close_now(s->out); /* nobody reads on: the server need not write on */
}

static int close_wait_ms(const struct spawn *s)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t ms = (int64_t)(now.tv_sec - s->end_began.tv_sec) * 1000 +
                 (now.tv_nsec - s->end_began.tv_nsec) / 1000000;
    return ms < CLOSE_WAIT_MS ? (int)(CLOSE_WAIT_MS - ms) : 0;
}

void spawn_free(struct spawn *s)
{
    if (!s)
        return;
    spawn_end(s);
    if (s->pid != 0 && !gone_within(s, close_wait_ms(s))) {
        kill(s->pid, SIGTERM);
        if (!gone_within(s, TERM_WAIT_MS))
            kill(s->pid, SIGKILL);
    }
    reap(s, 0);
    loop_io_free(s->in);
    loop_io_free(s->out);
    loop_io_free(s->process);
    buf_finish(&s->line);
    mem_free(s);
}
