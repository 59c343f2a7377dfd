#include "sandbox/guest/terminal.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

int terminal_open(struct terminal *ret, uint16_t cols, uint16_t rows)
{
    struct terminal t = {.side = -1};
    struct winsize size = {.ws_row = rows, .ws_col = cols};
    int locked = 0;
    t.master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (t.master >= 0 && ioctl(t.master, TIOCSPTLCK, &locked) == 0)
        t.side = ioctl(t.master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (t.side < 0 || ioctl(t.master, TIOCSWINSZ, &size) < 0) {
        int saved = errno;
        terminal_close(&t);
        errno = saved;
        return -1;
    }
    *ret = t;
    return 0;
}

void terminal_close(struct terminal *t)
{
    fd_close(&t->master);
    fd_close(&t->side);
}
