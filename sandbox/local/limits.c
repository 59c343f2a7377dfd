/* Which limits make sense on this machine. */
#include "base/fd.h"
#include "sandbox/local/local.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <unistd.h>

enum { MIB = 1024 * 1024, MEMORY_LEAST = 16 * MIB, DISK_LEAST = MIB, PIDS_LEAST = 8 };

static uint64_t machine_memory(void)
{
    struct sysinfo info;
    return sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : UINT64_MAX;
}

static uint64_t machine_pids(void)
{
    char text[32] = "";
    int fd = open("/proc/sys/kernel/pid_max", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    fd_close(&fd);
    return n > 0 ? strtoull(text, NULL, 10) : UINT64_MAX;
}

static int refuse(struct err *err, const char *what, uint64_t given, uint64_t least,
                  uint64_t most, const char *unit)
{
    err_set(err, ERR_INVALID, "%s: %llu%s is %s than %s (%llu%s)", what,
            (unsigned long long)given, unit, given < least ? "less" : "more",
            given < least ? "a sandbox needs" : "this machine has",
            (unsigned long long)(given < least ? least : most), unit);
    return err_remedy(err, "choose from %llu to %llu%s", (unsigned long long)least,
                      (unsigned long long)most, unit);
}

int local_limits_check(const struct sandbox_spec *wish,
                       const struct sandbox_spec *in_force, bool kept, struct err *err)
{
    uint64_t memory = machine_memory(), pids = machine_pids();
    uint64_t cpus = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN) * 1000;
    uint64_t half = in_force->memory_bytes / 2;
    if (in_force->memory_bytes < MEMORY_LEAST || in_force->memory_bytes > memory)
        return refuse(err, "memory", in_force->memory_bytes / MIB, MEMORY_LEAST / MIB,
                      memory / MIB, " MiB");
    if (in_force->pids < PIDS_LEAST || in_force->pids > pids)
        return refuse(err, "pids", in_force->pids, PIDS_LEAST, pids, "");
    if (in_force->cpu_millis > cpus)
        return refuse(err, "cpus, in thousandths", in_force->cpu_millis, 10, cpus, "");
    if (wish->disk_bytes && wish->disk_bytes < DISK_LEAST)
        return refuse(err, "disk", wish->disk_bytes / MIB, DISK_LEAST / MIB, half / MIB,
                      " MiB");
    if (wish->disk_bytes > half && !kept) {
        err_set(err, ERR_INVALID,
                "disk: %llu MiB is more than half of the sandbox's memory (%llu MiB), "
                "where its files are",
                (unsigned long long)(wish->disk_bytes / MIB),
                (unsigned long long)(in_force->memory_bytes / MIB));
        return err_remedy(err, "ask for memory of twice the disk, or less disk");
    }
    return 0;
}

void local_limits_fit(struct sandbox_limits *limits)
{
    struct sandbox_limits usual;
    uint64_t memory = machine_memory();
    sandbox_limits_default(&usual);
    if (limits->memory_bytes == usual.memory_bytes && memory < usual.memory_bytes)
        limits->memory_bytes = memory;
    if (limits->disk_bytes == usual.disk_bytes &&
        limits->disk_bytes > limits->memory_bytes / 2)
        limits->disk_bytes = limits->memory_bytes / 2;
}
