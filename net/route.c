#include "net/route.h"
#include "base/fd.h"
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>

struct request {
    struct nlmsghdr head;
    struct rtmsg route;
    struct rtattr attribute;
    uint8_t address[16];
};

static size_t make_request(struct request *q, const struct address *a)
{
    size_t bytes = address_is_v4(a) ? 4 : 16;
    *q = (struct request){
        .head = {.nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST},
        .route = {.rtm_family = bytes == 4 ? AF_INET : AF_INET6,
                  .rtm_dst_len = (unsigned char)(8 * bytes)},
        .attribute = {.rta_len = (unsigned short)RTA_LENGTH(bytes),
                      .rta_type = RTA_DST},
    };
    memcpy(q->address, a->b + sizeof a->b - bytes, bytes);
    q->head.nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof q->route) + RTA_SPACE(bytes));
    return q->head.nlmsg_len;
}

bool route_is_own(const struct address *a)
{
    struct request q;
    union {
        struct nlmsghdr head;
        char room[4096];
    } answer;
    size_t bytes = make_request(&q, a);
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    ssize_t n = fd < 0 ? -1 : send(fd, &q, bytes, 0);
    if (n >= 0)
        n = recv(fd, &answer, sizeof answer, 0);
    fd_close(&fd);
    if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)))
        return true;
    if (answer.head.nlmsg_type == NLMSG_ERROR) {
        struct nlmsgerr e;
        memcpy(&e, NLMSG_DATA(&answer.head), sizeof e);
        /* No way there, or a route that refuses: not ours. */
        return e.error != -ENETUNREACH && e.error != -EHOSTUNREACH &&
               e.error != -EACCES && e.error != -EINVAL;
    }
    struct rtmsg route;
    memcpy(&route, NLMSG_DATA(&answer.head), sizeof route);
    return answer.head.nlmsg_type != RTM_NEWROUTE || route.rtm_type == RTN_LOCAL;
}
