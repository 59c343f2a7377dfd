/* /proc/PID/task/TID/children would be a list a thread, and is missing from some
 * kernels: one pass over every process's parent is simpler, and enough. */
#include "sandbox/guest/processes.h"
#include "base/fd.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct process {
    pid_t pid, parent, group;
    bool ended, below;
};

/* "PID (NAME) STATE PARENT GROUP ...", where the name may hold anything. */
static bool read_stat(const char *name, struct process *to)
{
    char path[300], text[512];
    snprintf(path, sizeof path, "/proc/%s/stat", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    fd_close(&fd);
    text[n > 0 ? n : 0] = '\0';
    const char *p = strrchr(text, ')');
    if (!p || strlen(p) < 5)
        return false;
    char *rest;
    *to = (struct process){.pid = (pid_t)strtol(name, NULL, 10),
                           .parent = (pid_t)strtol(p + 4, &rest, 10),
                           .ended = p[2] == 'Z' || p[2] == 'X'};
    to->group = (pid_t)strtol(rest, NULL, 10);
    return true;
}

static int read_all(struct process *all)
{
    DIR *d = opendir("/proc");
    int n = 0;
    for (struct dirent *e; d && n < PROCESSES_MAX && (e = readdir(d));)
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && read_stat(e->d_name, &all[n]))
            n++;
    if (d)
        closedir(d);
    return n;
}

static bool is_below(const struct process *all, int n, pid_t root, pid_t parent)
{
    if (parent == root)
        return true;
    for (int i = 0; i < n; i++)
        if (all[i].pid == parent)
            return all[i].below;
    return false;
}

static struct process all[PROCESSES_MAX];

/* A daemon that goes on forking is gone from its pid when that is signalled, but not
 * from its process group. */
static void signal_with_group(const struct process *p, pid_t root, int signal)
{
    if (p->group > 1 && p->group != getpgrp() && p->group != getpgid(root))
        kill(-p->group, signal);
    kill(p->pid, signal);
}

int processes_end_children(bool (*known)(pid_t pid))
{
    int n = read_all(all), found = 0;
    for (int i = n - 1; i >= 0; i--)
        if (all[i].parent == getpid() && !known(all[i].pid))
            signal_with_group(&all[i], getpid(), SIGKILL);
    for (int i = 0; i < n; i++)
        if (all[i].parent == getpid() && !known(all[i].pid)) {
            waitpid(all[i].pid, NULL, 0);
            found++;
        }
    return found;
}

unsigned processes_of_user(void)
{
    unsigned count = 0;
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        char path[300];
        snprintf(path, sizeof path, "%s/task", e->d_name);
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9' &&
            fstatat(dirfd(d), path, &st, 0) == 0 && st.st_uid == geteuid())
            count += st.st_nlink > 2 ? (unsigned)st.st_nlink - 2 : 1;
    }
    if (d)
        closedir(d);
    return count;
}

/* Marks all that run below root. Children mostly follow their parents; where pids have
 * wrapped, another round. How many of `all` there are. */
static int mark_below(pid_t root)
{
    int n = read_all(all);
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < n; i++) {
            if (all[i].below || all[i].ended || all[i].pid == root ||
                !is_below(all, n, root, all[i].parent))
                continue;
            all[i].below = more = true;
        }
    }
    return n;
}

int processes_below(pid_t root, pid_t to[PROCESSES_MAX])
{
    int n = mark_below(root), found = 0;
    for (int i = 0; i < n; i++)
        if (all[i].below)
            to[found++] = all[i].pid;
    return found;
}

int processes_signal_below(pid_t root, int signal)
{
    int n = mark_below(root), found = 0;
    for (int i = 0; i < n; i++)
        if (all[i].below) {
            signal_with_group(&all[i], root, signal);
            found++;
        }
    return found;
}
