/* A workspace that is looked at before it is touched: /workspace is an overlay over the
 * host's directory, and pid 1 holds both its layers. */
#pragma once
#include "sandbox/guest/guest.h"

/* The layers: descriptors, which it keeps. */
void changes_init(int lower, int upper);
/* GUEST_CHANGES: a process of its own does it. */
void changes_start(struct guest *g, struct wire_message *m);
/* A child has ended: what was held back for it goes on. */
void changes_reaped(struct guest *g, pid_t pid);
