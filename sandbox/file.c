/* Files and directories: what is asked of a backend about a path. */
#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/backend.h"
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

void file_op_free(struct file_op *op)
{
    buf_finish(&op->filled);
    mem_free(op);
}

int file_op_write(struct file_op *op, int fd, struct err *err)
{
    if (op->fill)
        return op->fill(op->ctx, fd, err);
    return fd_write_all(fd, op->content) < 0 ? err_sys(err, errno, "%.150s", op->path)
                                             : 0;
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
        err_remedy(err, "give an absolute path, or one relative to the sandbox's cwd");
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
    file_write_mode(set, sandbox, path, content, 0, fn, ctx);
}

void file_write_mode(struct sandboxes *set, uint64_t sandbox, struct str path,
                     struct str content, unsigned mode, file_write_fn *fn, void *ctx)
{
    struct err err;
    struct file_op *op = file_op_new(set, sandbox, path, &err);
    if (!op) {
        fn(ctx, false, &err);
        return;
    }
    op->content = content;
    op->mode = mode;
    op->write_fn = fn;
    op->ctx = ctx;
    set->backend->write_file(set->impl, op);
}

static int read_all(int fd, struct buf *to)
{
    enum { CHUNK = 1024 * 1024 };
    ssize_t n = 1;
    while (n > 0) {
        char *room = buf_reserve(to, CHUNK);
        n = room ? pread(fd, room, CHUNK, (off_t)to->n) : -1;
        if (n > 0)
            to->n += (size_t)n;
    }
    return (int)n;
}

/* Has the content in one piece, for a backend that wants it so. */
static int collect(struct file_op *op, struct err *err)
{
    int fd = memfd_create("sandquay", MFD_CLOEXEC);
    int rc =
        fd < 0 ? err_sys(err, errno, "collecting a file") : op->fill(op->ctx, fd, err);
    buf_init(&op->filled, SANDBOX_FILE_WRITE_MAX + 2 * 1024 * 1024);
    if (rc == 0 && read_all(fd, &op->filled) < 0)
        rc = err_set(err, ERR_LIMIT, "a file of more than %d MiB",
                     SANDBOX_FILE_WRITE_MAX / (1024 * 1024));
    fd_close(&fd);
    op->content = buf_str(&op->filled);
    op->fill = NULL;
    return rc;
}

void file_fill(struct sandboxes *set, uint64_t sandbox, struct str path,
               file_fill_fn *fill, file_write_fn *fn, void *ctx)
{
    struct err err;
    struct file_op *op = file_op_new(set, sandbox, path, &err);
    if (!op) {
        fn(ctx, false, &err);
        return;
    }
    op->fill = fill;
    op->write_fn = fn;
    op->ctx = ctx;
    if (!set->backend->fills && collect(op, &err) < 0) {
        file_op_free(op);
        fn(ctx, false, &err);
        return;
    }
    set->backend->write_file(set->impl, op);
}

void dir_make(struct sandboxes *set, uint64_t sandbox, struct str path, bool parents,
              sandbox_done_fn *fn, void *ctx)
{
    struct err err;
    struct file_op *op = NULL;
    if (!set->backend->make_dir)
        sandbox_unsupported(set, "making a directory", &err);
    else
        op = file_op_new(set, sandbox, path, &err);
    if (!op) {
        fn(ctx, &err);
        return;
    }
    op->parents = parents;
    op->done_fn = fn;
    op->ctx = ctx;
    set->backend->make_dir(set->impl, op);
}
