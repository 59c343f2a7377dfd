/* The proxy that the host itself must use to get out, as its settings say: the ways out
 * of sandboxes go through it as well. HTTP proxies and SOCKS5 are spoken to, both in
 * the clear. */
#pragma once
#include "sandbox/egress/ask.h"

/* Settings as they are written: URLs or NULL. May hold passwords: not to be logged. */
struct host_proxy_config {
    const char *http;  /* for http:// URLs */
    const char *https; /* for everything else */
    const char *apt; /* for http:// URLs that apt asks for, where the others are NULL */
    const char *no_proxy; /* comma-separated names, suffixes, addresses, networks */
};

/* How the host reaches the network, and what programs inside are told of it. */
struct host_network {
    struct host_proxy_config proxy;
    const char *const *env; /* K=V: where certificates and packages come from */
    size_t env_count;
};

struct host_hop {
    struct egress_target target;
    bool socks;
    char *authorization;   /* a header line with CRLF, or NULL */
    char *user, *password; /* of SOCKS, or NULL; 1 to 255 bytes each */
};

struct host_proxy {
    struct host_hop http, https, apt; /* port 0: none */
    const char *no_proxy;
};

/* INVALID: a URL that is none; UNAVAILABLE: a kind of proxy that is not spoken. */
int host_proxy_init(struct host_proxy *p, const struct host_proxy_config *config,
                    struct err *err);
void host_proxy_finish(struct host_proxy *p); /* accepts all-zero */
/* The proxy for what is asked, NULL: connect directly. */
const struct host_hop *host_proxy_for(const struct host_proxy *p,
                                      const struct egress_ask *ask);
