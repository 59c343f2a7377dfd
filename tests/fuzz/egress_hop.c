/* What the host's proxy says, as one that speaks HTTP and as one that speaks SOCKS5: in
 * one piece and byte by byte it comes to the same. */
#include "sandbox/egress/hop.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static enum egress_hop_state feed(const struct host_hop *hop, struct str in,
                                  size_t part)
{
    static const struct egress_target target = {.host = "example.com", .port = 443};
    enum egress_hop_state state = EGRESS_HOP_MORE;
    struct egress_hop h;
    struct err err = {0};
    struct buf out;
    buf_init(&out, 1 << 16);
    egress_hop_init(&h, hop, &target, &out);
    for (size_t at = 0; at < in.n && state == EGRESS_HOP_MORE && !h.in.overflow;) {
        size_t n = in.n - at < part ? in.n - at : part;
        buf_add(&h.in, in.p + at, n);
        at += n;
        state = egress_hop_step(&h, &out, &err);
    }
    require(!out.overflow && (state != EGRESS_HOP_FAILED || err.msg[0]));
    if (state == EGRESS_HOP_CONNECTED)
        require(h.early.p + h.early.n == h.in.p + h.in.n);
    egress_hop_finish(&h);
    buf_finish(&out);
    return state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char user[] = "user", password[] = "password";
    const struct host_hop hops[] = {{.socks = true},
                                    {.socks = true, .user = user, .password = password},
                                    {.socks = false}};
    struct str in = {(const char *)data, size < 4096 ? size : 4096};
    for (size_t i = 0; i < sizeof hops / sizeof hops[0]; i++)
        if (hops[i].socks)
            require(feed(&hops[i], in, 1) == feed(&hops[i], in, in.n + 1));
        else
            feed(&hops[i], in, in.n + 1);
    return 0;
}
