/* Namespaces, mounts, limits and filters, each by doing it in a child that then exits.
 * The children are forked from a process that has one thread and no loop. */
#include "cli/probes.h"
#include "base/fd.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a child says: which step failed and with which errno; step NULL: all went well.
 */
struct outcome {
    char step[48];
    int sys;
};

static void result(struct probe_result *r, enum probe_verdict verdict, const char *fmt,
                   ...) __attribute__((format(printf, 3, 4)));

static void result(struct probe_result *r, enum probe_verdict verdict, const char *fmt,
                   ...)
{
    va_list ap;
    va_start(ap, fmt);
    r->verdict = verdict;
    vsnprintf(r->text, sizeof r->text, fmt, ap);
    va_end(ap);
}

/* Runs try() in a child; its outcome comes back over a pipe. */
static struct outcome in_child(void (*try)(struct outcome *o))
{
    struct outcome o = {.step = "fork", .sys = EAGAIN};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return o;
    pid_t pid = fork();
    if (pid == 0) {
        struct outcome mine = {.step = ""};
        try(&mine);
        ssize_t n = write(ends[1], &mine, sizeof mine);
        _exit(n == (ssize_t)sizeof mine ? 0 : 1);
    }
    fd_close(&ends[1]);
    if (pid > 0) {
        ssize_t n = read(ends[0], &o, sizeof o);
        int status;
        waitpid(pid, &status, 0);
        if (n != (ssize_t)sizeof o)
            o = (struct outcome){.step = "the child died", .sys = ECHILD};
    }
    fd_close(&ends[0]);
    return o;
}

static bool failed(struct outcome *o, const char *step, bool bad)
{
    if (!bad)
        return false;
    o->sys = errno;
    snprintf(o->step, sizeof o->step, "%s", step);
    return true;
}

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = write(fd, text, strlen(text));
    int sys = errno;
    fd_close(&fd);
    errno = sys;
    return n == (ssize_t)strlen(text);
}

static bool read_text(const char *path, char *to, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, to, size - 1);
    to[n > 0 ? n : 0] = '\0';
    fd_close(&fd);
    return n >= 0;
}

/* A user namespace of one id, with the namespaces that `more` names. */
static bool enter_user_namespace(struct outcome *o, int more)
{
    char map[40];
    unsigned uid = getuid(), gid = getgid();
    if (failed(o, "unshare", unshare(CLONE_NEWUSER | CLONE_NEWNS | more) < 0))
        return false;
    (void)write_text("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "0 %u 1", uid);
    if (failed(o, "uid_map", !write_text("/proc/self/uid_map", map)))
        return false;
    snprintf(map, sizeof map, "0 %u 1", gid);
    if (failed(o, "gid_map", !write_text("/proc/self/gid_map", map)))
        return false;
    return !failed(o, "private mounts",
                   mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0);
}

static void try_user_namespace(struct outcome *o)
{
    if (enter_user_namespace(o, 0))
        failed(o, "mounting a tmpfs",
               mount("tmpfs", "/tmp", "tmpfs", 0, "size=64k") < 0);
}

static void probe_user_namespace(struct probe_result *r)
{
    struct outcome o = in_child(try_user_namespace);
    if (!o.step[0])
        result(r, PROBE_OK, "made, with a mount inside");
    else if (o.sys == ENOSPC)
        result(r, PROBE_MISSING,
               "none may be made; sysctl user.max_user_namespaces=10000");
    else if (strcmp(o.step, "unshare") == 0)
        result(r, PROBE_MISSING,
               "%s; sysctl kernel.unprivileged_userns_clone=1, or, in a container, let "
               "its seccomp profile pass unshare",
               strerror(o.sys));
    else
        result(r, PROBE_MISSING,
               "%s: %s; AppArmor may restrict it: sysctl "
               "kernel.apparmor_restrict_unprivileged_userns=0",
               o.step, strerror(o.sys));
}

static void try_proc(struct outcome *o)
{
    if (!enter_user_namespace(o, CLONE_NEWPID))
        return;
    pid_t pid = fork(); /* pid 1 of the new namespace */
    if (pid == 0)
        _exit(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0
                  ? errno
                  : 0);
    int status = 0;
    if (failed(o, "fork", pid < 0 || waitpid(pid, &status, 0) < 0))
        return;
    errno = WEXITSTATUS(status);
    failed(o, "mounting /proc", status != 0);
}

static void probe_proc(struct probe_result *r)
{
    struct outcome o = in_child(try_proc);
    if (!o.step[0])
        result(r, PROBE_OK, "processes of their own, with their own /proc");
    else
        result(r, PROBE_MISSING,
               "%s: %s; inside a container /proc is partly covered: start it with an "
               "unmasked /proc (docker: --security-opt systempaths=unconfined)",
               o.step, strerror(o.sys));
}

static void try_network(struct outcome *o)
{
    if (!enter_user_namespace(o, CLONE_NEWNET))
        return;
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    failed(o, "bringing up lo", fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0);
}

static void probe_network(struct probe_result *r)
{
    struct outcome o = in_child(try_network);
    if (!o.step[0])
        result(r, PROBE_OK, "a network of its own, with nothing but lo");
    else
        result(r, PROBE_MISSING, "%s: %s; needed to keep the host's network away",
               o.step, strerror(o.sys));
}

static void try_overlay(struct outcome *o)
{
    if (!enter_user_namespace(o, 0) ||
        failed(o, "tmpfs", mount("tmpfs", "/tmp", "tmpfs", 0, "size=256k") < 0) ||
        failed(o, "directories",
               mkdir("/tmp/low", 0700) < 0 || mkdir("/tmp/up", 0700) < 0 ||
                   mkdir("/tmp/work", 0700) < 0 || mkdir("/tmp/all", 0700) < 0) ||
        failed(o, "mounting an overlay",
               mount("overlay", "/tmp/all", "overlay", 0,
                     "lowerdir=/tmp/low,upperdir=/tmp/up,workdir=/tmp/work,userxattr") <
                   0))
        return;
    int fd = open("/tmp/all/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    failed(o, "writing to an overlay", fd < 0);
}

static void probe_overlay(struct probe_result *r)
{
    struct outcome o = in_child(try_overlay);
    if (!o.step[0])
        result(r, PROBE_OK, "mounted and written to");
    else
        result(r, PROBE_WEAKER, "%s: %s; /usr stays read-only inside", o.step,
               strerror(o.sys));
}

static void try_pid_max(struct outcome *o)
{
    char text[32];
    if (!enter_user_namespace(o, CLONE_NEWPID))
        return;
    pid_t pid = fork();
    if (pid == 0) {
        bool ok = mount("proc", "/proc", "proc", 0, NULL) == 0 &&
                  write_text("/proc/sys/kernel/pid_max", "512") &&
                  read_text("/proc/sys/kernel/pid_max", text, sizeof text) &&
                  strncmp(text, "512", 3) == 0;
        _exit(ok ? 0 : errno ? errno : EINVAL);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : EINVAL;
    failed(o, "writing pid_max", status != 0);
}

static void probe_pid_max(struct probe_result *r)
{
    struct outcome o = in_child(try_pid_max);
    if (!o.step[0])
        result(r, PROBE_OK,
               "the number of processes is limited by pid_max of the sandbox");
    else
        result(r, PROBE_WEAKER,
               "%s; before Linux 6.14: cgroups or RLIMIT_NPROC limit the processes",
               strerror(o.sys));
}

/* The path of our own group in the hierarchy whose line of /proc/self/cgroup holds
 * `key`. */
static bool own_group(const char *key, const char *root, char *to, size_t size)
{
    char text[4096];
    if (!read_text("/proc/self/cgroup", text, sizeof text))
        return false;
    const char *line = strstr(text, key);
    if (!line)
        return false;
    const char *path = line + strlen(key), *end = strchr(path, '\n');
    int n = snprintf(to, size, "%s%.*s", root, (int)(end ? end - path : 0), path);
    return n > 0 && (size_t)n < size && access(to, F_OK) == 0;
}

/* Makes a group below `parent`, sets one limit in it, removes it. */
static bool limit_in(const char *parent, const char *file, const char *value)
{
    char path[4400], limit[4500];
    snprintf(path, sizeof path, "%s/sandquay-doctor-%d", parent, (int)getpid());
    if (mkdir(path, 0755) < 0)
        return false;
    snprintf(limit, sizeof limit, "%s/%s", path, file);
    bool ok = write_text(limit, value);
    int sys = errno;
    rmdir(path);
    errno = sys;
    return ok;
}

static void probe_cgroups(struct probe_result *r)
{
    char path[4200];
    int sys = ENOENT;
    if (own_group("0::", "/sys/fs/cgroup", path, sizeof path) &&
        access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0) {
        if (limit_in(path, "memory.max", "67108864") &&
            limit_in(path, "pids.max", "64")) {
            result(r, PROBE_OK, "v2: memory and pids limited in a group of our own");
            return;
        }
        sys = errno;
    }
    if (own_group(":memory:", "/sys/fs/cgroup/memory", path, sizeof path)) {
        if (limit_in(path, "memory.limit_in_bytes", "67108864")) {
            result(r, PROBE_OK, "v1: memory limited in a group of our own");
            return;
        }
        sys = errno;
    }
    result(r, PROBE_WEAKER,
           "%s: memory is bounded per process and watched in total; run as root",
           strerror(sys));
}

static void try_seccomp(struct outcome *o)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), /* seccomp_data.nr */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mount, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_keyctl, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOTTY),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    if (failed(o, "no_new_privs", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) ||
        failed(o, "loading a filter",
               prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0))
        return;
    bool refused = syscall(SYS_mount, NULL, NULL, NULL, 0, NULL) < 0 && errno == ENOTTY;
    refused = refused && syscall(SYS_unshare, 0) < 0 && errno == ENOTTY;
    refused = refused && syscall(SYS_keyctl, 0, 0, 0, 0, 0) < 0 && errno == ENOTTY;
    failed(o, "the filter does not refuse", !refused);
}

static void probe_seccomp(struct probe_result *r)
{
    struct outcome o = in_child(try_seccomp);
    if (!o.step[0])
        result(r, PROBE_OK, "a filter was loaded and refused three calls");
    else
        result(r, PROBE_MISSING, "%s: %s; needs a kernel with CONFIG_SECCOMP_FILTER",
               o.step, strerror(o.sys));
}

static void probe_id_range(struct probe_result *r)
{
    if (geteuid() == 0)
        result(r, PROBE_OK, "as root, sandboxes get a range of unused ids");
    else
        result(r, PROBE_WEAKER,
               "one id inside: no system packages, no other users; run it as root");
}

static void probe_core_pattern(struct probe_result *r)
{
    char text[256];
    if (read_text("/proc/sys/kernel/core_pattern", text, sizeof text) && text[0] == '|')
        result(r, PROBE_OK,
               "goes to a program of the host; crashes inside are kept from it "
               "(RLIMIT_CORE)");
    else
        result(r, PROBE_OK, "no program of the host sees crashes");
}

const struct probe probes[] = {
    {"user namespace", probe_user_namespace},
    {"own processes", probe_proc},
    {"own network", probe_network},
    {"overlay", probe_overlay},
    {"id range", probe_id_range},
    {"cgroups", probe_cgroups},
    {"process limit", probe_pid_max},
    {"seccomp", probe_seccomp},
    {"core dumps", probe_core_pattern},
};
const size_t probe_count = sizeof probes / sizeof probes[0];
