/* What runs below a process, found in /proc. */
#pragma once
#include <sys/types.h>

enum { PROCESSES_MAX = 8192 };

/* All descendants of `root` (not itself) that still run; children that a thread started
 * are found, too. Up to PROCESSES_MAX; how many. */
int processes_below(pid_t root, pid_t to[PROCESSES_MAX]);

/* Its children that still run, likewise. */
int processes_children(pid_t parent, pid_t to[PROCESSES_MAX]);

/* How many processes and threads of this process's user there are in /proc. */
unsigned processes_of_user(void);
