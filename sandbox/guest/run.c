/* Running commands: a vfork and an exec each. Where the guest has a v2 cgroup of its
 * own, each command runs in a child group of it, which is how a command is killed with
 * everything that it started; elsewhere a supervisor (a subreaper) stands between, and
 * its tree is killed. */
#include "base/fd.h"
#include "sandbox/guest/guest.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { COMMANDS_MAX = 1024, STRINGS_MAX = 4096, KILL_LIMIT_MS = 2000, WATCH_MS = 100 };

/* A cgroup for one command after the other. One that was killed takes no new process:
 * the kernel compares its kill count with that of the cgroup that the process was
 * cloned from. */
struct group {
    int dir, events, kill; /* descriptors */
    uint32_t number;       /* of its name; 0: a free slot */
    bool busy, killed;
};

struct command {
    uint32_t id;
    bool used, exited;
    pid_t leader, supervisor;
    int group;        /* index or -1 */
    uint32_t kill_id; /* a kill that waits for the end of all; 0 */
    uint64_t kill_since_ms;
    uint32_t oom_before, pids_before;
};

static struct command commands[COMMANDS_MAX];
static struct group groups[COMMANDS_MAX];
static int group_count, command_count;
static uint32_t last_oom, last_pids;
static int report_pipe[2] = {-1, -1};
/* Shared with supervisors: the kernel writes the leader's pid before the leader runs,
 * so that it is known even if the leader's first act is to kill its supervisor. */
static volatile pid_t *leader_pid;

struct report {
    uint32_t exec_id;
    int32_t status;
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void run_init(struct guest *g)
{
    if (g->groups.v2_dir >= 0 && mkdirat(g->groups.v2_dir, "c0", 0755) == 0) {
        unlinkat(g->groups.v2_dir, "c0", AT_REMOVEDIR);
        g->layers |= LAYER_CGROUP_KILL;
    } else {
        leader_pid = mmap(NULL, sizeof *leader_pid, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (leader_pid == MAP_FAILED || pipe2(report_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
            _exit(1);
    }
    if (!(g->layers & LAYER_CGROUP_MEMORY))
        g->layers |= LAYER_WATCHDOG;
    last_oom = cgroup_count(g->groups.memory_events, "oom_kill");
    last_pids = cgroup_count(g->groups.pids_events, "max");
}

static bool populated(const struct group *group)
{
    return cgroup_count(group->events, "populated") != 0;
}

static void group_name(char *to, size_t n, uint32_t number)
{
    snprintf(to, n, "c%u", number);
}

static bool make_group(struct guest *g, struct group *group)
{
    static uint32_t last_number;
    char name[16];
    group_name(name, sizeof name, ++last_number);
    if (mkdirat(g->groups.v2_dir, name, 0755) < 0)
        return false;
    group->dir = openat(g->groups.v2_dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    group->events = openat(group->dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
    group->kill = openat(group->dir, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    group->number = last_number;
    group->killed = false;
    return true;
}

static void remove_group(struct guest *g, struct group *group)
{
    char name[16];
    group_name(name, sizeof name, group->number);
    fd_close(&group->dir);
    fd_close(&group->events);
    fd_close(&group->kill);
    unlinkat(g->groups.v2_dir, name, AT_REMOVEDIR);
    group->number = 0;
}

/* An empty group that there is, or a new one; -1 if none can be had. */
static int take_group(struct guest *g)
{
    int free_slot = -1;
    for (int i = 0; i < group_count; i++) {
        struct group *group = &groups[i];
        if (group->number && !group->busy && !populated(group)) {
            if (!group->killed) {
                group->busy = true;
                return i;
            }
            remove_group(g, group);
        }
        if (!group->number)
            free_slot = i;
    }
    if (free_slot < 0 && group_count < COMMANDS_MAX)
        free_slot = group_count++;
    if (free_slot < 0 || !make_group(g, &groups[free_slot]))
        return -1;
    groups[free_slot].busy = true;
    return free_slot;
}

struct spawn {
    char **argv, **envp;
    const char *program, *cwd;
    int fds[3];
    const struct seccomp_wishes *wishes;
    uint64_t data_limit;
    uint32_t process_limit;
    enum guest_what what;
    int sys;
};

/* Runs on the parent's stack and memory (vfork): touches nothing but `s`. */
static void child(struct spawn *s)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    s->what = GUEST_WHAT_BAD_CWD;
    if (chdir(s->cwd) < 0)
        goto failed;
    s->what = GUEST_WHAT_ERRNO;
    for (int i = 0; i < 3; i++)
        if (dup2(s->fds[i], i) < 0)
            goto failed;
    struct rlimit data = {s->data_limit, s->data_limit};
    struct rlimit processes = {s->process_limit, s->process_limit};
    if ((s->data_limit && setrlimit(RLIMIT_DATA, &data) < 0) ||
        (s->process_limit && setrlimit(RLIMIT_NPROC, &processes) < 0) ||
        (seccomp_has_later(s->wishes) && seccomp_load_later(s->wishes) < 0))
        goto failed;
    execve(s->program, s->argv, s->envp);
    s->what = GUEST_WHAT_NO_COMMAND;
failed:
    s->sys = errno;
    _exit(127);
}

static inline __attribute__((always_inline)) long clone3_here(struct clone_args *args)
{
    long rc;
#if defined __x86_64__
    __asm__ volatile("syscall"
                     : "=a"(rc)
                     : "0"((long)SYS_clone3), "D"(args), "S"(sizeof *args)
                     : "rcx", "r11", "memory");
#else
    register long x8 __asm__("x8") = SYS_clone3;
    register long x0 __asm__("x0") = (long)args;
    register long x1 __asm__("x1") = sizeof *args;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1) : "memory");
    rc = x0;
#endif
    return rc;
}

/* vfork into a cgroup. The system call must not be a function call: the child would
 * return from it and overwrite the frame that the parent returns to. */
static __attribute__((noinline)) pid_t spawn(struct spawn *s, int group_dir)
{
    struct clone_args args = {.flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD};
    if (group_dir >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (unsigned)group_dir;
    }
    if (leader_pid) {
        args.flags |= CLONE_PARENT_SETTID;
        args.parent_tid = (uintptr_t)leader_pid;
    }
    s->sys = 0;
    long pid = clone3_here(&args);
    if (pid == 0)
        child(s);
    if (pid < 0) {
        s->what = GUEST_WHAT_ERRNO;
        s->sys = (int)-pid;
        return -1;
    }
    if (s->sys) {
        waitpid((pid_t)pid, NULL, 0);
        return -1;
    }
    return (pid_t)pid;
}

/* A process of its own that adopts what the command leaves, and reports the leader's
 * end. */
_Noreturn static void supervise(struct spawn *s, uint32_t id, int ready)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    pid_t leader = spawn(s, -1);
    int32_t start[3] = {leader, (int32_t)s->what, s->sys};
    if (write(ready, start, sizeof start) != sizeof start || leader < 0)
        _exit(1);
    close(ready);
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, 0);
        if (pid < 0 && errno == ECHILD)
            _exit(0);
        struct report report = {.exec_id = id, .status = status};
        if (pid == leader && write(report_pipe[1], &report, sizeof report) < 0)
            _exit(1);
    }
}

static pid_t spawn_supervised(struct spawn *s, uint32_t id, pid_t *ret_supervisor)
{
    int ready[2];
    int32_t start[3] = {-1, GUEST_WHAT_ERRNO, EIO};
    if (pipe2(ready, O_CLOEXEC) < 0) {
        s->what = GUEST_WHAT_ERRNO;
        s->sys = errno;
        return -1;
    }
    *leader_pid = 0;
    pid_t supervisor = fork();
    if (supervisor == 0)
        supervise(s, id, ready[1]);
    close(ready[1]);
    if (supervisor < 0)
        start[2] = errno;
    else if (read(ready[0], start, sizeof start) != sizeof start)
        start[0] = *leader_pid ? *leader_pid : -1; /* its leader has killed it */
    close(ready[0]);
    s->what = (enum guest_what)start[1];
    s->sys = start[2];
    *ret_supervisor = supervisor;
    return start[0];
}

static char *strings[STRINGS_MAX + 2];

/* argv, NULL, envp, NULL and the working directory, out of the tail. */
static int read_strings(const struct wire_message *m, const struct guest_exec *request,
                        struct spawn *s)
{
    size_t want = (size_t)request->argc + request->envc + 1, k = 0;
    struct str tail = m->tail;
    if (request->argc == 0 || request->argc > STRINGS_MAX ||
        request->envc > STRINGS_MAX || want > STRINGS_MAX || tail.n == 0 ||
        tail.p[tail.n - 1] != '\0')
        return -1;
    for (size_t i = 0; i < want; i++) {
        ptrdiff_t end = str_find(tail, '\0');
        if (end < 0)
            return -1;
        strings[k++] = (char *)(uintptr_t)tail.p;
        if (i + 1 == request->argc || i + 1 == (size_t)request->argc + request->envc)
            strings[k++] = NULL;
        tail = str_from(tail, (size_t)end + 1);
    }
    s->argv = strings;
    s->envp = strings + request->argc + 1;
    s->cwd = strings[k - 1];
    return 0;
}

/* "" when there is none: that is not found when it is executed. */
static const char *find_program(char **envp, const char *name, char *room, size_t n)
{
    const char *path = "/usr/bin:/bin";
    if (strchr(name, '/'))
        return name;
    for (; *envp; envp++)
        if (strncmp(*envp, "PATH=", 5) == 0)
            path = *envp + 5;
    while (*path) {
        size_t len = strcspn(path, ":");
        snprintf(room, n, "%.*s/%s", (int)len, path, name);
        if (len && access(room, X_OK) == 0)
            return room;
        path += len + (path[len] == ':');
    }
    return "";
}

static struct command *free_command(void)
{
    for (int i = 0; i < COMMANDS_MAX; i++)
        if (!commands[i].used)
            return &commands[i];
    return NULL;
}

void run_exec(struct guest *g, struct wire_message *m)
{
    struct guest_exec request;
    struct spawn s = {.wishes = &g->wishes};
    static char program[4096];
    struct command *c = free_command();
    if (m->body_bytes != sizeof request || m->fd_count != 3 || !c) {
        guest_fail(g, m->id, GUEST_WHAT_BAD_REQUEST, c ? EINVAL : EAGAIN, "exec");
        return;
    }
    memcpy(&request, m->body, sizeof request);
    if (read_strings(m, &request, &s) < 0) {
        guest_fail(g, m->id, GUEST_WHAT_BAD_REQUEST, EINVAL, "exec");
        return;
    }
    s.program = find_program(s.envp, s.argv[0], program, sizeof program);
    memcpy(s.fds, m->fds, sizeof s.fds);
    if (!g->relaxed && !(g->layers & LAYER_CGROUP_MEMORY))
        s.data_limit = g->memory_bytes;
    if (!(g->layers & (LAYER_CGROUP_PIDS | LAYER_PID_MAX)))
        s.process_limit = g->pids;
    *c = (struct command){.id = m->id,
                          .used = true,
                          .group = -1,
                          .oom_before = last_oom,
                          .pids_before = last_pids};
    if (g->layers & LAYER_CGROUP_KILL) {
        c->group = take_group(g);
        c->leader = spawn(&s, c->group >= 0 ? groups[c->group].dir : -1);
    } else {
        c->leader = spawn_supervised(&s, m->id, &c->supervisor);
    }
    if (c->leader < 0) {
        if (c->group >= 0)
            groups[c->group].busy = false;
        c->used = false;
        guest_fail(g, m->id, s.what, s.sys, "");
        return;
    }
    command_count++;
    struct guest_started started = {.pid = (uint32_t)c->leader};
    guest_answer(g, GUEST_STARTED, m->id, &started, sizeof started);
}

static void count_events(struct guest *g)
{
    if (g->groups.memory_events >= 0)
        last_oom = cgroup_count(g->groups.memory_events, "oom_kill");
    if (g->groups.pids_events >= 0)
        last_pids = cgroup_count(g->groups.pids_events, "max");
}

static bool has_descendants(const struct command *c)
{
    if (c->group >= 0)
        return populated(&groups[c->group]);
    return c->supervisor > 0 && kill(c->supervisor, 0) == 0;
}

/* The slot is free again when the leader is reaped and nobody waits for its
 * descendants. */
static void settle(struct guest *g, struct command *c)
{
    if (c->kill_id && !has_descendants(c)) {
        guest_answer(g, GUEST_DONE, c->kill_id, NULL, 0);
        c->kill_id = 0;
    }
    if (!c->exited || c->kill_id)
        return;
    if (c->group >= 0)
        groups[c->group].busy = false; /* reused once it is empty */
    c->used = false;
}

static void leader_ended(struct guest *g, struct command *c, int status)
{
    bool by_signal = WIFSIGNALED(status);
    if (by_signal || WEXITSTATUS(status) != 0)
        count_events(g);
    struct guest_exited exited = {
        .exit_code = by_signal ? -1 : WEXITSTATUS(status),
        .signal = by_signal ? WTERMSIG(status) : 0,
        .left_behind = has_descendants(c),
        .oom_killed = last_oom != c->oom_before,
        .pids_hit = last_pids != c->pids_before,
    };
    c->exited = true;
    command_count--;
    guest_answer(g, GUEST_EXITED, c->id, &exited, sizeof exited);
    settle(g, c);
}

void run_reap(struct guest *g)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (int i = 0; i < COMMANDS_MAX; i++)
            if (commands[i].used && !commands[i].exited && commands[i].leader == pid)
                leader_ended(g, &commands[i], status);
    for (int i = 0; i < COMMANDS_MAX; i++)
        if (commands[i].used && (commands[i].kill_id || commands[i].exited))
            settle(g, &commands[i]);
}

/* Only as pid 1 of a namespace does -1 mean "all of this sandbox". */
void run_halt(struct guest *g, const struct wire_message *m)
{
    if (getpid() != 1)
        _exit(1);
    uint64_t since = now_ms();
    while (kill(-1, SIGKILL) == 0) {
        run_reap(g);
        if (now_ms() - since > KILL_LIMIT_MS)
            _exit(1); /* what cannot be killed goes with the sandbox */
        poll(NULL, 0, 1);
    }
    run_reap(g);
    guest_answer(g, GUEST_DONE, m->id, NULL, 0);
}

int run_supervisor_fd(void)
{
    return report_pipe[0];
}

void run_supervisor_news(struct guest *g)
{
    struct report report;
    while (read(report_pipe[0], &report, sizeof report) == sizeof report)
        for (int i = 0; i < COMMANDS_MAX; i++)
            if (commands[i].used && !commands[i].exited &&
                commands[i].id == report.exec_id)
                leader_ended(g, &commands[i], report.status);
}

/* Stops, then kills all descendants of `root` found in /proc; returns how many there
 * were. */
static int kill_descendants(pid_t root, int signal)
{
    static pid_t tree[4096];
    int n = 1;
    tree[0] = root;
    for (int i = 0; i < n; i++) {
        char path[64], text[8192];
        snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)tree[i],
                 (int)tree[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
        fd_close(&fd);
        text[len > 0 ? len : 0] = '\0';
        for (char *p = text; *p;) {
            pid_t pid = (pid_t)strtol(p, &p, 10);
            if (pid > 0 && n < 4096)
                tree[n++] = pid;
            while (*p == ' ')
                p++;
        }
    }
    for (int i = 1; i < n; i++)
        kill(tree[i], signal);
    return n - 1;
}

static void kill_tree(struct command *c)
{
    if (c->group >= 0) {
        groups[c->group].killed = true;
        if (write(groups[c->group].kill, "1", 1) < 0)
            kill(-c->leader, SIGKILL);
        return;
    }
    if (kill(c->supervisor, 0) < 0 && !c->exited)
        _exit(1); /* sandboxed code killed it: its tree cannot be told from others' */
    for (int round = 0, before = -1, now = 0; round < 20 && now != before; round++) {
        before = now;
        now = kill_descendants(c->supervisor, SIGSTOP);
    }
    kill_descendants(c->supervisor, SIGKILL);
}

void run_kill(struct guest *g, const struct wire_message *m)
{
    struct guest_kill request;
    struct command *c = NULL;
    if (m->body_bytes == sizeof request)
        memcpy(&request, m->body, sizeof request);
    for (int i = 0; i < COMMANDS_MAX && m->body_bytes == sizeof request; i++)
        if (commands[i].used && commands[i].id == request.exec_id)
            c = &commands[i];
    if (!c) {
        guest_answer(g, GUEST_DONE, m->id, NULL, 0); /* it has ended */
        return;
    }
    if (!request.whole_tree) {
        kill(-c->leader, request.signal);
        guest_answer(g, GUEST_DONE, m->id, NULL, 0);
        return;
    }
    c->kill_id = m->id;
    c->kill_since_ms = now_ms();
    kill_tree(c);
    settle(g, c);
}

int run_tick_ms(struct guest *g)
{
    for (int i = 0; i < COMMANDS_MAX && command_count > 0; i++)
        if (commands[i].used && commands[i].kill_id)
            return 5;
    return (g->layers & LAYER_WATCHDOG) && command_count > 0 ? WATCH_MS : -1;
}

static bool alive(pid_t pid)
{
    return kill(pid, 0) == 0 || errno != ESRCH;
}

/* Sandboxed code that kills its supervisor takes the report of its own end with it. */
static void end_unreported(struct guest *g)
{
    for (int i = 0; i < COMMANDS_MAX; i++) {
        struct command *c = &commands[i];
        if (c->used && !c->exited && c->supervisor > 0 && !alive(c->supervisor) &&
            !alive(c->leader))
            leader_ended(g, c, SIGKILL);
    }
}

static void watch_memory(struct guest *g)
{
    DIR *d = opendir("/proc");
    uint64_t total = 0, largest = 0;
    pid_t victim = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[300], text[128];
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        if (pid <= 1)
            continue;
        snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
        fd_close(&fd);
        if (n <= 0)
            continue;
        text[n] = '\0';
        char *p = text;
        strtoul(p, &p, 10);
        uint64_t resident = strtoul(p, &p, 10), shared = strtoul(p, &p, 10);
        uint64_t bytes = (resident > shared ? resident - shared : 0) * 4096;
        total += bytes;
        if (bytes > largest) {
            largest = bytes;
            victim = pid;
        }
    }
    if (d)
        closedir(d);
    if (total > g->memory_bytes && victim) {
        kill(victim, SIGKILL);
        last_oom++;
    }
}

void run_tick(struct guest *g)
{
    static uint64_t watched_ms;
    if (command_count == 0)
        return;
    uint64_t now = now_ms();
    for (int i = 0; i < COMMANDS_MAX; i++) {
        struct command *c = &commands[i];
        if (!c->used || !c->kill_id)
            continue;
        if (now - c->kill_since_ms > KILL_LIMIT_MS)
            _exit(1); /* what cannot be killed alone goes with the sandbox */
        kill_tree(c);
        settle(g, c);
    }
    if ((g->layers & LAYER_WATCHDOG) && now - watched_ms >= WATCH_MS) {
        watched_ms = now;
        end_unreported(g);
        watch_memory(g);
    }
}
