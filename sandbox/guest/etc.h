/* The synthetic /etc: files that the sandbox gets as its own copies. */
#pragma once
#include "base/str.h"
#include <stdbool.h>
#include <sys/types.h>

enum { ETC_FILES_MAX = 64 };

struct etc_file {
    const char *path;
    struct str text;
    mode_t mode;
    bool renewed; /* written anew at every start; else what is there stays */
};

/* Reads the host's files, those that changed since the last time; in the zygote, whose
 * memory the guests inherit. image: with what only a root over an image gets. */
void etc_collect(bool image);
/* All of them, the made ones and the sudo shim included; how many. Processes inside are
 * `uid`: root, or one that is called "user". The texts are valid until the next call.
 */
size_t etc_files(struct etc_file to[ETC_FILES_MAX], const char *host_name, uid_t uid);
/* Writes them into the root that is being built (inside.h), for root; over an image few
 * of them. 0, or -1 with errno. */
int etc_write(const char *host_name, bool image);

/* In a guest whose root is made: gives the memory back. */
void etc_forget(void);

/* A sudo that runs its command: everybody is root already, or nobody can be. */
struct str etc_sudo(void);
