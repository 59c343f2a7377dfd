/* Control groups of a sandbox, made by the zygote below the group that it runs in
 * itself: v2 where it has controllers, v1 groups for memory, pids and cpu on hybrid
 * machines, and a v2 group without controllers for cgroup.kill all the same. */
#pragma once
#include "sandbox/guest/protocol.h"
#include <sys/types.h>

enum { CGROUP_V2, CGROUP_MEMORY, CGROUP_PIDS, CGROUP_CPU, CGROUP_KINDS };

struct cgroup_set {
    char path[CGROUP_KINDS][320]; /* "" when there is none */
    int v2_dir;                   /* O_DIRECTORY, or -1 */
    int memory_events;            /* counts "oom_kill", or -1 */
    int pids_events;              /* counts "max", or -1 */
    uint32_t layers;              /* LAYER_CGROUP_* that are in force */
};

/* Finds the machine's hierarchies and removes what dead zygotes left behind. Once. */
void cgroup_init(void);
/* Makes the groups and sets the limits; what cannot be had is simply not in `layers`.
 */
void cgroup_make(struct cgroup_set *set, unsigned number,
                 const struct zygote_create *limits);
/* Gives the v2 group to `uid` on the host, so that the guest can make groups a command.
 */
void cgroup_delegate(const struct cgroup_set *set, uid_t uid);
/* Moves a process into the v1 groups (the v2 one is entered by clone3). 0 or -1 with
 * errno. */
int cgroup_enter(const struct cgroup_set *set, pid_t pid);
/* The same for a child that enters by itself, first of all: moving another process
 * makes the kernel wait for all CPUs, up to 10 ms; moving oneself does not. The
 * descriptors
 * (-1: none) are opened before the fork. */
/* 0, or -1 with errno: then none is open. */
int cgroup_open_entries(const struct cgroup_set *set, int fds[CGROUP_KINDS]);
int cgroup_enter_self(int fds[CGROUP_KINDS]); /* closes them */
void cgroup_close_entries(int fds[CGROUP_KINDS]);
/* The same for one that was not cloned into the v2 group. */
int cgroup_enter_all(const struct cgroup_set *set, pid_t pid);
/* Kills by v2 where possible, waits for emptiness up to a second, removes the groups.
 */
void cgroup_destroy(struct cgroup_set *set);
/* The number behind `key` in an events file. */
uint32_t cgroup_count(int events_fd, const char *key);
