#include "base/fd.h"
#include <fcntl.h>
#include <linux/close_range.h>
#include <unistd.h>

void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int fd_nonblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -1;
    return flags & O_NONBLOCK ? 0 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

void fd_cloexec_from(int first)
{
    close_range((unsigned)first, ~0U, CLOSE_RANGE_CLOEXEC);
}
