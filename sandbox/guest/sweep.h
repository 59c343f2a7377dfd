/* Removes everything in a directory, whatever sandboxed code has put there; to be done
 * when nothing works in it any more. */
#pragma once

enum { SWEEP_FD = 3 };

/* Empties the directory behind SWEEP_FD; returns the exit status: 0 when it is empty.
 */
int sweep_main(void);
/* The same for the directory behind `fd`. */
int sweep_directory(int fd);
/* Removes the directory `name` below `at` (or AT_FDCWD) with all that is in it. */
void sweep_remove(int at, const char *name);
