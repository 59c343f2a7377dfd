/* A TCP connection to the first of several addresses that answers: tried in their
 * order, families alternating, the next one 250 ms later or when the one before failed
 * (RFC 8305). Connects to exactly these addresses: nothing is looked up here. */
#pragma once
#include "net/address.h"
#include "net/loop.h"

enum { DIAL_ADDRESSES_MAX = 16 };

struct dial;
/* fd: a connected, non-blocking socket, which fn takes; -1: err (IO with errno,
 * TIMEOUT). Called once, never before dial_new() returns, unless dial_free() comes
 * first. */
typedef void dial_fn(void *ctx, int fd, const struct address *to,
                     const struct err *err);
struct dial *dial_new(struct loop *loop, const struct address *list, size_t count,
                      uint16_t port, uint64_t limit_ms, dial_fn *fn, void *ctx);
void dial_free(struct dial *d); /* accepts NULL; may be called inside fn */
