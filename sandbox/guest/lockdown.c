#include "sandbox/guest/lockdown.h"
#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CAPABILITY_LAST = 63, OPEN_FILES = 65536 };

static const int kept[] = {CAP_CHOWN,  CAP_DAC_OVERRIDE,    CAP_FOWNER,  CAP_FSETID,
                           CAP_SETUID, CAP_SETGID,          CAP_SETPCAP, CAP_SETFCAP,
                           CAP_KILL,   CAP_NET_BIND_SERVICE};

static uint64_t kept_bits(bool id_range)
{
    uint64_t bits = 0;
    for (size_t i = 0; id_range && i < sizeof kept / sizeof kept[0]; i++)
        bits |= (uint64_t)1 << kept[i];
    return bits;
}

static int drop_bounding_set(uint64_t keep)
{
    for (int c = 0; c <= CAPABILITY_LAST; c++)
        if (!(keep >> c & 1) && prctl(PR_CAPBSET_READ, c, 0, 0, 0) == 1 &&
            prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0)
            return -1;
    return 0;
}

int lockdown_bounding_set(void)
{
    return drop_bounding_set(0);
}

int lockdown_capabilities(bool id_range)
{
    uint64_t keep = kept_bits(id_range);
    /* Without CAP_SETPCAP the set stays; no_new_privs makes it mean nothing. */
    if (drop_bounding_set(keep) < 0 && errno != EPERM)
        return -1;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {.effective = (uint32_t)keep, .permitted = (uint32_t)keep},
        {.effective = (uint32_t)(keep >> 32), .permitted = (uint32_t)(keep >> 32)},
    };
    return (int)syscall(SYS_capset, &head, data);
}

int lockdown_limits(void)
{
    struct rlimit core = {.rlim_cur = 1, .rlim_max = 1}, files, lock = {0};
    if (setrlimit(RLIMIT_CORE, &core) < 0 || getrlimit(RLIMIT_NOFILE, &files) < 0)
        return -1;
    /* Lowering only: a hard limit cannot be raised without CAP_SYS_RESOURCE. */
    if (files.rlim_max > OPEN_FILES)
        files.rlim_max = OPEN_FILES;
    files.rlim_cur = files.rlim_max < 4096 ? files.rlim_max : 4096;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0 || getrlimit(RLIMIT_MEMLOCK, &lock) < 0)
        return -1;
    if (lock.rlim_max > 64u << 20)
        lock.rlim_cur = lock.rlim_max = 64u << 20;
    return setrlimit(RLIMIT_MEMLOCK, &lock);
}
