/* One session on stdin and stdout: one JSON text a line.
 *
 * Lines are parsed in place in the read buffer: [0, head) is done with, [head, scanned)
 * holds no LF, so a line that grows over many reads is searched once and moved at most
 * once. What a batch of lines answers leaves with one write; what does not fit the pipe
 * stays in the session's output, of which `sent` bytes are gone. Above OUTPUT_HIGH
 * waiting bytes neither lines are handled nor more read. */
#include "transport/stdio.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "transport/inherit.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    READ_BYTES = 64 * 1024,
    READ_KEEP = 1024 * 1024,     /* of the read buffer between messages */
    READ_TURN = 4 * 1024 * 1024, /* read in one turn before others have theirs */
    FLUSH_BYTES = 256 * 1024,    /* a batch's output that need not wait for its end */
    OUTPUT_HIGH = 16 * 1024 * 1024,
    LINGER_MS = 900, /* after EOF, for output that the peer has not taken yet */
    REST_MS = 1000,  /* of quiet after large messages, then their memory goes back */
};

struct stdio {
    struct loop *loop;
    struct session *session;
    struct inherited in_fd, out_fd;
    struct loop_io *in, *out, *parent;
    struct loop_signal *signals[3];
    struct loop_later *flush_later, *end_later;
    struct loop_timer *linger, *rest;
    struct buf line;
    size_t head, scanned, sent;
    bool in_regular;
    bool skipping; /* inside a line that was too long */
    bool blocked;  /* stdout takes nothing at the moment */
    bool eof, wait_for_calls, ended;
    void (*done)(void *ctx);
    void *ctx;
};

int stdio_claim(struct stdio_fds *ret_fds, struct err *err)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
            return err_sys(err, errno, "/dev/null");
    struct stdio_fds fds = {fcntl(0, F_DUPFD_CLOEXEC, 3), fcntl(1, F_DUPFD_CLOEXEC, 3)};
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fds.in < 0 || fds.out < 0 || null < 0 || dup2(null, 0) < 0 || dup2(2, 1) < 0) {
        int sys = errno;
        fd_close(&fds.in);
        fd_close(&fds.out);
        fd_close(&null);
        return err_sys(err, sys, "stdin and stdout");
    }
    fd_close(&null);
    *ret_fds = fds;
    return 0;
}

static void end(struct stdio *t)
{
    if (t->ended)
        return;
    t->ended = true;
    loop_io_want(t->in, 0);
    loop_io_want(t->out, 0);
    loop_timer_stop(t->linger);
    loop_timer_stop(t->rest);
    loop_later_ask(t->end_later);
}

static void on_end(void *ctx)
{
    struct stdio *t = ctx;
    t->done(t->ctx);
}

static size_t waiting(const struct stdio *t)
{
    return session_output(t->session).n - t->sent;
}

static void wanted(struct stdio *t)
{
    if (t->ended)
        return;
    bool reads = !t->eof && waiting(t) < OUTPUT_HIGH;
    loop_io_want(t->in, reads ? LOOP_READ : 0);
    loop_io_want(t->out, t->blocked ? LOOP_WRITE : 0);
}

static void all_sent(struct stdio *t)
{
    t->sent = 0;
    session_sent(t->session);
}

/* Writes what there is as far as stdout takes it. */
static void flush(struct stdio *t)
{
    t->blocked = false;
    while (!t->ended) {
        if (waiting(t) == 0)
            break;
        struct str rest = str_from(session_output(t->session), t->sent);
        ssize_t n = write(t->out_fd.fd, rest.p, rest.n);
        if (n >= 0) {
            t->sent += (size_t)n;
            if (t->eof && t->in_regular)
                loop_timer_start(t->linger, LINGER_MS); /* a slow reader, but alive */
            if ((size_t)n < rest.n && rest.n > READ_BYTES)
                inherited_widen(t->out_fd.fd);
        } else if (errno == EAGAIN) {
            t->blocked = true;
            return;
        } else if (errno != EINTR) {
            log_info("the client is gone: stdout: errno %d", errno);
            end(t);
            return;
        }
    }
    if (t->sent > 0)
        all_sent(t);
}

/* After EOF: the end has come when everything is written (and, for input that came all
 * at once, when the last call is answered). */
static void end_if_idle(struct stdio *t)
{
    if (!t->eof || t->ended || waiting(t) > 0)
        return;
    if (!t->wait_for_calls || session_calls(t->session) == 0)
        end(t);
}

static void flush_and_go_on(struct stdio *t);

static void on_flush(void *ctx)
{
    flush_and_go_on(ctx);
}

static void on_writable(void *ctx, unsigned events)
{
    (void)events;
    flush_and_go_on(ctx);
}

static void on_wake(void *ctx)
{
    struct stdio *t = ctx;
    loop_later_ask(t->flush_later);
}

static bool is_blank(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != ' ' && s.p[i] != '\t' && s.p[i] != '\r')
            return false;
    return true;
}

static void too_long(struct stdio *t)
{
    struct err err;
    err_set(&err, ERR_LIMIT, "a message may have at most %d MiB",
            MCP_MESSAGE_IN_MAX / (1024 * 1024));
    session_recv_bad(t->session, &err);
}

static void handle_line(struct stdio *t, struct str line)
{
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    if (line.n > MCP_MESSAGE_IN_MAX)
        too_long(t);
    else if (!is_blank(line))
        session_recv(t->session, line, loop_now_ms(t->loop));
}

/* No LF up to the end of the buffer: keep what may become a message. */
static void line_goes_on(struct stdio *t)
{
    t->scanned = t->line.n;
    if (!t->skipping && t->line.n - t->head > MCP_MESSAGE_IN_MAX) {
        too_long(t);
        t->skipping = true;
    }
    if (t->skipping)
        t->head = t->line.n;
    if (t->head == t->line.n) {
        buf_reset(&t->line, READ_KEEP);
        t->head = t->scanned = 0;
    }
}

/* Handles the complete lines in the buffer, as long as stdout keeps up. */
static void handle_lines(struct stdio *t)
{
    while (!t->ended) {
        if (waiting(t) >= FLUSH_BYTES && !t->blocked)
            flush(t);
        if (waiting(t) >= OUTPUT_HIGH)
            return;
        const char *lf = NULL;
        if (t->line.n > t->scanned)
            lf = memchr(t->line.p + t->scanned, '\n', t->line.n - t->scanned);
        if (!lf) {
            line_goes_on(t);
            return;
        }
        struct str line = {t->line.p + t->head, (size_t)(lf - t->line.p) - t->head};
        t->head = t->scanned = (size_t)(lf - t->line.p) + 1;
        if (!t->skipping)
            handle_line(t, line);
        t->skipping = false;
    }
}

/* EOF: a last line need not have its LF; then nothing more is started. */
static void at_eof(struct stdio *t, bool with_last_input)
{
    t->eof = true;
    t->wait_for_calls = t->in_regular || with_last_input;
    loop_timer_start(t->linger, LINGER_MS);
}

static void last_line(struct stdio *t)
{
    if (t->line.n == t->head || t->skipping)
        return;
    struct str line = str_from(buf_str(&t->line), t->head);
    t->head = t->scanned = t->line.n;
    handle_line(t, line);
}

/* One read(2) into the buffer: 1 when there may be more at once, else 0. */
static int read_some(struct stdio *t, bool after_input)
{
    buf_drop(&t->line, t->head);
    t->scanned -= t->head;
    t->head = 0;
    char *to = buf_reserve(&t->line, READ_BYTES);
    size_t room = t->line.cap - t->line.n;
    ssize_t n = read(t->in_fd.fd, to, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EINTR;
    if (n <= 0) {
        at_eof(t, after_input);
        return 0;
    }
    t->line.n += (size_t)n;
    if (t->line.n > READ_BYTES && !t->in_regular)
        inherited_widen(t->in_fd.fd);
    return (size_t)n == room;
}

static void flush_and_go_on(struct stdio *t)
{
    if (t->ended)
        return;
    flush(t);
    if (t->line.n > t->scanned)
        handle_lines(t); /* lines that waited for stdout */
    if (t->eof && waiting(t) < OUTPUT_HIGH)
        last_line(t);
    if (!t->blocked)
        flush(t);
    if (session_broken(t->session)) {
        log_error("the client does not read its answers: giving up");
        end(t);
    }
    wanted(t);
    end_if_idle(t);
}

static void on_readable(void *ctx, unsigned events)
{
    (void)events;
    struct stdio *t = ctx;
    size_t taken = 0;
    bool more = true, large = false;
    while (more && !t->eof && !t->ended && taken < READ_TURN) {
        size_t before = t->line.n - t->head;
        more = read_some(t, taken > 0);
        taken += t->line.n - before;
        large = large || t->line.n - t->head >= READ_KEEP;
        handle_lines(t);
        if (waiting(t) >= OUTPUT_HIGH)
            break;
    }
    if (large)
        loop_timer_start(t->rest, REST_MS);
    flush_and_go_on(t);
    /* Input that was written and closed at once is answered before the end (`echo ... |
     * sandquay serve`): see here whether it is. Costs a read(2) per tool call only. */
    if (!t->eof && !t->ended && session_calls(t->session) > 0 && taken > 0 &&
        waiting(t) < OUTPUT_HIGH) {
        more = read_some(t, true);
        if (t->eof || t->line.n > t->scanned)
            flush_and_go_on(t);
    }
}

static void on_linger(void *ctx)
{
    end(ctx);
}

static void on_rest(void *ctx)
{
    (void)ctx;
    mem_give_back();
}

static void on_signal(void *ctx, int signum)
{
    struct stdio *t = ctx;
    log_info("ending on signal %d", signum);
    flush(t);
    end(t);
}

static void on_parent_death(void *ctx, unsigned events)
{
    (void)events;
    struct stdio *t = ctx;
    log_info("ending: the parent process is gone");
    loop_io_want(t->parent, 0);
    end(t);
}

/* By pidfd: PDEATHSIG would fire when the thread that spawned us ends. A parent that
 * cannot be named (0: in another pid namespace) leaves EOF to tell. */
static void watch_parent(struct stdio *t)
{
    pid_t parent = getppid();
    int fd = parent > 0 ? (int)syscall(SYS_pidfd_open, parent, 0) : -1;
    if (fd < 0)
        return;
    t->parent = loop_io_new(t->loop, fd, on_parent_death, t);
    if (getppid() == parent)
        loop_io_want(t->parent, LOOP_READ);
    else
        end(t);
}

int stdio_new(struct stdio **ret_stdio, struct loop *loop, struct mcp_server *server,
              struct stdio_fds fds, uint64_t owner, void (*done)(void *ctx), void *ctx,
              struct err *err)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (sigaction(SIGPIPE, &ignore, NULL) < 0)
        return err_sys(err, errno, "sigaction");
    struct stdio *t = mem_new(struct stdio);
    t->loop = loop;
    t->done = done;
    t->ctx = ctx;
    struct session_config config = {.owner = owner, .wake = on_wake, .wake_ctx = t};
    t->session = session_new(server, &config);
    buf_init(&t->line, (size_t)MCP_MESSAGE_IN_MAX + 2 * READ_KEEP);
    struct stat st;
    t->in_regular = fstat(fds.in, &st) == 0 && S_ISREG(st.st_mode);
    t->in_fd = inherited_claim(fds.in, O_RDONLY);
    t->out_fd = inherited_claim(fds.out, O_WRONLY);
    t->flush_later = loop_later_new(loop, on_flush, t);
    t->end_later = loop_later_new(loop, on_end, t);
    t->linger = loop_timer_new(loop, on_linger, t);
    t->rest = loop_timer_new(loop, on_rest, t);
    t->in = loop_io_new(loop, t->in_fd.fd, on_readable, t);
    t->out = loop_io_new(loop, t->out_fd.fd, on_writable, t);
    static const int signums[3] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < 3; i++)
        t->signals[i] = loop_signal_new(loop, signums[i], on_signal, t);
    watch_parent(t);
    wanted(t);
    *ret_stdio = t;
    return 0;
}

void stdio_free(struct stdio *t)
{
    if (!t)
        return;
    session_free(t->session);
    inherited_restore(&t->in_fd);
    inherited_restore(&t->out_fd);
    loop_io_free(t->in);
    loop_io_free(t->out);
    loop_io_free(t->parent);
    for (size_t i = 0; i < 3; i++)
        loop_signal_free(t->signals[i]);
    loop_later_free(t->flush_later);
    loop_later_free(t->end_later);
    loop_timer_free(t->linger);
    loop_timer_free(t->rest);
    buf_finish(&t->line);
    mem_free(t);
}
