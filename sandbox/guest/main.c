/* sandquay-guest: started by the server with an empty environment and its socket as
 * descriptor
 * 3. This process is the zygote: it makes sandboxes, and when the server has gone,
 * however that happened, it ends them, removes their cgroups and exits. */
#include "base/fd.h"
#include "sandbox/guest/guest.h"
#include "sandbox/guest/idmap.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SERVER = 3, GUESTS_MAX = 1000 };

struct child {
    uint32_t create_id; /* 0: free */
    pid_t pid;
    bool dead;
    struct cgroup_set groups;
};

static struct child children[GUESTS_MAX];
static char room[GUEST_MESSAGE_MAX];

static void answer(uint32_t type, uint32_t id, const void *body, size_t n, int fd)
{
    struct wire_out m = {.type = type,
                         .id = id,
                         .body = body,
                         .body_bytes = n,
                         .fds = &fd,
                         .fd_count = fd >= 0};
    while (wire_send(SERVER, &m) < 0) {
        struct pollfd p = {.fd = SERVER, .events = POLLOUT};
        if (errno != EAGAIN || poll(&p, 1, -1) < 0)
            return;
    }
}

static void fail(uint32_t id, int sys, const char *step)
{
    struct guest_failed failed = {.sys = sys, .what = GUEST_WHAT_STEP};
    wire_send(SERVER, &(struct wire_out){.type = GUEST_FAILED,
                                         .id = id,
                                         .body = &failed,
                                         .body_bytes = sizeof failed,
                                         .tail = str_of(step)});
}

static int make_trees(struct guest_setup *setup, pid_t pid, uid_t base)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
    int userns = open(path, O_RDONLY | O_CLOEXEC);
    if (userns < 0)
        return -1;
    setup->plan.tree[TREE_USR] = idmap_tree("/usr", userns);
    setup->plan.tree[TREE_DPKG] = idmap_tree("/var/lib/dpkg", userns);
    setup->plan.tree[TREE_ALTERNATIVES] = idmap_tree("/etc/alternatives", userns);
    const char *dirs[] = {setup->plan.workspace, setup->plan.home};
    const int index[] = {TREE_WORKSPACE, TREE_HOME};
    int rc = 0;
    for (int i = 0; i < 2 && rc == 0; i++) {
        struct stat st;
        if (!dirs[i][0])
            continue;
        rc = lstat(dirs[i], &st);
        int ns = rc < 0 ? -1
                 : st.st_uid == 0 && st.st_gid == 0
                     ? userns
                     : idmap_swapped_userns(st.st_uid, st.st_gid, base);
        int tree = ns < 0 ? -1 : idmap_tree(dirs[i], ns);
        if (ns != userns)
            fd_close(&ns);
        setup->plan.tree[index[i]] = tree;
        rc = tree < 0 ? -1 : 0;
    }
    int saved = errno;
    close(userns);
    errno = saved;
    return rc;
}

static int send_trees(int to, struct guest_setup *setup)
{
    int32_t which[TREE_COUNT];
    int fds[TREE_COUNT], n = 0;
    for (int i = 0; i < TREE_COUNT; i++) {
        which[i] = setup->plan.tree[i] >= 0 ? n : -1;
        if (setup->plan.tree[i] >= 0)
            fds[n++] = setup->plan.tree[i];
    }
    return wire_send(to, &(struct wire_out){.type = ZYGOTE_CREATE,
                                            .body = which,
                                            .body_bytes = sizeof which,
                                            .fds = fds,
                                            .fd_count = n});
}

static pid_t clone_guest(const struct cgroup_set *groups, int *ret_pidfd)
{
    struct clone_args args = {
        .flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                 CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_PIDFD,
        .exit_signal = SIGCHLD,
        .pidfd = (uint64_t)(uintptr_t)ret_pidfd,
    };
    if (groups->v2_dir >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (unsigned)groups->v2_dir;
    }
    /* Dumpable for the moment: the maps of an ordinary user's child are ours to write
     * then. */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

static const char *parent_part(struct guest_setup *setup, pid_t pid, int to, uid_t base)
{
    if (idmap_write(pid, base) < 0)
        return "user id maps";
    if (cgroup_enter(&setup->groups, pid) < 0)
        return "entering the cgroups";
    cgroup_delegate(&setup->groups, base);
    if (base && make_trees(setup, pid, base) < 0)
        return "idmapped mounts";
    return send_trees(to, setup) < 0 ? "handing over mounts" : NULL;
}

static void start(struct child *c, struct guest_setup *setup,
                  const struct wire_message *m)
{
    int pair[2], pidfd = -1;
    uid_t base = geteuid() == 0 ? idmap_pick_base() : 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        fail(m->id, errno, "socketpair");
        return;
    }
    setup->plan.id_range = base != 0;
    setup->zygote = pair[1];
    pid_t pid = clone_guest(&setup->groups, &pidfd);
    if (pid == 0) {
        /* In the place of the zygote's socket, which is not the guest's. */
        if (dup3(setup->server, SERVER, O_CLOEXEC) < 0)
            _exit(1);
        setup->server = SERVER;
        close(pair[0]);
        for (int i = 0; i < GUESTS_MAX; i++)
            if (children[i].create_id) {
                fd_close(&children[i].groups.v2_dir);
                fd_close(&children[i].groups.memory_events);
                fd_close(&children[i].groups.pids_events);
            }
        guest_main(setup);
    }
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    const char *failed = pid < 0 ? "clone into new namespaces" : NULL;
    if (!failed)
        failed = parent_part(setup, pid, pair[0], base);
    int saved = errno;
    close(pair[0]);
    close(pair[1]);
    for (int i = 0; i < TREE_COUNT; i++)
        fd_close(&setup->plan.tree[i]);
    if (failed) {
        if (pid > 0) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
        }
        cgroup_destroy(&setup->groups);
        fail(m->id, saved, failed);
    } else {
        *c = (struct child){.create_id = m->id, .pid = pid, .groups = setup->groups};
        struct zygote_created created = {.layers = setup->groups.layers,
                                         .host_pid = (uint32_t)pid};
        answer(ZYGOTE_CREATED, m->id, &created, sizeof created, pidfd);
    }
    fd_close(&pidfd);
}

static const char *next_string(struct str *tail)
{
    ptrdiff_t end = str_find(*tail, '\0');
    const char *s = tail->p;
    if (end < 0)
        return NULL;
    *tail = str_from(*tail, (size_t)end + 1);
    return s;
}

static void create(struct wire_message *m)
{
    static unsigned number;
    struct zygote_create request;
    struct guest_setup setup = {.server = -1};
    struct child *c = NULL;
    const char *string[CREATE_STRINGS];
    struct str tail = m->tail;
    for (int i = 0; i < GUESTS_MAX && !c; i++)
        c = children[i].create_id ? NULL : &children[i];
    bool ok = c && m->body_bytes == sizeof request && m->fd_count == 1;
    for (int i = 0; i < CREATE_STRINGS && ok; i++)
        ok = (string[i] = next_string(&tail)) != NULL;
    if (!ok) {
        fail(m->id, c ? EINVAL : EAGAIN, "request");
        return;
    }
    memcpy(&request, m->body, sizeof request);
    setup.server = m->fds[0];
    setup.memory_bytes = request.memory_bytes;
    setup.pids = request.pids;
    setup.relaxed = request.relaxed;
    setup.plan = (struct mount_plan){.disk_bytes = request.disk_bytes,
                                     .disk_inodes = request.disk_inodes,
                                     .pids = request.pids,
                                     .workspace_readonly = request.workspace_readonly,
                                     .host_name = string[CREATE_NAME],
                                     .workspace = string[CREATE_WORKSPACE],
                                     .home = string[CREATE_HOME]};
    for (int i = 0; i < TREE_COUNT; i++)
        setup.plan.tree[i] = -1;
    cgroup_make(&setup.groups, ++number, &request);
    start(c, &setup, m);
}

static void bury(struct child *c)
{
    struct zygote_destroyed end = {
        .oom_kills = cgroup_count(c->groups.memory_events, "oom_kill")};
    uint32_t id = c->create_id;
    cgroup_destroy(&c->groups);
    c->create_id = 0;
    answer(ZYGOTE_DESTROYED, id, &end, sizeof end, -1);
}

static void reap(void)
{
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        for (int i = 0; i < GUESTS_MAX; i++)
            if (children[i].create_id && children[i].pid == pid)
                bury(&children[i]);
}

static void destroy(const struct wire_message *m)
{
    struct zygote_destroy request;
    if (m->body_bytes != sizeof request)
        return;
    memcpy(&request, m->body, sizeof request);
    for (int i = 0; i < GUESTS_MAX; i++)
        if (children[i].create_id && children[i].create_id == request.create_id)
            kill(children[i].pid, SIGKILL); /* reaped and buried on SIGCHLD */
}

_Noreturn static void end_all(void)
{
    for (int i = 0; i < GUESTS_MAX; i++)
        if (children[i].create_id)
            kill(children[i].pid, SIGKILL);
    for (int i = 0; i < GUESTS_MAX; i++)
        if (children[i].create_id) {
            waitpid(children[i].pid, NULL, 0);
            cgroup_destroy(&children[i].groups);
        }
    _exit(0);
}

static void serve_message(void)
{
    struct wire_message m;
    int rc = wire_recv(SERVER, room, &m);
    if (rc == 0 || (rc < 0 && errno != EAGAIN && errno != EBADMSG))
        end_all();
    if (rc < 0)
        return;
    struct zygote_ready ready = {.version = GUEST_PROTOCOL_VERSION,
                                 .zygote_pid = (uint32_t)getpid()};
    if (m.type == ZYGOTE_HELLO)
        answer(ZYGOTE_READY, m.id, &ready, sizeof ready, -1);
    else if (m.type == ZYGOTE_CREATE)
        create(&m);
    else if (m.type == ZYGOTE_DESTROY)
        destroy(&m);
    wire_close_fds(&m);
}

int main(void)
{
    sigset_t set;
    struct stat st;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (fstat(SERVER, &st) < 0 || !S_ISSOCK(st.st_mode)) {
        fprintf(stderr,
                "sandquay-guest: a part of sandquay, not to be started by hand\n");
        return 2;
    }
    fcntl(SERVER, F_SETFD, FD_CLOEXEC);
    /* The terminal's Ctrl-C is the server's business. */
    setsid();
    sigfillset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    cgroup_init();
    for (;;) {
        struct pollfd p[] = {{.fd = SERVER, .events = POLLIN},
                             {.fd = signals, .events = POLLIN}};
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            end_all();
        if (p[1].revents) {
            struct signalfd_siginfo info[8];
            while (read(signals, info, sizeof info) > 0)
                ;
            reap();
        }
        if (p[0].revents)
            serve_message();
    }
}
