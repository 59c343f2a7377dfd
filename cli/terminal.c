#include "cli/terminal.h"
#include <sys/ioctl.h>

void terminal_size(int fd, uint16_t *ret_cols, uint16_t *ret_rows)
{
    struct winsize size = {0};
    if (ioctl(fd, TIOCGWINSZ, &size) < 0 || !size.ws_col || !size.ws_row)
        size = (struct winsize){.ws_col = 80, .ws_row = 24};
    *ret_cols = size.ws_col < 1000 ? size.ws_col : 1000;
    *ret_rows = size.ws_row < 1000 ? size.ws_row : 1000;
}

void terminal_raw(struct terminal *t, int fd)
{
    *t = (struct terminal){.fd = -1};
    if (tcgetattr(fd, &t->before) < 0)
        return;
    struct termios raw = t->before;
    cfmakeraw(&raw);
    if (tcsetattr(fd, TCSADRAIN, &raw) == 0)
        t->fd = fd;
}

void terminal_restore(struct terminal *t)
{
    if (t->fd >= 0)
        tcsetattr(t->fd, TCSADRAIN, &t->before);
    t->fd = -1;
}

bool terminal_left(struct terminal *t, struct str typed)
{
    static const char way_out[] = "\r~.";
    for (size_t i = 0; t->fd >= 0 && i < typed.n; i++) {
        if (typed.p[i] == way_out[t->seen])
            t->seen++;
        else
            t->seen = typed.p[i] == way_out[0];
        if (t->seen == sizeof way_out - 1)
            return true;
    }
    return false;
}
