/* Asking the host's proxy for a connection to a target: HTTP CONNECT (RFC 9110, 9.3.6)
 * or SOCKS5 (RFC 1928, RFC 1929). Bytes in, bytes out. */
#pragma once
#include "sandbox/egress/host_proxy.h"

struct egress_hop {
    const struct host_hop *hop;
    const struct egress_target *target;
    struct buf in;    /* what the proxy has said */
    struct str early; /* when it is connected: what the far side has said already */
    unsigned step;    /* of SOCKS5 */
    size_t taken;     /* of `in`, by earlier steps */
};

enum egress_hop_state { EGRESS_HOP_FAILED = -1, EGRESS_HOP_MORE, EGRESS_HOP_CONNECTED };

/* Both are borrowed. What is to be sent first is added to `out`. */
void egress_hop_init(struct egress_hop *h, const struct host_hop *hop,
                     const struct egress_target *target, struct buf *out);
void egress_hop_finish(struct egress_hop *h); /* accepts all-zero */
/* After bytes were added to h->in: what comes of them. More to be sent is added to
 * `out`. EGRESS_HOP_FAILED: UNAVAILABLE. */
enum egress_hop_state egress_hop_step(struct egress_hop *h, struct buf *out,
                                      struct err *err);
