/* What has changed is found by walking the upper layer beside the lower one; what is
 * alike in both is no change, so a commit, which copies upwards to the lower layer, and
 * a discard, which copies what was before into the merged view, both leave nothing to
 * be listed. The overlay stays mounted throughout: its view is the same before and
 * after a commit, and a discard works through it.
 *
 * Meanwhile the sandbox's other processes are held back. Nothing here follows a link.
 *
 * Report, on the pipe: a letter (A added, M modified, D deleted), the path, NUL; at the
 * end "E", the errno or 0, a space, the path where it happened, NUL. */
#include "sandbox/guest/changes.h"
#include "base/fd.h"
#include "sandbox/guest/copy.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { DEPTH_MAX = 400, REPORT_BYTES = 64 * 1024 };

static int lower_layer = -1, upper_layer = -1;
static pid_t worker;

void changes_init(int lower, int upper)
{
    lower_layer = lower;
    upper_layer = upper;
}

struct walk {
    enum guest_changes_action action;
    char path[PATH_MAX];
    size_t n; /* of path */
    int depth, out;
    char report[REPORT_BYTES];
    size_t report_n;
};

/* One place of the walk: the same directory in each layer; -1: it is not there. */
struct place {
    int upper, lower, merged;
};

static int write_out(struct walk *w)
{
    size_t done = 0;
    while (done < w->report_n) {
        ssize_t k = write(w->out, w->report + done, w->report_n - done);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return -1;
        done += (size_t)k;
    }
    w->report_n = 0;
    return 0;
}

static int say(struct walk *w, const char *head, const char *text)
{
    size_t need = strlen(head) + strlen(text) + 1;
    if (w->report_n + need > sizeof w->report && write_out(w) < 0)
        return -1;
    w->report_n +=
        (size_t)snprintf(w->report + w->report_n, sizeof w->report - w->report_n,
                         "%s%s", head, text) +
        1;
    return 0;
}

static int push(struct walk *w, const char *name)
{
    size_t n = strlen(name);
    if (w->n + n + 2 > sizeof w->path || ++w->depth > DEPTH_MAX) {
        errno = w->depth > DEPTH_MAX ? ELOOP : ENAMETOOLONG;
        return -1;
    }
    if (w->n)
        w->path[w->n++] = '/';
    memcpy(w->path + w->n, name, n + 1);
    w->n += n;
    return 0;
}

static void pop(struct walk *w, size_t n)
{
    w->n = n;
    w->path[n] = '\0';
    w->depth--;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int open_dir(int at, const char *name)
{
    return at < 0 ? -1
                  : openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static DIR *list(int at)
{
    int fd = open_dir(at, ".");
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d)
        fd_close(&fd);
    return d;
}

static bool look(int at, const char *name, struct stat *st)
{
    return at >= 0 && fstatat(at, name, st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int remove_tree(int at, const char *name, int depth)
{
    if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -1;
    if (depth > DEPTH_MAX) {
        errno = ELOOP;
        return -1;
    }
    int fd = open_dir(at, name);
    DIR *d = list(fd);
    int rc = d ? 0 : -1;
    for (struct dirent *e; rc == 0 && d && (e = readdir(d));)
        if (!is_dots(e->d_name))
            rc = remove_tree(fd, e->d_name, depth + 1);
    int saved = errno;
    if (d)
        closedir(d);
    fd_close(&fd);
    errno = saved;
    return rc < 0 ? -1 : unlinkat(at, name, AT_REMOVEDIR);
}

/* Owner, time and mode of st; set-id bits are nobody's to hand out. */
static int dress(int fd, const struct stat *st)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    if (fchown(fd, st->st_uid, st->st_gid) < 0 && errno != EPERM && errno != EINVAL)
        return -1;
    return fchmod(fd, st->st_mode & 01777) < 0 ? -1 : futimens(fd, times);
}

static int copy_bytes(int from, int to)
{
    static char block[256 * 1024];
    for (;;) {
        ssize_t n = read(from, block, sizeof block);
        if (n <= 0)
            return (int)n;
        for (ssize_t done = 0; done < n;) {
            ssize_t k = write(to, block + done, (size_t)(n - done));
            if (k < 0)
                return -1;
            done += k;
        }
    }
}

static const char temporary[] = ".sandquay-change";

static int take_place(int at, const char *name)
{
    if (renameat(at, temporary, at, name) == 0)
        return 0;
    if (errno != EISDIR && errno != ENOTEMPTY && errno != EEXIST)
        return -1;
    return remove_tree(at, name, 0) < 0 ? -1 : renameat(at, temporary, at, name);
}

static int copy_file(int from, int to, const char *name, const struct stat *st)
{
    int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    unlinkat(to, temporary, 0);
    int out = in < 0
                  ? -1
                  : openat(to, temporary,
                           O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int rc = out < 0 ? -1 : copy_bytes(in, out);
    if (rc == 0)
        rc = dress(out, st);
    if (rc == 0)
        rc = take_place(to, name);
    int saved = errno;
    fd_close(&in);
    fd_close(&out);
    errno = saved;
    return rc;
}

static int replace_link(int from, int to, const char *name)
{
    unlinkat(to, temporary, 0);
    return copy_link(from, name, to, temporary) < 0 ? -1 : take_place(to, name);
}

/* A directory of that name, in the place of whatever else it was. */
static int make_dir(int to, const char *name, const struct stat *st)
{
    struct stat there;
    if (look(to, name, &there) && !S_ISDIR(there.st_mode) && unlinkat(to, name, 0) < 0)
        return -1;
    if (mkdirat(to, name, 0700) < 0 && errno != EEXIST)
        return -1;
    int fd = open_dir(to, name);
    int rc = fd < 0 ? -1 : dress(fd, st);
    int saved = errno;
    fd_close(&fd);
    errno = saved;
    return rc;
}

/* One thing, and what is in it if `deep`. Devices and sockets are left out. */
static int copy(int from, int to, const char *name, bool deep, int depth)
{
    struct stat st;
    if (!look(from, name, &st))
        return -1;
    if (S_ISREG(st.st_mode))
        return copy_file(from, to, name, &st);
    if (S_ISLNK(st.st_mode))
        return replace_link(from, to, name);
    if (S_ISFIFO(st.st_mode)) {
        unlinkat(to, temporary, 0);
        return mkfifoat(to, temporary, st.st_mode & 0777) < 0 ? -1
                                                              : take_place(to, name);
    }
    if (!S_ISDIR(st.st_mode))
        return 0;
    if (depth > DEPTH_MAX) {
        errno = ELOOP;
        return -1;
    }
    int rc = make_dir(to, name, &st);
    int in = open_dir(from, name), out = open_dir(to, name);
    DIR *d = deep && rc == 0 ? list(in) : NULL;
    for (struct dirent *e; rc == 0 && d && (e = readdir(d));)
        if (!is_dots(e->d_name))
            rc = copy(in, out, e->d_name, true, depth + 1);
    int saved = errno;
    if (d)
        closedir(d);
    fd_close(&in);
    fd_close(&out);
    errno = saved;
    return rc;
}

static bool same_bytes(int a_at, int b_at, const char *name)
{
    static char block[2][64 * 1024];
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int a = openat(a_at, name, flags), b = openat(b_at, name, flags);
    bool same = a >= 0 && b >= 0;
    while (same) {
        ssize_t n = read(a, block[0], sizeof block[0]);
        ssize_t k = read(b, block[1], sizeof block[1]);
        if (n <= 0 || n != k || memcmp(block[0], block[1], (size_t)n) != 0) {
            same = n == 0 && k == 0;
            break;
        }
    }
    fd_close(&a);
    fd_close(&b);
    return same;
}

static bool same_link(int a, int b, const char *name)
{
    char text[2][PATH_MAX];
    ssize_t n = readlinkat(a, name, text[0], PATH_MAX);
    ssize_t k = readlinkat(b, name, text[1], PATH_MAX);
    return n >= 0 && n == k && memcmp(text[0], text[1], (size_t)n) == 0;
}

static bool differs(const struct place *p, const char *name, const struct stat *up,
                    const struct stat *low)
{
    if ((up->st_mode & S_IFMT) != (low->st_mode & S_IFMT))
        return true;
    if (S_ISLNK(up->st_mode))
        return !same_link(p->upper, p->lower, name);
    if ((up->st_mode & 01777) != (low->st_mode & 01777))
        return true;
    return S_ISREG(up->st_mode) &&
           (up->st_size != low->st_size || !same_bytes(p->upper, p->lower, name));
}

static bool is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static bool is_opaque(int dir)
{
    char value[4];
    return fgetxattr(dir, "user.overlay.opaque", value, sizeof value) == 1 &&
           value[0] == 'y';
}

/* Reports one change and does what is asked for with it. */
static int change(struct walk *w, const struct place *p, char kind, const char *name,
                  bool directory)
{
    char head[2] = {kind, '\0'};
    size_t n = w->n;
    if (directory && n + 1 < sizeof w->path)
        memcpy(w->path + n, "/", 2);
    int rc = say(w, head, w->path);
    w->path[n] = '\0';
    if (rc < 0 || w->action == GUEST_CHANGES_LIST)
        return rc;
    if (w->action == GUEST_CHANGES_COMMIT)
        return kind == 'D' ? remove_tree(p->lower, name, 0)
                           : copy(p->upper, p->lower, name, false, 0);
    /* of a directory that is one still, its entries tell for themselves */
    bool deep = kind == 'D' || !directory;
    return kind == 'A' ? remove_tree(p->merged, name, 0)
                       : copy(p->lower, p->merged, name, deep, 0);
}

static int walk(struct walk *w, const struct place *p);

static int enter(struct walk *w, const struct place *p, const char *name)
{
    struct place below = {.upper = open_dir(p->upper, name),
                          .lower = open_dir(p->lower, name),
                          .merged = open_dir(p->merged, name)};
    int rc = below.upper < 0 ? -1 : walk(w, &below);
    int saved = errno;
    fd_close(&below.upper);
    fd_close(&below.lower);
    fd_close(&below.merged);
    errno = saved;
    return rc;
}

static int visit(struct walk *w, const struct place *p, const char *name)
{
    struct stat up, low;
    bool had = look(p->lower, name, &low);
    if (!look(p->upper, name, &up))
        return errno == ENOENT ? 0 : -1;
    if (is_whiteout(&up))
        return had ? change(w, p, 'D', name, S_ISDIR(low.st_mode)) : 0;
    bool directory = S_ISDIR(up.st_mode);
    int rc = 0;
    if (!had)
        rc = change(w, p, 'A', name, directory);
    else if (differs(p, name, &up, &low))
        rc = change(w, p, 'M', name, directory);
    bool gone = w->action == GUEST_CHANGES_DISCARD && !(had && S_ISDIR(low.st_mode));
    if (rc == 0 && directory && !gone)
        rc = enter(w, p, name);
    return rc;
}

/* What an opaque directory of the upper layer hides. */
static int hidden(struct walk *w, const struct place *p)
{
    DIR *d = p->lower >= 0 && is_opaque(p->upper) ? list(p->lower) : NULL;
    int rc = 0;
    for (struct dirent *e; rc == 0 && d && (e = readdir(d));) {
        struct stat up, low;
        size_t n = w->n;
        if (is_dots(e->d_name) || look(p->upper, e->d_name, &up) ||
            !look(p->lower, e->d_name, &low))
            continue;
        rc = push(w, e->d_name);
        if (rc == 0)
            rc = change(w, p, 'D', e->d_name, S_ISDIR(low.st_mode));
        if (rc == 0)
            pop(w, n);
    }
    if (d)
        closedir(d);
    return rc;
}

static int walk(struct walk *w, const struct place *p)
{
    int rc = hidden(w, p);
    DIR *d = rc == 0 ? list(p->upper) : NULL;
    for (struct dirent *e; rc == 0 && d && (e = readdir(d));) {
        size_t n = w->n;
        if (is_dots(e->d_name) || strcmp(e->d_name, temporary) == 0)
            continue;
        rc = push(w, e->d_name);
        if (rc == 0)
            rc = visit(w, p, e->d_name);
        if (rc == 0)
            pop(w, n);
    }
    if (rc == 0 && !d)
        rc = -1;
    if (d)
        closedir(d);
    return rc;
}

_Noreturn static void work(enum guest_changes_action action, int out)
{
    static struct walk w;
    char head[32];
    w.action = action;
    w.out = out;
    umask(0);
    struct place top = {.upper = upper_layer, .lower = lower_layer, .merged = -1};
    if (action == GUEST_CHANGES_DISCARD)
        top.merged = open("/workspace", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = walk(&w, &top);
    snprintf(head, sizeof head, "E%d ", rc < 0 ? errno : 0);
    _exit(say(&w, head, rc < 0 ? w.path : "") < 0 || write_out(&w) < 0);
}

/* It has reported its end, and ends. */
static void wait_for_worker(struct guest *g)
{
    enum { TRIES = 500 };
    for (int i = 0; i < TRIES && worker; i++) {
        if (waitpid(worker, NULL, WNOHANG) != 0)
            changes_reaped(g, worker);
        else
            poll(NULL, 0, 1);
    }
}

void changes_start(struct guest *g, struct wire_message *m)
{
    struct guest_changes request;
    wait_for_worker(g);
    if (m->body_bytes != sizeof request || m->fd_count != 1 || upper_layer < 0 ||
        worker) {
        guest_fail(g, m->id, GUEST_WHAT_BAD_REQUEST, worker ? EBUSY : EINVAL,
                   "changes");
        return;
    }
    memcpy(&request, m->body, sizeof request);
    if (request.action != GUEST_CHANGES_LIST)
        run_hold(g, true);
    worker = fork();
    if (worker == 0)
        work((enum guest_changes_action)request.action, m->fds[0]);
    if (worker < 0) {
        worker = 0;
        run_hold(g, false);
        guest_fail(g, m->id, GUEST_WHAT_ERRNO, errno, "");
    }
}

void changes_reaped(struct guest *g, pid_t pid)
{
    if (pid != worker)
        return;
    worker = 0;
    run_hold(g, false);
}
