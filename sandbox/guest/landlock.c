#include "sandbox/guest/landlock.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    CALL_CREATE = 444,
    CALL_ADD_RULE = 445,
    CALL_RESTRICT = 446,
    ASK_VERSION = 1,
    RULE_PATH = 1,
    RULE_PORT = 2,
};

enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_MAKE_CHAR = 1 << 6,
    FS_MAKE_BLOCK = 1 << 11,
    FS_REFER = 1 << 13,     /* version 2 */
    FS_TRUNCATE = 1 << 14,  /* 3 */
    FS_IOCTL_DEV = 1 << 15, /* 5 */
    FS_VERSION_1 = (1 << 13) - 1,
    FS_FILE = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV,
    NET_BIND = 1 << 0, /* 4 */
    NET_CONNECT = 1 << 1,
    SCOPE_ABSTRACT = 1 << 0, /* 6 */
    SCOPE_SIGNAL = 1 << 1,
};

struct rules_attr {
    uint64_t fs, net, scoped;
};
struct path_attr {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));
struct port_attr {
    uint64_t allowed, port;
};

int landlock_version(void)
{
    long v = syscall(CALL_CREATE, NULL, 0UL, ASK_VERSION);
    return v < 0 ? 0 : (int)v;
}

static uint64_t handled(int version)
{
    return FS_VERSION_1 | (version >= 2 ? (uint64_t)FS_REFER : 0) |
           (version >= 3 ? (uint64_t)FS_TRUNCATE : 0) |
           (version >= 5 ? (uint64_t)FS_IOCTL_DEV : 0);
}

int landlock_new(void)
{
    int version = landlock_version();
    struct rules_attr attr = {.fs = handled(version),
                              .net = NET_BIND | NET_CONNECT,
                              .scoped = SCOPE_ABSTRACT | SCOPE_SIGNAL};
    size_t n = version >= 6   ? sizeof attr
               : version >= 4 ? offsetof(struct rules_attr, scoped)
                              : offsetof(struct rules_attr, net);
    return (int)syscall(CALL_CREATE, &attr, n, 0);
}

static uint64_t bits_of(enum landlock_access access)
{
    switch (access) {
    case LANDLOCK_READ:
        return FS_EXECUTE | FS_READ_FILE | FS_READ_DIR;
    case LANDLOCK_WRITE: /* but no devices */
        return ~(uint64_t)(FS_MAKE_CHAR | FS_MAKE_BLOCK);
    default:
        return FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE | FS_IOCTL_DEV;
    }
}

int landlock_allow(int rules, const char *path, enum landlock_access access)
{
    struct stat st;
    struct path_attr rule = {.parent = open(path, O_PATH | O_CLOEXEC)};
    int fd = rule.parent;
    if (fd < 0)
        return errno == ENOENT || errno == EACCES ? 0 : -1;
    rule.allowed = bits_of(access) & handled(landlock_version());
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rule.allowed &= FS_FILE;
    int rc = (int)syscall(CALL_ADD_RULE, rules, RULE_PATH, &rule, 0);
    int saved = errno;
    fd_close(&fd);
    errno = saved;
    return rc;
}

int landlock_allow_connect(int rules, unsigned port)
{
    struct port_attr rule = {.allowed = NET_CONNECT, .port = port};
    return (int)syscall(CALL_ADD_RULE, rules, RULE_PORT, &rule, 0);
}

int landlock_enforce(int rules)
{
    return (int)syscall(CALL_RESTRICT, rules, 0);
}
