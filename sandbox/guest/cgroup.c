#include "sandbox/guest/cgroup.h"
#include "base/fd.h"
#include "base/str.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char own[CGROUP_KINDS]
               [256]; /* directory of the group we run in, "" if not mounted */

static ssize_t slurp(const char *path, char *to, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, to, room - 1);
    fd_close(&fd);
    to[n > 0 ? n : 0] = '\0';
    return n;
}

static int put(const char *dir, const char *file, const char *text)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
    int saved = errno;
    fd_close(&fd);
    errno = saved;
    return n < 0 ? -1 : 0;
}

static int put_number(const char *dir, const char *file, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return put(dir, file, text);
}

/* Is `word` one of the words of a space- or comma-separated list? */
static bool lists(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; (p = strstr(p, word)); p += n) {
        bool starts = p == list || p[-1] == ' ' || p[-1] == ',';
        char end = p[n];
        if (starts && (end == '\0' || end == ' ' || end == ',' || end == '\n'))
            return true;
    }
    return false;
}

/* The path behind "N:controllers:" of /proc/self/cgroup; v2's line is "0::". */
static void own_path(const char *controller, char *to, size_t room)
{
    char text[4096];
    slurp("/proc/self/cgroup", text, sizeof text);
    to[0] = '\0';
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        char *names = strchr(line, ':');
        char *path = names ? strchr(names + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        if (controller ? lists(names + 1, controller) : names[1] == '\0')
            snprintf(to, room, "%s", path);
    }
}

static void found_mount(int kind, const char *point, const char *controller)
{
    char path[200];
    own_path(controller, path, sizeof path);
    if (own[kind][0] || !path[0])
        return;
    snprintf(own[kind], sizeof own[kind], "%.50s%s", point,
             strcmp(path, "/") ? path : "");
    if (access(own[kind], W_OK) < 0)
        snprintf(own[kind], sizeof own[kind], "%.50s", point);
}

static void find_hierarchies(void)
{
    static const char *const controllers[] = {
        [CGROUP_MEMORY] = "memory", [CGROUP_PIDS] = "pids", [CGROUP_CPU] = "cpu"};
    static char text[64 * 1024];
    slurp("/proc/self/mounts", text, sizeof text);
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        char *field = NULL;
        strtok_r(line, " ", &field);
        char *point = strtok_r(NULL, " ", &field), *type = strtok_r(NULL, " ", &field);
        char *options = strtok_r(NULL, " ", &field);
        if (!options)
            continue;
        if (strcmp(type, "cgroup2") == 0)
            found_mount(CGROUP_V2, point, NULL);
        for (int k = CGROUP_MEMORY; k < CGROUP_KINDS && strcmp(type, "cgroup") == 0;
             k++)
            if (lists(options, controllers[k]))
                found_mount(k, point, controllers[k]);
    }
}

/* "sandquay-PID-N" of a PID that is dead: its sandbox is, too. */
static void remove_leftovers(const char *dir)
{
    DIR *d = dir[0] ? opendir(dir) : NULL;
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));) {
        char path[600];
        char *end = NULL;
        if (strncmp(e->d_name, "sandquay-", 9) != 0)
            continue;
        long pid = strtol(e->d_name + 9, &end, 10);
        if (pid <= 0 || *end != '-' || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        remove_leftovers(path);
        rmdir(path);
    }
    closedir(d);
}

void cgroup_init(void)
{
    find_hierarchies();
    for (int k = 0; k < CGROUP_KINDS; k++)
        remove_leftovers(own[k]);
}

static bool v2_has(const char *dir, const char *controller)
{
    char path[400], text[512];
    snprintf(path, sizeof path, "%s/cgroup.controllers", dir);
    return slurp(path, text, sizeof text) > 0 && lists(text, controller);
}

/* A group below `parent` that has the controllers, or none. */
static bool make_v2_below(char *to, size_t room, const char *parent, const char *name)
{
    put(parent, "cgroup.subtree_control", "+memory +pids");
    put(parent, "cgroup.subtree_control", "+cpu");
    snprintf(to, room, "%.250s/%s", parent, name);
    if (mkdir(to, 0755) < 0)
        return false;
    if (v2_has(to, "memory") && v2_has(to, "pids"))
        return true;
    rmdir(to);
    return false;
}

/* Groups with processes of their own cannot hand controllers down, so the search goes
 * up; one without controllers still has cgroup.kill. */
static void make_v2(struct cgroup_set *set, const char *name)
{
    char parent[256];
    char *to = set->path[CGROUP_V2];
    snprintf(parent, sizeof parent, "%s", own[CGROUP_V2]);
    bool anywhere = v2_has(parent, "memory");
    while (anywhere && strlen(parent) > strlen("/sys")) {
        if (make_v2_below(to, sizeof set->path[0], parent, name))
            return;
        char *slash = strrchr(parent, '/');
        *slash = '\0';
        if (!v2_has(parent, "memory"))
            break;
    }
    snprintf(to, sizeof set->path[0], "%s/%s", own[CGROUP_V2], name);
    if (mkdir(to, 0755) < 0)
        to[0] = '\0';
}

static int limit_memory(const char *dir, bool v2, uint64_t bytes)
{
    if (!v2)
        return put_number(dir, "memory.limit_in_bytes", bytes);
    put(dir, "memory.swap.max", "0");
    return put_number(dir, "memory.max", bytes);
}

static int limit_cpu(const char *dir, bool v2, uint64_t millis)
{
    char text[64];
    if (!v2)
        return put_number(dir, "cpu.cfs_quota_us", millis * 100);
    snprintf(text, sizeof text, "%llu 100000", (unsigned long long)millis * 100);
    return put(dir, "cpu.max", text);
}

static int open_in(const char *dir, const char *file)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* v1 groups for what v2 did not give. */
static void make_v1(struct cgroup_set *set, int kind, const char *name)
{
    char *to = set->path[kind];
    snprintf(to, sizeof set->path[0], "%s/%s", own[kind], name);
    if (!own[kind][0] || mkdir(to, 0755) < 0)
        to[0] = '\0';
}

static void set_limits(struct cgroup_set *set, const struct zygote_create *limits,
                       bool v2)
{
    const char *dir[CGROUP_KINDS];
    for (int k = 0; k < CGROUP_KINDS; k++)
        dir[k] = v2 ? set->path[CGROUP_V2] : set->path[k];
    if (dir[CGROUP_MEMORY][0] &&
        limit_memory(dir[CGROUP_MEMORY], v2, limits->memory_bytes) == 0) {
        set->layers |= LAYER_CGROUP_MEMORY;
        set->memory_events =
            open_in(dir[CGROUP_MEMORY], v2 ? "memory.events" : "memory.oom_control");
    }
    /* One more for the guest itself. */
    if (dir[CGROUP_PIDS][0] &&
        put_number(dir[CGROUP_PIDS], "pids.max", limits->pids + 1) == 0) {
        set->layers |= LAYER_CGROUP_PIDS;
        set->pids_events = open_in(dir[CGROUP_PIDS], "pids.events");
    }
    if (dir[CGROUP_CPU][0] && limits->cpu_millis &&
        limit_cpu(dir[CGROUP_CPU], v2, limits->cpu_millis) == 0)
        set->layers |= LAYER_CGROUP_CPU;
}

void cgroup_make(struct cgroup_set *set, unsigned number,
                 const struct zygote_create *limits)
{
    char name[64];
    *set = (struct cgroup_set){.v2_dir = -1, .memory_events = -1, .pids_events = -1};
    snprintf(name, sizeof name, "sandquay-%d-%u", (int)getpid(), number);
    if (own[CGROUP_V2][0])
        make_v2(set, name);
    bool v2 = set->path[CGROUP_V2][0] && v2_has(set->path[CGROUP_V2], "memory");
    if (!v2) {
        make_v1(set, CGROUP_MEMORY, name);
        make_v1(set, CGROUP_PIDS, name);
        if (limits->cpu_millis)
            make_v1(set, CGROUP_CPU, name);
    }
    set_limits(set, limits, v2);
    if (set->path[CGROUP_V2][0])
        set->v2_dir = open(set->path[CGROUP_V2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void fchown_back(int dir)
{
    int ignored = fchown(dir, 0, (gid_t)-1);
    (void)ignored;
}

void cgroup_delegate(const struct cgroup_set *set, uid_t uid)
{
    if (set->v2_dir < 0)
        return;
    /* Where it fails, the guest cannot make groups and says so by a missing layer. */
    if (fchown(set->v2_dir, uid, (gid_t)-1) == 0 &&
        fchownat(set->v2_dir, "cgroup.procs", uid, (gid_t)-1, 0) < 0)
        fchown_back(set->v2_dir);
}

int cgroup_enter(const struct cgroup_set *set, pid_t pid)
{
    for (int k = CGROUP_MEMORY; k < CGROUP_KINDS; k++)
        if (set->path[k][0] &&
            put_number(set->path[k], "cgroup.procs", (uint64_t)pid) < 0)
            return -1;
    return 0;
}

void cgroup_close_entries(int fds[CGROUP_KINDS])
{
    for (int k = 0; k < CGROUP_KINDS; k++)
        fd_close(&fds[k]);
}

int cgroup_open_entries(const struct cgroup_set *set, int fds[CGROUP_KINDS])
{
    int rc = 0;
    for (int k = 0; k < CGROUP_KINDS; k++) {
        char path[400];
        bool has = k >= CGROUP_MEMORY && set->path[k][0];
        snprintf(path, sizeof path, "%s/tasks", set->path[k]);
        fds[k] = has ? open(path, O_WRONLY | O_CLOEXEC) : -1;
        if (has && fds[k] < 0)
            rc = -1;
    }
    int saved = errno;
    if (rc < 0)
        cgroup_close_entries(fds);
    errno = saved;
    return rc;
}

int cgroup_enter_self(int fds[CGROUP_KINDS])
{
    int rc = 0;
    for (int k = 0; k < CGROUP_KINDS && rc == 0; k++)
        if (fds[k] >= 0 && write(fds[k], "0", 1) != 1)
            rc = -1;
    int saved = errno;
    cgroup_close_entries(fds);
    errno = saved;
    return rc;
}

int cgroup_enter_all(const struct cgroup_set *set, pid_t pid)
{
    if (set->path[CGROUP_V2][0] &&
        put_number(set->path[CGROUP_V2], "cgroup.procs", (uint64_t)pid) < 0)
        return -1;
    return cgroup_enter(set, pid);
}

uint32_t cgroup_count(int events_fd, const char *key)
{
    char text[512];
    ssize_t n = events_fd < 0 ? -1 : pread(events_fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    for (char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        size_t k = strlen(key);
        if (strncmp(line, key, k) == 0 && line[k] == ' ')
            return (uint32_t)strtoul(line + k, NULL, 10);
    }
    return 0;
}

/* rmdir says EBUSY until the last process is reaped; pid 1 of the sandbox is dead by
 * now, so that is a matter of microseconds. */
static void remove_group(const char *path)
{
    for (int tries = 0; tries < 200; tries++) {
        if (rmdir(path) == 0 || errno != EBUSY)
            return;
        poll(NULL, 0, tries < 20 ? 0 : 5);
    }
}

static void remove_children(const char *path)
{
    DIR *d = opendir(path);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));) {
        char below[600];
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        snprintf(below, sizeof below, "%s/%s", path, e->d_name);
        remove_group(below);
    }
    closedir(d);
}

void cgroup_destroy(struct cgroup_set *set)
{
    if (set->path[CGROUP_V2][0]) {
        put(set->path[CGROUP_V2], "cgroup.kill", "1");
        remove_children(set->path[CGROUP_V2]);
    }
    for (int k = 0; k < CGROUP_KINDS; k++)
        if (set->path[k][0])
            remove_group(set->path[k]);
    fd_close(&set->v2_dir);
    fd_close(&set->memory_events);
    fd_close(&set->pids_events);
}
