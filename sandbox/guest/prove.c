#include "sandbox/guest/prove.h"
#include "base/fd.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum argument {
    ARG_FILE = 2,
    ARG_WORD,
    ARG_PORT,
    ARG_ABSTRACT,
    ARG_PID,
    ARG_MEMORY_MB,
    ARG_PIDS,
    ARG_DISK_MB,
    ARGUMENTS,
};

static char **argument;

static unsigned long number(enum argument which)
{
    return strtoul(argument[which], NULL, 10);
}

/* Each is true when what it tried was refused. */

static bool no_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool refused = fd < 0;
    fd_close(&fd);
    return refused;
}

static bool host_file(void)
{
    return no_file(argument[ARG_FILE]);
}

static bool host_shadow(void)
{
    char text[256] = "";
    int fd = open("/etc/shadow", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    fd_close(&fd);
    return n <= 0 || !strchr(text, '$'); /* the sandbox's own holds no hash */
}

static bool host_disks(void)
{
    static const char *const names[] = {"/dev/mem",     "/dev/kmem", "/dev/port",
                                        "/dev/kmsg",    "/dev/sda",  "/dev/vda",
                                        "/dev/nvme0n1", "/dev/kvm",  "/dev/fuse"};
    bool refused = true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        refused &= no_file(names[i]);
    return refused;
}

static bool device_node(void)
{
    bool refused = mknod("prove-node", S_IFBLK | 0600, makedev(8, 0)) < 0;
    unlink("prove-node");
    return refused;
}

static bool kernel_settings(void)
{
    int fd = open("/proc/sys/kernel/core_pattern", O_WRONLY | O_CLOEXEC);
    bool refused = fd < 0;
    fd_close(&fd);
    return refused;
}

/* Looks for the word in every environment that can be read. */
static bool host_environment(void)
{
    const char *word = argument[ARG_WORD];
    static char text[128 * 1024];
    DIR *d = opendir("/proc");
    bool found = false;
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        char path[300];
        if (e->d_name[0] < '1' || e->d_name[0] > '9' ||
            strtol(e->d_name, NULL, 10) == getpid())
            continue;
        snprintf(path, sizeof path, "/proc/%s/environ", e->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
        fd_close(&fd);
        found = n > 0 && memmem(text, (size_t)n, word, strlen(word));
    }
    if (d)
        closedir(d);
    return !found;
}

/* Is the process of that number doctor, and not one of ours by chance? */
static bool sees_doctor(void)
{
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%lu/comm", number(ARG_PID));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, name, sizeof name - 1);
    fd_close(&fd);
    return n > 0 && strncmp(name, "sandquay\n", 9) == 0;
}

static bool host_processes(void)
{
    return !sees_doctor();
}

static bool host_signals(void)
{
    return kill((pid_t)number(ARG_PID), 0) < 0 || !sees_doctor();
}

static bool pid1_memory(void)
{
    return no_file("/proc/1/mem") && no_file("/proc/1/environ") &&
           no_file("/proc/1/maps");
}

static bool pid1_trace(void)
{
    return ptrace(PTRACE_SEIZE, 1, NULL, NULL) < 0;
}

static bool descriptors(void)
{
    for (int fd = 3; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            return false;
    return true;
}

static bool namespaces(void)
{
    return unshare(CLONE_NEWUSER) < 0 && unshare(CLONE_NEWNS) < 0 &&
           unshare(CLONE_NEWNET) < 0;
}

static bool mounts(void)
{
    return mount("none", "/tmp", "tmpfs", 0, NULL) < 0 &&
           mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL) < 0 &&
           syscall(SYS_pivot_root, ".", ".") < 0 && chroot("/") < 0;
}

static bool absent(long result)
{
    return result < 0 && (errno == EPERM || errno == ENOSYS || errno == EACCES);
}

static bool kernel_interfaces(void)
{
    enum { IO_URING_SETUP = 425 };
    return absent(syscall(SYS_bpf, 0, NULL, 0)) &&
           absent(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0)) &&
           absent(syscall(SYS_userfaultfd, 0)) &&
           absent(syscall(IO_URING_SETUP, 0, NULL)) &&
           absent(syscall(SYS_keyctl, 0L, -3L, 0L)) &&
           absent(syscall(SYS_init_module, NULL, 0, "")) &&
           absent(syscall(SYS_kexec_load, 0, 0, NULL, 0));
}

static bool other_abi(void)
{
#if defined __x86_64__
    enum { X32 = 0x40000000 };
    return syscall(X32 + SYS_getpid) < 0;
#else
    return true;
#endif
}

static bool host_name_and_clock(void)
{
    struct timeval now;
    gettimeofday(&now, NULL);
    return sethostname("x", 1) < 0 && settimeofday(&now, NULL) < 0;
}

static bool privileges(void)
{
    const int reaching[] = {
        12 /* NET_ADMIN */, 13 /* NET_RAW */,      16 /* SYS_MODULE */,
        17 /* SYS_RAWIO */, 19 /* SYS_PTRACE */,   21 /* SYS_ADMIN */,
        22 /* SYS_BOOT */,  24 /* SYS_RESOURCE */, 25 /* SYS_TIME */};
    char text[4096], *caps;
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    fd_close(&fd);
    text[n > 0 ? n : 0] = '\0';
    caps = strstr(text, "CapPrm:");
    unsigned long long have = caps ? strtoull(caps + 7, NULL, 16) : ~0ULL;
    for (size_t i = 0; i < sizeof reaching / sizeof reaching[0]; i++)
        if (have >> reaching[i] & 1)
            return false;
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

static bool filter(void)
{
    return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2;
}

static bool core_dumps(void)
{
    struct rlimit core;
    return getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max <= 1;
}

static bool terminal_input(void)
{
    return ioctl(0, TIOCSTI, "x") < 0 && errno == EPERM;
}

static bool cannot_connect(const struct sockaddr *to, socklen_t n)
{
    struct timeval limit = {.tv_sec = 2};
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return true;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    bool refused = connect(fd, to, n) < 0;
    fd_close(&fd);
    return refused;
}

static bool cannot_reach(const char *address, unsigned long port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return inet_pton(AF_INET, address, &to.sin_addr) == 1 &&
           cannot_connect((const struct sockaddr *)&to, sizeof to);
}

static bool host_loopback(void)
{
    return cannot_reach("127.0.0.1", number(ARG_PORT));
}

static bool metadata_service(void)
{
    return cannot_reach("169.254.169.254", 80);
}

static bool abstract_socket(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = strlen(argument[ARG_ABSTRACT]);
    if (n + 2 > sizeof to.sun_path)
        return false;
    memcpy(to.sun_path + 1, argument[ARG_ABSTRACT], n);
    return cannot_connect((const struct sockaddr *)&to,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n));
}

static bool no_socket(int family, int type, int protocol)
{
    int fd = socket(family, type | SOCK_CLOEXEC, protocol);
    bool refused = fd < 0;
    fd_close(&fd);
    return refused;
}

static bool raw_and_vsock(void)
{
    return no_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) &&
           no_socket(AF_PACKET, SOCK_RAW, 0) && no_socket(AF_VSOCK, SOCK_STREAM, 0) &&
           no_socket(AF_NETLINK, SOCK_RAW, 16 /* generic */);
}

/* Twice the limit: the child is killed, or gets no more. */
static bool memory_limit(void)
{
    enum { STEP = 4 << 20 };
    size_t wanted = (size_t)number(ARG_MEMORY_MB) << 21;
    pid_t pid = fork();
    if (pid == 0) {
        for (size_t had = 0; had < wanted; had += STEP) {
            char *p = mmap(NULL, STEP, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (p == MAP_FAILED)
                _exit(1);
            memset(p, 0x5a, STEP);
        }
        _exit(0);
    }
    int status = 0;
    return pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) ||
           WEXITSTATUS(status) != 0;
}

static bool process_limit(void)
{
    static pid_t child[8192];
    size_t most = number(ARG_PIDS) + 512, n = 0;
    while (n < most && n < sizeof child / sizeof child[0]) {
        pid_t pid = fork();
        if (pid < 0)
            break;
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            pause();
            _exit(0);
        }
        child[n++] = pid;
    }
    bool refused = n < most;
    for (size_t i = 0; i < n; i++)
        kill(child[i], SIGKILL);
    for (size_t i = 0; i < n; i++)
        waitpid(child[i], NULL, 0);
    return refused;
}

/* One file of twice the limit. */
static bool disk_limit(void)
{
    static char block[1 << 20];
    unsigned long wanted = 2 * number(ARG_DISK_MB), had = 0;
    int fd = open("prove-fill", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return true;
    sigaction(SIGXFSZ, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    while (had < wanted && write(fd, block, sizeof block) == (ssize_t)sizeof block)
        had++;
    fd_close(&fd);
    unlink("prove-fill");
    return had < wanted;
}

struct trial {
    const char *protection, *what;
    bool (*refused)(void);
};

static const struct trial trials[] = {
    {"host files", "a file of the host", host_file},
    {"host files", "/etc/shadow", host_shadow},
    {"devices", "disks, memory and KVM", host_disks},
    {"devices", "making a device node", device_node},
    {"kernel settings", "core_pattern", kernel_settings},
    {"host environment", "the environment of every process", host_environment},
    {"host processes", "seeing them", host_processes},
    {"host signals", "a signal to the server", host_signals},
    {"pid 1", "its memory and environment", pid1_memory},
    {"pid 1", "tracing it", pid1_trace},
    {"descriptors", "anything but three pipes", descriptors},
    {"namespaces", "making new ones", namespaces},
    {"mounts", "mount, remount, pivot_root, chroot", mounts},
    {"kernel interfaces", "bpf, perf, io_uring, keyrings, modules", kernel_interfaces},
    {"kernel interfaces", "another ABI", other_abi},
    {"host name and clock", "setting them", host_name_and_clock},
    {"privileges", "capabilities, setuid", privileges},
    {"privileges", "the system call filter", filter},
    {"core dumps", "a dump for the host", core_dumps},
    {"terminal", "typing into it (TIOCSTI)", terminal_input},
    {"host network", "127.0.0.1 of the host", host_loopback},
    {"host network", "an abstract socket of the host", abstract_socket},
    {"host network", "the metadata service", metadata_service},
    {"host network", "raw, packet, vsock and netlink sockets", raw_and_vsock},
    {"memory limit", "twice the limit", memory_limit},
    {"process limit", "a fork bomb", process_limit},
    {"disk limit", "twice the limit", disk_limit},
};

int prove_main(int argc, char **argv)
{
    if (argc != ARGUMENTS)
        return 2;
    argument = argv;
    for (size_t i = 0; i < sizeof trials / sizeof trials[0]; i++) {
        bool held = trials[i].refused();
        dprintf(1, "%s\t%s\t%s\n", held ? "held" : "open", trials[i].protection,
                trials[i].what);
    }
    return 0;
}
