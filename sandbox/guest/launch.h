/* Starting a guest, in one of several ways; called by the zygote. */
#pragma once
#include "sandbox/guest/guest.h"
#include "sandbox/guest/weak.h"

enum {
    LAUNCH_SERVER_FD = 3
}; /* the server's socket, of the zygote and of each guest */

struct launched {
    pid_t pid; /* of the guest, or of the bubblewrap around it */
    int pidfd;
    int said;               /* what bubblewrap writes to stderr; -1: none */
    struct weak_place weak; /* LAUNCH_LANDLOCK */
};

/* NULL with *ret, or the name of the step that failed, with errno; then nothing is
 * left of it. */
typedef const char *launch_fn(struct guest_setup *setup, struct launched *ret);
launch_fn launch_namespaces, launch_bubblewrap, launch_weak;

/* In a forked child: the guest's end takes the place of the zygote's socket, and what
 * belongs to other sandboxes is closed (main.c). */
void launch_keep_server(struct guest_setup *setup);

/* In the program that bubblewrap has executed: reads what launch_bubblewrap() handed
 * over. */
_Noreturn void launch_inside(void);
