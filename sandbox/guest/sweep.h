/* Removes everything in a directory, whatever sandboxed code has put there. */
#pragma once

enum { SWEEP_FD = 3 };

/* Empties the directory behind SWEEP_FD; returns the exit status: 0 when it is empty.
 */
int sweep_main(void);
