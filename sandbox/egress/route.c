#include "sandbox/egress/route.h"
#include "base/mem.h"
#include "net/dial.h"
#include "net/lookup.h"
#include "sandbox/egress/hop.h"
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

enum {
    LOOKUP_MS = 15000,
    LOOKUP_BEHIND_PROXY_MS = 2000, /* names may be the proxy's business alone */
    DIAL_MS = 20000,
    PROXY_ANSWER_MS = 20000,
    HOP_ASK_MAX = 4096,
};

struct egress_route {
    struct egress_route_config config;
    struct egress_target target;
    struct lookup *lookup;
    struct dial *dial;
    struct loop_io *hop; /* our connection to the proxy, while it is asked */
    struct loop_later *begin;
    struct loop_timer *limit;
    struct egress_hop asked;
    bool looked_up; /* the target; what is looked up now is the proxy */
    struct egress_route_result result;
};

static void clear(struct egress_route *r)
{
    lookup_free(r->lookup);
    dial_free(r->dial);
    loop_io_free(r->hop);
    r->lookup = NULL;
    r->dial = NULL;
    r->hop = NULL;
    loop_timer_stop(r->limit);
}

static void finish(struct egress_route *r)
{
    clear(r);
    r->config.done(r->config.ctx, &r->result);
}

static void refuse(struct egress_route *r, enum network_verdict verdict,
                   const struct address *a)
{
    r->result.verdict = verdict;
    r->result.address = *a;
    r->result.has_address = true;
    finish(r);
}

static void fail(struct egress_route *r, const struct err *err)
{
    r->result.err = *err;
    finish(r);
}

/* A fresh connection takes it whole; if not, the time limit ends it. */
static void tell_hop(struct egress_route *r, struct buf *ask)
{
    if (ask->n) {
        ssize_t ignored =
            send(loop_io_fd(r->hop), ask->p, ask->n, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)ignored;
        explicit_bzero(ask->p, ask->n);
    }
    buf_finish(ask);
}

static void on_answer(void *ctx, unsigned events)
{
    struct egress_route *r = ctx;
    struct err err;
    struct buf more;
    (void)events;
    char *to = buf_reserve(&r->asked.in, 1024);
    ssize_t n = to ? recv(loop_io_fd(r->hop), to, 1024, MSG_DONTWAIT) : 0;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    r->asked.in.n += n > 0 ? (size_t)n : 0;
    buf_init(&more, HOP_ASK_MAX);
    enum egress_hop_state state = egress_hop_step(&r->asked, &more, &err);
    tell_hop(r, &more);
    if (state == EGRESS_HOP_CONNECTED) {
        r->result.early = r->asked.early;
        r->result.fd = loop_io_release(r->hop);
        r->hop = NULL;
        finish(r);
    } else if (state == EGRESS_HOP_FAILED) {
        fail(r, &err);
    } else if (n <= 0) {
        err_set(&err, ERR_UNAVAILABLE, "the host's proxy hung up");
        fail(r, &err);
    }
}

static void ask_proxy(struct egress_route *r, int fd)
{
    struct buf ask;
    buf_init(&ask, HOP_ASK_MAX);
    r->hop = loop_io_new(r->config.loop, fd, on_answer, r);
    egress_hop_init(&r->asked, r->config.hop, &r->target, &ask);
    tell_hop(r, &ask);
    loop_io_want(r->hop, LOOP_READ);
    loop_timer_start(r->limit, PROXY_ANSWER_MS);
}

static void on_dial(void *ctx, int fd, const struct address *to, const struct err *err)
{
    struct egress_route *r = ctx;
    dial_free(r->dial);
    r->dial = NULL;
    if (fd < 0) {
        struct err copy = *err;
        if (r->config.hop)
            err_prefix(&copy, "the host's proxy");
        fail(r, &copy);
        return;
    }
    if (r->config.hop && (r->config.tunnel || r->config.hop->socks)) {
        ask_proxy(r, fd);
        return;
    }
    r->result.fd = fd;
    if (!r->config.hop) {
        r->result.address = *to;
        r->result.has_address = true;
    }
    finish(r);
}

static void dial(struct egress_route *r, const struct address *list, size_t count,
                 uint16_t port)
{
    r->dial = dial_new(r->config.loop, list, count, port, DIAL_MS, on_dial, r);
}

static void look_up(struct egress_route *r, const char *host, uint64_t limit_ms);

static void reach_hop(struct egress_route *r)
{
    const struct egress_target *hop = &r->config.hop->target;
    if (hop->literal)
        dial(r, &hop->address, 1, hop->port);
    else
        look_up(r, hop->host, LOOKUP_MS);
}

/* The target's addresses, all that could be found out about it. */
static void target_known(struct egress_route *r, const struct address *list,
                         size_t count)
{
    struct address good[LOOKUP_ADDRESSES_MAX];
    enum network_verdict verdict = NETWORK_ALLOWED;
    size_t n = 0, last = 0;
    for (size_t i = 0; i < count; i++) {
        enum network_verdict v = r->config.check(r->config.ctx, &list[i]);
        if (v == NETWORK_ALLOWED) {
            good[n++] = list[i];
        } else if (verdict == NETWORK_ALLOWED) {
            verdict = v;
            last = i;
        }
    }
    /* Behind a proxy, which looks the name up by itself, one bad address is enough. */
    if (count && (n == 0 || (r->config.hop && n < count)))
        refuse(r, verdict, &list[last]);
    else if (r->config.hop)
        reach_hop(r);
    else
        dial(r, good, n, r->target.port);
}

static void on_lookup(void *ctx, const struct address *list, size_t count,
                      const struct err *err)
{
    struct egress_route *r = ctx;
    lookup_free(r->lookup);
    r->lookup = NULL;
    loop_timer_stop(r->limit);
    if (r->looked_up && count) {
        dial(r, list, count, r->config.hop->target.port);
    } else if (!r->looked_up && (count || r->config.hop)) {
        r->looked_up = true;
        target_known(r, list, count);
    } else {
        struct err copy = *err;
        if (r->looked_up)
            err_prefix(&copy, "the host's proxy");
        fail(r, &copy);
    }
}

static void on_limit(void *ctx)
{
    struct egress_route *r = ctx;
    struct err err;
    if (r->lookup && !r->looked_up && r->config.hop) {
        on_lookup(r, NULL, 0, NULL);
        return;
    }
    if (r->lookup)
        err_set(&err, ERR_TIMEOUT, "%s: the look-up took too long", r->target.host);
    else if (r->hop)
        err_set(&err, ERR_TIMEOUT, "the host's proxy does not answer");
    else
        err_set(&err, ERR_LIMIT, "no thread for a look-up");
    fail(r, &err);
}

static void look_up(struct egress_route *r, const char *host, uint64_t limit_ms)
{
    r->lookup = lookup_new(r->config.loop, host, on_lookup, r);
    loop_timer_start(r->limit, r->lookup ? limit_ms : 0);
}

static void begin(void *ctx)
{
    struct egress_route *r = ctx;
    r->looked_up = r->target.literal;
    if (r->target.literal)
        target_known(r, &r->target.address, 1);
    else
        look_up(r, r->target.host, r->config.hop ? LOOKUP_BEHIND_PROXY_MS : LOOKUP_MS);
}

struct egress_route *egress_route_new(const struct egress_route_config *config)
{
    struct egress_route *r = mem_new(struct egress_route);
    r->config = *config;
    r->target = *config->target;
    r->result = (struct egress_route_result){
        .fd = -1, .verdict = NETWORK_ALLOWED, .through_proxy = config->hop != NULL};
    r->limit = loop_timer_new(config->loop, on_limit, r);
    r->begin = loop_later_new(config->loop, begin, r);
    loop_later_ask(r->begin);
    return r;
}

void egress_route_free(struct egress_route *r)
{
    if (!r)
        return;
    clear(r);
    loop_later_free(r->begin);
    loop_timer_free(r->limit);
    egress_hop_finish(&r->asked);
    mem_free(r);
}
