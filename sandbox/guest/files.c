/* Files are opened here, inside the sandbox, and passed out as descriptors: links
 * resolve against the sandbox's own root, and nothing can lead outside. */
#include "base/fd.h"
#include "sandbox/guest/guest.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PENDING_MAX = 64 };

/* A file being replaced: a temporary one beside it. */
struct pending {
    uint32_t token; /* 0: free */
    int dir;
    char name[NAME_MAX + 1], temporary[NAME_MAX + 1];
    bool existed;
    mode_t mode;
    uid_t uid;
    gid_t gid;
};

static struct pending pending[PENDING_MAX];
static uint32_t last_token;

static enum guest_what what_of(mode_t mode)
{
    return S_ISDIR(mode) ? GUEST_WHAT_IS_DIRECTORY : GUEST_WHAT_NOT_REGULAR;
}

/* Links of /proc that lead elsewhere than their text says are not followed. */
static int open_plain(const char *path, uint64_t flags)
{
    struct open_how how = {.flags = flags, .resolve = RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

/* A FIFO opens in every mode: never block, then ask what it is. */
static void open_read(struct guest *g, uint32_t id, const char *path)
{
    struct stat st;
    int fd = open_plain(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        /* A socket cannot be opened (ENXIO), but it is one. */
        bool special = errno == ENXIO && stat(path, &st) == 0;
        guest_fail(g, id, special ? GUEST_WHAT_NOT_REGULAR : GUEST_WHAT_ERRNO, errno,
                   "");
    } else if (!S_ISREG(st.st_mode)) {
        guest_fail(g, id, what_of(st.st_mode), 0, "");
    } else {
        struct guest_opened opened = {.existed = 1, .size_bytes = (uint64_t)st.st_size};
        guest_answer_fd(g, &(struct wire_out){.type = GUEST_OPENED,
                                              .id = id,
                                              .body = &opened,
                                              .body_bytes = sizeof opened,
                                              .fds = &fd,
                                              .fd_count = 1});
    }
    fd_close(&fd);
}

/* mkdir -p of everything before the last slash. */
static int make_parents(char *path)
{
    for (char *p = path + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        int rc = mkdir(path, 0755);
        int saved = errno;
        *p = '/';
        if (rc < 0 && saved != EEXIST && saved != EROFS && saved != EACCES) {
            errno = saved;
            return -1;
        }
    }
    return 0;
}

/* Follows links of the last component, so that the file behind them is replaced. */
static int follow_links(char path[PATH_MAX])
{
    for (int depth = 0; depth < 40; depth++) {
        char text[PATH_MAX];
        ssize_t n = readlink(path, text, sizeof text - 1);
        if (n < 0)
            return errno == EINVAL || errno == ENOENT ? 0 : -1;
        text[n] = '\0';
        char *slash = strrchr(path, '/');
        size_t keep = text[0] == '/' ? 0 : (size_t)(slash + 1 - path);
        if (keep + (size_t)n >= PATH_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(path + keep, text, (size_t)n + 1);
    }
    errno = ELOOP;
    return -1;
}

static struct pending *free_pending(void)
{
    for (int i = 0; i < PENDING_MAX; i++)
        if (pending[i].token == 0)
            return &pending[i];
    return NULL;
}

static int make_temporary(struct pending *p, mode_t mode)
{
    for (int tries = 0; tries < 100; tries++) {
        snprintf(p->temporary, sizeof p->temporary, ".sandquay-%u-%d", last_token,
                 tries);
        int fd = openat(p->dir, p->temporary,
                        O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

/* The directory and the name of the file at `path`, which begins with a slash. */
static int locate(struct pending *p, char *path)
{
    if (make_parents(path) < 0 || follow_links(path) < 0)
        return -1;
    char *slash = strrchr(path, '/');
    const char *name = slash + 1;
    if (strlen(name) > NAME_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(p->name, name, strlen(name) + 1);
    slash[slash == path] = '\0';
    p->dir = open_plain(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return p->dir < 0 ? -1 : 0;
}

static void open_replace(struct guest *g, uint32_t id, char *path, mode_t create_mode)
{
    struct pending *p = free_pending();
    struct stat st;
    if (!p) {
        guest_fail(g, id, GUEST_WHAT_ERRNO, EMFILE, "");
        return;
    }
    *p = (struct pending){.dir = -1, .mode = create_mode ? create_mode : 0644};
    if (locate(p, path) < 0) {
        guest_fail(g, id, GUEST_WHAT_ERRNO, errno, "");
        return;
    }
    bool directory =
        p->name[0] == '\0' || strcmp(p->name, ".") == 0 || strcmp(p->name, "..") == 0;
    p->existed = !directory && fstatat(p->dir, p->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (directory || (p->existed && !S_ISREG(st.st_mode))) {
        guest_fail(g, id, directory ? GUEST_WHAT_IS_DIRECTORY : what_of(st.st_mode), 0,
                   "");
        fd_close(&p->dir);
        return;
    }
    if (p->existed) {
        p->mode = create_mode ? create_mode : st.st_mode & 07777;
        p->uid = st.st_uid;
        p->gid = st.st_gid;
    }
    ++last_token;
    int fd = make_temporary(p, 0600);
    if (fd < 0) {
        guest_fail(g, id, GUEST_WHAT_ERRNO, errno, "");
        fd_close(&p->dir);
        return;
    }
    p->token = last_token;
    struct guest_opened opened = {.token = p->token, .existed = p->existed};
    guest_answer_fd(g, &(struct wire_out){.type = GUEST_OPENED,
                                          .id = id,
                                          .body = &opened,
                                          .body_bytes = sizeof opened,
                                          .fds = &fd,
                                          .fd_count = 1});
    fd_close(&fd);
}

static void make_dir(struct guest *g, uint32_t id, char *path, bool parents)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        path[--n] = '\0';
    struct stat st;
    int rc = parents ? make_parents(path) : 0;
    if (rc == 0)
        rc = mkdir(path, 0755);
    int saved = errno;
    if (rc < 0 && saved == EEXIST && parents && stat(path, &st) == 0 &&
        S_ISDIR(st.st_mode))
        rc = 0;
    if (rc < 0)
        guest_fail(g, id, GUEST_WHAT_ERRNO, saved, "");
    else
        guest_answer(g, GUEST_DONE, id, NULL, 0);
}

void files_open(struct guest *g, const struct wire_message *m)
{
    struct guest_open request;
    char path[PATH_MAX];
    bool absolute = m->tail.n && m->tail.p[0] == '/';
    if (m->body_bytes != sizeof request || m->tail.n == 0 ||
        memchr(m->tail.p, '\0', m->tail.n)) {
        guest_fail(g, m->id, GUEST_WHAT_BAD_REQUEST, EINVAL, "open");
        return;
    }
    memcpy(&request, m->body, sizeof request);
    int n = absolute ? snprintf(path, sizeof path, "%.*s", STR_FMT(m->tail))
                     : snprintf(path, sizeof path, "%s/%.*s", g->place[PLACE_WORKSPACE],
                                STR_FMT(m->tail));
    if (n < 0 || (size_t)n >= sizeof path)
        guest_fail(g, m->id, GUEST_WHAT_ERRNO, ENAMETOOLONG, "");
    else if (request.mode == GUEST_OPEN_READ)
        open_read(g, m->id, path);
    else if (request.mode != GUEST_OPEN_REPLACE)
        make_dir(g, m->id, path, request.mode == GUEST_OPEN_MAKE_DIRS);
    else
        open_replace(g, m->id, path, (mode_t)request.create_mode & 07777);
}

static int take_place(struct pending *p)
{
    /* The owner first: chown clears set-id bits. It may be refused; the file is ours
     * then. */
    if (p->existed &&
        fchownat(p->dir, p->temporary, p->uid, p->gid, AT_SYMLINK_NOFOLLOW) < 0)
        p->mode &= 0777;
    if (fchmodat(p->dir, p->temporary, p->mode, 0) < 0)
        return -1;
    return renameat(p->dir, p->temporary, p->dir, p->name);
}

void files_commit(struct guest *g, const struct wire_message *m)
{
    struct guest_commit request = {0};
    struct pending *p = NULL;
    if (m->body_bytes == sizeof request)
        memcpy(&request, m->body, sizeof request);
    for (int i = 0; i < PENDING_MAX && request.token; i++)
        if (pending[i].token == request.token)
            p = &pending[i];
    if (!p) {
        guest_fail(g, m->id, GUEST_WHAT_BAD_REQUEST, EINVAL, "commit");
        return;
    }
    int rc = request.keep ? take_place(p) : 0;
    int saved = errno;
    if (!request.keep || rc < 0)
        unlinkat(p->dir, p->temporary, 0);
    fd_close(&p->dir);
    p->token = 0;
    if (rc < 0)
        guest_fail(g, m->id, GUEST_WHAT_ERRNO, saved, "");
    else
        guest_answer(g, GUEST_DONE, m->id, NULL, 0);
}
