/* Starting the zygote, asking it for sandboxes, and seeing all of it gone. */
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/local/local.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    READY_LIMIT_MS = 10000,
    GONE_LIMIT_MS = 1500,
    ZYGOTE_SOCKET = 3,
    MOUNT_TEXT_MAX = 30 * 1024,
    MESSAGES_A_TURN = 64, /* a guest that floods us leaves the others their turn */
};

static char room[GUEST_MESSAGE_MAX];

/* After fork: only async-signal-safe calls. Nothing of ours goes along: no environment,
 * no descriptor but the socket and the log. */
_Noreturn static void become_zygote(const char *path, int sock, int null)
{
    static char *const argv[] = {(char *)(uintptr_t) "sandquay-guest", NULL};
    static char *const envp[] = {NULL};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int high = fcntl(sock, F_DUPFD_CLOEXEC, 10);
    if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(high, ZYGOTE_SOCKET) < 0)
        _exit(126);
    fd_cloexec_from(ZYGOTE_SOCKET + 1);
    execve(path, argv, envp);
    _exit(127);
}

static void on_zygote_message(void *ctx, unsigned events);

static void on_zygote_end(void *ctx, unsigned events)
{
    struct local *l = ctx;
    (void)events;
    log_error("the sandbox helper has ended; sandboxes are gone");
    loop_io_want(l->zygote_end, 0);
    local_spare_drop(l);
    while (l->boxes) {
        struct box *box = l->boxes;
        struct sandbox *sb = box->sandbox;
        if (sb && sb->state == SANDBOX_READY) {
            sandbox_lost(sb, "the sandbox helper has ended");
        } else if (sb) {
            struct err err;
            err_set(&err, ERR_UNAVAILABLE, "the sandbox helper could not work");
            err_remedy(&err, "`sandquay doctor` says what this machine lacks");
            sandbox_failed(sb, &err);
        } else {
            local_box_free(box);
        }
    }
    local_zygote_stop(l);
    local_all_gone(l);
}

void local_zygote_adopt(struct local *l, int sock, pid_t pid)
{
    l->zygote_pid = pid;
    l->zygote_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    l->zygote = loop_io_new(l->set->loop, sock, on_zygote_message, l);
    loop_io_want(l->zygote, LOOP_READ);
    l->zygote_end = loop_io_new(
        l->set->loop, fcntl(l->zygote_pidfd, F_DUPFD_CLOEXEC, 3), on_zygote_end, l);
    loop_io_want(l->zygote_end, LOOP_READ);
    struct zygote_hello hello = {.version = GUEST_PROTOCOL_VERSION,
                                 .server_pid = (uint32_t)getpid()};
    wire_send(sock, &(struct wire_out){.type = ZYGOTE_HELLO,
                                       .id = ++l->last_id,
                                       .body = &hello,
                                       .body_bytes = sizeof hello});
}

int local_zygote_start(struct local *l, struct err *err)
{
    const char *path = l->set->config.guest_path;
    int pair[2];
    if (!path || access(path, X_OK) < 0) {
        err_set(err, ERR_UNAVAILABLE,
                "the program sandquay-guest is missing (looked for %s)",
                path ? path : "nothing");
        return err_remedy(err, "keep it beside the executable sandquay");
    }
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        err_sys(err, errno, "starting the sandbox helper");
        fd_close(&null);
        return -1;
    }
    pid_t pid = vfork();
    if (pid == 0)
        become_zygote(path, pair[1], null);
    int saved = errno;
    fd_close(&null);
    fd_close(&pair[1]);
    if (pid < 0) {
        fd_close(&pair[0]);
        return err_sys(err, saved, "starting the sandbox helper");
    }
    local_zygote_adopt(l, pair[0], pid);
    return 0;
}

/* Its socket closes: it kills all guests, removes their cgroups and ends. The one place
 * where we wait, for a few milliseconds; beyond the limit it is killed, and guests die
 * with it. */
void local_zygote_stop(struct local *l)
{
    if (l->zygote_pid < 0)
        return;
    local_spare_drop(l);
    while (l->boxes)
        local_box_free(l->boxes);
    if (l->zygote)
        shutdown(loop_io_fd(l->zygote), SHUT_RDWR);
    loop_io_free(l->zygote);
    loop_io_free(l->zygote_end);
    l->zygote = l->zygote_end = NULL;
    struct pollfd p = {.fd = l->zygote_pidfd, .events = POLLIN};
    if (poll(&p, 1, GONE_LIMIT_MS) == 0)
        kill(l->zygote_pid, SIGKILL);
    waitpid(l->zygote_pid, NULL, 0);
    fd_close(&l->zygote_pidfd);
    l->zygote_pid = -1;
}

static void on_guest_message(void *ctx, unsigned events);

static void give_up(struct box *box, const struct err *err)
{
    if (box->spare) {
        local_spare_drop(box->local);
        return;
    }
    struct sandbox *sb = box->sandbox;
    struct err ignored; /* nothing is left of what could not be made */
    if (!box->ready && sb->kept && !sb->resumed && box->hold.dir >= 0)
        local_store_discard(box->local->set, &box->hold, &ignored);
    if (box->ready)
        sandbox_lost(sb, err->msg);
    else
        sandbox_failed(sb, err);
}

static void on_impatience(void *ctx)
{
    struct box *box = ctx;
    struct err err;
    if (box->ready)
        err_set(&err, ERR_TIMEOUT, "its processes could not be ended");
    else
        err_set(&err, ERR_TIMEOUT, "the sandbox did not become ready within %d s",
                READY_LIMIT_MS / 1000);
    give_up(box, &err);
}

static int ask_for_box(struct box *box, struct err *err)
{
    const struct sandbox_config *config = &box->local->set->config;
    struct sandbox *sb = box->sandbox;
    const struct sandbox_spec *spec = sandbox_in_force(sb);
    char workspace[4096], files[4096] = "", image[4096];
    if (local_workspace_find(sb, workspace, err) < 0)
        return -1;
    sb->workspace = workspace[0] ? config->workspace : NULL;
    if (local_image_check(sb, box->launcher, image, err) < 0 ||
        ((box->hold.dir >= 0 || box->ground.names[0]) &&
         local_level_check_kept(box->launcher, err) < 0))
        return -1;
    struct buf mounts;
    buf_init(&mounts, MOUNT_TEXT_MAX);
    if (local_mounts_write(sb, box->launcher, &mounts, err) < 0 || mounts.overflow) {
        buf_finish(&mounts);
        return -1;
    }
    if (box->hold.dir >= 0)
        snprintf(files, sizeof files, "%.4000s/files", box->hold.path);
    struct zygote_create request = {
        .memory_bytes = spec->memory_bytes,
        .disk_bytes = spec->disk_bytes,
        .disk_inodes = config->limits.disk_inodes,
        .cpu_millis = spec->cpu_millis,
        .pids = spec->pids,
        .workspace_readonly =
            config->workspace_readonly && sb->is_default && config->workspace,
        .workspace_overlay = workspace[0] && config->workspace_overlay,
        .string_count = CREATE_STRINGS,
        .relaxed = config->relaxed,
        .launcher = box->launcher,
    };
    struct buf tail;
    buf_init(&tail, GUEST_MESSAGE_MAX / 2);
    const char *strings[] = {sb->kept ? sb->name : "sandbox",
                             workspace,
                             files,
                             box->ground.dir,
                             box->ground.names,
                             image,
                             mounts.n ? buf_cstr(&mounts) : "",
                             config->temp_dir};
    const int fds[] = {box->guest_end, box->hold.lock};
    for (size_t i = 0; i < CREATE_STRINGS; i++)
        buf_add(&tail, strings[i], strlen(strings[i]) + 1);
    int rc = wire_send(loop_io_fd(box->local->zygote),
                       &(struct wire_out){.type = ZYGOTE_CREATE,
                                          .id = box->create_id,
                                          .body = &request,
                                          .body_bytes = sizeof request,
                                          .tail = buf_str(&tail),
                                          .fds = fds,
                                          .fd_count = box->hold.lock < 0 ? 1 : 2});
    buf_finish(&tail);
    buf_finish(&mounts);
    fd_close(&box->guest_end);
    return rc < 0 ? err_sys(err, errno, "asking for a sandbox") : 0;
}

static void box_unlaunch(struct box *box)
{
    struct local *l = box->local;
    if (box->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, box->pidfd, SIGKILL, NULL, 0);
    struct zygote_destroy request = {.create_id = box->create_id};
    if (l->zygote && box->create_id)
        wire_send(loop_io_fd(l->zygote),
                  &(struct wire_out){.type = ZYGOTE_DESTROY,
                                     .id = ++l->last_id,
                                     .body = &request,
                                     .body_bytes = sizeof request});
    loop_io_free(box->socket);
    box->socket = NULL;
    fd_close(&box->guest_end);
    fd_close(&box->pidfd);
}

/* Asks for the sandbox, made in the best way that has not been refused; also the second
 * time, after a refusal. */
static int box_launch(struct box *box, struct err *err)
{
    struct local *l = box->local;
    int pair[2];
    box_unlaunch(box);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(err, errno, "socketpair");
    box->launcher = l->launcher;
    box->created = false;
    box->layers = 0;
    box->create_id = ++l->last_id;
    box->guest_end = pair[1];
    box->socket = loop_io_new(l->set->loop, pair[0], on_guest_message, box);
    loop_io_want(box->socket, LOOP_READ);
    loop_timer_start(box->patience, READY_LIMIT_MS);
    return ask_for_box(box, err);
}

struct box *local_box_new(struct local *l, struct sandbox *sb,
                          struct local_ground *ground, struct err *err)
{
    struct box *box = mem_new(struct box);
    *box = (struct box){.local = l,
                        .sandbox = sb,
                        .next = l->boxes,
                        .guest_end = -1,
                        .pidfd = -1,
                        .hold = ground->hold,
                        .ground = ground->layers,
                        .layers_lock = ground->layers.lock};
    l->boxes = box;
    sb->impl = box;
    box->patience = loop_timer_new(l->set->loop, on_impatience, box);
    box->answers = loop_timer_new(l->set->loop, local_guest_overdue, box);
    if (box_launch(box, err) < 0) {
        box->hold = (struct local_hold){.dir = -1, .lock = -1}; /* stays the caller's */
        box->layers_lock = -1;
        sb->impl = NULL;
        local_box_free(box);
        return NULL;
    }
    return box;
}

void local_box_free(struct box *box)
{
    struct local *l = box->local;
    struct box **at = &l->boxes;
    while (*at != box)
        at = &(*at)->next;
    *at = box->next;
    local_guest_drop_pending(box);
    box_unlaunch(box);
    local_disk_finish(box);
    local_ports_close(box);
    local_dials_end(box);
    egress_free(box->egress);
    loop_timer_free(box->patience);
    loop_timer_free(box->answers);
    local_hold_finish(&box->hold);
    fd_close(&box->layers_lock);
    mem_free(box);
}

void local_box_ready(struct box *box)
{
    struct err err;
    if (!box->created || !box->ready)
        return;
    loop_timer_stop(box->patience);
    if (box->spare) {
        local_guest_warm(box);
        return;
    }
    int level = local_level(box->layers);
    if (local_level_check(&box->local->set->config, level, &err) < 0) {
        sandbox_failed(box->sandbox, &err);
        return;
    }
    box->local->launched = true;
    local_spare_want(box->local);
    local_describe(box);
    sandbox_created(box->sandbox, level, box->layers, local_level_notice(level));
}

/* What the first way of launching lacks is what a user should mend. */
static void cannot_launch(struct box *box, int sys, struct str step)
{
    struct local *l = box->local;
    const struct sandbox_config *config = &l->set->config;
    struct err err;
    backend_called(l->set, "launch", "failed");
    step.n = step.n > 100 ? 100 : step.n;
    if (!box->refused[0]) {
        snprintf(box->refused, sizeof box->refused, "%.*s", STR_FMT(step));
        box->refused_sys = sys;
    }
    const struct sandbox *sb = box->sandbox;
    bool ours = sb && (sb->wish.spec.image.n || local_mounts_name(sb, step));
    if (!l->launched && !ours &&
        local_level_may_fall(config, box->launcher, sys, step)) {
        log_info("a sandbox: %.*s: %s; trying another way", STR_FMT(step),
                 strerror(sys));
        l->launcher = box->launcher + 1;
        if (box_launch(box, &err) == 0)
            return;
    } else {
        local_level_explain(config, box->refused_sys, str_of(box->refused), &err);
    }
    give_up(box, &err);
}

static void failed_step(struct box *box, const struct wire_message *m)
{
    struct guest_failed failed = {0};
    if (m->body_bytes == sizeof failed)
        memcpy(&failed, m->body, sizeof failed);
    cannot_launch(box, failed.sys, m->tail);
}

static struct box *box_of(struct local *l, uint32_t create_id)
{
    for (struct box *box = l->boxes; box; box = box->next)
        if (box->create_id == create_id)
            return box;
    return NULL;
}

static struct str first_line(struct str text)
{
    ptrdiff_t end = str_find(text, '\n');
    return (struct str){text.p, end < 0 ? text.n : (size_t)end};
}

static void zygote_message(struct local *l, struct wire_message *m)
{
    struct box *box = box_of(l, m->id);
    struct zygote_created created;
    struct err err;
    if (!box) {
        if (m->type == ZYGOTE_DESTROYED || m->type == GUEST_FAILED)
            local_box_gone(l, m->id);
        return;
    }
    if (m->type == ZYGOTE_CREATED && m->body_bytes == sizeof created &&
        m->fd_count == 1) {
        memcpy(&created, m->body, sizeof created);
        box->layers |= created.layers;
        box->pidfd = m->fds[0];
        m->fds[0] = -1;
        box->created = true;
        local_box_ready(box);
    } else if (m->type == GUEST_FAILED) {
        failed_step(box, m);
    } else if (m->type == ZYGOTE_DESTROYED && !box->ready) {
        cannot_launch(box, EPERM, m->tail.n ? first_line(m->tail) : STR("its set-up"));
    } else if (m->type == ZYGOTE_DESTROYED) {
        err_set(&err, ERR_UNAVAILABLE, "its first process ended");
        give_up(box, &err);
    }
}

static void on_zygote_message(void *ctx, unsigned events)
{
    struct local *l = ctx;
    struct wire_message m;
    (void)events;
    int rc = -1;
    for (int i = 0; i < MESSAGES_A_TURN && l->zygote; i++) {
        rc = wire_recv(loop_io_fd(l->zygote), room, &m);
        if (rc <= 0)
            break;
        zygote_message(l, &m);
        wire_close_fds(&m);
    }
    if (l->zygote && rc == 0)
        loop_io_want(l->zygote, 0); /* its end is told by the pidfd */
}

/* Nothing untrusted has run in it yet; but what is wrong here would be wrong later. */
static bool read_places(struct box *box, struct str tail)
{
    char *to[PLACES] = {[PLACE_WORKSPACE] = box->workspace,
                        [PLACE_HOME] = box->home,
                        [PLACE_TMP] = box->tmp};
    for (int i = 0; i < PLACES; i++) {
        ptrdiff_t end = str_find(tail, '\0');
        if (end < 1 || (size_t)end >= sizeof box->tmp || tail.p[0] != '/')
            return false;
        memcpy(to[i], tail.p, (size_t)end + 1);
        tail = str_from(tail, (size_t)end + 1);
    }
    return true;
}

static int guest_ready(struct box *box, struct wire_message *m, struct err *err)
{
    struct guest_ready ready;
    struct sockaddr_in at = {0};
    socklen_t n = sizeof at;
    memcpy(&ready, m->body, sizeof ready);
    if (ready.version != GUEST_PROTOCOL_VERSION) {
        err_set(err, ERR_UNAVAILABLE, "sandquay-guest is of another version");
        return err_remedy(err, "install both programs of one build");
    }
    if (!read_places(box, m->tail) ||
        getsockname(m->fds[0], (struct sockaddr *)&at, &n) < 0 ||
        at.sin_family != AF_INET)
        return err_set(err, ERR_UNAVAILABLE, "its first process broke the protocol");
    box->proxy_port = ntohs(at.sin_port);
    local_network_start(box, m->fds[0]);
    m->fds[0] = -1;
    box->layers |= ready.layers;
    box->ready = true;
    backend_called(box->local->set, "launch", "ok");
    local_box_ready(box);
    return 0;
}

/* 0, or -1: the box is to be given up. It may be gone already. */
static int guest_message(struct box *box, struct wire_message *m, struct err *err)
{
    if (box->ready && local_guest_message(box, m) == 0)
        return 0;
    if (!box->ready && m->type == GUEST_READY &&
        m->body_bytes == sizeof(struct guest_ready) && m->fd_count == 1)
        return guest_ready(box, m, err);
    if (!box->ready && m->type == GUEST_FAILED) {
        failed_step(box, m);
        return 0;
    }
    return err_set(err, ERR_UNAVAILABLE, "its first process broke the protocol");
}

static void on_guest_message(void *ctx, unsigned events)
{
    struct box *box = ctx;
    struct local *l = box->local;
    uint32_t id = box->create_id;
    struct wire_message m;
    struct err err;
    (void)events;
    for (int i = 0; i < MESSAGES_A_TURN; i++) {
        int rc = wire_recv(loop_io_fd(box->socket), room, &m);
        if (rc < 0 && errno == EAGAIN)
            return;
        if (rc == 0 && !box->ready) {
            loop_io_want(box->socket, 0); /* the zygote tells why */
            return;
        }
        if (rc > 0) {
            rc = guest_message(box, &m, &err);
            wire_close_fds(&m);
        } else if (rc == 0) {
            rc = err_set(&err, ERR_UNAVAILABLE, "its first process ended");
        } else {
            rc = err_set(&err, ERR_UNAVAILABLE, "its first process broke the protocol");
        }
        if (box_of(l, id) != box)
            return;
        if (rc < 0) {
            loop_io_want(box->socket, 0);
            give_up(box, &err);
            return;
        }
    }
}
