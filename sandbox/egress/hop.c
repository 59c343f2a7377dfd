#include "sandbox/egress/hop.h"
#include "base/mem.h"
#include <stdio.h>

enum {
    ANSWER_MAX = 8192,
    SOCKS_VERSION = 5,
    SOCKS_OPEN = 0,
    SOCKS_PASSWORD = 2,
    SOCKS_CONNECT = 1,
    SOCKS_IPV4 = 1,
    SOCKS_NAME = 3,
    SOCKS_IPV6 = 4,
};

/* Of SOCKS5. */
enum { STEP_METHOD, STEP_PASSWORD, STEP_CONNECT };

static void say_connect(const struct egress_hop *h, struct buf *out)
{
    char target[NETWORK_HOST_MAX + 10];
    egress_target_format(h->target, target, sizeof target);
    buf_addf(out, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", target, target,
             h->hop->authorization ? h->hop->authorization : "");
}

static void say_methods(const struct egress_hop *h, struct buf *out)
{
    buf_addc(out, SOCKS_VERSION);
    buf_addc(out, h->hop->user ? 2 : 1);
    buf_addc(out, SOCKS_OPEN);
    if (h->hop->user)
        buf_addc(out, SOCKS_PASSWORD);
}

static void say_password(const struct egress_hop *h, struct buf *out)
{
    struct str user = str_of(h->hop->user), password = str_of(h->hop->password);
    buf_addc(out, 1);
    buf_addc(out, (char)user.n);
    buf_adds(out, user);
    buf_addc(out, (char)password.n);
    buf_adds(out, password);
}

static void say_target(const struct egress_hop *h, struct buf *out)
{
    const struct egress_target *t = h->target;
    bool v4 = t->literal && address_is_v4(&t->address);
    buf_addc(out, SOCKS_VERSION);
    buf_addc(out, SOCKS_CONNECT);
    buf_addc(out, 0);
    buf_addc(out, v4 ? SOCKS_IPV4 : t->literal ? SOCKS_IPV6 : SOCKS_NAME);
    if (v4) {
        buf_add(out, t->address.b + 12, 4);
    } else if (t->literal) {
        buf_add(out, t->address.b, sizeof t->address.b);
    } else {
        buf_addc(out, (char)strlen(t->host));
        buf_addz(out, t->host);
    }
    buf_addc(out, (char)(t->port >> 8));
    buf_addc(out, (char)(t->port & 0xff));
}

void egress_hop_init(struct egress_hop *h, const struct host_hop *hop,
                     const struct egress_target *target, struct buf *out)
{
    *h = (struct egress_hop){.hop = hop, .target = target};
    buf_init(&h->in, ANSWER_MAX);
    if (hop->socks)
        say_methods(h, out);
    else
        say_connect(h, out);
}

void egress_hop_finish(struct egress_hop *h)
{
    buf_finish(&h->in);
}

static enum egress_hop_state answer_of_http(struct egress_hop *h, struct err *err)
{
    struct str head = buf_str(&h->in);
    const char *end = head.n ? memmem(head.p, head.n, "\r\n\r\n", 4) : NULL;
    if (!end && head.n < ANSWER_MAX)
        return EGRESS_HOP_MORE;
    if (end && head.n > 12 && str_starts(head, STR("HTTP/1.")) && head.p[8] == ' ' &&
        head.p[9] == '2') {
        h->early = str_from(head, (size_t)(end - head.p) + 4);
        return EGRESS_HOP_CONNECTED;
    }
    size_t line = 0;
    while (line < head.n && line < 60 && head.p[line] >= ' ' && head.p[line] < 0x7f)
        line++;
    err_set(err, ERR_UNAVAILABLE, "the host's proxy answered \"%.*s\"", (int)line,
            head.p);
    return EGRESS_HOP_FAILED;
}

static enum egress_hop_state fail(struct err *err, const char *what)
{
    err_set(err, ERR_UNAVAILABLE, "the host's proxy %s", what);
    return EGRESS_HOP_FAILED;
}

static enum egress_hop_state method_chosen(struct egress_hop *h, const uint8_t *in,
                                           struct buf *out, struct err *err)
{
    if (in[0] != SOCKS_VERSION)
        return fail(err, "does not speak SOCKS5");
    h->taken += 2;
    if (in[1] == SOCKS_PASSWORD && h->hop->user) {
        h->step = STEP_PASSWORD;
        say_password(h, out);
    } else if (in[1] == SOCKS_OPEN) {
        h->step = STEP_CONNECT;
        say_target(h, out);
    } else {
        return fail(err, h->hop->user ? "does not take a user name and password"
                                      : "wants a user name and password");
    }
    return EGRESS_HOP_MORE;
}

static enum egress_hop_state password_judged(struct egress_hop *h, const uint8_t *in,
                                             struct buf *out, struct err *err)
{
    if (in[1] != 0)
        return fail(err, "refused the user name and password");
    h->taken += 2;
    h->step = STEP_CONNECT;
    say_target(h, out);
    return EGRESS_HOP_MORE;
}

static enum egress_hop_state connected(struct egress_hop *h, struct str in,
                                       struct err *err)
{
    static const char *const replies[] = {
        "",
        "failed",
        "does not allow the connection",
        "cannot reach the network",
        "cannot reach the host",
        "was refused the connection",
        "found the time to live over",
        "does not know CONNECT",
        "does not know this kind of address",
    };
    const uint8_t *b = (const uint8_t *)in.p;
    if (b[0] != SOCKS_VERSION)
        return fail(err, "does not speak SOCKS5");
    if (b[1] != 0)
        return fail(err, b[1] < sizeof replies / sizeof replies[0] ? replies[b[1]]
                                                                   : replies[1]);
    if (in.n < 5)
        return EGRESS_HOP_MORE;
    size_t address = b[3] == SOCKS_IPV4   ? 4
                     : b[3] == SOCKS_IPV6 ? 16
                     : b[3] == SOCKS_NAME ? 1 + (size_t)b[4]
                                          : 0;
    if (!address)
        return fail(err, "does not speak SOCKS5");
    size_t n = 4 + address + 2;
    if (in.n < n)
        return EGRESS_HOP_MORE;
    h->early = str_from(in, n);
    return EGRESS_HOP_CONNECTED;
}

static enum egress_hop_state step_of_socks(struct egress_hop *h, struct buf *out,
                                           struct err *err)
{
    struct str in = str_from(buf_str(&h->in), h->taken);
    if (in.n < 2)
        return EGRESS_HOP_MORE;
    if (h->step == STEP_METHOD)
        return method_chosen(h, (const uint8_t *)in.p, out, err);
    if (h->step == STEP_PASSWORD)
        return password_judged(h, (const uint8_t *)in.p, out, err);
    return connected(h, in, err);
}

enum egress_hop_state egress_hop_step(struct egress_hop *h, struct buf *out,
                                      struct err *err)
{
    enum egress_hop_state state;
    size_t before;
    if (!h->hop->socks)
        return answer_of_http(h, err);
    do {
        before = h->taken;
        state = step_of_socks(h, out, err);
    } while (state == EGRESS_HOP_MORE && h->taken != before);
    return state;
}
