/* What a process of the sandbox is not allowed: capabilities, resource limits, system calls. */
#pragma once
#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

/* Drops the bounding set and all capabilities but those that an id range makes harmless (none
 * without one). 0 or -1 with errno. */
int lockdown_capabilities(bool id_range);

/* RLIMIT_CORE = 1: with 0 a piped core_pattern still runs its helper as host root. */
int lockdown_limits(void);

/* The filter, built once. seccomp_filter: every system call that namespaces and capabilities
 * leave open (docs/security.md). seccomp_no_clone3: what the guest itself must still be able to
 * call, clone3 into a cgroup, answered ENOSYS. */
struct sock_fprog lockdown_filter(void);
struct sock_fprog lockdown_clone3_filter(void);

/* Loads one into this process; no_new_privs must be set. 0 or -1 with errno. */
int lockdown_load(const struct sock_fprog *filter);
