/* How much a snapshot has on disk: added up by a process of its own (local/helper.c).
 */
#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/local/local.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

struct measuring {
    struct measuring *next;
    struct sandbox_op *op;
    int report;
};

static void measuring_free(struct local *l, struct measuring *m)
{
    struct measuring **at = &l->measuring;
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    fd_close(&m->report);
    mem_free(m);
}

void local_measure_finish(struct local *l)
{
    while (l->measuring)
        measuring_free(l, l->measuring);
}

static void on_measured(struct local *l, void *ctx, int status)
{
    struct measuring *m = ctx;
    struct sandbox_op *op = m->op;
    struct snapshot_info info = {.id = str_of(op->name)};
    struct err err;
    uint64_t bytes = 0;
    bool good =
        status == 0 && pread(m->report, &bytes, sizeof bytes, 0) == sizeof bytes;
    measuring_free(l, m);
    info.size_bytes = bytes;
    if (good)
        sandbox_op_add_snapshot(op, &info);
    else
        err_set(&err, ERR_IO, "the snapshot could not be measured");
    sandbox_op_done(op, good ? NULL : &err);
}

static int open_files(struct local *l, const struct sandbox_op *op, struct err *err)
{
    char path[4096], files[SANDBOX_NAME_MAX + 16];
    int snapshots = local_store_snapshots(l->set, op->owner, path, err);
    if (snapshots < 0)
        return -1;
    snprintf(files, sizeof files, "%s/files", op->name);
    int fd = openat(snapshots, files, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int saved = errno;
    fd_close(&snapshots);
    if (fd < 0 && saved == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "there is no snapshot %s", op->name);
    return fd < 0 ? err_sys(err, saved, "opening a snapshot") : fd;
}

void local_snapshot_measure(void *self, struct sandbox_op *op)
{
    struct local *l = self;
    struct err err;
    char program[] = "sandquay-guest", verb[] = "measure";
    char *const argv[] = {program, verb, NULL};
    int files = open_files(l, op, &err);
    if (files < 0) {
        sandbox_op_done(op, &err);
        return;
    }
    struct measuring *m = mem_new(struct measuring);
    *m = (struct measuring){
        .next = l->measuring, .op = op, .report = memfd_create("report", MFD_CLOEXEC)};
    l->measuring = m;
    const int fds[] = {files, m->report};
    int rc = m->report < 0 ? err_sys(&err, errno, "measuring a snapshot")
                           : local_helper_start(l, argv, fds, 2, on_measured, m, &err);
    fd_close(&files);
    if (rc == 0)
        return;
    measuring_free(l, m);
    sandbox_op_done(op, &err);
}
