/* Attacks on pid 1, the guest, which holds the sandbox: hostile_pid1 NAME. */
#include "tests/hostile/attack.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static long read_some(const char *path)
{
    char bytes[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd == -1)
        return -1;
    long n = read(fd, bytes, sizeof bytes);
    if (n == 0)
        errno = ENODATA;
    return n > 0 ? n : -1;
}

static int open_for_writing(const char *path)
{
    return open(path, O_RDWR | O_CLOEXEC);
}

static long list_directory(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir)
        return -1;
    long count = 0;
    for (const struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    errno = ENODATA;
    return count > 0 ? count : -1;
}

static long try_environ(void)
{
    return read_some("/proc/1/environ");
}
static long try_maps(void)
{
    return read_some("/proc/1/maps");
}
static long try_mem(void)
{
    return open_for_writing("/proc/1/mem");
}
static long try_mem_read(void)
{
    return open("/proc/1/mem", O_RDONLY | O_CLOEXEC);
}
static long try_root(void)
{
    return list_directory("/proc/1/root/");
}
static long try_cwd(void)
{
    return list_directory("/proc/1/cwd/");
}
static long try_fd(void)
{
    return list_directory("/proc/1/fd");
}
static long try_exe(void)
{
    return open_for_writing("/proc/1/exe");
}
static long try_exe_read(void)
{
    return open("/proc/1/exe", O_RDONLY | O_CLOEXEC);
}
static long try_own_exe(void)
{
    return open_for_writing("/bin/true");
}
static long try_oom_score(void)
{
    int fd = open_for_writing("/proc/1/oom_score_adj");
    return fd == -1 ? -1 : write(fd, "1000", 4);
}
static long try_attach(void)
{
    return ptrace(PTRACE_ATTACH, 1, NULL, NULL);
}
static long try_seize(void)
{
    return ptrace(PTRACE_SEIZE, 1, NULL, NULL);
}
/* There is nothing at this address; but that is found out behind the check of
 * permission. */
static char *const nowhere = (char *)64;

static long access_given(long result)
{
    return result == -1 && errno == EFAULT ? 0 : result;
}
static long try_vm_read(void)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {nowhere, 1};
    return access_given(process_vm_readv(1, &here, 1, &there, 1, 0));
}
static long try_vm_write(void)
{
    char byte = 0;
    struct iovec here = {&byte, 1}, there = {nowhere, 1};
    return access_given(process_vm_writev(1, &here, 1, &there, 1, 0));
}
static long try_getfd(void)
{
    long pidfd = syscall(SYS_pidfd_open, 1, 0);
    return pidfd == -1 ? -1 : syscall(SYS_pidfd_getfd, pidfd, 0, 0);
}
static long try_stop(void)
{
    return kill(1, SIGSTOP);
}

int main(int argc, char **argv)
{
    static const struct attack list[] = {
        {"environ", try_environ},
        {"maps", try_maps},
        {"mem", try_mem},
        {"mem_read", try_mem_read},
        {"root", try_root},
        {"cwd", try_cwd},
        {"fd", try_fd},
        {"exe", try_exe},
        {"exe_read", try_exe_read},
        {"own_exe", try_own_exe},
        {"oom_score", try_oom_score},
        {"attach", try_attach},
        {"seize", try_seize},
        {"vm_read", try_vm_read},
        {"vm_write", try_vm_write},
        {"getfd", try_getfd},
        {"stop", try_stop},
    };
    if (argc != 2)
        return 2;
    return attack_run(list, sizeof list / sizeof *list, argv[1]);
}
