/* Programs that a verb starts and waits for. */
#pragma once
#include <sys/types.h>

/* Starts argv[0] (looked up in PATH) with these descriptors as stdin and stdout, and
 * closes them. in -1: /dev/null; out -1: ours. -1 with errno. */
pid_t child_start(const char *const *argv, int in, int out);
/* Its exit status, or 128 + signal; EXIT_CANNOT for pid -1. */
int child_wait(pid_t pid);
