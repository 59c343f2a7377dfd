/* sandquay-guest: started by the server with an empty environment and its socket as
 * descriptor
 * 3. This process is the zygote: it makes sandboxes, and when the server has gone,
 * however that happened, it ends them, removes their cgroups and exits. */
#include "base/fd.h"
#include "sandbox/guest/etc.h"
#include "sandbox/guest/launch.h"
#include "sandbox/guest/measure.h"
#include "sandbox/guest/merge.h"
#include "sandbox/guest/mount_list.h"
#include "sandbox/guest/prove.h"
#include "sandbox/guest/sweep.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SERVER = LAUNCH_SERVER_FD,
    GUESTS_MAX = 1000,
    REAP_TRIES = 500,
    MOUNT_TEXT_MAX = 32 * 1024
};

struct child {
    uint32_t create_id; /* 0: free */
    pid_t pid;
    int lock; /* of the sandbox's directory, or -1 */
    int said; /* what bubblewrap wrote, or -1 */
    struct weak_place weak;
    struct cgroup_set groups;
};

static struct child children[GUESTS_MAX];
static char room[GUEST_MESSAGE_MAX];

static void send_out(const struct wire_out *m)
{
    while (wire_send(SERVER, m) < 0) {
        struct pollfd p = {.fd = SERVER, .events = POLLOUT};
        if (errno != EAGAIN || poll(&p, 1, -1) < 0)
            return;
    }
}

static void answer(uint32_t type, uint32_t id, const void *body, size_t n, int fd)
{
    struct wire_out m = {.type = type,
                         .id = id,
                         .body = body,
                         .body_bytes = n,
                         .fds = &fd,
                         .fd_count = fd >= 0};
    send_out(&m);
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

void launch_keep_server(struct guest_setup *setup)
{
    if (dup3(setup->server, SERVER, O_CLOEXEC) < 0)
        _exit(1);
    setup->server = SERVER;
    for (int i = 0; i < GUESTS_MAX; i++)
        if (children[i].create_id) {
            fd_close(&children[i].lock);
            fd_close(&children[i].groups.v2_dir);
            fd_close(&children[i].groups.memory_events);
            fd_close(&children[i].groups.pids_events);
        }
}

static launch_fn *const launchers[LAUNCHERS] = {
    [LAUNCH_NAMESPACES] = launch_namespaces,
    [LAUNCH_BUBBLEWRAP] = launch_bubblewrap,
    [LAUNCH_BUBBLEWRAP_SETUID] = launch_bubblewrap,
    [LAUNCH_LANDLOCK] = launch_weak,
};

static void start(struct child *c, struct guest_setup *setup, struct wire_message *m)
{
    struct launched launched;
    const char *failed = launchers[setup->launcher](setup, &launched);
    if (failed) {
        int saved = errno;
        cgroup_destroy(&setup->groups);
        fail(m->id, saved, failed);
        return;
    }
    *c = (struct child){.create_id = m->id,
                        .pid = launched.pid,
                        .lock = m->fd_count > 1 ? m->fds[1] : -1,
                        .said = launched.said,
                        .weak = launched.weak,
                        .groups = setup->groups};
    if (m->fd_count > 1)
        m->fds[1] = -1;
    struct zygote_created created = {.layers = setup->groups.layers,
                                     .host_pid = (uint32_t)launched.pid};
    answer(ZYGOTE_CREATED, m->id, &created, sizeof created, launched.pidfd);
    fd_close(&launched.pidfd);
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
    bool ok =
        c && m->body_bytes == sizeof request && m->fd_count >= 1 && m->fd_count <= 2;
    for (int i = 0; i < CREATE_STRINGS && ok; i++)
        ok = (string[i] = next_string(&tail)) != NULL;
    if (!ok) {
        fail(m->id, c ? EINVAL : EAGAIN, "request");
        return;
    }
    memcpy(&request, m->body, sizeof request);
    if (request.launcher >= LAUNCHERS) {
        fail(m->id, EINVAL, "request");
        return;
    }
    setup.launcher = (enum zygote_launcher)request.launcher;
    setup.temp = string[CREATE_TEMP];
    setup.server = m->fds[0];
    setup.memory_bytes = request.memory_bytes;
    setup.pids = request.pids;
    setup.relaxed = request.relaxed;
    setup.plan = (struct mount_plan){.disk_bytes = request.disk_bytes,
                                     .disk_inodes = request.disk_inodes,
                                     .pids = request.pids,
                                     .workspace_readonly = request.workspace_readonly,
                                     .workspace_overlay = request.workspace_overlay,
                                     .host_name = string[CREATE_NAME],
                                     .workspace = string[CREATE_WORKSPACE],
                                     .files = string[CREATE_FILES],
                                     .snapshots = string[CREATE_SNAPSHOTS],
                                     .lowers = string[CREATE_LOWERS],
                                     .image = string[CREATE_IMAGE]};
    for (int i = 0; i < TREE_COUNT; i++)
        setup.plan.tree[i] = -1;
    char mounts[MOUNT_TEXT_MAX];
    snprintf(mounts, sizeof mounts, "%s", string[CREATE_MOUNTS]);
    if (mount_list_read(mounts, &setup.plan) < 0) {
        fail(m->id, EINVAL, "request");
        return;
    }
    cgroup_make(&setup.groups, ++number, &request);
    if (setup.launcher != LAUNCH_LANDLOCK)
        etc_collect(setup.plan.image[0] != 0);
    start(c, &setup, m);
}

static bool is_guest(pid_t pid)
{
    for (int i = 0; i < GUESTS_MAX; i++)
        if (children[i].create_id && children[i].pid == pid)
            return true;
    return false;
}

/* The guest is dead; what is left of its sandbox goes. */
static void clear(struct child *c)
{
    c->create_id = 0;
    weak_clear(&c->weak, is_guest);
    cgroup_destroy(&c->groups);
    fd_close(&c->said);
    fd_close(&c->lock);
}

static void bury(struct child *c)
{
    char said[400];
    struct zygote_destroyed end = {
        .oom_kills = cgroup_count(c->groups.memory_events, "oom_kill")};
    ssize_t n = c->said < 0 ? 0 : pread(c->said, said, sizeof said, 0);
    struct wire_out m = {.type = ZYGOTE_DESTROYED,
                         .id = c->create_id,
                         .body = &end,
                         .body_bytes = sizeof end,
                         .tail = {said, n > 0 ? (size_t)n : 0}};
    clear(c);
    send_out(&m);
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

/* Nobody else may be there to reap: what lived in sandboxes has become ours. */
static void reap_last(void)
{
    for (int tries = 0; tries < REAP_TRIES; tries++) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid < 0)
            return;
        if (pid == 0)
            poll(NULL, 0, 1);
    }
}

_Noreturn static void end_all(void)
{
    for (int i = 0; i < GUESTS_MAX; i++)
        if (children[i].create_id)
            kill(children[i].pid, SIGKILL);
    for (int i = 0; i < GUESTS_MAX; i++)
        if (children[i].create_id) {
            waitpid(children[i].pid, NULL, 0);
            clear(&children[i]);
        }
    reap_last();
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

int main(int argc, char **argv)
{
    sigset_t set;
    struct stat st;
    if (argc == 2 && strcmp(argv[1], "sweep") == 0 && fstat(SWEEP_FD, &st) == 0 &&
        S_ISDIR(st.st_mode))
        return sweep_main();
    if (argc > 1 && strcmp(argv[1], "merge") == 0 && fstat(MERGE_FD, &st) == 0 &&
        S_ISDIR(st.st_mode))
        return merge_main(argc, argv);
    if (argc == 2 && strcmp(argv[1], "measure") == 0 && fstat(MEASURE_FD, &st) == 0 &&
        S_ISDIR(st.st_mode))
        return measure_main();
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (argc > 1 && strcmp(argv[1], "prove") == 0)
        return prove_main(argc, argv);
    if (argc == 2 && strcmp(argv[1], "inside") == 0)
        launch_inside();
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
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
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
