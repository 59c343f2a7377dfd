/* The synthetic /etc: files that the sandbox gets as its own copies. */
#pragma once
#include "base/str.h"
#include <sys/types.h>

enum { ETC_FILES_MAX = 64 };

struct etc_file {
    const char *path;
    struct str text;
    mode_t mode;
};

/* Reads the host's files; before the host's root is left. Processes inside are `uid`:
 * root, or one that is called "user". */
void etc_collect(uid_t uid);
/* All of them, the made ones and the sudo shim included; how many. The texts are valid
 * until etc_finish(). */
size_t etc_files(struct etc_file to[ETC_FILES_MAX], const char *host_name);
/* Writes those that are not there yet into the root that is being built (inside.h). 0,
 * or -1 with errno. */
int etc_write(const char *host_name);
void etc_finish(void);

/* A sudo that runs its command: everybody is root already, or nobody can be. */
struct str etc_sudo(void);
