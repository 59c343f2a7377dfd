/* Where the model is, and with which key it is asked (claude-api 5.1, 6): out of the
 * environment, `.env` and the profiles of Anthropic's CLI. */
#pragma once
#include "agent/model/model.h"

struct credentials_offer {
    /* A variable of the environment, or of `.env` where that may give it; NULL or
     * empty: not set. */
    const char *(*variable)(void *ctx, const char *name);
    void *ctx;
    const char *base_url; /* of a flag, before ANTHROPIC_BASE_URL; or NULL */
    bool gateway;         /* Vercel's AI Gateway instead of Anthropic */
};

enum { CREDENTIALS_HEADERS_MAX = 32 };

struct credentials {
    struct secret *key; /* NULL: the server wants none */
    const char *source; /* "ANTHROPIC_API_KEY": for people */
    struct buf text;    /* of base URL and headers */
    struct str base_url;
    struct str headers[CREDENTIALS_HEADERS_MAX];
    size_t header_count;
    const char *ca_file; /* SSL_CERT_FILE or CURL_CA_BUNDLE, borrowed; or NULL */
    bool anthropic;      /* it is Anthropic that is asked, or a gateway to it */
    /* Of the offer, to renew a profile's key; else NULL. */
    const char *(*variable)(void *ctx, const char *name);
    void *variable_ctx;
};

/* NOT_FOUND: there is nothing at all; credentials_ways tells what to do. May run `ant`
 * (a profile of its is set up, and nothing else given) and wait for it. */
int credentials_find(struct credentials *ret_credentials,
                     const struct credentials_offer *offer, struct err *err);
void credentials_finish(struct credentials *c); /* accepts all-zero */
/* Puts them into config, which borrows them (and what variable() needs). */
void credentials_use(struct credentials *c, struct model_config *config);

/* The ways to a model, for people: several lines. */
extern const char credentials_ways[];
