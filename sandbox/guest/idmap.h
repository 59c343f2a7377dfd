/* User ids: the maps of a sandbox's user namespace, and mounts whose ids are mapped
 * alike. */
#pragma once
#include <sys/types.h>

enum { IDMAP_RANGE = 65536 };

/* A free-looking range of host ids, far from real users; random, so that servers do not
 * meet. */
uid_t idmap_pick_base(void);

/* Writes the maps of a waiting child. base 0: an ordinary user's single id, which
 * becomes 0 inside; else 0..65535 inside are base... outside. 0, or -1 with errno. */
int idmap_write(pid_t child, uid_t base);

/* Detached copy of the tree at `path` (opened without following a link at its end) in
 * which ids on disk are seen through the map: a descriptor for move_mount, or -1 with
 * errno. userns: that of the sandbox. Needs real root. */
int idmap_tree(const char *path, int userns);

/* A user namespace in which `uid` and `gid` on disk are the sandbox's 0, and 0 on disk
 * is they: for a workspace that belongs to somebody. A descriptor, or -1 with errno. */
int idmap_swapped_userns(uid_t uid, gid_t gid, uid_t base);
