/* Limits that nothing but looking can keep: where there is no memory cgroup, and where
 * bubblewrap cannot limit a file system. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Over the limit in total: the process that has most is killed. True if so. */
bool watch_memory(uint64_t limit_bytes);

/* Over the limit and growing: all commands are killed, and true. Freeing goes on. */
bool watch_disk(uint64_t limit_bytes);
