#include "sandbox/guest/wire.h"
#include "base/fd.h"
#include <errno.h>
#include <sys/socket.h>

union control {
    struct cmsghdr align;
    char room[CMSG_SPACE(sizeof(int) * GUEST_FDS_MAX)];
};

int wire_send(int sock, const struct wire_out *m)
{
    struct guest_header head = {
        .type = m->type, .id = m->id, .tail_bytes = (uint32_t)m->tail.n};
    union control control = {0};
    struct iovec parts[] = {
        {.iov_base = &head, .iov_len = sizeof head},
        {.iov_base = (void *)(uintptr_t)m->body, .iov_len = m->body_bytes},
        {.iov_base = (void *)(uintptr_t)m->tail.p, .iov_len = m->tail.n},
    };
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 3};
    if (m->fd_count > 0) {
        msg.msg_control = control.room;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)m->fd_count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)m->fd_count);
        memcpy(CMSG_DATA(c), m->fds, sizeof(int) * (size_t)m->fd_count);
    }
    ssize_t n;
    do
        n = sendmsg(sock, &msg, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -1 : 0;
}

static void take_fds(struct wire_message *m, struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        int count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (int i = 0; i < count && m->fd_count < GUEST_FDS_MAX; i++)
            memcpy(&m->fds[m->fd_count++], CMSG_DATA(c) + (size_t)i * sizeof(int),
                   sizeof(int));
    }
}

/* How long the struct behind the header is follows from the lengths; its type checks
 * it. */
int wire_recv(int sock, char *room, struct wire_message *m)
{
    union control control;
    struct iovec part = {.iov_base = room, .iov_len = GUEST_MESSAGE_MAX};
    struct msghdr msg = {.msg_iov = &part,
                         .msg_iovlen = 1,
                         .msg_control = control.room,
                         .msg_controllen = sizeof control.room};
    *m = (struct wire_message){0};
    ssize_t n;
    do
        n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n < 0 && errno == ECONNRESET ? 0 : (int)n;
    take_fds(m, &msg);
    struct guest_header head = {0};
    bool fits = (size_t)n >= sizeof head && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
    if (fits)
        memcpy(&head, room, sizeof head);
    if (!fits || head.tail_bytes > (size_t)n - sizeof head) {
        wire_close_fds(m);
        errno = EBADMSG;
        return -1;
    }
    m->type = head.type;
    m->id = head.id;
    m->body = room + sizeof head;
    m->body_bytes = (size_t)n - sizeof head - head.tail_bytes;
    m->tail = (struct str){m->body + m->body_bytes, head.tail_bytes};
    return 1;
}

void wire_close_fds(struct wire_message *m)
{
    for (int i = 0; i < m->fd_count; i++)
        fd_close(&m->fds[i]);
    m->fd_count = 0;
}
