/* Tries to outlive its sandbox: hostile_daemon MARK [still|moving]. Forks twice, leaves
 * the session, ignores signals, closes everything; `moving` goes on forking, so that
 * its pid is never the one that was just seen. MARK is only there to be found by. */
#include "tests/hostile/attack.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    bool moving = argc > 2 && strcmp(argv[2], "moving") == 0;
    if (argc < 2)
        return 2;
    if (fork() != 0)
        return 0;
    setsid();
    if (fork() != 0)
        _exit(0);
    for (int signum = 1; signum < 32; signum++)
        sigaction(signum, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    prctl(PR_SET_PDEATHSIG, 0);
    syscall(SYS_close_range, 0U, ~0U, 0U);
    for (;;) {
        nanosleep(&(struct timespec){.tv_nsec = moving ? 1000000 : 500000000}, NULL);
        if (moving && fork() > 0)
            _exit(0);
    }
}
