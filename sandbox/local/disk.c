/* The disk limit of kept sandboxes, whose files are in a directory of the host. Project
 * quotas would keep it exactly, but most file systems are made without; a file system
 * in a file would, too, but could not be a layer of others. So it is measured: a
 * process of its own adds up what is there, while commands run, and only when the file
 * system has filled by so much since that the limit could be reached. Over it and still
 * growing, everything in the sandbox is ended; what frees space goes on. */
#include "base/fd.h"
#include "base/log.h"
#include "sandbox/local/local.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    LOOK_MS = 250,
    DAEMONS_LOOK_MS = 5000, /* no command runs, but what some have left behind may */
    SHARE = 20, /* measuring takes at most one part of so many of the time */
};

static bool file_system_used(const struct box *box, uint64_t *ret)
{
    struct statvfs fs;
    if (fstatvfs(box->hold.dir, &fs) < 0)
        return false;
    *ret = (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
    return true;
}

static uint64_t limit_of(const struct box *box)
{
    return sandbox_in_force(box->sandbox)->disk_bytes;
}

/* What the sandbox can have at most, if all that the file system has filled by is its.
 */
static uint64_t at_most(const struct disk_watch *w, uint64_t used)
{
    return w->bytes + (used > w->used ? used - w->used : 0);
}

static void look_again(struct box *box)
{
    struct disk_watch *w = &box->disk;
    uint64_t ms = local_guest_busy(box) ? LOOK_MS
                  : box->left_behind    ? DAEMONS_LOOK_MS
                                        : 0;
    w->looking = ms > 0;
    if (ms)
        loop_timer_start(w->timer, ms > w->pause_ms ? ms : w->pause_ms);
}

static void judge(struct box *box, uint64_t bytes)
{
    struct disk_watch *w = &box->disk;
    bool grows = w->measured && bytes > w->bytes;
    w->bytes = bytes;
    w->measured = true;
    w->over = bytes > limit_of(box);
    if (w->over && grows)
        local_guest_end_all(box);
}

static void on_measured(struct local *l, void *ctx, int status)
{
    struct box *box = l->boxes;
    uint64_t bytes = 0;
    while (box && box->create_id != (uint32_t)(uintptr_t)ctx)
        box = box->next;
    if (!box)
        return;
    struct disk_watch *w = &box->disk;
    uint64_t now = loop_now_ms(l->set->loop);
    w->pause_ms = SHARE * (now - w->began_ms);
    if (status || pread(w->report, &bytes, sizeof bytes, 0) != sizeof bytes)
        bytes = at_most(w, w->used_then); /* it was disturbed: the worst is assumed */
    judge(box, bytes);
    w->used = w->used_then;
    fd_close(&w->report);
    look_again(box);
}

static int measure(struct box *box, struct err *err)
{
    struct disk_watch *w = &box->disk;
    char program[] = "sandquay-guest", verb[] = "measure";
    char *const argv[] = {program, verb, NULL};
    int files =
        openat(box->hold.dir, "files", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    w->report = memfd_create("report", MFD_CLOEXEC);
    const int fds[] = {files, w->report};
    int rc = files < 0 || w->report < 0
                 ? err_sys(err, errno, "measuring a sandbox")
                 : local_helper_start(box->local, argv, fds, 2, on_measured,
                                      (void *)(uintptr_t)box->create_id, err);
    fd_close(&files);
    if (rc < 0)
        fd_close(&w->report);
    w->began_ms = loop_now_ms(box->local->set->loop);
    return rc;
}

static void on_look(void *ctx)
{
    struct box *box = ctx;
    struct disk_watch *w = &box->disk;
    struct err err;
    uint64_t used;
    w->looking = false;
    if (w->report >= 0 || !file_system_used(box, &used))
        return;
    if (w->measured && !w->over && at_most(w, used) <= limit_of(box)) {
        look_again(box);
        return;
    }
    w->used_then = used;
    if (measure(box, &err) < 0)
        log_warn("ignoring the disk limit of a sandbox: %s", err.msg);
}

void local_disk_watch(struct box *box)
{
    struct disk_watch *w = &box->disk;
    if (box->hold.dir < 0 || !box->sandbox || w->looking)
        return;
    if (!w->timer) {
        w->timer = loop_timer_new(box->local->set->loop, on_look, box);
        w->report = -1;
        /* A new one has nothing yet. */
        w->measured = !box->sandbox->resumed && file_system_used(box, &w->used);
    }
    w->looking = true;
    if (w->report < 0)
        loop_timer_start(w->timer, LOOK_MS);
}

int local_disk_check(const struct box *box, struct err *err)
{
    if (box->hold.dir < 0 || !box->disk.over)
        return 0;
    err_set(err, ERR_LIMIT, "the sandbox's files take more than its limit of %llu MiB",
            (unsigned long long)(limit_of(box) >> 20));
    return err_remedy(err, "delete files with a command, or create it with more "
                           "(sandbox_create {diskMb}, or the server's --disk)");
}

void local_disk_finish(struct box *box)
{
    if (box->disk.timer)
        fd_close(&box->disk.report);
    loop_timer_free(box->disk.timer);
}
