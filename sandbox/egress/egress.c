/* A tunnel is one connection from inside, in one of these states:
 *
 *   READING   its request is not complete
 *   ROUTING   its target is looked up, checked and connected to (egress/route.c)
 *   RELAYING  bytes go both ways (net/relay.c)
 *   CLOSING   it was answered with a refusal, which it must be able to read
 *
 * Everything that comes from inside is an attacker's: heads are bounded, tunnels are
 * counted, each state but RELAYING has a time limit. */
#include "sandbox/egress/egress.h"
#include "base/mem.h"
#include "net/relay.h"
#include "net/route.h"
#include "sandbox/egress/resolver.h"
#include "sandbox/egress/route.h"
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* <linux/netfilter_ipv4.h> clashes with <netinet/in.h>. */
enum { ORIGINAL_DESTINATION = 80 };

enum { READING_MS = 10000, CLOSING_MS = 1000, PAUSE_MS = 100 };

enum { SOCKS_GENERAL = 1, SOCKS_NOT_ALLOWED = 2, SOCKS_UNREACHABLE = 4 };

struct tunnel {
    struct egress *egress;
    struct tunnel *next;
    struct loop_io *client; /* until the relay has it */
    struct loop_timer *limit;
    struct buf in; /* what it sent, until the relay has it */
    bool socks;    /* it speaks SOCKS5 */
    bool greeted;  /* ... and its method was chosen */
    bool closing;
    struct egress_ask ask;
    struct egress_route *route;
    struct relay *relay;
    struct address address; /* of the far end, if has_address */
    bool has_address;
    uint64_t row; /* its number in the log */
};

struct listener {
    struct egress *egress;
    struct loop_io *io;
    bool transparent;
};

struct egress {
    struct egress_config config;
    struct network_policy policy;
    bool has_policy;
    struct listener listener[EGRESS_LISTENERS_MAX];
    unsigned listeners;
    struct egress_resolver *resolver;
    struct loop_timer *pause; /* no descriptor was left: accepting waits */
    struct tunnel *tunnels;
    unsigned count;
    struct egress_log log;
};

static struct egress_row *row_of(struct tunnel *t)
{
    static struct egress_row forgotten; /* so many came after it */
    struct egress_row *row = egress_log_row(&t->egress->log, t->row);
    return row ? row : &forgotten;
}

static void update_counts(struct tunnel *t)
{
    struct egress_row *row = row_of(t);
    if (t->relay)
        relay_counts(t->relay, &row->sent_bytes, &row->received_bytes);
}

static void tunnel_free(struct tunnel *t)
{
    struct tunnel **at = &t->egress->tunnels;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    t->egress->count--;
    update_counts(t);
    struct egress_row *row = row_of(t);
    row->open = false;
    if (row->outcome == EGRESS_PENDING) {
        row->outcome = EGRESS_FAILED;
        snprintf(row->reason, sizeof row->reason, "given up before it was connected");
    }
    egress_route_free(t->route);
    relay_free(t->relay);
    loop_io_free(t->client);
    loop_timer_free(t->limit);
    buf_finish(&t->in);
    mem_free(t);
}

/* Both policies must allow; the first refusal is the answer. */
static enum network_verdict check_name(const struct egress *e, struct str name)
{
    enum network_verdict v = network_policy_name(e->config.limit, name);
    return v == NETWORK_ALLOWED && e->has_policy ? network_policy_name(&e->policy, name)
                                                 : v;
}

static enum network_verdict check_address(const struct egress *e,
                                          const struct egress_target *target,
                                          const struct address *a)
{
    struct str name = target->literal ? (struct str){0} : str_of(target->host);
    bool own = address_class(a) == ADDRESS_PUBLIC && route_is_own(a);
    enum network_verdict v = network_policy_address(e->config.limit, name, a, own);
    return v == NETWORK_ALLOWED && e->has_policy
               ? network_policy_address(&e->policy, name, a, own)
               : v;
}

bool egress_is_off(const struct egress *e)
{
    return e->config.limit->mode == NETWORK_DENY_ALL ||
           (e->has_policy && e->policy.mode == NETWORK_DENY_ALL);
}

static void say(struct tunnel *t, struct str text)
{
    /* A few hundred bytes into an empty socket buffer: a short write is not worth
     * waiting for. */
    ssize_t ignored =
        send(loop_io_fd(t->client), text.p, text.n, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)ignored;
}

/* What was said must arrive: closing with unread bytes would throw it away. */
static void close_gently(struct tunnel *t)
{
    t->closing = true;
    buf_reset(&t->in, 0);
    shutdown(loop_io_fd(t->client), SHUT_WR);
    loop_io_want(t->client, LOOP_READ);
    loop_timer_start(t->limit, CLOSING_MS);
}

static void answer_http(struct tunnel *t, const char *status, const char *text)
{
    char body[EGRESS_REASON + NETWORK_HOST_MAX + 64], head[256];
    snprintf(body, sizeof body, "sandquay: %s\n", text);
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: "
                     "%zu\r\nConnection: close\r\n\r\n",
                     status, strlen(body));
    say(t, (struct str){head, (size_t)n});
    say(t, str_of(body));
}

static void answer_socks(struct tunnel *t, uint8_t reply)
{
    char text[10] = {5, (char)reply, 0, 1};
    say(t, (struct str){text, sizeof text});
}

/* The tunnel may be gone when it returns. */
static void turn_away(struct tunnel *t, const char *status, uint8_t reply,
                      const char *text)
{
    if (t->ask.kind == EGRESS_TRANSPARENT) {
        struct linger at_once = {.l_onoff = 1}; /* a reset, not an end */
        setsockopt(loop_io_fd(t->client), SOL_SOCKET, SO_LINGER, &at_once,
                   sizeof at_once);
        tunnel_free(t);
        return;
    }
    if (t->socks)
        answer_socks(t, reply);
    else
        answer_http(t, status, text);
    close_gently(t);
}

static void target_text(const struct tunnel *t, char *to, size_t room)
{
    egress_target_format(&t->ask.target, to, room);
}

static void refuse(struct tunnel *t, enum network_verdict verdict,
                   const struct address *a)
{
    struct egress_row *row = row_of(t);
    char target[NETWORK_HOST_MAX + 16], text[EGRESS_REASON + sizeof target + 2];
    row->outcome = EGRESS_REFUSED;
    network_verdict_text(verdict, a, row->reason, sizeof row->reason);
    if (a)
        address_format(a, row->address);
    target_text(t, target, sizeof target);
    snprintf(text, sizeof text, "%s: %s", target, row->reason);
    t->egress->config.told(t->egress->config.ctx, true, target, row->reason);
    turn_away(t, "403 Forbidden", SOCKS_NOT_ALLOWED, text);
}

static void fail(struct tunnel *t, const struct err *err)
{
    struct egress_row *row = row_of(t);
    char target[NETWORK_HOST_MAX + 16], text[sizeof err->msg + sizeof target + 2];
    row->outcome = EGRESS_FAILED;
    snprintf(row->reason, sizeof row->reason, "%.*s", EGRESS_REASON - 1, err->msg);
    target_text(t, target, sizeof target);
    snprintf(text, sizeof text, "%s: %s", target, err->msg);
    t->egress->config.told(t->egress->config.ctx, false, target, err->msg);
    turn_away(t, err->kind == ERR_TIMEOUT ? "504 Gateway Timeout" : "502 Bad Gateway",
              SOCKS_UNREACHABLE, text);
}

static void on_relayed(void *ctx)
{
    tunnel_free(ctx);
}

/* The request as the server (or the host's proxy) shall see it. */
static void pass_request_on(struct tunnel *t, bool through_proxy)
{
    struct str in = buf_str(&t->in);
    struct buf head;
    const struct host_hop *hop =
        through_proxy ? host_proxy_for(t->egress->config.host_proxy, &t->ask) : NULL;
    through_proxy = hop && !hop->socks;
    struct str extra =
        hop && hop->authorization ? str_of(hop->authorization) : (struct str){0};
    buf_init(&head, 2 * EGRESS_HEAD_MAX);
    egress_http_rewrite(in, &t->ask, through_proxy, extra, &head);
    relay_to_far(t->relay, buf_str(&head));
    buf_finish(&head);
    struct str body = str_from(in, t->ask.head_bytes);
    if (body.n > t->ask.body_bytes)
        body.n = (size_t)t->ask.body_bytes;
    relay_to_far(t->relay, body);
    if (t->ask.body_bytes != UINT64_MAX)
        relay_limit(t->relay, t->ask.body_bytes - body.n);
}

static void on_route(void *ctx, const struct egress_route_result *result)
{
    struct tunnel *t = ctx;
    struct egress_route *route = t->route;
    struct egress_row *row = row_of(t);
    t->route = NULL;
    if (result->verdict != NETWORK_ALLOWED) {
        refuse(t, result->verdict, result->has_address ? &result->address : NULL);
    } else if (result->fd < 0) {
        fail(t, &result->err);
    } else {
        row->outcome = EGRESS_ALLOWED;
        t->address = result->address;
        t->has_address = result->has_address;
        if (t->has_address)
            address_format(&t->address, row->address);
        if (t->ask.kind == EGRESS_SOCKS)
            answer_socks(t, 0);
        else if (t->ask.kind == EGRESS_CONNECT)
            say(t, STR("HTTP/1.1 200 Connection established\r\n\r\n"));
        t->relay = relay_new(t->egress->config.loop, loop_io_release(t->client),
                             result->fd, on_relayed, t);
        t->client = NULL;
        if (t->ask.kind == EGRESS_REQUEST)
            pass_request_on(t, result->through_proxy);
        else
            relay_to_far(t->relay, str_from(buf_str(&t->in), t->ask.head_bytes));
        relay_to_near(t->relay, result->early);
        buf_finish(&t->in);
        loop_timer_stop(t->limit);
        relay_start(t->relay);
    }
    egress_route_free(route);
}

static enum network_verdict on_check(void *ctx, const struct address *a)
{
    const struct tunnel *t = ctx;
    return check_address(t->egress, &t->ask.target, a);
}

/* The request is complete: may its host be looked up at all? */
static void start_route(struct tunnel *t)
{
    static const char *const ways[] = {"connect", "http", "socks", "transparent"};
    struct egress *e = t->egress;
    struct egress_target *target = &t->ask.target;
    struct egress_row *row = row_of(t);
    bool plain = t->ask.kind == EGRESS_REQUEST;
    memcpy(row->host, target->host, sizeof row->host);
    row->port = target->port;
    row->way = ways[t->ask.kind];
    loop_timer_stop(t->limit);
    loop_io_want(t->client, 0);
    enum network_verdict v =
        target->literal ? NETWORK_ALLOWED : check_name(e, str_of(target->host));
    if (v != NETWORK_ALLOWED) {
        refuse(t, v, NULL);
        return;
    }
    t->route = egress_route_new(&(struct egress_route_config){
        .loop = e->config.loop,
        .target = target,
        .hop =
            e->config.host_proxy ? host_proxy_for(e->config.host_proxy, &t->ask) : NULL,
        .tunnel = !plain,
        .check = on_check,
        .done = on_route,
        .ctx = t,
    });
}

/* Not a request: says so and ends it. */
static void misunderstood(struct tunnel *t, uint8_t reply, const struct err *err)
{
    struct egress_row *row = row_of(t);
    row->outcome = EGRESS_REFUSED;
    snprintf(row->reason, sizeof row->reason, "%.*s", EGRESS_REASON - 1, err->msg);
    turn_away(t, "400 Bad Request", reply, err->msg);
}

static void read_socks(struct tunnel *t)
{
    size_t n;
    bool offered;
    uint8_t reply;
    struct err err;
    if (!t->greeted) {
        if (egress_socks_greeting(buf_str(&t->in), &n, &offered) == 0)
            return;
        say(t, offered ? STR("\x05\x00") : STR("\x05\xff"));
        if (!offered) {
            close_gently(t);
            return;
        }
        buf_drop(&t->in, n);
        t->greeted = true;
    }
    int rc = egress_socks_parse(buf_str(&t->in), &t->ask, &reply, &err);
    if (rc > 0)
        start_route(t);
    else if (rc < 0)
        misunderstood(t, reply, &err);
}

static void read_http(struct tunnel *t)
{
    struct err err;
    int rc = egress_http_parse(buf_str(&t->in), &t->ask, &err);
    if (rc > 0)
        start_route(t);
    else if (rc < 0)
        misunderstood(t, SOCKS_GENERAL, &err);
}

static void on_client(void *ctx, unsigned events)
{
    struct tunnel *t = ctx;
    (void)events;
    char *to = buf_reserve(&t->in, 4096);
    ssize_t n = to ? recv(loop_io_fd(t->client), to, 4096, MSG_DONTWAIT) : 0;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        tunnel_free(t);
        return;
    }
    if (t->closing)
        return; /* not kept */
    t->in.n += (size_t)n;
    t->socks = t->in.p[0] == 5 || t->greeted;
    if (t->socks)
        read_socks(t);
    else
        read_http(t);
}

static void on_limit(void *ctx)
{
    tunnel_free(ctx);
}

static struct tunnel *tunnel_new(struct egress *e, int fd, const char *way)
{
    struct tunnel *t = mem_new(struct tunnel);
    *t = (struct tunnel){.egress = e, .next = e->tunnels};
    e->tunnels = t;
    e->count++;
    t->row = egress_log_add(&e->log, way)->number;
    /* The head, and what came with it. */
    buf_init(&t->in, 2 * EGRESS_HEAD_MAX);
    t->client = loop_io_new(e->config.loop, fd, on_client, t);
    t->limit = loop_timer_new(e->config.loop, on_limit, t);
    return t;
}

static void accept_request(struct egress *e, int fd)
{
    struct tunnel *t = tunnel_new(e, fd, "proxy");
    loop_io_want(t->client, LOOP_READ);
    loop_timer_start(t->limit, READING_MS);
    on_client(t, LOOP_READ); /* most have already sent it */
}

/* Where the program wanted to: before the redirection, or where it arrived. */
static bool wanted_address(int fd, struct address *ret_address, uint16_t *ret_port)
{
    struct sockaddr_in to = {0};
    socklen_t n = sizeof to;
    if (getsockopt(fd, SOL_IP, ORIGINAL_DESTINATION, &to, &n) < 0 &&
        getsockname(fd, (struct sockaddr *)&to, &n) < 0)
        return false;
    return address_from_sockaddr((const struct sockaddr *)&to, ret_address, ret_port);
}

static void accept_transparent(struct egress *e, int fd)
{
    struct tunnel *t = tunnel_new(e, fd, "transparent");
    struct egress_target *target = &t->ask.target;
    struct address a = {0};
    t->ask.kind = EGRESS_TRANSPARENT;
    const char *name = e->resolver && wanted_address(fd, &a, &target->port)
                           ? egress_resolver_name(e->resolver, &a)
                           : NULL;
    if (name) {
        snprintf(target->host, sizeof target->host, "%s", name);
        start_route(t);
        return;
    }
    struct egress_row *row = row_of(t);
    address_format(&a, row->address);
    row->port = target->port;
    row->outcome = EGRESS_REFUSED;
    snprintf(row->reason, sizeof row->reason, "the address stands for no name");
    turn_away(t, "", 0, "");
}

static void too_many(struct egress *e, int fd)
{
    struct egress_row *row = egress_log_add(&e->log, "proxy");
    row->outcome = EGRESS_REFUSED;
    row->open = false;
    snprintf(row->reason, sizeof row->reason, "%d connections are open, the limit",
             EGRESS_TUNNELS_MAX);
    close(fd);
}

static void on_pause_over(void *ctx)
{
    struct egress *e = ctx;
    for (unsigned i = 0; i < e->listeners; i++)
        loop_io_want(e->listener[i].io, LOOP_READ);
}

static bool is_waiting(int listener)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

/* Inherited from the listener it would have us wait in close(). */
static void stop_lingering(int fd)
{
    struct linger off = {0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof off);
}

static void on_listener(void *ctx, unsigned events)
{
    struct listener *l = ctx;
    struct egress *e = l->egress;
    (void)events;
    /* The guest has the listener, too, and could make it block: asked first, each time.
     */
    while (is_waiting(loop_io_fd(l->io))) {
        int fd = accept4(loop_io_fd(l->io), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
            loop_io_want(l->io, 0);
            loop_timer_start(e->pause, PAUSE_MS);
        }
        if (fd < 0)
            return;
        stop_lingering(fd);
        if (e->count >= EGRESS_TUNNELS_MAX)
            too_many(e, fd);
        else if (l->transparent)
            accept_transparent(e, fd);
        else
            accept_request(e, fd);
    }
}

struct egress *egress_new(const struct egress_config *config)
{
    struct egress *e = mem_new(struct egress);
    e->config = *config;
    e->pause = loop_timer_new(config->loop, on_pause_over, e);
    return e;
}

static void add_listener(struct egress *e, int fd, bool transparent)
{
    if (e->listeners == EGRESS_LISTENERS_MAX) {
        close(fd);
        return;
    }
    struct listener *l = &e->listener[e->listeners++];
    *l = (struct listener){.egress = e, .transparent = transparent};
    l->io = loop_io_new(e->config.loop, fd, on_listener, l);
    loop_io_want(l->io, LOOP_READ);
}

void egress_serve_proxy(struct egress *e, int listener)
{
    add_listener(e, listener, false);
}

void egress_serve_transparent(struct egress *e, int listener)
{
    add_listener(e, listener, true);
}

static enum network_verdict on_check_name(void *ctx, const char *name)
{
    return check_name(ctx, str_of(name));
}

static enum network_verdict on_check_address(void *ctx, const char *name,
                                             const struct address *a)
{
    struct egress_target target = {0};
    snprintf(target.host, sizeof target.host, "%s", name);
    return check_address(ctx, &target, a);
}

/* Look-ups that are allowed leave no row: the connection that follows has one. */
static void on_name_refused(void *ctx, const char *name, enum network_verdict v,
                            const struct address *a)
{
    struct egress *e = ctx;
    struct egress_row *row = egress_log_add(&e->log, "dns");
    snprintf(row->host, sizeof row->host, "%s", name);
    if (a)
        address_format(a, row->address);
    row->open = false;
    row->outcome = EGRESS_REFUSED;
    network_verdict_text(v, a, row->reason, sizeof row->reason);
    e->config.told(e->config.ctx, true, name, row->reason);
}

void egress_serve_dns(struct egress *e, int socket)
{
    if (e->resolver) {
        close(socket);
        return;
    }
    bool proxied = e->config.host_proxy && e->config.host_proxy->https.target.port;
    e->resolver = egress_resolver_new(
        &(struct egress_resolver_config){.loop = e->config.loop,
                                         .look_up = !proxied,
                                         .check_name = on_check_name,
                                         .check_address = on_check_address,
                                         .refused = on_name_refused,
                                         .ctx = e},
        socket);
}

void egress_free(struct egress *e)
{
    if (!e)
        return;
    while (e->tunnels)
        tunnel_free(e->tunnels);
    for (unsigned i = 0; i < e->listeners; i++)
        loop_io_free(e->listener[i].io);
    egress_resolver_free(e->resolver);
    loop_timer_free(e->pause);
    network_policy_finish(&e->policy);
    egress_log_finish(&e->log);
    mem_free(e);
}

static enum network_verdict check_again(const struct tunnel *t)
{
    const struct egress_target *target = &t->ask.target;
    if (target->literal)
        return check_address(t->egress, target, &target->address);
    if (t->has_address)
        return check_address(t->egress, target, &t->address);
    return check_name(t->egress, str_of(target->host));
}

void egress_set_policy(struct egress *e, const struct network_policy *policy)
{
    network_policy_finish(&e->policy);
    e->has_policy = policy != NULL;
    if (policy)
        network_policy_copy(&e->policy, policy);
    for (struct tunnel *t = e->tunnels, *next; t; t = next) {
        next = t->next;
        if ((!t->relay && !t->route) || check_again(t) == NETWORK_ALLOWED)
            continue;
        snprintf(row_of(t)->reason, EGRESS_REASON, "cut: the policy was changed");
        row_of(t)->outcome = EGRESS_REFUSED;
        tunnel_free(t);
    }
}

struct egress_log *egress_log_of(struct egress *e)
{
    for (struct tunnel *t = e->tunnels; t; t = t->next)
        update_counts(t);
    return &e->log;
}
