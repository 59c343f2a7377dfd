/* Running commands: a vfork and an exec each. Where the guest has a v2 cgroup of its
 * own, each command runs in a child group of it, which is how a command is killed with
 * everything that it started; elsewhere a supervisor (a subreaper) stands between, and
 * its tree is killed. */
#include "base/fd.h"
#include "sandbox/guest/changes.h"
#include "sandbox/guest/guest.h"
#include "sandbox/guest/processes.h"
#include "sandbox/guest/terminal.h"
#include "sandbox/guest/watch.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
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
    uint32_t oom_before, pids_before, disk_before;
};

static struct command commands[COMMANDS_MAX];
static struct group groups[COMMANDS_MAX];
static int group_count, command_count;
static uint32_t last_oom, last_pids, last_disk;
static int report_pipe[2] = {-1, -1};
/* Shared with supervisors: the kernel writes the leader's pid before the leader runs,
 * so that it is known even if the leader's first act is to kill its supervisor. */
static volatile pid_t *leader_pid;

struct report {
    uint32_t exec_id;
    int32_t status;
    uint32_t left_behind;
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
    if (!(g->layers & LAYER_CGROUP_MEMORY) || g->disk_bytes)
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
    struct terminal terminal; /* -1, -1: none */
    const struct seccomp_wishes *wishes;
    uint64_t data_limit, file_limit;
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
    if (s->terminal.side >= 0 && ioctl(0, TIOCSCTTY, 0) < 0)
        goto failed;
    struct rlimit data = {s->data_limit, s->data_limit};
    struct rlimit processes = {s->process_limit, s->process_limit};
    struct rlimit file = {s->file_limit, s->file_limit};
    if ((s->file_limit && setrlimit(RLIMIT_FSIZE, &file) < 0) ||
        (s->data_limit && setrlimit(RLIMIT_DATA, &data) < 0) ||
        (s->process_limit && setrlimit(RLIMIT_NPROC, &processes) < 0) ||
        (seccomp_has_later(s->wishes) && seccomp_load_later(s->wishes) < 0))
        goto failed;
    execve(s->program, s->argv, s->envp);
    s->what = GUEST_WHAT_NO_COMMAND;
failed:
    s->sys = errno;
    _exit(127);
}

static inline __attribute__((always_inline)) long call_here(long number, long a, long b,
                                                            long c)
{
    long rc;
#if defined __x86_64__
    register long r10 __asm__("r10") = 0;
    register long r8 __asm__("r8") = 0;
    __asm__ volatile("syscall"
                     : "=a"(rc)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
#else
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = 0;
    register long x4 __asm__("x4") = 0;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
                     : "memory");
    rc = x0;
#endif
    return rc;
}

/* vfork, into a cgroup where there is one: only clone3 can, and containers forbid it.
 * The system call must not be a function call: the child would return from it and
 * overwrite the frame that the parent returns to. */
static __attribute__((noinline)) pid_t spawn(struct spawn *s, int group_dir)
{
    struct clone_args args = {.flags = CLONE_VM | CLONE_VFORK | CLONE_INTO_CGROUP,
                              .exit_signal = SIGCHLD,
                              .cgroup = (unsigned)group_dir};
    bool grouped = group_dir >= 0;
    long flags =
        CLONE_VM | CLONE_VFORK | SIGCHLD | (leader_pid ? CLONE_PARENT_SETTID : 0);
    s->sys = 0;
    long pid = call_here(grouped ? SYS_clone3 : SYS_clone,
                         grouped ? (long)(uintptr_t)&args : flags,
                         grouped ? (long)sizeof args : 0, (long)(uintptr_t)leader_pid);
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
    /* Their ends are the command's to close. */
    terminal_close(&s->terminal);
    for (int i = 0; i < 3; i++)
        close(s->fds[i]);
    int32_t start[3] = {leader, (int32_t)s->what, s->sys};
    if (write(ready, start, sizeof start) != sizeof start || leader < 0)
        _exit(1);
    close(ready);
    struct report report = {.exec_id = id};
    bool ended = false;
    for (;;) {
        /* Once the leader has ended: who is there is left behind. */
        pid_t pid = waitpid(-1, &start[0], ended ? WNOHANG : 0);
        if (pid == leader) {
            report.status = start[0];
            ended = true;
        } else if (ended && pid <= 0) {
            report.left_behind = pid == 0;
            break;
        }
    }
    if (write(report_pipe[1], &report, sizeof report) < 0)
        _exit(1);
    while (waitpid(-1, NULL, 0) > 0)
        continue;
    _exit(0);
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

static void set_rlimits(const struct guest *g, struct spawn *s)
{
    if (!g->relaxed && !(g->layers & LAYER_CGROUP_MEMORY))
        s->data_limit = g->memory_bytes;
    s->file_limit = g->file_bytes;
    if (!(g->layers & (LAYER_CGROUP_PIDS | LAYER_PID_MAX)))
        s->process_limit = g->pids + g->pids_before;
}

/* Its descriptors: three that came along, or a terminal made here. */
static int set_streams(struct spawn *s, const struct wire_message *m,
                       const struct guest_exec *request)
{
    s->terminal = (struct terminal){-1, -1};
    if (!request->cols) {
        memcpy(s->fds, m->fds, sizeof s->fds);
        return 0;
    }
    if (terminal_open(&s->terminal, request->cols, request->rows) < 0)
        return -1;
    for (int i = 0; i < 3; i++)
        s->fds[i] = s->terminal.side;
    return 0;
}

static void start_leader(struct guest *g, struct command *c, struct spawn *s)
{
    if (g->layers & LAYER_CGROUP_KILL) {
        c->group = take_group(g);
        c->leader = spawn(s, c->group >= 0 ? groups[c->group].dir : -1);
    } else {
        c->leader = spawn_supervised(s, c->id, &c->supervisor);
    }
    if (c->leader < 0) {
        if (c->group >= 0)
            groups[c->group].busy = false;
        c->used = false;
        guest_fail(g, c->id, s->what, s->sys, "");
        return;
    }
    command_count++;
    struct guest_started started = {.pid = (uint32_t)c->leader};
    guest_answer_fd(g, &(struct wire_out){.type = GUEST_STARTED,
                                          .id = c->id,
                                          .body = &started,
                                          .body_bytes = sizeof started,
                                          .fds = &s->terminal.master,
                                          .fd_count = s->terminal.master >= 0});
}

void run_exec(struct guest *g, struct wire_message *m)
{
    struct guest_exec request = {0};
    struct spawn s = {.wishes = &g->wishes};
    static char program[4096];
    struct command *c = free_command();
    if (m->body_bytes == sizeof request)
        memcpy(&request, m->body, sizeof request);
    if (m->fd_count != (request.cols ? 0 : 3) || !c ||
        read_strings(m, &request, &s) < 0) {
        guest_fail(g, m->id, GUEST_WHAT_BAD_REQUEST, c ? EINVAL : EAGAIN, "exec");
        return;
    }
    if (set_streams(&s, m, &request) < 0) {
        guest_fail(g, m->id, GUEST_WHAT_NO_TERMINAL, errno, "");
        return;
    }
    s.program = find_program(s.envp, s.argv[0], program, sizeof program);
    set_rlimits(g, &s);
    *c = (struct command){.id = m->id,
                          .used = true,
                          .group = -1,
                          .oom_before = last_oom,
                          .pids_before = last_pids,
                          .disk_before = last_disk};
    start_leader(g, c, &s);
    terminal_close(&s.terminal);
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

static bool is_full(const char *path)
{
    struct statvfs fs;
    return statvfs(path, &fs) == 0 && !(fs.f_flag & ST_RDONLY) &&
           ((uint64_t)fs.f_bavail * fs.f_frsize < 4096 ||
            (fs.f_files && fs.f_favail == 0));
}

static void leader_ended(struct guest *g, struct command *c, int status,
                         bool left_behind)
{
    bool by_signal = WIFSIGNALED(status);
    bool failed = by_signal || WEXITSTATUS(status) != 0;
    if (failed)
        count_events(g);
    struct guest_exited exited = {
        .exit_code = by_signal ? -1 : WEXITSTATUS(status),
        .signal = by_signal ? WTERMSIG(status) : 0,
        .left_behind = left_behind,
        .oom_killed = last_oom != c->oom_before,
        .pids_hit = last_pids != c->pids_before,
        .disk_full = failed && (is_full("/") || is_full(g->place[PLACE_WORKSPACE]) ||
                                last_disk != c->disk_before),
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
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        changes_reaped(g, pid);
        for (int i = 0; i < COMMANDS_MAX; i++)
            if (commands[i].used && !commands[i].exited && commands[i].leader == pid)
                leader_ended(g, &commands[i], status, has_descendants(&commands[i]));
    }
    for (int i = 0; i < COMMANDS_MAX; i++)
        if (commands[i].used && (commands[i].kill_id || commands[i].exited))
            settle(g, &commands[i]);
}

static void freeze(const struct group *group, bool hold)
{
    int fd = openat(group->dir, "cgroup.freeze", O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, hold ? "1" : "0", 1);
    (void)n;
    fd_close(&fd);
    uint64_t since = now_ms();
    while (hold && !cgroup_count(group->events, "frozen") &&
           now_ms() - since < KILL_LIMIT_MS)
        poll(NULL, 0, 1);
}

void run_hold(struct guest *g, bool hold)
{
    if (!(g->layers & LAYER_CGROUP_KILL)) {
        if (getpid() == 1)
            kill(-1, hold ? SIGSTOP : SIGCONT);
        return;
    }
    for (int i = 0; i < group_count; i++)
        if (groups[i].number)
            freeze(&groups[i], hold);
}

/* Only as pid 1 of a namespace does -1 mean "all of this sandbox". */
void run_end_all(struct guest *g)
{
    uint64_t since = now_ms();
    while (getpid() == 1 ? kill(-1, SIGKILL) == 0
                         : processes_signal_below(getpid(), SIGKILL) > 0) {
        run_reap(g);
        if (now_ms() - since > KILL_LIMIT_MS)
            _exit(1); /* what cannot be killed goes with the sandbox */
        poll(NULL, 0, 1);
    }
    run_reap(g);
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
                leader_ended(g, &commands[i], report.status, report.left_behind);
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
    /* Stopped first, until nothing new is found: what is stopped does not fork. */
    for (int round = 0, before = -1, now = 0; round < 20 && now != before; round++) {
        before = now;
        now = processes_signal_below(c->supervisor, SIGSTOP);
    }
    processes_signal_below(c->supervisor, SIGKILL);
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
            leader_ended(g, c, SIGKILL, false);
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
        if (!(g->layers & LAYER_CGROUP_MEMORY) && watch_memory(g->memory_bytes))
            last_oom++;
        if (g->disk_bytes && watch_disk(g->disk_bytes))
            last_disk++;
    }
}
