#include "cli/child.h"
#include "base/fd.h"
#include "cli/verbs.h"
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t child_start(const char *const *argv, int in, int out)
{
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;
    posix_spawn_file_actions_init(&actions);
    if (in >= 0)
        posix_spawn_file_actions_adddup2(&actions, in, 0);
    else
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (out >= 0)
        posix_spawn_file_actions_adddup2(&actions, out, 1);
    int rc = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv,
                          environ);
    posix_spawn_file_actions_destroy(&actions);
    fd_close(&in);
    fd_close(&out);
    errno = rc;
    return rc ? -1 : pid;
}

int child_wait(pid_t pid)
{
    int status = 0;
    if (pid < 0)
        return EXIT_CANNOT;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return EXIT_CANNOT;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
