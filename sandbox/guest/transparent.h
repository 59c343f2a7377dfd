/* For programs that know nothing of proxies: a resolver at 127.0.0.1:53 whose answers
 * are addresses out of a pool (198.18.0.0/15), and listeners where connections to the
 * pool end. The server answers and accepts; what name an address stands for only it
 * knows. */
#pragma once
#include "sandbox/guest/protocol.h"

struct guest;

/* -1 each where the kernel cannot do it. */
struct transparent {
    int dns;                             /* UDP */
    int listener[GUEST_TRANSPARENT_MAX]; /* TCP */
    int count;
};

/* Needs CAP_NET_ADMIN and CAP_NET_BIND_SERVICE over the network namespace. With nft,
 * one listener gets the connections to every port of the pool; else one a usual port.
 */
void transparent_set_up(struct transparent *t);
/* Tells the server (GUEST_NETWORK) and closes our copies. */
void transparent_hand_over(struct transparent *t, struct guest *g);
