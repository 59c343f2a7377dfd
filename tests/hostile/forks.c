/* Counts how many processes can be had: hostile_forks [daemons]. Prints "N and then
 * EAGAIN". All of them stay until this one is killed or has counted; daemons leave its
 * session. */
#include "tests/hostile/attack.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ENOUGH = 20000 };

int main(int argc, char **argv)
{
    bool daemons = argc > 1 && strcmp(argv[1], "daemons") == 0;
    static pid_t children[ENOUGH];
    int count = 0;
    while (count < ENOUGH) {
        pid_t pid = fork();
        if (pid == -1)
            break;
        if (pid == 0) {
            if (daemons)
                setsid();
            else
                prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;;)
                pause();
        }
        children[count++] = pid;
    }
    printf("%d and then %s\n", count,
           count < ENOUGH ? strerrorname_np(errno) : "enough");
    fflush(stdout);
    if (!daemons) {
        for (int i = 0; i < count; i++)
            kill(children[i], SIGKILL);
        while (wait(NULL) != -1)
            continue;
    }
    return 0;
}
