/* What runs below a process, found in /proc. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

enum { PROCESSES_MAX = 8192 };

/* All descendants of `root` (not itself) that still run; children that a thread started
 * are found, too. Up to PROCESSES_MAX; how many. */
int processes_below(pid_t root, pid_t to[PROCESSES_MAX]);

/* Signals them, and the process groups that they are in; how many there were. */
int processes_signal_below(pid_t root, int signal);

/* Kills and reaps the caller's children that are not `known`, and their process groups.
 * How many there were: one that had ended already counts, for it may have left others
 * that come in the next round. */
int processes_end_children(bool (*known)(pid_t pid));

/* How many processes and threads of this process's user there are in /proc. */
unsigned processes_of_user(void);
