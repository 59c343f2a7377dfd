/* Takes memory and uses it: hostile_memory MEGABYTES [PROCESSES]. With several
 * processes each takes its share, all at the same time. Prints "done" when all of it
 * was had. */
#include "tests/hostile/attack.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int take(size_t megabytes)
{
    enum { STEP = 16 << 20 };
    for (size_t had = 0; had < megabytes; had += STEP >> 20) {
        char *p = mmap(NULL, STEP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                       -1, 0);
        if (p == MAP_FAILED) {
            printf("%s after %zu MB\n", strerrorname_np(errno), had);
            fflush(stdout);
            return 1;
        }
        memset(p, 0x5a, STEP);
    }
    return 0;
}

int main(int argc, char **argv)
{
    size_t megabytes = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    size_t processes = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    int hold[2], failed = 0, status;
    if (megabytes == 0 || processes == 0 || pipe(hold) == -1)
        return 2;
    if (processes == 1) {
        failed = take(megabytes);
    } else {
        int taken[2];
        char byte = 'x';
        if (pipe(taken) == -1)
            return 2;
        for (size_t i = 0; i < processes; i++) {
            if (fork() != 0)
                continue;
            close(hold[1]);
            close(taken[0]);
            int refused = take(megabytes / processes);
            if (!refused && write(taken[1], &byte, 1) == 1)
                (void)!read(hold[0], &byte, 1); /* holds it until all have theirs */
            _exit(refused);
        }
        close(taken[1]);
        for (size_t i = 0; i < processes; i++)
            failed |= read(taken[0], &byte, 1) != 1;
        close(hold[1]);
        while (wait(&status) != -1)
            failed |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    }
    printf("%s\n", failed ? "refused" : "done");
    return failed;
}
