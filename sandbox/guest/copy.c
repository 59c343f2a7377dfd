#include "sandbox/guest/copy.h"
#include "base/fd.h"
#include "sandbox/guest/sweep.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { XATTR_MAX = 64 * 1024 };

#define LINKS "links"

int copy_begin(struct copy *ret, int tree, int at)
{
    struct stat st;
    /* Made before anything of the sandbox ran, and out of its reach. */
    if (fstatat(tree, "layers", &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        mkdirat(at, LINKS, 0700) < 0)
        return -1;
    *ret = (struct copy){.uid = st.st_uid, .gid = st.st_gid, .at = at};
    ret->links = openat(at, LINKS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return ret->links < 0 ? -1 : 0;
}

void copy_end(struct copy *c)
{
    int saved = errno;
    fd_close(&c->links);
    sweep_remove(c->at, LINKS);
    errno = saved;
}

/* As it is on disk, where the next sandbox maps ids from 0. */
static uid_t uid_of(const struct copy *c, const struct stat *st)
{
    return c ? st->st_uid - c->uid : st->st_uid;
}

static gid_t gid_of(const struct copy *c, const struct stat *st)
{
    return c ? st->st_gid - c->gid : st->st_gid;
}

static bool wanted_xattr(const struct copy *c, const char *name)
{
    size_t n = sizeof COPY_OVERLAY_XATTR - 1;
    if (strncmp(name, "user.", 5) == 0)
        return strncmp(name, COPY_OVERLAY_XATTR, n) != 0;
    return !c && strncmp(name, "system.posix_acl_", 17) == 0; /* ids are in it */
}

static int copy_xattrs(const struct copy *c, int from, int to)
{
    static char names[XATTR_MAX], value[XATTR_MAX];
    ssize_t n = flistxattr(from, names, sizeof names);
    if (n < 0)
        return errno == ENOTSUP ? 0 : -1;
    for (const char *p = names; p < names + n; p += strlen(p) + 1) {
        if (!wanted_xattr(c, p))
            continue;
        ssize_t size = fgetxattr(from, p, value, sizeof value);
        if (size < 0 || fsetxattr(to, p, value, (size_t)size, 0) < 0)
            return -1;
    }
    return 0;
}

int copy_attributes(const struct copy *c, int from, int to)
{
    struct stat st;
    if (fstat(from, &st) < 0 ||
        (geteuid() == 0 && fchown(to, uid_of(c, &st), gid_of(c, &st)) < 0) ||
        copy_xattrs(c, from, to) < 0 || fchmod(to, st.st_mode & 07777) < 0)
        return -1;
    const struct timespec times[] = {st.st_atim, st.st_mtim};
    return futimens(to, times);
}

/* Holes stay holes. */
static int copy_content(int from, int to, off_t size)
{
    enum { CHUNK = 1 << 30 };
    off_t at = 0;
    while ((at = lseek(from, at, SEEK_DATA)) >= 0 && at < size) {
        off_t end = lseek(from, at, SEEK_HOLE);
        if (end < 0 || lseek(to, at, SEEK_SET) < 0)
            return -1;
        while (at < end) {
            size_t part = (size_t)(end - at < CHUNK ? end - at : CHUNK);
            ssize_t n = sendfile(to, from, &at, part);
            if (n <= 0)
                return -1;
        }
    }
    return ftruncate(to, size);
}

static int copy_file(const struct copy *c, int from, int to, const char *name,
                     off_t size)
{
    int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int out =
        in < 0 ? -1 : openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int rc = out < 0 ? -1 : copy_content(in, out, size);
    if (rc == 0)
        rc = copy_attributes(c, in, out);
    int saved = errno;
    fd_close(&in);
    fd_close(&out);
    errno = saved;
    return rc;
}

int copy_link(int from, const char *name, int to, const char *to_name)
{
    char text[PATH_MAX];
    ssize_t n = readlinkat(from, name, text, sizeof text - 1);
    if (n < 0)
        return -1;
    text[n] = '\0';
    return symlinkat(text, to, to_name);
}

static int copy_special(const struct copy *c, int from, int to, const char *name,
                        const struct stat *st)
{
    if (S_ISLNK(st->st_mode) ? copy_link(from, name, to, name) < 0
                             : mknodat(to, name, st->st_mode, st->st_rdev) < 0)
        return -1;
    if (geteuid() == 0 &&
        fchownat(to, name, uid_of(c, st), gid_of(c, st), AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    const struct timespec times[] = {st->st_atim, st->st_mtim};
    return utimensat(to, name, times, AT_SYMLINK_NOFOLLOW);
}

int copy_entry(const struct copy *c, int from, int to, const char *name)
{
    char number[32];
    struct stat st;
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    snprintf(number, sizeof number, "%llu", (unsigned long long)st.st_ino);
    bool links = st.st_nlink > 1;
    if (links && linkat(c->links, number, to, name, 0) == 0)
        return 0;
    int rc = S_ISREG(st.st_mode) ? copy_file(c, from, to, name, st.st_size)
                                 : copy_special(c, from, to, name, &st);
    return rc == 0 && links ? linkat(to, name, c->links, number, 0) : rc;
}
