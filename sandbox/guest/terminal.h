/* Terminals inside, on the sandbox's own devpts. */
#pragma once
#include <stdint.h>

struct terminal {
    int master, side; /* side: what the command sees */
};

/* 0, or -1 with errno. */
int terminal_open(struct terminal *ret, uint16_t cols, uint16_t rows);
void terminal_close(struct terminal *t);
