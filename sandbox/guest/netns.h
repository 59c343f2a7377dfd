/* The sandbox's own network namespace, and what listens in it. Making one takes the
 * kernel as long as all the mounts, so a thread does it meanwhile; it is over before
 * the system call filter is loaded. */
#pragma once
#include "sandbox/guest/transparent.h"
#include <pthread.h>
#include <stdbool.h>

struct netns {
    pthread_t thread;
    bool threaded;
    int fd;             /* the namespace */
    int listener;       /* of the proxy */
    const char *failed; /* the step that did not work, with its errno */
    int error;
    struct transparent transparent;
};

/* Begins; needs CAP_SYS_ADMIN and CAP_NET_ADMIN in the user namespace. */
void netns_begin(struct netns *ns);
/* Waits for it and enters it. NULL, or the name of the step that failed, with errno;
 * then nothing may run in here. ns->listener and ns->transparent are the caller's. */
const char *netns_enter(struct netns *ns);

/* Listens on 127.0.0.1, port 0: any free one; -1 with errno. The server accepts on it
 * in its own process. */
int netns_proxy_listener(uint16_t port);
