/* The system call filter of a sandbox. */
#pragma once
#include "base/err.h"
#include <stdbool.h>

struct seccomp_wishes {
    bool clone3_later; /* pid 1 starts commands with clone3, into their cgroups */
    bool
        no_set_id_bits; /* a host directory is bound: no setuid or setgid files in it */
    bool no_memfd;      /* memory is only watched: a memfd would be in nobody's RSS */
    bool shares_host;   /* no namespaces: what they would hide is refused */
    bool keep_tree;     /* commands are killed by walking the process tree: nobody may
                         * leave it */
};

/* Loads the filter into this process (pid 1, whose children inherit it), for good.
 * Needs no_new_privs. */
int seccomp_load(const struct seccomp_wishes *wishes, struct err *err);

/* Pid 1 itself needs clone3 and openat2; where its commands must not have them, they
 * add five instructions of their own. Loading those costs a command 0.02 ms, where the
 * whole filter costs 0.06. Async-signal-safe. 0, or -1 with errno. */
bool seccomp_has_later(const struct seccomp_wishes *wishes);
int seccomp_load_later(const struct seccomp_wishes *wishes);
