/* File descriptors: int fields, -1 when absent, always CLOEXEC, one owner each. */
#pragma once
#include "base/str.h"

/* Closes *fd unless it is -1, and sets it to -1. */
void fd_close(int *fd);

/* O_NONBLOCK on the open file description. 0, or -1 with errno. */
int fd_nonblock(int fd);

/* All of the bytes to a descriptor that blocks. 0, or -1 with errno. */
int fd_write_all(int fd, struct str bytes);

/* Marks every descriptor from `first` on CLOEXEC; used before every exec of a program
 * of ours, because libraries open descriptors without the flag. */
void fd_cloexec_from(int first);
