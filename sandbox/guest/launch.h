/* Starting a guest; called by the zygote. */
#pragma once
#include "sandbox/guest/guest.h"

enum {
    LAUNCH_SERVER_FD = 3
}; /* the server's socket, of the zygote and of each guest */

struct launched {
    pid_t pid;
    int pidfd;
};

/* NULL with *ret, or the name of the step that failed, with errno; then nothing is
 * left of it. */
const char *launch_namespaces(struct guest_setup *setup, struct launched *ret);

/* In a forked child: the guest's end takes the place of the zygote's socket, and what
 * belongs to other sandboxes is closed (main.c). */
void launch_keep_server(struct guest_setup *setup);
