#include "sandbox/guest/idmap.h"
#include "base/fd.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What <sys/mount.h> of glibc 2.36 would clash with. */
#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif

enum { BASE_FIRST = 0x20000000, BASE_COUNT = 0x4000, LAST_BUT_ONE = 2 };

/* How many ids, from 0 on, this user namespace has without a gap; 0: cannot be told. */
static uint64_t ids_here(void)
{
    char text[128];
    int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    fd_close(&fd);
    text[n > 0 ? n : 0] = '\0';
    char *p = text;
    unsigned long first = strtoul(p, &p, 10);
    strtoul(p, &p, 10);
    return first == 0 ? strtoul(p, &p, 10) : 0;
}

struct idmap idmap_pick(void)
{
    uint16_t n = 0;
    if (geteuid() != 0)
        return (struct idmap){geteuid(), getegid(), 1};
    uint64_t here = ids_here();
    if (getrandom(&n, sizeof n, 0) != sizeof n)
        n = (uint16_t)getpid();
    uid_t first = BASE_FIRST + (uid_t)(n % BASE_COUNT) * IDMAP_RANGE;
    if (first + (uint64_t)IDMAP_RANGE <= here)
        return (struct idmap){first, first, IDMAP_RANGE};
    uid_t one = here > LAST_BUT_ONE ? (uid_t)(here - LAST_BUT_ONE - 1) : 0;
    return (struct idmap){one, one, 1};
}

static int put(pid_t child, const char *file, const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)child, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
    int saved = errno;
    fd_close(&fd);
    errno = saved;
    return n < 0 ? -1 : 0;
}

int idmap_write(pid_t child, const struct idmap *map)
{
    char uids[64], gids[64];
    snprintf(uids, sizeof uids, "0 %u %u", map->first, map->count);
    snprintf(gids, sizeof gids, "0 %u %u", map->first_group, map->count);
    if (map->count == 1 && put(child, "setgroups", "deny") < 0)
        return -1;
    return put(child, "uid_map", uids) < 0 ? -1 : put(child, "gid_map", gids);
}

int idmap_tree(const char *path, int userns)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP,
                              .userns_fd = (unsigned)userns};
    int fd = (int)syscall(SYS_open_tree, AT_FDCWD, path,
                          OPEN_TREE_CLONE | O_CLOEXEC | AT_SYMLINK_NOFOLLOW);
    if (fd >= 0 &&
        syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0) {
        int saved = errno;
        fd_close(&fd);
        errno = saved;
    }
    return fd;
}

/* One map text: `owner` on disk is base outside; 0 on disk is base + owner; the others
 * keep their distance. Ids beyond the range cannot swap: then 0 on disk is nobody. */
static void swapped_map(char *to, size_t room, uid_t owner, uid_t base)
{
    if (owner >= IDMAP_RANGE)
        snprintf(to, room, "%u %u 1\n1 %u %u", owner, base, base + 1, IDMAP_RANGE - 1);
    else if (owner + 1 < IDMAP_RANGE && owner > 1)
        snprintf(to, room, "0 %u 1\n%u %u 1\n1 %u %u\n%u %u %u", base + owner, owner,
                 base, base + 1, owner - 1, owner + 1, base + owner + 1,
                 IDMAP_RANGE - owner - 1);
    else if (owner == 0)
        snprintf(to, room, "0 %u %u", base, IDMAP_RANGE);
    else
        snprintf(to, room, "0 %u 1\n%u %u 1", base + owner, owner, base);
}

int idmap_swapped_userns(uid_t uid, gid_t gid, uid_t base)
{
    char uids[160], gids[160], path[64];
    swapped_map(uids, sizeof uids, uid, base);
    swapped_map(gids, sizeof gids, gid, base);
    pid_t holder = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (holder == 0)
        for (;;)
            pause();
    if (holder < 0)
        return -1;
    int fd = -1;
    snprintf(path, sizeof path, "/proc/%d/ns/user", (int)holder);
    if (put(holder, "uid_map", uids) == 0 && put(holder, "gid_map", gids) == 0)
        fd = open(path, O_RDONLY | O_CLOEXEC);
    int saved = errno;
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    errno = saved;
    return fd;
}
