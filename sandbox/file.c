/* Files and directories: what is asked of a backend about a path. */
#include "base/mem.h"
#include "sandbox/backend.h"

void file_op_free(struct file_op *op)
{
    mem_free(op);
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
    struct err err;
    struct file_op *op = file_op_new(set, sandbox, path, &err);
    if (!op) {
        fn(ctx, false, &err);
        return;
    }
    op->content = content;
    op->write_fn = fn;
    op->ctx = ctx;
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
