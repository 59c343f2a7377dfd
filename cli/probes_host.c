#include "base/fd.h"
#include "cli/probes.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LANDLOCK_CREATE = 444, LANDLOCK_VERSION = 1, LANDLOCK_FOR_USERS = 6 };

static void say(struct probe_result *r, enum probe_verdict verdict, const char *text)
{
    r->verdict = verdict;
    snprintf(r->text, sizeof r->text, "%s", text);
}

/* Its exit status, with nothing on its streams; -1 when it cannot be run. */
static int run_quietly(const char *const argv[])
{
    posix_spawn_file_actions_t streams;
    pid_t pid;
    int status;
    posix_spawn_file_actions_init(&streams);
    posix_spawn_file_actions_addopen(&streams, 0, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&streams, 0, 1);
    posix_spawn_file_actions_adddup2(&streams, 0, 2);
    int rc = posix_spawnp(&pid, argv[0], &streams, NULL, (char *const *)(uintptr_t)argv,
                          environ);
    posix_spawn_file_actions_destroy(&streams);
    if (rc != 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

static void probe_bubblewrap(struct probe_result *r)
{
    static const char *const argv[] = {
        "bwrap", "--unshare-pid", "--unshare-net", "--ro-bind", "/", "/", "true", NULL};
    struct stat st;
    bool setuid = stat("/usr/bin/bwrap", &st) == 0 && st.st_mode & S_ISUID;
    int status = run_quietly(argv);
    if (status == 0)
        say(r, PROBE_INFO,
            setuid ? "works, setuid: level 3 where user namespaces are forbidden"
                   : "works: level 3 where only it may make namespaces");
    else
        say(r, PROBE_INFO,
            status < 0 || status == 127
                ? "not installed: it would give level 3 where only it may make "
                  "namespaces; apt-get install bubblewrap"
                : "installed, but it may not make namespaces here");
}

static void probe_landlock(struct probe_result *r)
{
    long version = syscall(LANDLOCK_CREATE, NULL, 0UL, LANDLOCK_VERSION);
    char text[160];
    if (version >= LANDLOCK_FOR_USERS)
        snprintf(text, sizeof text,
                 "version %ld: level 4 (weak) would be possible, if it is allowed",
                 version);
    else
        snprintf(text, sizeof text,
                 "%s: no level 4 (Linux 6.12 has what it needs; as root 6.7)",
                 version < 0 ? "none" : "an old version");
    say(r, PROBE_INFO, text);
}

static void probe_user_scope(struct probe_result *r)
{
    static const char *const argv[] = {"systemd-run", "--user",       "--scope", "-q",
                                       "-p",          "Delegate=yes", "true",    NULL};
    if (geteuid() == 0)
        say(r, PROBE_INFO, "not needed: root has cgroups of its own");
    else if (!getenv("XDG_RUNTIME_DIR"))
        say(r, PROBE_INFO, "no user session (XDG_RUNTIME_DIR is not set)");
    else if (run_quietly(argv) == 0)
        say(r, PROBE_INFO, "systemd-run can make one; sandquay does not use it");
    else
        say(r, PROBE_INFO, "systemd-run cannot make one here");
}

static void probe_kvm(struct probe_result *r)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int vm = fd < 0 ? -1 : ioctl(fd, KVM_CREATE_VM, 0);
    if (vm >= 0)
        say(r, PROBE_INFO, "a VM can be made; no backend uses it");
    else
        say(r, PROBE_INFO,
            fd < 0 ? "not to be opened; no backend uses it"
                   : "makes no VM; no backend uses it");
    fd_close(&vm);
    fd_close(&fd);
}

const struct probe host_probes[] = {
    {"bubblewrap", probe_bubblewrap},
    {"Landlock", probe_landlock},
    {"user scope", probe_user_scope},
    {"KVM", probe_kvm},
};
const size_t host_probe_count = sizeof host_probes / sizeof host_probes[0];
