/* The flags of `serve --listen`, and the tokens that they name. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "net/listen.h"
#include "transport/web/web.h"
#include <stdbool.h>

enum {
    LISTENING_ADDRESSES_MAX = 16,
    LISTENING_NAMES_MAX = 64, /* hosts, origins */
    LISTENING_TOKENS_MAX = 1024,
    LISTENING_TOKEN_MIN = 16, /* characters of a token */
};

/* As given; a limit that is 0 is not given. */
struct listening {
    struct listen_address addresses[LISTENING_ADDRESSES_MAX];
    size_t address_count;
    const char *token_file, *token_env, *tls_cert, *tls_key;
    const char *oauth_issuer, *oauth_resource, *oauth_scope;
    struct str hosts[LISTENING_NAMES_MAX], origins[LISTENING_NAMES_MAX];
    struct str audiences[LISTENING_NAMES_MAX]; /* of OAuth tokens */
    size_t host_count, origin_count, audience_count;
    bool no_auth, trust_proxy, any; /* any: a flag of these was given */
    struct web_limits limits;
};

/* A row of the table of flags; value is its number from LISTENING_FLAG_FIRST on. */
struct listening_flag {
    const char *flag;
    const char *value; /* what it is called in the help; NULL: it takes none */
    const char *help;  /* one line */
};
enum { LISTENING_FLAG_FIRST = 1000, LISTENING_FLAGS_MAX = 32 };
const struct listening_flag *listening_flags(size_t *ret_count);
/* Takes one flag. INVALID, LIMIT. */
int listening_take(struct listening *l, int flag, const char *text, struct err *err);
/* What does not go together: --no-auth beyond loopback, half of TLS, flags without
 * --listen. */
int listening_check(const struct listening *l, struct err *err);

/* Tokens: the lines of a file, "TOKEN" or "NAME TOKEN"; # begins a comment. */
struct tokens {
    struct arena arena; /* of what the rows point to; all-zero: empty */
    struct web_token rows[LISTENING_TOKENS_MAX];
    size_t count;
};
/* Adds those of `text`. INVALID with the line's number, never with a token. */
int tokens_parse(struct tokens *tokens, struct str text, struct err *err);
/* From --token-file and --token-env; without either, and without OAuth, one that is
 * made here. *ret_made: that one, or NULL. */
int tokens_find(struct tokens *tokens, const struct listening *l, const char **ret_made,
                struct err *err);
void tokens_finish(struct tokens *tokens); /* wipes them */
