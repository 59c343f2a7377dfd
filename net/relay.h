/* Bytes between two connected stream sockets, both ways, until both have ended. Reading
 * stops while the other side does not take what was read: a relay holds at most
 * RELAY_BYTES for each direction, and nothing while both keep up. The end of one
 * direction is passed on (shutdown), the other one goes on. */
#pragma once
#include "base/str.h"
#include "net/loop.h"

enum { RELAY_BYTES = 256 * 1024 };

struct relay;
/* Takes both sockets (non-blocking). done is called once, when there is nothing more to
 * do, with both sockets still open: relay_free() then closes them, and may be called
 * inside done. */
struct relay *relay_new(struct loop *loop, int near, int far, void (*done)(void *ctx),
                        void *ctx);
/* Bytes that go first to one of the sides, at most RELAY_BYTES: right after relay_new()
 * or in the middle of things before it. */
void relay_to_far(struct relay *r, struct str bytes);
void relay_to_near(struct relay *r, struct str bytes);
/* Of what the near side still sends only the next `bytes` are wanted; the rest is left
 * unread. */
void relay_limit(struct relay *r, uint64_t bytes);
void relay_start(struct relay *r);
void relay_counts(const struct relay *r, uint64_t *ret_to_far, uint64_t *ret_to_near);
void relay_free(struct relay *r); /* accepts NULL */
