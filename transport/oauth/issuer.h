/* An authorization server and its keys, over the network: discovered, fetched, kept,
 * fetched again. Nothing is fetched while nobody asks.
 *
 * Keys are good for KEYS_FRESH_S; then they are fetched again, and stand in meanwhile
 * for up to KEYS_STALE_S, so that a short outage of the issuer is not one of ours. */
#pragma once
#include "base/err.h"
#include "net/loop.h"
#include "transport/oauth/keys.h"

enum {
    KEYS_FRESH_S = 5 * 60,
    KEYS_STALE_S = 60 * 60,
    METADATA_FRESH_S = 60 * 60,
    FETCH_PAUSE_S = 5,    /* between two attempts, whatever the reason */
    FETCH_TIMEOUT_S = 10, /* of each request */
};

struct issuer;

/* url: its name. told(ctx): a fetch is over, with or without success. */
int issuer_new(struct issuer **ret_issuer, struct loop *loop, const char *url,
               const char *ca_file, void (*told)(void *ctx), void *ctx,
               struct err *err);
void issuer_free(struct issuer *issuer); /* accepts NULL */

/* What there is; NULL: nothing that may be used any more. Valid until the next turn of
 * the loop. */
const struct key_set *issuer_keys(const struct issuer *issuer);
/* Counts the sets so far: another number, other keys. */
uint64_t issuer_generation(const struct issuer *issuer);
/* Is it time to fetch again? */
bool issuer_is_due(const struct issuer *issuer);
/* Fetches, unless it has just done so; says whether a fetch is under way. */
bool issuer_fetch(struct issuer *issuer);
