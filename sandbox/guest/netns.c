#include "sandbox/guest/netns.h"
#include "base/fd.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rc = fd < 0 ? -1 : ioctl(fd, SIOCSIFFLAGS, &request);
    int saved = errno;
    fd_close(&fd);
    errno = saved;
    return rc;
}

int netns_proxy_listener(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (const struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 256) < 0)
        return -1;
    return fd;
}

static const char *make(struct netns *ns)
{
    if (unshare(CLONE_NEWNET) < 0)
        return "network namespace";
    if (loopback_up() < 0)
        return "loopback interface";
    ns->listener = netns_proxy_listener(GUEST_PROXY_PORT);
    if (ns->listener < 0)
        return "proxy listener";
    transparent_set_up(&ns->transparent);
    ns->fd = ioctl(ns->listener, SIOCGSKNS);
    return ns->fd < 0 ? "handle of the network namespace" : NULL;
}

static void *thread_main(void *arg)
{
    struct netns *ns = arg;
    ns->failed = make(ns);
    ns->error = errno;
    return NULL;
}

void netns_begin(struct netns *ns)
{
    *ns = (struct netns){.fd = -1, .listener = -1};
    ns->threaded = pthread_create(&ns->thread, NULL, thread_main, ns) == 0;
    if (!ns->threaded)
        thread_main(ns);
}

const char *netns_enter(struct netns *ns)
{
    if (ns->threaded)
        pthread_join(ns->thread, NULL);
    errno = ns->error;
    if (ns->failed)
        return ns->failed;
    if (setns(ns->fd, CLONE_NEWNET) < 0)
        return "entering the network namespace";
    fd_close(&ns->fd);
    return NULL;
}
