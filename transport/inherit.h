/* Descriptors that came with the process and may be shared with others (the shell, a
 * parent): O_NONBLOCK belongs to the open file description, so it must not simply be
 * set on them. Pipes and terminals are opened anew through /proc/self/fd; for what
 * cannot be (sockets), the flags are put back at the end. */
#pragma once

struct inherited {
    int fd;    /* what to use from now on; -1: none */
    int flags; /* to be put back by inherited_restore(), -1: nothing */
};

/* Takes fd (it may be closed and replaced by another number). access: O_RDONLY or
 * O_WRONLY. Regular files stay as they are, their offset is shared on purpose. */
struct inherited inherited_claim(int fd, int access);
/* Before the descriptor is closed: puts the flags back. */
void inherited_restore(struct inherited *i);
/* A pipe that carries large messages: room for 1 MiB in the kernel, if it may be. */
void inherited_widen(int fd);
