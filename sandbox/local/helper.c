/* The guest program as a process that works on a directory of the store: what takes
 * time keeps nobody waiting. It has no environment, and no descriptor but that one. */
#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/local/local.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HELPER_FDS_MAX = 2 };

struct helper {
    struct helper *next;
    struct local *local;
    pid_t pid;
    struct loop_io *end;
    local_helper_fn *fn;
    void *ctx;
};

/* After fork: only async-signal-safe calls. */
_Noreturn static void become_helper(const char *path, char *const *argv, const int *fds,
                                    int count, pid_t parent)
{
    enum { FIRST_FD = 3, HIGH = 10 };
    static char *const envp[] = {NULL};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    int high[HELPER_FDS_MAX];
    for (int i = 0; i < count; i++)
        high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, HIGH);
    for (int i = 0; i < count; i++)
        if (dup2(high[i], FIRST_FD + i) < 0)
            _exit(126);
    if (getppid() != parent)
        _exit(126);
    fd_cloexec_from(FIRST_FD + count);
    execve(path, argv, envp);
    _exit(127);
}

static void helper_free(struct helper *h)
{
    struct helper **at = &h->local->helpers;
    while (*at != h)
        at = &(*at)->next;
    *at = h->next;
    loop_io_free(h->end);
    mem_free(h);
}

static void on_end(void *ctx, unsigned events)
{
    struct helper h = *(struct helper *)ctx;
    int status = 0;
    (void)events;
    waitpid(h.pid, &status, 0);
    helper_free(ctx);
    if (h.fn)
        h.fn(h.local, h.ctx, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

int local_helper_start(struct local *l, char *const *argv, const int *fds, int fd_count,
                       local_helper_fn *fn, void *ctx, struct err *err)
{
    const char *path = l->set->config.guest_path;
    pid_t pid = -1, parent = getpid();
    errno = ENOENT;
    if (path)
        pid = vfork();
    if (pid == 0)
        become_helper(path, argv, fds, fd_count, parent);
    if (pid < 0)
        return err_sys(err, errno, "starting a helper for the sandboxes' files");
    struct helper *h = mem_new(struct helper);
    *h = (struct helper){
        .next = l->helpers, .local = l, .pid = pid, .fn = fn, .ctx = ctx};
    h->end = loop_io_new(l->set->loop, (int)syscall(SYS_pidfd_open, pid, 0), on_end, h);
    loop_io_want(h->end, LOOP_READ);
    l->helpers = h;
    return 0;
}

void local_helpers_finish(struct local *l)
{
    while (l->helpers) {
        struct helper *h = l->helpers;
        kill(h->pid, SIGKILL);
        waitpid(h->pid, NULL, 0);
        helper_free(h);
    }
}
