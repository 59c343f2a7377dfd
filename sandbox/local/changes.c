/* The report about a workspace that is an overlay, read from a pipe that a process in
 * the sandbox writes: nothing in it is believed, all of it is bounded. */
#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/local/local.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { REPORT_MAX = 64 * 1024 * 1024, RECORD_MAX = 8192, CHUNK = 64 * 1024 };

struct changes {
    struct changes *next;
    struct local *local;
    struct sandbox_op *op;
    struct loop_io *pipe;
    struct buf record; /* an incomplete one */
    uint64_t read_bytes;
    int sys; /* of the "E" record; -1: none yet */
    char where[200];
};

static void changes_free(struct changes *c)
{
    struct changes **at = &c->local->changes;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    loop_io_free(c->pipe);
    buf_finish(&c->record);
    mem_free(c);
}

void local_changes_finish(struct local *l)
{
    while (l->changes)
        changes_free(l->changes);
}

static void finish(struct changes *c)
{
    struct sandbox_op *op = c->op;
    struct err err;
    bool failed = c->sys != 0;
    if (c->sys > 0) {
        err_sys(&err, c->sys, "the workspace, at %.150s",
                c->where[0] ? c->where : "its top");
        err_remedy(&err, "mend that on the host or in the sandbox, and try again");
    } else if (failed) {
        err_set(&err, ERR_UNAVAILABLE, "looking at the workspace was interrupted");
        err_remedy(&err, "try again; what was not done is still a change");
    }
    changes_free(c);
    sandbox_op_done(op, failed ? &err : NULL);
}

static bool take_record(struct changes *c, struct str record)
{
    char kind = record.n ? record.p[0] : '\0';
    struct str path = str_from(record, 1);
    if (c->sys >= 0)
        return false; /* nothing may follow */
    if (kind == 'E') {
        char *end;
        char text[300];
        snprintf(text, sizeof text, "%.*s", (int)(path.n < 250 ? path.n : 250), path.p);
        c->sys = (int)strtol(text, &end, 10) & 0xfff;
        snprintf(c->where, sizeof c->where, "%s", *end ? end + 1 : end);
        return true;
    }
    if ((kind != 'A' && kind != 'M' && kind != 'D') || path.n == 0)
        return false;
    sandbox_op_add_change(c->op, kind, path);
    return true;
}

/* False when it is not a report. */
static bool take_bytes(struct changes *c, struct str bytes)
{
    while (bytes.n) {
        ptrdiff_t end = str_find(bytes, '\0');
        buf_add(&c->record, bytes.p, end < 0 ? bytes.n : (size_t)end);
        if (c->record.overflow)
            return false;
        if (end < 0)
            return true;
        if (!take_record(c, buf_str(&c->record)))
            return false;
        buf_reset(&c->record, RECORD_MAX);
        bytes = str_from(bytes, (size_t)end + 1);
    }
    return true;
}

static void on_report(void *ctx, unsigned events)
{
    struct changes *c = ctx;
    static char chunk[CHUNK];
    (void)events;
    ssize_t n = read(loop_io_fd(c->pipe), chunk, sizeof chunk);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    bool good = n > 0 && take_bytes(c, (struct str){chunk, (size_t)n});
    c->read_bytes += n > 0 ? (uint64_t)n : 0;
    if (good && c->read_bytes <= REPORT_MAX)
        return;
    if (n > 0)
        c->sys = -1;
    finish(c);
}

void local_changes(void *self, struct sandbox_op *op)
{
    struct local *l = self;
    struct box *box = op->sandbox->impl;
    struct err err;
    int fds[2];
    for (const struct changes *c = l->changes; c; c = c->next)
        if (c->op->sandbox == op->sandbox) {
            err_set(&err, ERR_CONFLICT, "the workspace is being looked at");
            err_remedy(&err, "wait for that to end");
            sandbox_op_done(op, &err);
            return;
        }
    if (pipe2(fds, O_CLOEXEC) < 0) {
        err_sys(&err, errno, "pipe");
        sandbox_op_done(op, &err);
        return;
    }
    struct changes *c = mem_new(struct changes);
    *c = (struct changes){.next = l->changes, .local = l, .op = op, .sys = -1};
    l->changes = c;
    buf_init(&c->record, RECORD_MAX);
    c->pipe = loop_io_new(l->set->loop, fds[0], on_report, c);
    loop_io_want(c->pipe, LOOP_READ);
    int rc = local_guest_changes(box, op->action, fds[1], &err);
    fd_close(&fds[1]);
    if (rc < 0) {
        changes_free(c);
        sandbox_op_done(op, &err);
    }
}
