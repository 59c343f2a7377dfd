/* One way from this process to a target: its name is looked up, its addresses are
 * checked, and a connection is made to one of those that passed, or through the host's
 * proxy. What was checked is what is connected to. */
#pragma once
#include "sandbox/egress/host_proxy.h"

struct egress_route_result {
    int fd; /* connected; -1: refused or failed */
    struct address address;
    bool has_address;             /* false through a proxy that was given the name */
    bool through_proxy;           /* of the host */
    struct str early;             /* what the far side has already said */
    enum network_verdict verdict; /* NETWORK_ALLOWED with fd -1: err */
    struct err err;
};

struct egress_route_config {
    struct loop *loop;
    const struct egress_target *target;
    const struct host_hop *hop; /* borrowed for the life of the route, or NULL */
    bool tunnel; /* with a hop: ask it for a connection; else the caller talks HTTP to
                  * it, unless it speaks SOCKS, which always makes connections */
    /* May this address of the target be connected to? */
    enum network_verdict (*check)(void *ctx, const struct address *a);
    /* Called once, never before egress_route_new() returns. Takes result->fd. */
    void (*done)(void *ctx, const struct egress_route_result *result);
    void *ctx;
};

struct egress_route;
struct egress_route *egress_route_new(const struct egress_route_config *config);
void egress_route_free(
    struct egress_route *r); /* accepts NULL; may be called in done */
