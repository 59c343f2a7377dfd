/* Our own terminal, while it belongs to a program in a sandbox: keys go through as they
 * are. */
#pragma once
#include "base/str.h"
#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

struct terminal {
    int fd; /* -1: not in raw mode */
    struct termios before;
    unsigned seen; /* of the escape sequence */
};

/* Its size in characters; 80 by 24 when fd is no terminal or does not know. */
void terminal_size(int fd, uint16_t *ret_cols, uint16_t *ret_rows);

/* Raw mode; does nothing when fd is no terminal. fd is borrowed until
 * terminal_restore(). */
void terminal_raw(struct terminal *t, int fd);
void terminal_restore(struct terminal *t);

/* Looks for Enter ~ . in what was typed, ssh's way out of a connection that hangs. */
bool terminal_left(struct terminal *t, struct str typed);
