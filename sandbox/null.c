/* The test double: no processes, no files on disk. A command is one of a few words:
 *   echo TEXT   writes TEXT and a newline, exits 0
 *   fail TEXT   writes them to stderr, exits 1
 *   exit N      exits N
 *   flood N     writes N bytes
 *   forever     runs until it is killed
 *   cat         echoes its input until that is closed
 * The only directory is /workspace. */
#include "base/mem.h"
#include "sandbox/backend.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct null_file {
    struct null_file *next;
    uint64_t sandbox;
    char *path;
    int fd;
};

struct null {
    struct null_file *files;
};

static void *start(struct sandboxes *set, struct err *err)
{
    (void)set;
    (void)err;
    return mem_new(struct null);
}

static void finish(void *self)
{
    struct null *n = self;
    while (n->files) {
        struct null_file *f = n->files;
        n->files = f->next;
        close(f->fd);
        mem_free(f->path);
        mem_free(f);
    }
    mem_free(n);
}

static void create(void *self, struct sandbox *sb)
{
    (void)self;
    sandbox_created(sb, 1, 0, "Null sandbox: a test double.");
}

static void destroy(void *self, struct sandbox *sb)
{
    (void)self;
    (void)sb;
}

static void feed_line(struct command *c, enum command_stream stream, struct str text)
{
    command_feed(c, stream, text);
    command_feed(c, stream, STR("\n"));
}

static void run(void *self, struct command *c, const struct command_spec *spec)
{
    (void)self;
    struct str text = spec->command;
    struct command_end end = {0};
    if (spec->cwd.n && !str_eq(spec->cwd, STR("/workspace"))) {
        struct err err;
        err_set(&err, ERR_INVALID,
                "the working directory %.*s: No such file or directory",
                (int)(spec->cwd.n < 100 ? spec->cwd.n : 100), spec->cwd.p);
        err_remedy(&err, "use /workspace");
        command_failed(c, &err);
        return;
    }
    command_started(c);
    if (str_starts(text, STR("echo "))) {
        feed_line(c, COMMAND_STDOUT, str_from(text, 5));
    } else if (str_starts(text, STR("fail "))) {
        feed_line(c, COMMAND_STDERR, str_from(text, 5));
        end.exit_code = 1;
    } else if (str_starts(text, STR("exit "))) {
        end.exit_code = (int)strtol(c->text + 5, NULL, 10) & 0xff;
    } else if (str_starts(text, STR("flood "))) {
        char block[1000];
        memset(block, 'x', sizeof block);
        for (long left = strtol(c->text + 6, NULL, 10); left > 0; left -= 1000)
            command_feed(
                c, COMMAND_STDOUT,
                (struct str){block, left < 1000 ? (size_t)left : sizeof block});
    } else if (str_eq(text, STR("forever")) || str_eq(text, STR("cat"))) {
        return;
    } else {
        feed_line(c, COMMAND_STDERR, STR("null: unknown command"));
        end.exit_code = 127;
    }
    command_ended(c, &end);
}

static void kill_command(void *self, struct command *c)
{
    (void)self;
    command_ended(c, &(struct command_end){.signal = SIGKILL});
}

static int send_signal(void *self, struct command *c, int signum, struct err *err)
{
    (void)self;
    (void)err;
    command_ended(c, &(struct command_end){.signal = signum});
    return 0;
}

static void input(void *self, struct command *c)
{
    (void)self;
    command_feed(c, COMMAND_STDOUT, buf_str(&c->input));
    bool closing = c->input_closing;
    command_input_taken(c, c->input.n);
    if (closing) {
        command_input_gone(c);
        command_ended(c, &(struct command_end){0});
    }
}

static void nothing(void *self, struct command *c)
{
    (void)self;
    (void)c;
}

static struct null_file *find_file(struct null *n, const struct file_op *op)
{
    for (struct null_file *f = n->files; f; f = f->next)
        if (f->sandbox == op->sandbox->id && str_eq(str_of(f->path), str_of(op->path)))
            return f;
    return NULL;
}

static void open_file(void *self, struct file_op *op)
{
    struct null_file *f = find_file(self, op);
    struct err err;
    if (f) {
        off_t size = lseek(f->fd, 0, SEEK_END);
        op->open_fn(op->ctx, f->fd, (uint64_t)size, NULL);
    } else {
        err_set(&err, ERR_NOT_FOUND, "%.150s: No such file or directory", op->path);
        err_remedy(&err, "check the path");
        op->open_fn(op->ctx, -1, 0, &err);
    }
    file_op_free(op);
}

static void write_file(void *self, struct file_op *op)
{
    struct null *n = self;
    struct null_file *f = find_file(n, op);
    bool existed = f != NULL;
    if (!f) {
        f = mem_new(struct null_file);
        f->sandbox = op->sandbox->id;
        f->path = mem_strndup(op->path, strlen(op->path));
        f->fd = memfd_create("null", MFD_CLOEXEC);
        f->next = n->files;
        n->files = f;
    }
    struct err err;
    bool ok = ftruncate(f->fd, 0) == 0 &&
              pwrite(f->fd, op->content.p, op->content.n, 0) == (ssize_t)op->content.n;
    if (!ok)
        err_set(&err, ERR_IO, "memory file");
    op->write_fn(op->ctx, existed, ok ? NULL : &err);
    file_op_free(op);
}

const struct sandbox_backend sandbox_null = {
    .name = "null",
    .start = start,
    .finish = finish,
    .create = create,
    .destroy = destroy,
    .run = run,
    .kill = kill_command,
    .signal = send_signal,
    .input = input,
    .flow = nothing,
    .forget = nothing,
    .open_file = open_file,
    .write_file = write_file,
};
