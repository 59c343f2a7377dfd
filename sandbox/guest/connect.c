/* A connection to a port inside, made here and passed out connected or connecting: the
 * server waits for it, so that a full queue of a sandboxed program holds up nobody. */
#include "base/fd.h"
#include "sandbox/guest/guest.h"
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int begin(const struct guest_connect *request)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)request->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                              .sin6_port = htons((uint16_t)request->port),
                              .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const struct sockaddr *to =
        request->v6 ? (const struct sockaddr *)&v6 : (const struct sockaddr *)&v4;
    socklen_t n = request->v6 ? sizeof v6 : sizeof v4;
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, to, n) < 0 && errno != EINPROGRESS) {
        int saved = errno;
        fd_close(&fd);
        errno = saved;
    }
    return fd;
}

void connect_serve(struct guest *g, const struct wire_message *m)
{
    struct guest_connect request;
    if (m->body_bytes != sizeof request) {
        guest_fail(g, m->id, GUEST_WHAT_BAD_REQUEST, EINVAL, "connect");
        return;
    }
    memcpy(&request, m->body, sizeof request);
    int fd = begin(&request);
    if (fd < 0) {
        guest_fail(g, m->id, GUEST_WHAT_ERRNO, errno, "");
        return;
    }
    guest_answer_fd(
        g, &(struct wire_out){
               .type = GUEST_CONNECTED, .id = m->id, .fds = &fd, .fd_count = 1});
    fd_close(&fd);
}
