/* Landlock, by its system calls: what the kernel's headers of the build machine may
 * not know yet. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* The version of its interface; 0: there is none. */
int landlock_version(void);

/* A set of rules: a descriptor, or -1 with errno. Handles all that this kernel knows of
 * files, TCP, signals and abstract sockets. */
int landlock_new(void);

enum landlock_access {
    LANDLOCK_READ,   /* and execute */
    LANDLOCK_WRITE,  /* everything that can be done below a directory */
    LANDLOCK_DEVICE, /* read and write one file */
};
/* What is not there is left out. 0, or -1 with errno. */
int landlock_allow(int rules, const char *path, enum landlock_access access);
int landlock_allow_connect(int rules, unsigned port);
/* For this process and its children, for good. Needs no_new_privs. */
int landlock_enforce(int rules);
