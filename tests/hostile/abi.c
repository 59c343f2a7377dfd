/* The other system call interfaces of an x86-64 kernel, which a filter may forget:
 * hostile_abi x32|i386. In a child, since the filter may kill for it. */
#include "tests/hostile/attack.h"
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined __x86_64__
static long try_x32(void)
{
    return syscall(0x40000000L + SYS_getpid);
}
static long try_i386(void)
{
    long result = 20; /* getpid */
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    if (result < 0 && result > -4096) {
        errno = (int)-result;
        return -1;
    }
    return result;
}
#else
static long try_x32(void)
{
    errno = ENOSYS;
    return -1;
}
#define try_i386 try_x32
#endif

int main(int argc, char **argv)
{
    static const struct attack list[] = {{"x32", try_x32}, {"i386", try_i386}};
    int status = 0;
    if (argc != 2)
        return 2;
    pid_t pid = fork();
    if (pid == 0)
        _exit(attack_run(list, sizeof list / sizeof *list, argv[1]));
    if (pid == -1 || waitpid(pid, &status, 0) == -1)
        return 1;
    if (WIFSIGNALED(status))
        printf("SIG%s\n", sigabbrev_np(WTERMSIG(status)));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}
