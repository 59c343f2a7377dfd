/* What a process of the sandbox is not allowed: capabilities, resource limits. System
 * calls: seccomp.h. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Drops the bounding set and all capabilities but those that an id range makes harmless
 * (none without one). 0 or -1 with errno. */
int lockdown_capabilities(bool id_range);

/* All of the bounding set, while there is CAP_SETPCAP. 0 or -1 with errno. */
int lockdown_bounding_set(void);

/* RLIMIT_CORE = 1: with 0 a piped core_pattern still runs its helper as host root. */
int lockdown_limits(void);
