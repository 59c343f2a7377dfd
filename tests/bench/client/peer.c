#include "tests/bench/client/peer.h"
#include "base/fd.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BUF_BYTES = 16 * 1024 * 1024, HEAD_BYTES = 64 };

extern char **environ;

/* posix_spawn never writes to its argv; its prototype says otherwise. */
static char *const *spawn_argv(const char *const *argv)
{
    union {
        const char *const *from;
        char *const *to;
    } u = {.from = argv};
    return u.to;
}

/* Starts argv with fds[0..2] as its stdin, stdout and stderr; -1 means /dev/null. */
static int spawn(const char *const argv[], const int fds[3], pid_t *ret_pid,
                 struct err *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < 3; i++) {
        if (fds[i] < 0)
            posix_spawn_file_actions_addopen(&actions, i, "/dev/null", O_RDWR, 0);
        else
            posix_spawn_file_actions_adddup2(&actions, fds[i], i);
    }
    int rc = posix_spawn(ret_pid, argv[0], &actions, NULL, spawn_argv(argv), environ);
    posix_spawn_file_actions_destroy(&actions);
    return rc ? err_sys(err, rc, "cannot start %s", argv[0]) : 0;
}

static int two_pipes(int a[2], int b[2], struct err *err)
{
    if (pipe2(a, O_CLOEXEC) < 0)
        return err_sys(err, errno, "pipe2");
    if (pipe2(b, O_CLOEXEC) < 0) {
        int sys = errno;
        fd_close(&a[0]);
        fd_close(&a[1]);
        return err_sys(err, sys, "pipe2");
    }
    return 0;
}

int peer_spawn(struct peer *p, const char *const argv[], bool verbose, struct err *err)
{
    *p = (struct peer){.in = -1, .out = -1};
    int in[2], out[2];
    if (two_pipes(in, out, err) < 0)
        return -1;
    int rc = spawn(argv, (int[]){in[0], out[1], verbose ? 2 : -1}, &p->pid, err);
    fd_close(&in[0]);
    fd_close(&out[1]);
    p->in = in[1];
    p->out = out[0];
    if (rc < 0) {
        p->pid = 0;
        peer_finish(p);
        return -1;
    }
    p->buf = mem_alloc(BUF_BYTES);
    return 0;
}

void peer_finish(struct peer *p)
{
    if (p->buf || p->pid > 0) {
        fd_close(&p->in);
        fd_close(&p->out);
    }
    if (p->pid > 0)
        while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    mem_free(p->buf);
    *p = (struct peer){.in = -1, .out = -1};
}

int peer_send(struct peer *p, struct str text, struct err *err)
{
    while (text.n > 0) {
        ssize_t done = write(p->in, text.p, text.n);
        if (done < 0)
            return err_sys(err, errno, "cannot write to the server");
        text = str_from(text, (size_t)done);
    }
    return 0;
}

static int fill(struct peer *p, struct err *err)
{
    if (p->start == p->n)
        p->start = p->n = 0;
    if (p->n == BUF_BYTES) {
        memmove(p->buf, p->buf + p->start, p->n - p->start);
        p->n -= p->start;
        p->start = 0;
    }
    if (p->n == BUF_BYTES)
        return err_set(err, ERR_LIMIT, "the server wrote a line over %d bytes",
                       BUF_BYTES);
    ssize_t n = read(p->out, p->buf + p->n, BUF_BYTES - p->n);
    if (n < 0)
        return err_sys(err, errno, "cannot read from the server");
    if (n == 0)
        return err_set(err, ERR_PROTOCOL, "the server closed its stdout");
    p->n += (size_t)n;
    return 0;
}

int peer_read(struct peer *p, struct str *ret_bytes, struct err *err)
{
    if (p->start == p->n && fill(p, err) < 0)
        return -1;
    *ret_bytes = (struct str){p->buf + p->start, p->n - p->start};
    p->start = p->n;
    return 0;
}

int peer_line(struct peer *p, struct str *ret_line, struct err *err)
{
    size_t seen = 0; /* bytes of [start, n) that hold no newline */
    for (;;) {
        struct str rest = {p->buf + p->start + seen, p->n - p->start - seen};
        ptrdiff_t at = str_find(rest, '\n');
        if (at >= 0) {
            *ret_line = (struct str){p->buf + p->start, seen + (size_t)at};
            p->start += seen + (size_t)at + 1;
            return 0;
        }
        seen += rest.n;
        if (fill(p, err) < 0)
            return -1;
    }
}

static bool holds(struct str where, struct str what)
{
    return what.n == 0 || memmem(where.p, where.n, what.p, what.n) != NULL;
}

int peer_response(struct peer *p, struct str *ret_line, struct err *err)
{
    struct str line, head;
    do {
        if (peer_line(p, &line, err) < 0)
            return -1;
        head = (struct str){line.p, line.n < HEAD_BYTES ? line.n : HEAD_BYTES};
    } while (holds(head, STR("\"method\":")));
    *ret_line = line;
    return 0;
}

int response_check(struct str line, struct str want, struct err *err)
{
    struct str head = {line.p, line.n < 2 * HEAD_BYTES ? line.n : 2 * HEAD_BYTES};
    if (holds(head, STR("\"error\":")) || holds(line, STR("\"isError\":true")) ||
        !holds(line, want)) {
        struct str shown = {line.p, line.n < 180 ? line.n : 180};
        return err_set(err, ERR_PROTOCOL, "unexpected answer: %.*s", STR_FMT(shown));
    }
    return 0;
}

struct str initialize_text(void)
{
    return STR("{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{"
               "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},"
               "\"clientInfo\":{\"name\":\"bench\",\"version\":\"1\"}}}\n");
}

int peer_initialize(struct peer *p, bool real, struct err *err)
{
    struct str line;
    if (peer_send(p, initialize_text(), err) < 0 || peer_response(p, &line, err) < 0)
        return -1;
    if (!real)
        return 0;
    if (response_check(line, STR("\"protocolVersion\""), err) < 0)
        return -1;
    return peer_send(
        p, STR("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n"),
        err);
}

int bare_start(struct bare *b, const char *command, struct err *err)
{
    *b = (struct bare){.out = -1, .err = -1};
    int out[2], error[2];
    if (two_pipes(out, error, err) < 0)
        return -1;
    const char *argv[] = {"/bin/bash", "-c", command, NULL};
    int rc = spawn(argv, (int[]){-1, out[1], error[1]}, &b->pid, err);
    fd_close(&out[1]);
    fd_close(&error[1]);
    if (rc < 0) {
        fd_close(&out[0]);
        fd_close(&error[0]);
        return -1;
    }
    b->out = out[0];
    b->err = error[0];
    return 0;
}

static void drain(int *fd)
{
    char bytes[4096];
    while (read(*fd, bytes, sizeof(bytes)) > 0)
        ;
    fd_close(fd);
}

int bare_wait(struct bare *b, struct err *err)
{
    drain(&b->out);
    drain(&b->err);
    int status;
    if (waitpid(b->pid, &status, 0) < 0)
        return err_sys(err, errno, "waitpid");
    return status == 0 ? 0
                       : err_set(err, ERR_INTERNAL, "bash ended with status %#x",
                                 (unsigned)status);
}
