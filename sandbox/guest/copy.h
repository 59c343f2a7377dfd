/* Copies of files that lie in memory, for a snapshot on disk. */
#pragma once
#include <sys/types.h>

#define COPY_OVERLAY_XATTR "user.overlay."

struct copy {
    uid_t uid; /* what is root inside, in the source */
    gid_t gid;
    int at, links; /* a directory for our use; in it, what has several names */
};

/* tree: the sandbox's own; at: where a directory may be made meanwhile. 0, or -1 with
 * errno. */
int copy_begin(struct copy *ret, int tree, int at);
void copy_end(struct copy *c);

/* Copies what is no directory, itself and not what it points to. What else runs could
 * change it: nothing may. 0, or -1 with errno. */
int copy_entry(const struct copy *c, int from, int to, const char *name);

/* A symbolic link, under another name. 0, or -1 with errno. */
int copy_link(int from, const char *name, int to, const char *to_name);
/* Owner, mode, times and attributes of a directory or file, but for those of overlays
 * and of capabilities. c: NULL when ids are the same there. */
int copy_attributes(const struct copy *c, int from, int to);
