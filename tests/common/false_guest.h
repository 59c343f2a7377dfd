/* The local backend with a helper and a guest that are a test: the code that talks to
 * them is the server's own, what they say is whatever the test sends. */
#pragma once
#include "sandbox/guest/wire.h"
#include "sandbox/local/local.h"

struct false_guest {
    struct loop *loop;
    struct sandboxes *set;
    struct sandbox_backend backend;
    struct loop_timer *turn;
    int zygote; /* our ends of the two sockets; guest: -1 before a sandbox is made */
    int guest;
    char room[GUEST_MESSAGE_MAX];
};

void false_guest_init(struct false_guest *f);
void false_guest_finish(struct false_guest *f);
/* One turn of the server's loop: what is readable is read. */
void false_guest_turn(struct false_guest *f);

/* Answers the request for a sandbox; then the guest's socket is ours. false: none was
 * asked for. */
bool false_guest_create(struct false_guest *f);
/* create, and the guest says that it is ready. */
bool false_guest_ready(struct false_guest *f);

/* A message; the server has not read it yet. -1: the server takes no more. */
int false_guest_say(const struct false_guest *f, const struct wire_out *m);
/* Its bytes as they are, with descriptors. */
int false_guest_say_raw(const struct false_guest *f, const void *bytes, size_t n,
                        const int *fds, int fd_count);
/* The next request to the guest; false: none. The caller closes its descriptors. */
bool false_guest_hear(struct false_guest *f, struct wire_message *m);
