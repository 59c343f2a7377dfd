/* The resolver of a sandbox: answers on a UDP socket that the guest made. A name is
 * answered only when it may be looked up and exists, with an address of the pool that
 * stands for it: real addresses stay outside, and no question leaves for a name that is
 * not allowed. */
#pragma once
#include "net/loop.h"
#include "sandbox/egress/dns.h"

struct egress_resolver_config {
    struct loop *loop;
    bool look_up; /* false: names are a proxy's business; any allowed one is answered */
    enum network_verdict (*check_name)(void *ctx, const char *name);
    enum network_verdict (*check_address)(void *ctx, const char *name,
                                          const struct address *a);
    /* A name was refused (a: its address, if that is why). */
    void (*refused)(void *ctx, const char *name, enum network_verdict v,
                    const struct address *a);
    void *ctx;
};

struct egress_resolver;
/* Takes the socket. */
struct egress_resolver *egress_resolver_new(const struct egress_resolver_config *config,
                                            int fd);
void egress_resolver_free(struct egress_resolver *r); /* accepts NULL */
/* The name that an address of the pool stands for, or NULL. */
const char *egress_resolver_name(const struct egress_resolver *r,
                                 const struct address *a);
