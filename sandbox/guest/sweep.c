/* A tree that sandboxed code has made may be deeper than any stack or path: what lies
 * below is first moved up, so that nothing is ever deeper than two levels. */
#include "sandbox/guest/sweep.h"
#include "base/fd.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int top; /* of the tree that is being emptied */

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Our own directory may have lost its permissions; root's never matter. Where it cannot
 * be helped, the next step says so. */
static void allow(int at, const char *name)
{
    struct stat st;
    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
        (st.st_mode & S_IRWXU) != S_IRWXU && fchmodat(at, name, S_IRWXU, 0) < 0)
        return;
}

static int open_dir(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 || errno != EACCES)
        return fd;
    allow(at, name);
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Moves a directory to the top under a name of our own. */
static int lift(int from, const char *name)
{
    static unsigned number;
    char to[64];
    allow(from, name); /* renaming a directory writes its ".." */
    do {
        snprintf(to, sizeof to, "swept-%d-%u", (int)getpid(), ++number);
    } while (faccessat(top, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
    return renameat(from, name, top, to);
}

/* Directories of it go to the top, everything else away. */
static void empty(const char *name)
{
    allow(top, name);
    int fd = open_dir(top, name);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        fd_close(&fd);
        return;
    }
    for (struct dirent *e; (e = readdir(d));) {
        if (is_dots(e->d_name))
            continue;
        if (unlinkat(fd, e->d_name, 0) < 0 && (errno == EISDIR || errno == EPERM) &&
            unlinkat(fd, e->d_name, AT_REMOVEDIR) < 0)
            lift(fd, e->d_name);
    }
    closedir(d);
}

/* One pass over the top; true when something went away or came up. */
static bool pass(bool *ret_left)
{
    bool progress = false;
    int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    *ret_left = false;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (is_dots(e->d_name))
            continue;
        if (unlinkat(top, e->d_name, 0) == 0) {
            progress = true;
            continue;
        }
        empty(e->d_name);
        if (unlinkat(top, e->d_name, AT_REMOVEDIR) == 0)
            progress = true;
        else if (errno != ENOENT)
            *ret_left = true;
    }
    if (d)
        closedir(d);
    return progress;
}

int sweep_directory(int fd)
{
    bool left;
    top = fd;
    while (pass(&left))
        ;
    return left;
}

int sweep_main(void)
{
    return sweep_directory(SWEEP_FD);
}

void sweep_remove(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        sweep_directory(fd);
    fd_close(&fd);
    unlinkat(at, name, AT_REMOVEDIR);
}
