#include "sandbox/guest/transparent.h"
#include "base/fd.h"
#include "sandbox/guest/guest.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGE_BYTES = 2048, REDIRECT_PORT = 3129, LO = 1, IPV4_DESTINATION = 16 };

/* Without nft: where most of what is wanted listens. */
static const uint16_t usual_ports[GUEST_TRANSPARENT_MAX] = {443, 80, 22};

/* A request to the kernel, written from the front; attributes nest. */
struct message {
    union {
        struct nlmsghdr align;
        uint8_t bytes[MESSAGE_BYTES];
    };
    size_t n;
    struct nlmsghdr *head; /* of the message that is being written */
};

static void *add_bytes(struct message *m, const void *p, size_t n)
{
    uint8_t *to = m->bytes + m->n;
    size_t padded = NLMSG_ALIGN(n);
    if (m->n + padded > sizeof m->bytes)
        _exit(1); /* our bug: all messages are constant */
    memset(to, 0, padded);
    if (n)
        memcpy(to, p, n);
    m->n += padded;
    return to;
}

static void begin(struct message *m, uint16_t type, uint16_t flags, const void *body,
                  size_t n)
{
    struct nlmsghdr head = {.nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags};
    m->head = add_bytes(m, &head, sizeof head);
    add_bytes(m, body, n);
}

static void end(struct message *m)
{
    m->head->nlmsg_len = (uint32_t)(m->bytes + m->n - (uint8_t *)m->head);
}

static void add(struct message *m, uint16_t type, const void *p, size_t n)
{
    struct nlattr head = {.nla_len = (uint16_t)(sizeof head + n), .nla_type = type};
    add_bytes(m, &head, sizeof head);
    add_bytes(m, p, n);
}

static void add_text(struct message *m, uint16_t type, const char *text)
{
    add(m, type, text, strlen(text) + 1);
}

static void add_u32(struct message *m, uint16_t type, uint32_t value)
{
    uint32_t be = htonl(value);
    add(m, type, &be, sizeof be);
}

static size_t open_nest(struct message *m, uint16_t type)
{
    size_t at = m->n;
    struct nlattr head = {.nla_type = type | NLA_F_NESTED};
    add_bytes(m, &head, sizeof head);
    return at;
}

static void close_nest(struct message *m, size_t at)
{
    uint16_t length = (uint16_t)(m->n - at);
    memcpy(m->bytes + at, &length, sizeof length);
}

/* Sends all and reads the answers, until `acks` are in or one is an error. */
static int ask_kernel(const struct message *m, int protocol, int acks)
{
    union {
        struct nlmsghdr head;
        uint8_t bytes[4096];
    } in;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    int rc = fd < 0 || send(fd, m->bytes, m->n, 0) < 0 ? -1 : 0;
    while (rc == 0 && acks > 0) {
        ssize_t n = recv(fd, &in, sizeof in, 0);
        struct nlmsghdr *h = &in.head;
        rc = n < 0 ? -1 : 0;
        for (size_t left = n > 0 ? (size_t)n : 0; rc == 0 && NLMSG_OK(h, left);
             h = NLMSG_NEXT(h, left)) {
            struct nlmsgerr e;
            memcpy(&e, NLMSG_DATA(h), sizeof e);
            if (h->nlmsg_type == NLMSG_ERROR) {
                errno = -e.error;
                rc = e.error ? -1 : 0;
                acks--;
            }
        }
    }
    fd_close(&fd);
    return rc;
}

/* ip route add local 198.18.0.0/15 dev lo */
static int add_route(void)
{
    struct message m = {.n = 0};
    uint32_t pool = htonl(GUEST_POOL), lo = LO;
    struct rtmsg route = {.rtm_family = AF_INET,
                          .rtm_dst_len = GUEST_POOL_BITS,
                          .rtm_table = RT_TABLE_LOCAL,
                          .rtm_protocol = RTPROT_STATIC,
                          .rtm_scope = RT_SCOPE_HOST,
                          .rtm_type = RTN_LOCAL};
    begin(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &route,
          sizeof route);
    add(&m, RTA_DST, &pool, sizeof pool);
    add(&m, RTA_OIF, &lo, sizeof lo);
    end(&m);
    return ask_kernel(&m, NETLINK_ROUTE, 1);
}

static const struct nfgenmsg nft = {.nfgen_family = NFPROTO_IPV4,
                                    .version = NFNETLINK_V0};

static uint16_t nft_type(uint16_t message)
{
    return (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | message);
}

static size_t open_expression(struct message *m, const char *name, size_t *data)
{
    size_t at = open_nest(m, NFTA_LIST_ELEM);
    add_text(m, NFTA_EXPR_NAME, name);
    *data = open_nest(m, NFTA_EXPR_DATA);
    return at;
}

static void add_value(struct message *m, uint16_t type, const void *p, size_t n)
{
    size_t at = open_nest(m, type);
    add(m, NFTA_DATA_VALUE, p, n);
    close_nest(m, at);
}

static void expect_equal(struct message *m, const void *p, size_t n)
{
    size_t data, at = open_expression(m, "cmp", &data);
    add_u32(m, NFTA_CMP_SREG, NFT_REG_1);
    add_u32(m, NFTA_CMP_OP, NFT_CMP_EQ);
    add_value(m, NFTA_CMP_DATA, p, n);
    close_nest(m, data);
    close_nest(m, at);
}

static void add_protocol_is_tcp(struct message *m)
{
    uint8_t tcp = IPPROTO_TCP;
    size_t data, at = open_expression(m, "meta", &data);
    add_u32(m, NFTA_META_KEY, NFT_META_L4PROTO);
    add_u32(m, NFTA_META_DREG, NFT_REG_1);
    close_nest(m, data);
    close_nest(m, at);
    expect_equal(m, &tcp, sizeof tcp);
}

static void add_destination_in_pool(struct message *m)
{
    uint32_t pool = htonl(GUEST_POOL), none = 0;
    uint32_t mask = htonl(~0U << (32 - GUEST_POOL_BITS));
    size_t data, at = open_expression(m, "payload", &data);
    add_u32(m, NFTA_PAYLOAD_DREG, NFT_REG_1);
    add_u32(m, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
    add_u32(m, NFTA_PAYLOAD_OFFSET, IPV4_DESTINATION);
    add_u32(m, NFTA_PAYLOAD_LEN, sizeof pool);
    close_nest(m, data);
    close_nest(m, at);
    at = open_expression(m, "bitwise", &data);
    add_u32(m, NFTA_BITWISE_SREG, NFT_REG_1);
    add_u32(m, NFTA_BITWISE_DREG, NFT_REG_1);
    add_u32(m, NFTA_BITWISE_LEN, sizeof pool);
    add_value(m, NFTA_BITWISE_MASK, &mask, sizeof mask);
    add_value(m, NFTA_BITWISE_XOR, &none, sizeof none);
    close_nest(m, data);
    close_nest(m, at);
    expect_equal(m, &pool, sizeof pool);
}

static void add_redirect(struct message *m)
{
    uint16_t port = htons(REDIRECT_PORT);
    size_t data, at = open_expression(m, "immediate", &data);
    add_u32(m, NFTA_IMMEDIATE_DREG, NFT_REG_1);
    add_value(m, NFTA_IMMEDIATE_DATA, &port, sizeof port);
    close_nest(m, data);
    close_nest(m, at);
    at = open_expression(m, "redir", &data);
    add_u32(m, NFTA_REDIR_REG_PROTO_MIN, NFT_REG_1);
    close_nest(m, data);
    close_nest(m, at);
}

/* table ip sandquay { chain out { type nat hook output priority dstnat;
 *     ip daddr 198.18.0.0/15 tcp redirect to :3129 } } */
static int add_redirection(void)
{
    struct message m = {.n = 0};
    struct nfgenmsg batch = {.version = NFNETLINK_V0,
                             .res_id = htons(NFNL_SUBSYS_NFTABLES)};
    begin(&m, NFNL_MSG_BATCH_BEGIN, 0, &batch, sizeof batch);
    end(&m);
    begin(&m, nft_type(NFT_MSG_NEWTABLE), NLM_F_CREATE | NLM_F_ACK, &nft, sizeof nft);
    add_text(&m, NFTA_TABLE_NAME, "sandquay");
    end(&m);
    begin(&m, nft_type(NFT_MSG_NEWCHAIN), NLM_F_CREATE | NLM_F_ACK, &nft, sizeof nft);
    add_text(&m, NFTA_CHAIN_TABLE, "sandquay");
    add_text(&m, NFTA_CHAIN_NAME, "out");
    size_t hook = open_nest(&m, NFTA_CHAIN_HOOK);
    add_u32(&m, NFTA_HOOK_HOOKNUM, NF_INET_LOCAL_OUT);
    add_u32(&m, NFTA_HOOK_PRIORITY, (uint32_t)-100);
    close_nest(&m, hook);
    add_text(&m, NFTA_CHAIN_TYPE, "nat");
    end(&m);
    begin(&m, nft_type(NFT_MSG_NEWRULE), NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK, &nft,
          sizeof nft);
    add_text(&m, NFTA_RULE_TABLE, "sandquay");
    add_text(&m, NFTA_RULE_CHAIN, "out");
    size_t list = open_nest(&m, NFTA_RULE_EXPRESSIONS);
    add_protocol_is_tcp(&m);
    add_destination_in_pool(&m);
    add_redirect(&m);
    close_nest(&m, list);
    end(&m);
    begin(&m, NFNL_MSG_BATCH_END, 0, &batch, sizeof batch);
    end(&m);
    return ask_kernel(&m, NETLINK_NETFILTER, 3);
}

static int bound(int type, uint32_t address, uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(address)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
                    bind(fd, (const struct sockaddr *)&at, sizeof at) < 0 ||
                    (type == SOCK_STREAM && listen(fd, 256) < 0)))
        fd_close(&fd);
    return fd;
}

void transparent_set_up(struct transparent *t)
{
    *t = (struct transparent){.dns = -1};
    if (add_route() < 0)
        return;
    bool redirected = add_redirection() == 0;
    if (redirected)
        t->listener[t->count++] = bound(SOCK_STREAM, INADDR_LOOPBACK, REDIRECT_PORT);
    for (size_t i = 0; !redirected && i < GUEST_TRANSPARENT_MAX; i++)
        t->listener[t->count++] = bound(SOCK_STREAM, INADDR_ANY, usual_ports[i]);
    t->dns = bound(SOCK_DGRAM, INADDR_LOOPBACK, 53);
}

void transparent_hand_over(struct transparent *t, struct guest *g)
{
    int fds[1 + GUEST_TRANSPARENT_MAX];
    struct guest_network body = {.has_dns = t->dns >= 0};
    int n = 0;
    if (t->dns >= 0)
        fds[n++] = t->dns;
    for (int i = 0; i < t->count; i++)
        if (t->listener[i] >= 0)
            fds[n++] = t->listener[i];
    if (n)
        guest_answer_fd(g, &(struct wire_out){.type = GUEST_NETWORK,
                                              .body = &body,
                                              .body_bytes = sizeof body,
                                              .fds = fds,
                                              .fd_count = n});
    for (int i = 0; i < n; i++)
        fd_close(&fds[i]);
}
