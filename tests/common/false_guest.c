#include "tests/common/false_guest.h"
#include "base/fd.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

/* Not assert(): also in a build without it. */
static void require(bool holds)
{
    if (!holds)
        abort();
}

static int new_zygote_end; /* of the helper that start() adopts */

/* A process that ends when the server lets go of the helper's socket. */
static pid_t helper_process(int end)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct pollfd p = {.fd = 3};
    dup2(end, p.fd);
    close_range((unsigned)p.fd + 1, ~0U, 0);
    while (poll(&p, 1, -1) < 0)
        ;
    _exit(0);
}

static void *start(struct sandboxes *set, struct err *err)
{
    int pair[2];
    struct local *l = sandbox_local.start(set, err);
    require(l && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    l->swept = true;
    new_zygote_end = pair[1];
    fd_nonblock(pair[1]);
    local_zygote_adopt(l, pair[0], helper_process(pair[1]));
    return l;
}

static void on_turn(void *ctx)
{
    loop_stop(ctx);
}

void false_guest_init(struct false_guest *f)
{
    struct err err;
    /* No other way of launching is tried. */
    struct sandbox_config config = {.temp_dir = "/tmp",
                                    .state_dir = "/nonexistent",
                                    .require_level = 2,
                                    .answer_limit_ms = 3000};
    sandbox_limits_default(&config.limits);
    *f = (struct false_guest){.guest = -1, .backend = sandbox_local};
    f->backend.start = start;
    require(loop_new(&f->loop, &err) == 0);
    require(sandboxes_new(&f->set, f->loop, &f->backend, &config, &err) == 0);
    f->zygote = new_zygote_end;
    f->turn = loop_timer_new(f->loop, on_turn, f->loop);
}

void false_guest_finish(struct false_guest *f)
{
    sandboxes_free(f->set);
    loop_timer_free(f->turn);
    loop_free(f->loop);
    fd_close(&f->zygote);
    fd_close(&f->guest);
}

/* The timer is due at once and stops the loop, which polls before it returns. */
void false_guest_turn(struct false_guest *f)
{
    loop_timer_start(f->turn, 0);
    loop_run(f->loop);
}

/* The newest request counts: others were given up before we looked. */
bool false_guest_create(struct false_guest *f)
{
    struct wire_message m;
    struct zygote_created created = {.layers = LAYER_USERNS};
    uint32_t id = 0;
    while (wire_recv(f->zygote, f->room, &m) == 1) {
        if (m.type == ZYGOTE_CREATE) {
            require(m.fd_count == 1);
            id = m.id;
            fd_close(&f->guest);
            f->guest = m.fds[0];
            m.fds[0] = -1;
        }
        wire_close_fds(&m);
    }
    if (id == 0)
        return false;
    fd_nonblock(f->guest);
    int pidfd = open("/dev/null", O_RDWR | O_CLOEXEC); /* nobody is to be killed */
    require(wire_send(f->zygote, &(struct wire_out){.type = ZYGOTE_CREATED,
                                                    .id = id,
                                                    .body = &created,
                                                    .body_bytes = sizeof created,
                                                    .fds = &pidfd,
                                                    .fd_count = 1}) == 0);
    fd_close(&pidfd);
    false_guest_turn(f);
    return true;
}

bool false_guest_ready(struct false_guest *f)
{
    static const char places[] = "/workspace\0/root\0/tmp\0";
    struct guest_ready ready = {.version = GUEST_PROTOCOL_VERSION};
    struct sockaddr_in any = {.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (!false_guest_create(f))
        return false;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    require(bind(listener, (struct sockaddr *)&any, sizeof any) == 0 &&
            listen(listener, 1) == 0);
    int rc = false_guest_say(f, &(struct wire_out){.type = GUEST_READY,
                                                   .body = &ready,
                                                   .body_bytes = sizeof ready,
                                                   .tail = {places, sizeof places - 1},
                                                   .fds = &listener,
                                                   .fd_count = 1});
    fd_close(&listener);
    false_guest_turn(f);
    return rc == 0;
}

int false_guest_say(const struct false_guest *f, const struct wire_out *m)
{
    return wire_send(f->guest, m);
}

int false_guest_say_raw(const struct false_guest *f, const void *bytes, size_t n,
                        const int *fds, int fd_count)
{
    enum { MOST = GUEST_FDS_MAX + 8 };
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int) * MOST)];
    } control = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = n};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd_count > 0) {
        size_t size = sizeof(int) * (size_t)(fd_count < MOST ? fd_count : MOST);
        msg.msg_control = control.room;
        msg.msg_controllen = CMSG_SPACE(size);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(c), fds, size);
    }
    return sendmsg(f->guest, &msg, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

bool false_guest_hear(struct false_guest *f, struct wire_message *m)
{
    return f->guest >= 0 && wire_recv(f->guest, f->room, m) == 1;
}
