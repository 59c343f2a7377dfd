/* The pipes of one command, or its terminal, whose master is read and written by two
 * descriptors, as if it were two pipes. Output is read as it comes; after the command's
 * end what its descendants still write goes on being kept. */
#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/local/local.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    CHUNK = 64 * 1024,
    CHUNKS_A_TURN = 16,
    TERMINAL_BYTES = 64 * 1024, /* more than the kernel keeps of one */
};

struct streams {
    struct command *command;
    struct loop_io *out[2], *in;
    bool terminal;
};

static char chunk[CHUNK];

/* True when the pipe has ended. */
static bool read_some(struct streams *s, enum command_stream stream, int chunks)
{
    struct loop_io *io = s->out[stream];
    while (chunks-- > 0) {
        ssize_t n = read(loop_io_fd(io), chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n <= 0)
            return true;
        command_feed(s->command, stream, (struct str){chunk, (size_t)n});
        if (s->command->paused || (size_t)n < sizeof chunk)
            return false;
    }
    return false;
}

static void read_stream(struct streams *s, enum command_stream stream)
{
    if (read_some(s, stream, CHUNKS_A_TURN)) {
        loop_io_free(s->out[stream]);
        s->out[stream] = NULL;
    }
}

static void on_stdout(void *ctx, unsigned events)
{
    (void)events;
    read_stream(ctx, COMMAND_STDOUT);
}

static void on_stderr(void *ctx, unsigned events)
{
    (void)events;
    read_stream(ctx, COMMAND_STDERR);
}

static void stop_input(struct streams *s)
{
    loop_io_free(s->in);
    s->in = NULL;
}

/* What Ctrl-D sends; a terminal that is in raw mode passes it on as a byte. */
static void send_end_of_file(struct streams *s)
{
    static const char end = 4;
    ssize_t ignored = write(loop_io_fd(s->in), &end, 1);
    (void)ignored;
}

static void on_stdin(void *ctx, unsigned events)
{
    struct streams *s = ctx;
    struct command *c = s->command;
    (void)events;
    while (c->input.n) {
        ssize_t n = write(loop_io_fd(s->in), c->input.p, c->input.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            loop_io_want(s->in, LOOP_WRITE);
            return;
        }
        if (n < 0) { /* nobody reads it any more */
            stop_input(s);
            command_input_gone(c);
            return;
        }
        command_input_taken(c, (size_t)n);
    }
    loop_io_want(s->in, 0);
    if (c->input_closing) {
        if (s->terminal)
            send_end_of_file(s);
        stop_input(s);
        command_input_gone(c);
    }
}

void streams_input(struct streams *s)
{
    if (s->in)
        on_stdin(s, 0);
}

void streams_flow(struct streams *s)
{
    for (int i = 0; i < 2; i++)
        if (s->out[i])
            loop_io_want(s->out[i], s->command->paused ? 0 : LOOP_READ);
}

/* What one pipe or the terminal held when its command ended, paused or not: it would be
 * lost. No more than that: a descendant may go on filling it. */
static void drain(struct streams *s, enum command_stream stream)
{
    int fd = loop_io_fd(s->out[stream]);
    int left = s->terminal ? TERMINAL_BYTES : fcntl(fd, F_GETPIPE_SZ);
    while (left > 0) {
        size_t max = (size_t)left < sizeof chunk ? (size_t)left : sizeof chunk;
        ssize_t n = read(fd, chunk, max);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        left -= (int)n;
        command_feed(s->command, stream, (struct str){chunk, (size_t)n});
    }
}

void streams_drain(struct streams *s)
{
    for (int i = 0; i < 2; i++)
        if (s->out[i])
            drain(s, (enum command_stream)i);
    stop_input(s);
}

static int make_pipe(int ours_end, int *ret_ours, int *ret_theirs)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    *ret_ours = fds[ours_end];
    *ret_theirs = fds[!ours_end];
    return fd_nonblock(*ret_ours);
}

struct streams *streams_new(struct command *c, int child_fds[3], bool keep_stdin,
                            struct err *err)
{
    int ours[3] = {-1, -1, -1};
    child_fds[0] = child_fds[1] = child_fds[2] = -1;
    int rc = make_pipe(0, &ours[1], &child_fds[1]);
    if (rc == 0)
        rc = make_pipe(0, &ours[2], &child_fds[2]);
    if (rc == 0 && keep_stdin)
        rc = make_pipe(1, &ours[0], &child_fds[0]);
    else if (rc == 0)
        rc = (child_fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0 ? -1 : 0;
    if (rc < 0) {
        err_sys(err, errno, "making pipes");
        for (int i = 0; i < 3; i++) {
            fd_close(&ours[i]);
            fd_close(&child_fds[i]);
        }
        return NULL;
    }
    struct streams *s = mem_new(struct streams);
    struct loop *loop = c->set->loop;
    s->command = c;
    s->out[0] = loop_io_new(loop, ours[1], on_stdout, s);
    s->out[1] = loop_io_new(loop, ours[2], on_stderr, s);
    loop_io_want(s->out[0], LOOP_READ);
    loop_io_want(s->out[1], LOOP_READ);
    if (keep_stdin)
        s->in = loop_io_new(loop, ours[0], on_stdin, s);
    return s;
}

struct streams *streams_new_terminal(struct command *c)
{
    struct streams *s = mem_new(struct streams);
    s->command = c;
    s->terminal = true;
    return s;
}

int streams_attach(struct streams *s, int *master)
{
    struct loop *loop = s->command->set->loop;
    int number, other = -1;
    /* Only a master answers; whatever else the guest has sent is refused. */
    if (ioctl(*master, TIOCGPTN, &number) < 0 || fd_nonblock(*master) < 0 ||
        (other = fcntl(*master, F_DUPFD_CLOEXEC, 3)) < 0)
        return -1;
    s->out[0] = loop_io_new(loop, *master, on_stdout, s);
    s->in = loop_io_new(loop, other, on_stdin, s);
    *master = -1;
    loop_io_want(s->out[0], s->command->paused ? 0 : LOOP_READ);
    streams_input(s); /* what came before */
    return 0;
}

int streams_resize(struct streams *s, struct pty_size size, struct err *err)
{
    struct winsize w = {.ws_col = size.cols, .ws_row = size.rows};
    struct loop_io *io = s->in ? s->in : s->out[0];
    if (!io || ioctl(loop_io_fd(io), TIOCSWINSZ, &w) < 0) {
        err_set(err, ERR_UNAVAILABLE, "the terminal is closed");
        return err_remedy(err, "command_output tells how the command ended");
    }
    return 0;
}

void streams_free(struct streams *s)
{
    if (!s)
        return;
    loop_io_free(s->out[0]);
    loop_io_free(s->out[1]);
    loop_io_free(s->in);
    mem_free(s);
}
