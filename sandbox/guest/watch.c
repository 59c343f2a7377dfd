#include "sandbox/guest/watch.h"
#include "base/fd.h"
#include "sandbox/guest/processes.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

static pid_t tree[PROCESSES_MAX];

/* What the process has for itself alone. */
static uint64_t own_memory(pid_t pid)
{
    char path[40], text[128];
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    fd_close(&fd);
    text[n > 0 ? n : 0] = '\0';
    char *p = text;
    strtoul(p, &p, 10);
    uint64_t resident = strtoul(p, &p, 10), shared = strtoul(p, &p, 10);
    return (resident > shared ? resident - shared : 0) * 4096;
}

bool watch_memory(uint64_t limit_bytes)
{
    uint64_t total = 0, largest = 0;
    pid_t victim = 0;
    for (int i = processes_below(getpid(), tree) - 1; i >= 0; i--) {
        uint64_t bytes = own_memory(tree[i]);
        total += bytes;
        if (bytes > largest) {
            largest = bytes;
            victim = tree[i];
        }
    }
    if (total <= limit_bytes || !victim)
        return false;
    kill(victim, SIGKILL);
    return true;
}

static uint64_t used_bytes(const char *path)
{
    struct statvfs fs;
    return statvfs(path, &fs) < 0 ? 0
                                  : (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
}

bool watch_disk(uint64_t limit_bytes)
{
    static uint64_t before;
    uint64_t used = used_bytes("/") + used_bytes("/dev/shm");
    bool over = used > limit_bytes && used > before;
    before = used;
    for (int i = over ? processes_below(getpid(), tree) - 1 : -1; i >= 0; i--)
        kill(tree[i], SIGKILL);
    return over;
}
