#include "net/address.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

enum { V4_BITS = 96 };

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

bool address_parse(struct str text, struct address *ret_address)
{
    char copy[ADDRESS_TEXT];
    struct address a = {0};
    if (text.n == 0 || text.n >= sizeof copy || memchr(text.p, '\0', text.n))
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    memcpy(a.b, mapped, sizeof mapped);
    if (inet_pton(AF_INET, copy, a.b + sizeof mapped) != 1 &&
        inet_pton(AF_INET6, copy, a.b) != 1)
        return false;
    *ret_address = a;
    return true;
}

bool address_is_v4(const struct address *a)
{
    return memcmp(a->b, mapped, sizeof mapped) == 0;
}

void address_format(const struct address *a, char to[ADDRESS_TEXT])
{
    bool v4 = address_is_v4(a);
    inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? a->b + sizeof mapped : a->b, to,
              ADDRESS_TEXT);
}

bool address_eq(const struct address *a, const struct address *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

socklen_t address_to_sockaddr(const struct address *a, uint16_t port,
                              struct sockaddr_storage *ret_sockaddr)
{
    memset(ret_sockaddr, 0, sizeof *ret_sockaddr);
    if (address_is_v4(a)) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&v4.sin_addr, a->b + sizeof mapped, sizeof v4.sin_addr);
        memcpy(ret_sockaddr, &v4, sizeof v4);
        return sizeof v4;
    }
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    memcpy(&v6.sin6_addr, a->b, sizeof v6.sin6_addr);
    memcpy(ret_sockaddr, &v6, sizeof v6);
    return sizeof v6;
}

bool address_from_sockaddr(const struct sockaddr *sa, struct address *ret_address,
                           uint16_t *ret_port)
{
    struct address a = {0};
    uint16_t port;
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, sa, sizeof v4);
        memcpy(a.b, mapped, sizeof mapped);
        memcpy(a.b + sizeof mapped, &v4.sin_addr, sizeof v4.sin_addr);
        port = ntohs(v4.sin_port);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, sa, sizeof v6);
        memcpy(a.b, &v6.sin6_addr, sizeof a.b);
        port = ntohs(v6.sin6_port);
    } else {
        return false;
    }
    *ret_address = a;
    if (ret_port)
        *ret_port = port;
    return true;
}

static bool has_prefix(const uint8_t *bytes, const uint8_t *prefix, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    uint8_t mask = (uint8_t)(0xff00u >> rest);
    return memcmp(bytes, prefix, whole) == 0 &&
           (rest == 0 || ((bytes[whole] ^ prefix[whole]) & mask) == 0);
}

struct special {
    uint8_t bits, prefix[16], class;
};

/* Most specific first. */
static const struct special specials4[] = {
    {32, {169, 254, 169, 254}, ADDRESS_METADATA},
    {32, {169, 254, 170, 2}, ADDRESS_METADATA},   /* ECS */
    {32, {100, 100, 100, 200}, ADDRESS_METADATA}, /* Alibaba */
    {32, {168, 63, 129, 16}, ADDRESS_METADATA},   /* Azure's wire server */
    {32, {192, 0, 0, 192}, ADDRESS_METADATA},     /* Oracle */
    {8, {0}, ADDRESS_UNSPECIFIED},
    {8, {10}, ADDRESS_PRIVATE},
    {10, {100, 64}, ADDRESS_PRIVATE},
    {8, {127}, ADDRESS_LOOPBACK},
    {16, {169, 254}, ADDRESS_LINK_LOCAL},
    {12, {172, 16}, ADDRESS_PRIVATE},
    {24, {192, 0, 0}, ADDRESS_RESERVED},
    {24, {192, 88, 99}, ADDRESS_RESERVED}, /* 6to4 relays */
    {16, {192, 168}, ADDRESS_PRIVATE},
    {15, {198, 18}, ADDRESS_RESERVED}, /* benchmarks; our own pool */
    {4, {224}, ADDRESS_MULTICAST},
    {4, {240}, ADDRESS_RESERVED},
};

static const struct special specials6[] = {
    {128, {0xfd, 0, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}, ADDRESS_METADATA}, /* EC2 */
    {128, {0xfd, 0x20, 0, 0xce, [14] = 0x02, [15] = 0x54}, ADDRESS_METADATA}, /* GCE */
    {128, {0}, ADDRESS_UNSPECIFIED},
    {128, {[15] = 1}, ADDRESS_LOOPBACK},
    {48, {0, 0x64, 0xff, 0x9b, 0, 1}, ADDRESS_PRIVATE}, /* local NAT64 */
    {64, {0x01}, ADDRESS_RESERVED},                     /* discard */
    {32, {0x20, 0x01}, ADDRESS_RESERVED},               /* Teredo */
    {48, {0x20, 0x01, 0, 2}, ADDRESS_RESERVED},         /* benchmarks */
    {28, {0x20, 0x01, 0, 0x10}, ADDRESS_RESERVED},      /* ORCHID */
    {28, {0x20, 0x01, 0, 0x20}, ADDRESS_RESERVED},
    {16, {0x5f}, ADDRESS_RESERVED}, /* segment routing */
    {7, {0xfc}, ADDRESS_PRIVATE},
    {10, {0xfe, 0x80}, ADDRESS_LINK_LOCAL},
    {10, {0xfe, 0xc0}, ADDRESS_PRIVATE}, /* site-local */
    {8, {0xff}, ADDRESS_MULTICAST},
    {8, {0}, ADDRESS_RESERVED}, /* ::/8 but what was unwrapped before */
};

static enum address_class look_up(const uint8_t *bytes, const struct special *table,
                                  size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (has_prefix(bytes, table[i].prefix, table[i].bits))
            return (enum address_class)table[i].class;
    return ADDRESS_PUBLIC;
}

bool address_embedded(const struct address *a, struct address *ret_v4)
{
    static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b}, compatible[12] = {0};
    static const uint8_t sixtofour[2] = {0x20, 0x02};
    const uint8_t *v4 = NULL;
    if (memcmp(a->b, nat64, sizeof nat64) == 0)
        v4 = a->b + 12;
    else if (memcmp(a->b, sixtofour, sizeof sixtofour) == 0)
        v4 = a->b + 2;
    else if (memcmp(a->b, compatible, sizeof compatible) == 0 && (a->b[12] || a->b[13]))
        v4 = a->b + 12;
    if (!v4)
        return false;
    struct address to;
    memcpy(to.b, mapped, sizeof mapped);
    memcpy(to.b + sizeof mapped, v4, 4);
    *ret_v4 = to;
    return true;
}

enum address_class address_class(const struct address *a)
{
    struct address v4 = *a;
    if (address_is_v4(a) || address_embedded(a, &v4))
        return look_up(v4.b + sizeof mapped, specials4,
                       sizeof specials4 / sizeof specials4[0]);
    return look_up(a->b, specials6, sizeof specials6 / sizeof specials6[0]);
}

const char *address_class_name(enum address_class c)
{
    static const char *const names[] = {
        "a public address",     "an unspecified address",
        "a loopback address",   "a private address",
        "a link-local address", "the address of a metadata service",
        "a multicast address",  "a reserved address"};
    return names[c];
}

int address_range_parse(struct str text, struct address_range *ret_range,
                        struct err *err)
{
    struct address_range r = {0};
    ptrdiff_t slash = str_find(text, '/');
    struct str host = {text.p, slash < 0 ? text.n : (size_t)slash};
    struct str digits = slash < 0 ? (struct str){0} : str_from(text, host.n + 1);
    unsigned bits = 0, most = 128;
    bool ok = address_parse(host, &r.base) && digits.n <= 3 && (slash < 0 || digits.n);
    for (size_t i = 0; i < digits.n && ok; i++) {
        ok = digits.p[i] >= '0' && digits.p[i] <= '9';
        bits = bits * 10 + (unsigned)(digits.p[i] - '0');
    }
    /* A mapped address may be written either way; 0.0.0.0/0 is not ::/0. */
    if (ok && address_is_v4(&r.base) && str_find(host, ':') < 0)
        most = 128 - V4_BITS;
    if (!ok || bits > most)
        return err_set(err, ERR_INVALID,
                       "\"%.*s\" is not an address or a network such as 10.0.0.0/8",
                       (int)(text.n < 60 ? text.n : 60), text.n ? text.p : "");
    r.bits = (uint8_t)(slash < 0 ? 128 : bits + (128 - most));
    for (unsigned i = 0; i < 16; i++) {
        unsigned kept = r.bits > 8 * i ? r.bits - 8 * i : 0;
        if (kept < 8)
            r.base.b[i] &= (uint8_t)(0xff00u >> kept);
    }
    *ret_range = r;
    return 0;
}

void address_range_format(const struct address_range *r, char to[ADDRESS_RANGE_TEXT])
{
    char text[ADDRESS_TEXT];
    bool v4 = r->bits >= V4_BITS && address_is_v4(&r->base);
    address_format(&r->base, text);
    snprintf(to, ADDRESS_RANGE_TEXT, "%s/%d", text, v4 ? r->bits - V4_BITS : r->bits);
}

bool address_range_has(const struct address_range *r, const struct address *a)
{
    return has_prefix(a->b, r->base.b, r->bits);
}
