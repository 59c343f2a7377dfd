/* Level 4: no namespaces. The guest and its commands see the host's root, but Landlock
 * lets them open only the system's programs and directories of their own; the system
 * call filter takes away local sockets, datagrams and shared memory. Refused unless it
 * was asked for; docs/security.md lists what it cannot hide. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

enum { WEAK_PATH_MAX = 512 };

struct weak_place {
    uid_t uid; /* of its processes; ours when we are an ordinary user */
    char
        top[WEAK_PATH_MAX]; /* made for it and removed with it; "" when there is none */
    char workspace[WEAK_PATH_MAX], home[WEAK_PATH_MAX], tmp[WEAK_PATH_MAX];
    bool readonly; /* the workspace */
};

/* The Landlock domain of the calling process and all that it will start: these places
 * and the system's programs, TCP to `proxy_port` of this machine. 0, or -1 with errno.
 */
int weak_restrict(const struct weak_place *place, unsigned proxy_port);

/* Kills what a dead guest left (our children that are not `known`), and removes its
 * directory. */
void weak_clear(const struct weak_place *place, bool (*known)(pid_t pid));
