#include "sandbox/egress/resolver.h"
#include "base/mem.h"
#include "net/lookup.h"
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { PENDING_MAX = 32, TURN_MAX = 64, TTL_S = 60, LOOKUP_MS = 8000 };

struct pending {
    struct egress_resolver *resolver;
    struct pending *next;
    struct lookup *lookup;
    struct loop_timer *limit;
    struct dns_question question;
    struct sockaddr_in from;
    uint8_t message[DNS_MESSAGE_MAX];
    size_t n;
};

struct egress_resolver {
    struct egress_resolver_config config;
    struct loop_io *socket;
    struct dns_names names;
    struct pending *pending;
    unsigned pending_count;
};

static void answer(struct egress_resolver *r, struct str message,
                   const struct dns_question *q, const struct sockaddr_in *to,
                   uint8_t rcode, const struct address *a)
{
    uint8_t out[DNS_MESSAGE_MAX];
    size_t n = dns_answer(message, q, rcode, a, TTL_S, out);
    /* What does not fit its buffer is lost, as datagrams may be. */
    ssize_t ignored = sendto(loop_io_fd(r->socket), out, n, MSG_DONTWAIT | MSG_NOSIGNAL,
                             (const struct sockaddr *)to, sizeof *to);
    (void)ignored;
}

static void pending_free(struct pending *p)
{
    struct egress_resolver *r = p->resolver;
    struct pending **at = &r->pending;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    r->pending_count--;
    lookup_free(p->lookup);
    loop_timer_free(p->limit);
    mem_free(p);
}

static void settle(struct pending *p, uint8_t rcode, const struct address *a)
{
    answer(p->resolver, (struct str){(const char *)p->message, p->n}, &p->question,
           &p->from, rcode, a);
    pending_free(p);
}

/* One address that may be connected to is enough. */
static void on_lookup(void *ctx, const struct address *list, size_t count,
                      const struct err *err)
{
    struct pending *p = ctx;
    struct egress_resolver *r = p->resolver;
    const char *name = p->question.name;
    enum network_verdict v = NETWORK_ALLOWED;
    for (size_t i = 0; i < count; i++) {
        v = r->config.check_address(r->config.ctx, name, &list[i]);
        if (v == NETWORK_ALLOWED)
            break;
    }
    if (count == 0) {
        settle(p, err->kind == ERR_NOT_FOUND ? DNS_NO_SUCH_NAME : DNS_SERVER_FAILURE,
               NULL);
    } else if (v != NETWORK_ALLOWED) {
        r->config.refused(r->config.ctx, name, v, &list[count - 1]);
        settle(p, DNS_NO_SUCH_NAME, NULL);
    } else {
        struct address a = dns_names_give(&r->names, name);
        settle(p, DNS_NO_ERROR, &a);
    }
}

static void on_limit(void *ctx)
{
    settle(ctx, DNS_SERVER_FAILURE, NULL);
}

static void look_up(struct egress_resolver *r, struct str message,
                    const struct dns_question *q, const struct sockaddr_in *from)
{
    struct pending *p = mem_new(struct pending);
    *p = (struct pending){.resolver = r,
                          .next = r->pending,
                          .question = *q,
                          .from = *from,
                          .n = message.n};
    memcpy(p->message, message.p, message.n);
    r->pending = p;
    r->pending_count++;
    p->limit = loop_timer_new(r->config.loop, on_limit, p);
    p->lookup = lookup_new(r->config.loop, q->name, on_lookup, p);
    loop_timer_start(p->limit, p->lookup ? LOOKUP_MS : 0);
}

static void serve(struct egress_resolver *r, struct str message,
                  const struct sockaddr_in *from)
{
    struct dns_question q;
    if (!dns_parse(message, &q))
        return;
    uint8_t rcode = q.rcode;
    if (!rcode) {
        enum network_verdict v = r->config.check_name(r->config.ctx, q.name);
        if (v != NETWORK_ALLOWED) {
            rcode = DNS_NO_SUCH_NAME;
            if (q.type == DNS_TYPE_A)
                r->config.refused(r->config.ctx, q.name, v, NULL);
        }
    }
    if (rcode || q.type != DNS_TYPE_A) {
        answer(r, message, &q, from, rcode, NULL);
    } else if (!r->config.look_up) {
        struct address a = dns_names_give(&r->names, q.name);
        answer(r, message, &q, from, DNS_NO_ERROR, &a);
    } else if (r->pending_count >= PENDING_MAX) {
        answer(r, message, &q, from, DNS_SERVER_FAILURE, NULL);
    } else {
        look_up(r, message, &q, from);
    }
}

static void on_question(void *ctx, unsigned events)
{
    struct egress_resolver *r = ctx;
    char message[DNS_MESSAGE_MAX + 1]; /* longer ones are seen to be too long */
    (void)events;
    for (int i = 0; i < TURN_MAX; i++) {
        struct sockaddr_in from = {0};
        socklen_t length = sizeof from;
        ssize_t n = recvfrom(loop_io_fd(r->socket), message, sizeof message,
                             MSG_DONTWAIT, (struct sockaddr *)&from, &length);
        if (n < 0 && errno != EINTR)
            return;
        if (n > 0 && length == sizeof from)
            serve(r, (struct str){message, (size_t)n}, &from);
    }
}

struct egress_resolver *egress_resolver_new(const struct egress_resolver_config *config,
                                            int fd)
{
    struct egress_resolver *r = mem_new(struct egress_resolver);
    r->config = *config;
    r->socket = loop_io_new(config->loop, fd, on_question, r);
    loop_io_want(r->socket, LOOP_READ);
    return r;
}

void egress_resolver_free(struct egress_resolver *r)
{
    if (!r)
        return;
    while (r->pending)
        pending_free(r->pending);
    loop_io_free(r->socket);
    dns_names_finish(&r->names);
    mem_free(r);
}

const char *egress_resolver_name(const struct egress_resolver *r,
                                 const struct address *a)
{
    return dns_names_find(&r->names, a);
}
