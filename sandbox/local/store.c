#include "sandbox/local/store.h"
#include "base/dirs.h"
#include "base/fd.h"
#include "base/log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 20 };

void local_hold_finish(struct local_hold *h)
{
    fd_close(&h->dir);
    fd_close(&h->lock);
}

static int open_state(struct sandboxes *set, const char *below, char path[4096],
                      struct err *err)
{
    const char *state = set->config.state_dir;
    if (!state) {
        err_set(err, ERR_UNAVAILABLE, "there is no directory for named sandboxes");
        return err_remedy(err, "set HOME or XDG_STATE_HOME");
    }
    int n = snprintf(path, 4096, "%s/%s", state, below);
    if (n < 0 || n >= 3800)
        return err_set(err, ERR_INVALID, "the path %.60s... is too long", state);
    /* Nobody else may arrange what is in it: the sandbox's root is made from it. */
    int top = dirs_open(state, err);
    if (top < 0)
        return -1;
    int fd = dirs_check_own(top, state, err) < 0 ? -1 : dirs_open(path, err);
    fd_close(&top);
    if (fd >= 0 && dirs_check_own(fd, path, err) < 0)
        fd_close(&fd);
    return fd;
}

/* A directory of the owner's tenant. */
static int open_below(struct sandboxes *set, uint64_t owner, const char *what,
                      char path[4096], struct err *err)
{
    char below[64];
    if (sandbox_tenant(owner))
        snprintf(below, sizeof below, "tenants/%08x/%s", sandbox_tenant(owner), what);
    else
        snprintf(below, sizeof below, "%s", what);
    return open_state(set, below, path, err);
}

static int open_shelf(struct sandboxes *set, uint64_t owner, char path[4096],
                      struct err *err)
{
    return open_below(set, owner, "sandboxes", path, err);
}

static struct flock whole(short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET};
}

static long read_pid(int lock)
{
    char text[32] = "";
    ssize_t n = pread(lock, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return strtol(text, NULL, 10);
}

/* Of another process; 0: free. */
static long holder(int dir)
{
    struct flock lock = whole(F_WRLCK);
    int fd = openat(dir, "lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    long pid = 0;
    if (fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
        pid = read_pid(fd);
    fd_close(&fd);
    return pid;
}

/* The lock belongs to the open file, which the zygote shares: it is free only when both
 * have closed it. The file holds the server's pid for whoever is refused. */
static int take_lock(struct local_hold *h, const char *name, struct err *err)
{
    char pid[32];
    struct flock lock = whole(F_WRLCK);
    h->lock = openat(h->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (h->lock < 0)
        return err_sys(err, errno, "opening the lock of %s", name);
    if (fcntl(h->lock, F_OFD_SETLK, &lock) < 0) {
        if (errno != EAGAIN && errno != EACCES)
            return err_sys(err, errno, "locking %s", name);
        long by = read_pid(h->lock);
        err_set(err, ERR_CONFLICT, "the sandbox %s is held by process %ld", name, by);
        err->sys = (int)by;
        return err_remedy(err, "end that process, or use another name");
    }
    int n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(h->lock, 0) < 0 || pwrite(h->lock, pid, (size_t)n, 0) != n)
        return err_sys(err, errno, "writing the lock of %s", name);
    return 0;
}

/* False when what is held has been moved away meanwhile. */
static bool still_there(int shelf, const char *name, int dir)
{
    struct stat a, b;
    return fstat(dir, &a) == 0 && fstatat(shelf, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
           a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static int not_found(const char *name, struct err *err)
{
    err_set(err, ERR_NOT_FOUND, "there is no sandbox %s", name);
    return err_remedy(err,
                      "sandbox_list (or `sandquay sandboxes`) shows those there are");
}

/* 0, -1, or 1: try again. */
static int hold_once(int shelf, const char *name, bool make, struct local_hold *h,
                     struct err *err)
{
    if (make && mkdirat(shelf, name, 0700) < 0 && errno != EEXIST)
        return err_sys(err, errno, "creating the sandbox %s", name);
    h->dir = openat(shelf, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (h->dir < 0 && errno == ENOENT)
        return make ? 1 : not_found(name, err);
    if (h->dir < 0)
        return err_sys(err, errno, "opening the sandbox %s", name);
    if (take_lock(h, name, err) < 0)
        return err->kind == ERR_IO && err->sys == ENOENT ? 1 : -1;
    return still_there(shelf, name, h->dir) ? 0 : 1;
}

static int hold(int shelf, const char *name, bool make, struct local_hold *h,
                struct err *err)
{
    for (int i = 0; i < TRIES; i++) {
        int rc = hold_once(shelf, name, make, h, err);
        if (rc == 0)
            return 0;
        local_hold_finish(h);
        if (rc < 0)
            return -1;
    }
    return err_set(err, ERR_CONFLICT, "the sandbox %s is being deleted", name);
}

static int check_record(struct local_hold *h, const char *name,
                        enum local_store_want want, struct local_record *record,
                        bool *ret_existed, struct err *err)
{
    *record = (struct local_record){0};
    if (want == STORE_TO_DELETE)
        return 0;
    if (local_record_load(h->dir, record, err) == 0) {
        *ret_existed = true;
        if (want != STORE_MUST_BE_NEW)
            return 0;
        local_record_finish(record);
        err_set(err, ERR_CONFLICT, "there is a sandbox %s", name);
        return err_remedy(err, "use it by its name, or choose another one");
    }
    if (err->kind != ERR_NOT_FOUND)
        return -1;
    *ret_existed = false;
    return want == STORE_MUST_EXIST ? not_found(name, err) : 0;
}

int local_store_hold(struct sandboxes *set, uint64_t owner, const char *name,
                     enum local_store_want want, struct local_hold *ret_hold,
                     struct local_record *ret_record, bool *ret_existed,
                     struct err *err)
{
    char shelf_path[4096];
    struct local_hold h = {.dir = -1, .lock = -1};
    int shelf = open_shelf(set, owner, shelf_path, err);
    if (shelf < 0)
        return -1;
    int rc = hold(shelf, name, want == STORE_MUST_BE_NEW || want == STORE_MAY_EXIST, &h,
                  err);
    fd_close(&shelf);
    if (rc < 0)
        return -1;
    snprintf(h.path, sizeof h.path, "%.3800s/%s", shelf_path, name);
    if (check_record(&h, name, want, ret_record, ret_existed, err) < 0) {
        local_hold_finish(&h);
        return -1;
    }
    *ret_hold = h;
    return 0;
}

static int move_to_trash(int trash, const char *path, struct err *err)
{
    static unsigned number;
    char to[128];
    const char *name = strrchr(path, '/') + 1;
    for (int i = 0; i < TRIES; i++) {
        snprintf(to, sizeof to, "%.40s-%d-%u", name, (int)getpid(), ++number);
        if (renameat(AT_FDCWD, path, trash, to) == 0)
            return 0;
        if (errno != EEXIST && errno != ENOTEMPTY)
            break;
    }
    return err_sys(err, errno, "deleting %.100s", path);
}

int local_store_throw(struct sandboxes *set, const char *path, struct err *err)
{
    char trash_path[4096];
    int trash = open_state(set, "trash", trash_path, err);
    int rc = trash < 0 ? -1 : move_to_trash(trash, path, err);
    fd_close(&trash);
    return rc;
}

int local_store_discard(struct sandboxes *set, struct local_hold *h, struct err *err)
{
    return local_store_throw(set, h->path, err);
}

int local_store_snapshots(struct sandboxes *set, uint64_t owner, char path[4096],
                          struct err *err)
{
    return open_below(set, owner, "snapshots", path, err);
}

static DIR *list_of(int fd)
{
    int copy = fd < 0 ? -1 : openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    if (!d)
        fd_close(&copy);
    return d;
}

static void one_row(int shelf, const char *name,
                    void (*row)(void *ctx, const char *name,
                                const struct local_record *record, long held_by),
                    void *ctx)
{
    struct err err;
    struct local_record record;
    int dir = openat(shelf, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir < 0)
        return;
    int rc = local_record_load(dir, &record, &err);
    if (rc == 0 || err.kind != ERR_NOT_FOUND) {
        if (rc < 0)
            log_warn("ignoring the record of the sandbox %s: %s", name, err.msg);
        row(ctx, name, &record, holder(dir));
        local_record_finish(&record);
    }
    fd_close(&dir);
}

void local_store_each(struct sandboxes *set, uint64_t owner,
                      void (*row)(void *ctx, const char *name,
                                  const struct local_record *record, long held_by),
                      void *ctx)
{
    char path[4096];
    struct err err;
    int shelf = open_shelf(set, owner, path, &err);
    DIR *d = list_of(shelf);
    for (struct dirent *e; d && (e = readdir(d));)
        if (sandbox_check_name(str_of(e->d_name), &err) == 0)
            one_row(shelf, e->d_name, row, ctx);
    if (d)
        closedir(d);
    fd_close(&shelf);
}

/* Without a record, and not just being made. */
static bool unfinished(int shelf, const char *name)
{
    enum { OLD_S = 60 };
    char record[SANDBOX_NAME_MAX + 16];
    struct stat dir, st;
    snprintf(record, sizeof record, "%.*s/record.json", SANDBOX_NAME_MAX, name);
    return fstatat(shelf, record, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT &&
           fstatat(shelf, name, &dir, AT_SYMLINK_NOFOLLOW) == 0 &&
           dir.st_mtime + OLD_S < time(NULL);
}

/* Whoever made it has died. */
static void discard_unfinished(struct sandboxes *set, int trash)
{
    char path[4096];
    struct err err;
    int shelf = open_shelf(set, 0, path, &err);
    DIR *d = list_of(shelf);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct local_hold h = {.dir = -1, .lock = -1};
        if (sandbox_check_name(str_of(e->d_name), &err) < 0 ||
            !unfinished(shelf, e->d_name))
            continue;
        if (hold_once(shelf, e->d_name, false, &h, &err) == 0) {
            snprintf(h.path, sizeof h.path, "%.3800s/%.255s", path, e->d_name);
            if (move_to_trash(trash, h.path, &err) < 0)
                log_warn("ignoring what is left of a sandbox: %s", err.msg);
        }
        local_hold_finish(&h);
    }
    if (d)
        closedir(d);
    fd_close(&shelf);
}

int local_store_trash(struct sandboxes *set, bool *ret_full)
{
    char path[4096];
    struct err err;
    *ret_full = false;
    int trash = open_state(set, "trash", path, &err);
    if (trash < 0)
        return -1;
    discard_unfinished(set, trash);
    DIR *d = list_of(trash);
    for (struct dirent *e; d && (e = readdir(d)) && !*ret_full;)
        *ret_full = strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d)
        closedir(d);
    return trash;
}
