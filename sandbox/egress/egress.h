/* The way out of one sandbox. Its network namespace has nothing but `lo`; programs in
 * it connect to listeners that the guest made there and passed out, and this process,
 * which accepts on them, decides and connects in their place. */
#pragma once
#include "net/loop.h"
#include "sandbox/egress/host_proxy.h"
#include "sandbox/egress/log.h"

enum { EGRESS_TUNNELS_MAX = 256, EGRESS_LISTENERS_MAX = 4 };

struct egress_config {
    struct loop *loop;
    const struct network_policy *limit;  /* the server's: always counts; borrowed */
    const struct host_proxy *host_proxy; /* borrowed, or NULL */
    /* An attempt was refused (by a policy), or failed: the target, and why. */
    void (*told)(void *ctx, bool refused, const char *target, const char *reason);
    void *ctx;
};

struct egress;
struct egress *egress_new(const struct egress_config *config);
void egress_free(struct egress *e); /* accepts NULL; cuts what is open */

/* Each takes a socket that was made inside. A listener: a proxy for HTTP and SOCKS5. */
void egress_serve_proxy(struct egress *e, int listener);
/* A UDP socket: a resolver, whose answers stand for names (egress/resolver.h). */
void egress_serve_dns(struct egress *e, int socket);
/* A listener where connections to those addresses end, at most EGRESS_LISTENERS_MAX. */
void egress_serve_transparent(struct egress *e, int listener);

/* The sandbox's own policy beside the server's limit: both must allow. What is open and
 * no longer allowed is cut. NULL: none. */
void egress_set_policy(struct egress *e, const struct network_policy *policy);
/* Is there anything that could be allowed? */
bool egress_is_off(const struct egress *e);
struct egress_log *egress_log_of(struct egress *e); /* counts of open rows are fresh */
