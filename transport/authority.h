/* Whose a bearer token is, where no list of this server's says so: the module "oauth"
 * (base/module.h) asks an OAuth 2.1 authorization server's keys, as the MCP
 * specification ("Authorization") wants of a resource server. A server over the network
 * (transport/web) knows no more of OAuth than this. */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include "net/loop.h"
#include <stdint.h>

/* Borrowed for the authority's life. */
struct authority_config {
    const char *issuer;   /* of the authorization server, exactly as it calls itself */
    const char *resource; /* how clients reach this server: https://host/mcp */
    const struct str *audiences; /* one of them must be in a token; none: resource */
    size_t audience_count;
    const char *scope;     /* words that a token must have, all of them; or NULL */
    const char *state_dir; /* of the numbers of subjects */
    const char *ca_file;   /* see net/http/client.h; or NULL */
    /* Numbers that are others' (of the names of tokens). */
    const uint32_t *taken;
    size_t taken_count;
};

/* Who may connect: the subject of a token. It lives as long as the authority. */
struct authority_subject {
    uint32_t number;  /* see web_owner(); of this subject for ever, and of no other */
    const char *name; /* "oauth:SUBJECT" */
    void *app;        /* the asker's own; NULL at first */
};

enum authority_says {
    AUTHORITY_KNOWN,
    AUTHORITY_PENDING,     /* keys are being fetched: the answer comes later */
    AUTHORITY_INVALID,     /* the token: 401 invalid_token */
    AUTHORITY_SCOPE,       /* it allows too little: 403 insufficient_scope */
    AUTHORITY_UNAVAILABLE, /* nobody can tell now: 503 */
    AUTHORITY_FULL,        /* no further subject is taken: 503 */
};

struct authority_answer {
    enum authority_says says;
    struct authority_subject *subject; /* KNOWN */
    uint64_t expires_s; /* KNOWN: since 1970, with the leeway; then it is nobody's */
    const char *why;    /* otherwise: static, and plain ASCII without quotes */
};

/* What a challenge and the metadata of RFC 9728 say. */
struct authority_about {
    const char *metadata_url; /* of the metadata document */
    struct str metadata_path; /* its path */
    struct str metadata;      /* the document (JSON) */
    const char *scope;        /* or NULL */
};

struct authority;
struct authority_wait;
typedef void authority_fn(void *ctx, const struct authority_answer *answer);

/* The module's table. */
struct authority_entries {
    /* Begins to fetch the issuer's keys. INVALID for a URL, IO for the state. */
    int (*authority_new)(struct authority **ret_authority, struct loop *loop,
                         const struct authority_config *config, struct err *err);
    /* Who waits is forgotten, without an answer. Accepts NULL. */
    void (*authority_free)(struct authority *authority);
    const struct authority_about *(*about)(const struct authority *authority);
    /* Whose token it is. PENDING: *ret_wait, and fn is called once, later, never with
     * PENDING; fn NULL: no waiting, UNAVAILABLE instead. */
    void (*check)(struct authority *authority, struct str token,
                  struct authority_answer *ret_answer, struct authority_wait **ret_wait,
                  authority_fn *fn, void *ctx);
    void (*cancel)(struct authority_wait *wait); /* accepts NULL */
    /* Why no token could be checked now; NULL: it could. Keys are fetched if it is time
     * for that. */
    const char *(*unready)(struct authority *authority);
};
