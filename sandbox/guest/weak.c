#include "sandbox/guest/weak.h"
#include "base/fd.h"
#include "base/str.h"
#include "sandbox/guest/etc.h"
#include "sandbox/guest/idmap.h"
#include "sandbox/guest/landlock.h"
#include "sandbox/guest/launch.h"
#include "sandbox/guest/lockdown.h"
#include "sandbox/guest/processes.h"
#include "sandbox/guest/sweep.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KILL_ROUNDS = 1000, LANDLOCK_AS_ROOT = 4, LANDLOCK_AS_USER = 6 };

#define PREFIX "sandquay-weak-"

/* The system's programs and what they read; nothing of it is secret. */
static const char *const readable[] = {
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/etc/alternatives",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/fonts",
    "/etc/terminfo",
    "/etc/perl",
    "/etc/python3",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/os-release",
    "/etc/debian_version",
    "/etc/mime.types",
    "/etc/magic",
    "/etc/services",
    "/etc/protocols",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/hosts",
};

static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full",
                                      "/dev/random", "/dev/urandom"};

int weak_restrict(const struct weak_place *p, unsigned proxy_port)
{
    int rules = landlock_new(), rc = rules < 0 ? -1 : 0;
    for (size_t i = 0; rc == 0 && i < sizeof readable / sizeof readable[0]; i++)
        rc = landlock_allow(rules, readable[i], LANDLOCK_READ);
    for (size_t i = 0; rc == 0 && i < sizeof devices / sizeof devices[0]; i++)
        rc = landlock_allow(rules, devices[i], LANDLOCK_DEVICE);
    if (rc == 0)
        rc = landlock_allow(rules, p->workspace,
                            p->readonly ? LANDLOCK_READ : LANDLOCK_WRITE);
    if (rc == 0)
        rc = landlock_allow(rules, p->home, LANDLOCK_WRITE);
    if (rc == 0)
        rc = landlock_allow(rules, p->tmp, LANDLOCK_WRITE);
    if (rc == 0)
        rc = landlock_allow_connect(rules, proxy_port);
    if (rc == 0)
        rc = landlock_enforce(rules);
    int saved = errno;
    fd_close(&rules);
    errno = saved;
    return rc;
}

static int make_dir(char to[WEAK_PATH_MAX], const char *base, const char *name,
                    const struct weak_place *p)
{
    int n = snprintf(to, WEAK_PATH_MAX, "%s/%s", base, name);
    if (n < 0 || n >= WEAK_PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (mkdir(to, 0700) < 0)
        return -1;
    return p->uid == geteuid() ? 0 : lchown(to, p->uid, p->uid);
}

/* Directories of dead zygotes: PREFIX, PID, number. Others may have planted such a
 * name: only what is ours is removed. */
static void remove_leftovers(const char *temp)
{
    DIR *d = opendir(temp);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        char *end = NULL;
        if (strncmp(e->d_name, PREFIX, sizeof PREFIX - 1) != 0)
            continue;
        long pid = strtol(e->d_name + sizeof PREFIX - 1, &end, 10);
        if (pid > 0 && *end == '-' && kill((pid_t)pid, 0) < 0 && errno == ESRCH &&
            fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(st.st_mode) && st.st_uid == geteuid())
            sweep_remove(dirfd(d), e->d_name);
    }
    if (d)
        closedir(d);
}

/* The PATH of commands begins with $HOME/.local/bin. */
static int add_sudo(const struct weak_place *p)
{
    char dir[WEAK_PATH_MAX], bin[WEAK_PATH_MAX], file[WEAK_PATH_MAX + 8];
    struct str text = etc_sudo();
    if (make_dir(dir, p->home, ".local", p) < 0 || make_dir(bin, dir, "bin", p) < 0)
        return -1;
    snprintf(file, sizeof file, "%s/sudo", bin);
    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    ssize_t n = fd < 0 ? -1 : write(fd, text.p, text.n);
    fd_close(&fd);
    return n == (ssize_t)text.n ? 0 : -1;
}

static int make_place(struct weak_place *p, const struct guest_setup *setup)
{
    static unsigned number;
    char name[64];
    const struct mount_plan *plan = &setup->plan;
    struct weak_place ours = {.uid = geteuid()};
    snprintf(name, sizeof name, PREFIX "%d-%u", (int)getpid(), ++number);
    snprintf(p->workspace, sizeof p->workspace, "%s", plan->workspace);
    p->readonly = plan->workspace_readonly;
    /* The top stays ours, so that nothing in it can be exchanged. */
    if (make_dir(p->top, setup->temp, name, &ours) < 0 || chmod(p->top, 0711) < 0 ||
        make_dir(p->tmp, p->top, "tmp", p) < 0 ||
        make_dir(p->home, p->top, "home", p) < 0 || add_sudo(p) < 0 ||
        (!p->workspace[0] && make_dir(p->workspace, p->top, "workspace", p) < 0))
        return -1;
    return 0;
}

_Noreturn static void become_guest(struct guest_setup *setup,
                                   const struct weak_place *p, int go)
{
    char byte;
    launch_keep_server(setup);
    setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* orphans stay below the guest */
    bool other = p->uid != geteuid();
    if (read(go, &byte, 1) != 1 ||
        (other && (lockdown_bounding_set() < 0 || setgroups(0, NULL) < 0 ||
                   setresgid(p->uid, p->uid, p->uid) < 0 ||
                   setresuid(p->uid, p->uid, p->uid) < 0)))
        _exit(1);
    close(go);
    setup->weak = p;
    guest_main(setup);
}

/* Without a user id of its own, only Landlock's sixth version keeps a process inside
 * from signalling ours. */
static const char *check(const struct guest_setup *setup)
{
    bool root = geteuid() == 0;
    if (landlock_version() < (root ? LANDLOCK_AS_ROOT : LANDLOCK_AS_USER)) {
        errno = ENOSYS;
        return root ? "Landlock version 4 (Linux 6.7)"
                    : "Landlock version 6 (Linux 6.12)";
    }
    if (setup->plan.workspace_overlay || setup->plan.lowers[0]) {
        errno = EPERM;
        return "an overlay without namespaces of our own";
    }
    if (setup->plan.files[0]) {
        errno = EPERM;
        return "a kept sandbox without namespaces";
    }
    if (root && setup->plan.workspace[0]) {
        errno = EPERM;
        return "a directory of the host without namespaces, as root";
    }
    return NULL;
}

const char *launch_weak(struct guest_setup *setup, struct launched *ret)
{
    static struct weak_place place;
    int go[2];
    const char *failed = check(setup);
    if (failed)
        return failed;
    place = (struct weak_place){.uid = idmap_pick().first};
    setup->pids_before = place.uid == geteuid() ? processes_of_user() : 0;
    remove_leftovers(setup->temp);
    if (pipe2(go, O_CLOEXEC) < 0)
        return "pipe";
    pid_t pid = -1;
    if (make_place(&place, setup) < 0)
        failed = "making its directories";
    else if ((pid = fork()) == 0)
        become_guest(setup, &place, go[0]);
    else if (pid < 0)
        failed = "starting a process";
    else if (cgroup_enter_all(&setup->groups, pid) < 0)
        failed = "entering the cgroups";
    else if (write(go[1], "x", 1) != 1)
        failed = "starting a process";
    int saved = errno;
    close(go[0]);
    close(go[1]);
    if (failed && pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    if (failed && place.top[0])
        sweep_remove(AT_FDCWD, place.top);
    *ret = (struct launched){.pid = pid, .pidfd = -1, .said = -1, .weak = place};
    if (!failed)
        ret->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    errno = saved;
    return failed;
}

/* Orphans become children of ours, for the zygote is a subreaper; what they start
 * meanwhile comes in the next round. */
static void kill_orphans(bool (*known)(pid_t pid))
{
    for (int round = 0; round < KILL_ROUNDS; round++)
        if (processes_end_children(known) == 0)
            return;
}

void weak_clear(const struct weak_place *place, bool (*known)(pid_t pid))
{
    if (!place->top[0])
        return;
    kill_orphans(known);
    sweep_remove(AT_FDCWD, place->top);
}
