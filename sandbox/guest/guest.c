#include "sandbox/guest/guest.h"
#include "base/fd.h"
#include "sandbox/guest/changes.h"
#include "sandbox/guest/etc.h"
#include "sandbox/guest/lockdown.h"
#include "sandbox/guest/netns.h"
#include "sandbox/guest/weak.h"
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

static char room[GUEST_MESSAGE_MAX];

/* The server reads promptly or is gone; a full socket is waited for. */
void guest_answer_fd(struct guest *g, const struct wire_out *m)
{
    while (wire_send(g->server, m) < 0) {
        struct pollfd p = {.fd = g->server, .events = POLLOUT};
        if (errno != EAGAIN || poll(&p, 1, -1) < 0)
            _exit(1);
    }
}

void guest_answer(struct guest *g, uint32_t type, uint32_t id, const void *body,
                  size_t n)
{
    guest_answer_fd(
        g, &(struct wire_out){.type = type, .id = id, .body = body, .body_bytes = n});
}

void guest_fail(struct guest *g, uint32_t id, enum guest_what what, int sys,
                const char *text)
{
    struct guest_failed failed = {.sys = sys, .what = what};
    guest_answer_fd(g, &(struct wire_out){.type = GUEST_FAILED,
                                          .id = id,
                                          .body = &failed,
                                          .body_bytes = sizeof failed,
                                          .tail = str_of(text)});
}

_Noreturn static void give_up(struct guest *g, const char *step)
{
    guest_fail(g, 0, GUEST_WHAT_STEP, errno, step);
    _exit(1);
}

/* The zygote has written the id maps and sends the trees that it made. */
static void wait_for_zygote(struct guest *g, struct guest_setup *setup)
{
    struct wire_message m;
    if (wire_recv(setup->zygote, room, &m) != 1 ||
        m.body_bytes != TREE_COUNT * sizeof(int32_t))
        _exit(1);
    for (int i = 0; i < TREE_COUNT; i++) {
        int32_t which;
        memcpy(&which, m.body + (size_t)i * sizeof which, sizeof which);
        setup->plan.tree[i] = which >= 0 && which < m.fd_count ? m.fds[which] : -1;
    }
    fd_close(&setup->zygote);
    if (setup->plan.id_range && setgroups(0, NULL) < 0)
        give_up(g, "setgroups");
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        give_up(g, "becoming root of the user namespace");
}

static void lock_down(struct guest *g, bool id_range)
{
    if (lockdown_capabilities(id_range) < 0)
        give_up(g, "dropping capabilities");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        give_up(g, "no_new_privs");
    if (lockdown_limits() < 0)
        give_up(g, "resource limits");
    struct err err;
    if (seccomp_load(&g->wishes, &err) < 0)
        give_up(g, "system call filter");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        give_up(g, "making pid 1 unreadable");
    g->layers |= LAYER_SECCOMP | LAYER_RLIMITS;
}

static void set_up_namespaces(struct guest *g, struct guest_setup *setup,
                              struct netns *ns)
{
    const char *step = "";
    if (cgroup_enter_self(setup->entries) < 0)
        give_up(g, "entering the cgroups");
    wait_for_zygote(g, setup);
    if (sethostname(setup->plan.host_name, strlen(setup->plan.host_name)) < 0)
        give_up(g, "host name");
    netns_begin(ns);
    if (mounts_execute(&setup->plan, &g->layers, &step) < 0)
        give_up(g, step);
    step = netns_enter(ns);
    if (step)
        give_up(g, step);
    g->listener = ns->listener;
    if (setup->plan.workspace_overlay)
        changes_init(setup->plan.tree[TREE_WORKSPACE], setup->plan.workspace_upper);
}

/* bubblewrap has done the rest. */
static void set_up_inside(struct guest *g)
{
    g->listener = netns_proxy_listener(GUEST_PROXY_PORT);
    if (g->listener < 0)
        give_up(g, "proxy listener");
}

/* In the host's network: any free port, the one that Landlock lets through. */
static void set_up_weak(struct guest *g, const struct weak_place *weak)
{
    struct sockaddr_in at = {0};
    socklen_t n = sizeof at;
    g->place[PLACE_WORKSPACE] = weak->workspace;
    g->place[PLACE_HOME] = weak->home;
    g->place[PLACE_TMP] = weak->tmp;
    g->listener = netns_proxy_listener(0);
    if (g->listener < 0 || getsockname(g->listener, (struct sockaddr *)&at, &n) < 0)
        give_up(g, "proxy listener");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || chdir(weak->workspace) < 0)
        give_up(g, "entering its directory");
    if (weak_restrict(weak, ntohs(at.sin_port)) < 0)
        give_up(g, "Landlock");
}

static void tell_ready(struct guest *g)
{
    struct guest_ready ready = {.version = GUEST_PROTOCOL_VERSION, .layers = g->layers};
    char places[PLACES * WEAK_PATH_MAX];
    size_t n = 0;
    for (int i = 0; i < PLACES; i++) {
        size_t length = strlen(g->place[i]) + 1;
        memcpy(places + n, g->place[i], length);
        n += length;
    }
    guest_answer_fd(g, &(struct wire_out){.type = GUEST_READY,
                                          .body = &ready,
                                          .body_bytes = sizeof ready,
                                          .tail = {places, n},
                                          .fds = &g->listener,
                                          .fd_count = 1});
    fd_close(&g->listener);
}

static void set_up(struct guest *g, struct guest_setup *setup)
{
    struct netns ns;
    setup->plan.top = -1;
    if (setup->launcher == LAUNCH_NAMESPACES)
        set_up_namespaces(g, setup, &ns);
    else if (setup->launcher == LAUNCH_LANDLOCK)
        set_up_weak(g, setup->weak);
    else
        set_up_inside(g);
    g->top = setup->plan.top;
    run_init(g);
    g->wishes = (struct seccomp_wishes){
        .clone3_later = true,
        .no_set_id_bits = setup->plan.workspace[0] || setup->plan.mount_count,
        .no_memfd = !(g->layers & LAYER_CGROUP_MEMORY),
        .shares_host = setup->launcher == LAUNCH_LANDLOCK,
    };
    lock_down(g, setup->plan.id_range);
    tell_ready(g);
    if (setup->launcher == LAUNCH_NAMESPACES)
        transparent_hand_over(&ns.transparent, g);
    etc_forget(); /* nobody waits for that */
}

static void tell_tree(struct guest *g, const struct wire_message *m)
{
    run_end_all(g);
    if (g->top < 0)
        guest_fail(g, m->id, GUEST_WHAT_ERRNO, EOPNOTSUPP, "");
    else
        guest_answer_fd(
            g, &(struct wire_out){
                   .type = GUEST_TREE_IS, .id = m->id, .fds = &g->top, .fd_count = 1});
}

static void serve_message(struct guest *g)
{
    struct wire_message m;
    int rc = wire_recv(g->server, room, &m);
    if (rc < 0 && (errno == EAGAIN || errno == EBADMSG))
        return;
    if (rc <= 0)
        _exit(0); /* the server has gone, and with pid 1 everything here goes */
    switch (m.type) {
    case GUEST_EXEC:
        run_exec(g, &m);
        break;
    case GUEST_KILL:
        run_kill(g, &m);
        break;
    case GUEST_OPEN:
        files_open(g, &m);
        break;
    case GUEST_COMMIT:
        files_commit(g, &m);
        break;
    case GUEST_CONNECT:
        connect_serve(g, &m);
        break;
    case GUEST_CHANGES:
        changes_start(g, &m);
        break;
    case GUEST_HALT:
        run_end_all(g);
        guest_answer(g, GUEST_DONE, m.id, NULL, 0);
        break;
    case GUEST_TREE:
        tell_tree(g, &m);
        break;
    default:
        guest_fail(g, m.id, GUEST_WHAT_BAD_REQUEST, 0, "unknown request");
        break;
    }
    wire_close_fds(&m);
}

static int child_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_SETMASK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void serve(struct guest *g, int signals)
{
    for (;;) {
        struct pollfd p[] = {{.fd = g->server, .events = POLLIN},
                             {.fd = signals, .events = POLLIN},
                             {.fd = run_supervisor_fd(), .events = POLLIN}};
        int n = poll(p, 3, run_tick_ms(g));
        if (n < 0 && errno != EINTR)
            _exit(1);
        if (n > 0 && p[2].revents)
            run_supervisor_news(g);
        if (n > 0 && p[1].revents) {
            struct signalfd_siginfo info[8];
            while (read(signals, info, sizeof info) > 0)
                ;
            run_reap(g);
        }
        if (n > 0 && p[0].revents)
            serve_message(g);
        run_tick(g);
    }
}

static uint32_t layers_of(enum zygote_launcher launcher)
{
    switch (launcher) {
    case LAUNCH_NAMESPACES:
        return LAYER_USERNS | LAYER_NETNS;
    case LAUNCH_BUBBLEWRAP:
        return LAYER_USERNS | LAYER_NETNS | LAYER_MOUNTNS | LAYER_BUBBLEWRAP;
    case LAUNCH_BUBBLEWRAP_SETUID:
        return LAYER_NETNS | LAYER_MOUNTNS | LAYER_BUBBLEWRAP;
    default:
        return LAYER_LANDLOCK;
    }
}

_Noreturn void guest_main(struct guest_setup *setup)
{
    static struct guest guest;
    struct guest *g = &guest;
    g->server = setup->server;
    g->groups = setup->groups;
    g->memory_bytes = setup->memory_bytes;
    g->pids = setup->pids;
    g->relaxed = setup->relaxed;
    g->pids_before = setup->pids_before;
    if (setup->launcher == LAUNCH_BUBBLEWRAP_SETUID) {
        g->disk_bytes = setup->plan.disk_bytes;
        g->file_bytes = g->disk_bytes - g->disk_bytes / 16; /* told before that */
    }
    if (setup->launcher == LAUNCH_LANDLOCK)
        g->file_bytes = setup->plan.disk_bytes;
    g->layers = layers_of(setup->launcher) | setup->groups.layers |
                (setup->plan.id_range ? LAYER_IDRANGE : 0u);
    g->place[PLACE_WORKSPACE] = "/workspace";
    g->place[PLACE_HOME] = "/root";
    g->place[PLACE_TMP] = "/tmp";
    prctl(PR_SET_NAME, "sandquay-guest", 0, 0, 0);
    set_up(g, setup);
    /* Only now: an id change in between would have cleared it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    int signals = child_signals();
    serve(g, signals);
    _exit(0);
}
