#include "sandbox/guest/inside.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int root = -1;

void inside_use(int fd)
{
    root = fd;
}

/* All at once, where every component is what it should be. */
static int open_at_once(const char *path, size_t n, uint64_t flags)
{
    char copy[PATH_MAX];
    struct open_how how = {.flags = flags | O_PATH | O_NOFOLLOW | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    while (n && *path == '/')
        path++, n--;
    snprintf(copy, sizeof copy, "%.*s", (int)n, path);
    return (int)syscall(SYS_openat2, root, n ? copy : ".", &how, sizeof how);
}

/* NAME becomes NAME.displaced. */
static int displace(int at, const char *name)
{
    char to[NAME_MAX + 1];
    for (int i = 0; i < 100; i++) {
        int n = snprintf(to, sizeof to, "%.200s.displaced", name);
        if (i)
            snprintf(to + n, sizeof to - (size_t)n, "-%d", i);
        if (faccessat(at, to, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
            return renameat(at, name, at, to);
    }
    errno = EEXIST;
    return -1;
}

static int open_dir(int at, const char *name)
{
    return openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int step_into(int at, const char *name, mode_t mode)
{
    int fd = open_dir(at, name);
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP) && displace(at, name) < 0)
        return -1;
    if (fd >= 0)
        return fd;
    return mkdirat(at, name, mode) < 0 ? -1 : open_dir(at, name);
}

/* Walks the first n bytes of path. */
static int walk(const char *path, size_t n, mode_t mode)
{
    enum { PARENT_MODE = 0755 };
    char copy[PATH_MAX], *save = NULL;
    snprintf(copy, sizeof copy, "%.*s", (int)n, path);
    char *name = strtok_r(copy, "/", &save);
    if (!name)
        return open_dir(root, ".");
    int at = root;
    while (name && at >= 0) {
        char *next = strtok_r(NULL, "/", &save);
        int fd = step_into(at, name, next ? PARENT_MODE : mode);
        int saved = errno;
        if (at != root)
            fd_close(&at);
        errno = saved;
        at = fd;
        name = next;
    }
    return at;
}

static int find_or_walk(const char *path, size_t n, mode_t mode)
{
    int fd = open_at_once(path, n, O_DIRECTORY);
    return fd < 0 ? walk(path, n, mode) : fd;
}

int inside_dir(const char *path, mode_t mode)
{
    return find_or_walk(path, strlen(path), mode);
}

int inside_make_dir(const char *path, mode_t mode)
{
    const char *name = strrchr(path, '/') + 1;
    int parent = name == path + 1 ? root : inside_parent(path, &name);
    int rc = parent < 0 ? -1 : mkdirat(parent, name, mode);
    int saved = errno;
    if (parent != root)
        fd_close(&parent);
    errno = saved;
    if (rc == 0 || saved != EEXIST)
        return rc;
    int fd = inside_dir(path, mode);
    rc = fd < 0 ? -1 : 0;
    fd_close(&fd);
    return rc;
}

int inside_parent(const char *path, const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    *ret_name = slash + 1;
    return find_or_walk(path, (size_t)(slash - path), 0755);
}

int inside_find(const char *path)
{
    const char *name;
    int found = open_at_once(path, strlen(path), 0);
    if (found >= 0 || errno == ENOENT)
        return found;
    int parent = inside_parent(path, &name);
    int fd = parent < 0 ? -1 : openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    int saved = errno;
    fd_close(&parent);
    errno = saved;
    return fd;
}

struct inside_path inside_path(int fd)
{
    struct inside_path path;
    snprintf(path.text, sizeof path.text, "/proc/self/fd/%d", fd);
    return path;
}
