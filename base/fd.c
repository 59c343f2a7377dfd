#include "base/fd.h"
#include <errno.h>
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

int fd_write_all(int fd, struct str bytes)
{
    while (bytes.n) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        bytes = str_from(bytes, (size_t)n);
    }
    return 0;
}
