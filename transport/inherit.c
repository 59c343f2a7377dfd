#include "transport/inherit.h"
#include "base/fd.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIPE_BYTES = 1024 * 1024 };

/* A description of our own of the same pipe or terminal, or -1. */
static int reopen(int fd, int access)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !(S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
        return -1;
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

struct inherited inherited_claim(int fd, int access)
{
    struct inherited i = {.fd = fd, .flags = -1};
    struct stat st;
    if (fd < 0 || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)))
        return i;
    int own = reopen(fd, access);
    if (own >= 0) {
        fd_close(&fd);
        i.fd = own;
        return i;
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && !(flags & O_NONBLOCK))
        i.flags = flags;
    fd_nonblock(fd);
    return i;
}

void inherited_restore(struct inherited *i)
{
    if (i->fd >= 0 && i->flags >= 0)
        fcntl(i->fd, F_SETFL, i->flags);
    i->flags = -1;
}

void inherited_widen(int fd)
{
    /* Fails on what is not a pipe and past the user's quota of pipe pages. */
    if (fcntl(fd, F_GETPIPE_SZ) < PIPE_BYTES)
        (void)fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES);
}
