/* Where only bubblewrap may make namespaces (a profile of AppArmor's, or because it is
 * setuid), it executes the plan, and this program is run again inside as pid 1. Its
 * known leaks are closed: an empty environment, pid 1 is ours (--as-pid-1) and not
 * dumpable, /dev is read-only, and no descriptor goes along but two: the server's
 * socket, and a pipe with what the guest must know. */
#include "base/fd.h"
#include "sandbox/guest/etc.h"
#include "sandbox/guest/idmap.h"
#include "sandbox/guest/launch.h"
#include "sandbox/guest/plan.h"
#include "sandbox/guest/processes.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/mount.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGS_MAX = 640, TEXT_MAX = 64 * 1024, HANDED_FD = 4 };

#define GUEST_INSIDE "/opt/sandquay/guest"

/* What goes through the pipe. */
struct handed {
    uint32_t launcher, pids, pids_before, relaxed, layers;
    int32_t memory_events, pids_events; /* descriptors, -1: none */
    uint64_t memory_bytes, disk_bytes;
    char host_name[80];
    bool host_directory;
};

struct args {
    char *v[ARGS_MAX + 1];
    int n;
    char text[TEXT_MAX];
    size_t used;
    bool overflow;
};

static void add(struct args *a, const char *word)
{
    size_t n = strlen(word) + 1;
    if (a->n == ARGS_MAX || n > TEXT_MAX - a->used) {
        a->overflow = true;
        return;
    }
    a->v[a->n++] = memcpy(a->text + a->used, word, n);
    a->used += n;
}

static void add3(struct args *a, const char *flag, const char *x, const char *y)
{
    add(a, flag);
    add(a, x);
    if (y)
        add(a, y);
}

static void add_mode(struct args *a, mode_t mode)
{
    char text[16];
    snprintf(text, sizeof text, "%04o", mode);
    add3(a, "--perms", text, NULL);
}

/* A setuid bubblewrap refuses --size: then the guest watches what is used (watch.c). */
static void add_tmpfs(struct args *a, const struct guest_setup *setup,
                      uint64_t size_bytes, const char *path)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)size_bytes);
    if (setup->launcher == LAUNCH_BUBBLEWRAP)
        add3(a, "--size", text, NULL);
    add3(a, "--tmpfs", path, NULL);
}

static void add_host_link(struct args *a, const struct plan_step *s)
{
    char text[PATH_MAX];
    ssize_t n = readlink(s->source, text, sizeof text - 1);
    if (n > 0) {
        text[n] = '\0';
        add3(a, "--symlink", text, s->target);
    } else {
        add3(a, "--ro-bind-try", s->source, s->target);
    }
}

static void add_cover(struct args *a, const struct plan_step *s)
{
    struct stat st;
    if (stat(s->target, &st) < 0)
        return;
    if (S_ISDIR(st.st_mode)) {
        add3(a, "--tmpfs", s->target, NULL);
        add3(a, "--remount-ro", s->target, NULL);
    } else {
        add3(a, "--ro-bind", "/dev/null", s->target);
    }
}

/* The same plan as mounts.c executes. What needs capabilities that bubblewrap does not
 * give (sysctls of the namespace, read-only parts of /proc, which an ordinary user may
 * not write anyway) is left out; /dev is bubblewrap's own. */
static void add_step(struct args *a, const struct plan_step *s)
{
    bool proc = strncmp(s->target, "/proc", 5) == 0;
    if (strncmp(s->target, "/dev", 4) == 0 || (proc && s->op == PLAN_READONLY))
        return;
    switch (s->op) {
    case PLAN_DIR:
        add_mode(a, (mode_t)s->flags);
        add3(a, "--dir", s->target, NULL);
        break;
    case PLAN_LINK:
        add3(a, "--symlink", s->source, s->target);
        break;
    case PLAN_HOSTLINK:
        add_host_link(a, s);
        break;
    case PLAN_BIND:
        add3(a, s->optional ? "--ro-bind-try" : "--ro-bind", s->source, s->target);
        break;
    case PLAN_BIND_RW:
        add3(a, "--bind", s->source, s->target);
        break;
    case PLAN_FS:
        add3(a, "--proc", s->target, NULL);
        break;
    case PLAN_READONLY:
        add3(a, "--remount-ro", s->target, NULL);
        break;
    case PLAN_COVER:
        add_cover(a, s);
        break;
    case PLAN_WRITE:
        break;
    default: /* trees, overlays and devices need root, which this is not for */
        a->overflow = true;
    }
}

static void add_device_directory(struct args *a, const struct guest_setup *setup)
{
    add3(a, "--dev", "/dev", NULL);
    add3(a, "--remount-ro", "/dev", NULL);
    add_mode(a, 01777);
    add_tmpfs(a, setup, 64 << 20, "/dev/shm");
}

static void add_namespaces(struct args *a, const struct guest_setup *setup)
{
    static const char *const always[] = {"--unshare-pid",        "--unshare-net",
                                         "--unshare-ipc",        "--unshare-uts",
                                         "--unshare-cgroup-try", "--die-with-parent",
                                         "--new-session",        "--as-pid-1",
                                         "--cap-drop",           "ALL"};
    add(a, "bwrap");
    if (setup->launcher == LAUNCH_BUBBLEWRAP) {
        add(a, "--unshare-user");
        add(a, "--disable-userns");
        add3(a, "--uid", "0", NULL);
        add3(a, "--gid", "0", NULL);
    }
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        add(a, always[i]);
    add3(a, "--hostname", setup->plan.host_name, NULL);
}

static int memory_file(struct str text)
{
    int fd = memfd_create("sandquay", 0); /* not CLOEXEC: bubblewrap reads it */
    if (fd >= 0 &&
        (write(fd, text.p, text.n) != (ssize_t)text.n || lseek(fd, 0, SEEK_SET) < 0))
        fd_close(&fd);
    return fd;
}

static void add_file(struct args *a, const char *flag, int fd, mode_t mode,
                     const char *path)
{
    char number[16];
    snprintf(number, sizeof number, "%d", fd);
    add_mode(a, mode);
    add3(a, flag, number, path);
    a->overflow |= fd < 0;
}

static void add_files(struct args *a, const struct guest_setup *setup, uid_t uid)
{
    struct etc_file file[ETC_FILES_MAX];
    size_t count = etc_files(file, setup->plan.host_name, uid);
    for (size_t i = 0; i < count; i++)
        add_file(a, "--file", memory_file(file[i].text), file[i].mode, file[i].path);
    add_file(a, "--ro-bind-data", open("/proc/self/exe", O_RDONLY), 0755, GUEST_INSIDE);
}

static void make_args(struct args *a, struct guest_setup *setup, uid_t uid)
{
    static struct plan plan;
    plan_make(&plan, &setup->plan);
    add_namespaces(a, setup);
    add_mode(a, 0755);
    add_tmpfs(a, setup, setup->plan.disk_bytes, "/");
    for (int i = 0; i < plan.count; i++)
        add_step(a, &plan.step[i]);
    add_device_directory(a, setup);
    add_files(a, setup, setup->launcher == LAUNCH_BUBBLEWRAP ? 0 : uid);
    add3(a, "--chdir", "/workspace", NULL);
    add3(a, "--", GUEST_INSIDE, "inside");
    a->v[a->n] = NULL;
}

static const char *find_bubblewrap(struct stat *st)
{
    static const char *const places[] = {"/usr/bin/bwrap", "/usr/local/bin/bwrap"};
    for (size_t i = 0; i < 2; i++)
        if (access(places[i], X_OK) == 0 && stat(places[i], st) == 0)
            return places[i];
    return NULL;
}

static int hand_over(const struct guest_setup *setup)
{
    int ends[2];
    struct handed handed = {
        .launcher = setup->launcher,
        .pids = setup->pids,
        .pids_before = setup->pids_before,
        .relaxed = setup->relaxed,
        .layers = setup->groups.layers,
        .memory_events = fcntl(setup->groups.memory_events, F_DUPFD, 5),
        .pids_events = fcntl(setup->groups.pids_events, F_DUPFD, 5),
        .memory_bytes = setup->memory_bytes,
        .disk_bytes = setup->plan.disk_bytes,
        .host_directory = setup->plan.workspace[0] || setup->plan.mount_count,
    };
    snprintf(handed.host_name, sizeof handed.host_name, "%s", setup->plan.host_name);
    if (pipe(ends) < 0 || write(ends[1], &handed, sizeof handed) != sizeof handed)
        return -1;
    close(ends[1]);
    return ends[0];
}

/* Root gives itself up first: mapped to the host's root, files of /proc would be
 * writable by their owner. */
static int give_up_root(uid_t uid)
{
    if (geteuid() != 0)
        return 0;
    return setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0
               ? -1
               : setresuid(uid, uid, uid);
}

_Noreturn static void become_bubblewrap(const char *path, struct guest_setup *setup,
                                        int go, int said)
{
    static struct args args;
    static char *const nothing[] = {NULL};
    char byte;
    uid_t uid = idmap_pick().first;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    launch_keep_server(setup);
    int handed = hand_over(setup);
    make_args(&args, setup, uid);
    if (args.overflow || handed < 0 || dup2(said, 2) < 0 || read(go, &byte, 1) != 1 ||
        give_up_root(uid) < 0)
        _exit(126);
    if (handed != HANDED_FD && dup2(handed, HANDED_FD) < 0)
        _exit(126);
    fcntl(LAUNCH_SERVER_FD, F_SETFD, 0);
    execve(path, args.v, nothing);
    _exit(127);
}

const char *launch_bubblewrap(struct guest_setup *setup, struct launched *ret)
{
    struct stat st;
    int go[2];
    const char *path = find_bubblewrap(&st);
    if (!path)
        return "bubblewrap (bwrap) is not installed";
    /* It would follow links that sandboxed code has left in there. */
    if (setup->plan.workspace_overlay || setup->plan.lowers[0]) {
        errno = EPERM;
        return "an overlay without namespaces of our own";
    }
    if (setup->plan.files[0]) {
        errno = EPERM;
        return "a kept sandbox without namespaces of our own";
    }
    if (setup->launcher == LAUNCH_BUBBLEWRAP_SETUID && !(st.st_mode & S_ISUID)) {
        errno = EPERM;
        return "bubblewrap is not setuid";
    }
    int said = memfd_create("said", MFD_CLOEXEC);
    if (said < 0 || pipe2(go, O_CLOEXEC) < 0) {
        fd_close(&said);
        return "starting bubblewrap";
    }
    setup->pids_before =
        setup->launcher == LAUNCH_BUBBLEWRAP_SETUID ? processes_of_user() : 0;
    pid_t pid = fork();
    if (pid == 0)
        become_bubblewrap(path, setup, go[0], said);
    const char *failed = pid < 0 ? "starting bubblewrap" : NULL;
    if (!failed && cgroup_enter_all(&setup->groups, pid) < 0)
        failed = "entering the cgroups";
    if (!failed && write(go[1], "x", 1) != 1)
        failed = "starting bubblewrap";
    int saved = errno;
    close(go[0]);
    close(go[1]);
    if (failed && pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    if (failed)
        fd_close(&said);
    *ret = (struct launched){.pid = pid, .pidfd = -1, .said = said};
    if (!failed)
        ret->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    errno = saved;
    return failed;
}

_Noreturn void launch_inside(void)
{
    static struct handed handed;
    static struct guest_setup setup;
    if (read(HANDED_FD, &handed, sizeof handed) != sizeof handed)
        _exit(2);
    close(HANDED_FD);
    fcntl(LAUNCH_SERVER_FD, F_SETFD, FD_CLOEXEC);
    setup = (struct guest_setup){
        .launcher = (enum zygote_launcher)handed.launcher,
        .server = LAUNCH_SERVER_FD,
        .zygote = -1,
        .plan = {.host_name = handed.host_name,
                 .disk_bytes = handed.disk_bytes,
                 .workspace = handed.host_directory ? "/workspace" : "",
                 .files = "",
                 .snapshots = "",
                 .lowers = ""},
        .groups = {.v2_dir = -1,
                   .memory_events = handed.memory_events,
                   .pids_events = handed.pids_events,
                   .layers = handed.layers},
        .memory_bytes = handed.memory_bytes,
        .pids = handed.pids,
        .pids_before = handed.pids_before,
        .relaxed = handed.relaxed,
    };
    for (int i = 0; i < TREE_COUNT; i++)
        setup.plan.tree[i] = -1;
    fd_cloexec_from(LAUNCH_SERVER_FD);
    guest_main(&setup);
}
