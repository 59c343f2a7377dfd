/* Looking a host name up without blocking the loop: getaddrinfo() in a short-lived
 * thread of its own (libuv's pool would hold the process's end up until a slow resolver
 * answers). The host's configuration counts: /etc/hosts, resolv.conf, nsswitch. */
#pragma once
#include "net/address.h"
#include "net/loop.h"

enum { LOOKUP_ADDRESSES_MAX = 16 };

struct lookup;
/* fn is called once, unless lookup_free() comes first; count 0: err says why
 * (NOT_FOUND: there is no such name; UNAVAILABLE: the resolver did not answer). TCP
 * order: the system's, duplicates dropped. NULL: no thread could be made. */
typedef void lookup_fn(void *ctx, const struct address *list, size_t count,
                       const struct err *err);
struct lookup *lookup_new(struct loop *loop, const char *host, lookup_fn *fn,
                          void *ctx);
void lookup_free(struct lookup *l); /* accepts NULL; may be called inside fn */
