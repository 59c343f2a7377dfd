/* User ids: the maps of a sandbox's user namespace, and mounts whose ids are mapped
 * alike. */
#pragma once
#include <sys/types.h>

enum { IDMAP_RANGE = 65536 };

/* Ids outside that are 0, 1, ... inside. */
struct idmap {
    uid_t first;
    gid_t first_group;
    unsigned count; /* IDMAP_RANGE or 1 */
};

/* As root: a free-looking range, far from real users and random, so that servers do not
 * meet; where root has not that many ids (in a user namespace), one that is hardly
 * used. Else our own. */
struct idmap idmap_pick(void);

/* Writes the maps of a waiting child. 0, or -1 with errno. */
int idmap_write(pid_t child, const struct idmap *map);

/* Detached copy of the tree at `path` (opened without following a link at its end) in
 * which ids on disk are seen through the map: a descriptor for move_mount, or -1 with
 * errno. userns: that of the sandbox. Needs real root. */
int idmap_tree(const char *path, int userns);

/* A user namespace in which `uid` and `gid` on disk are the sandbox's 0, and 0 on disk
 * is they: for a workspace that belongs to somebody. A descriptor, or -1 with errno. */
int idmap_swapped_userns(uid_t uid, gid_t gid, uid_t base);
