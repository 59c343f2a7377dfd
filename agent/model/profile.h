/* Profiles of Anthropic's CLI, `ant` (claude-api 5.1): it keeps and refreshes the
 * tokens, and is asked for one. */
#pragma once
#include "base/err.h"
#include "base/secret.h"
#include <stdbool.h>

struct profile {
    struct secret *token;
    bool is_oauth;       /* of a person's login: the API wants a beta for it */
    char base_url[256];  /* ""; the profile has none */
    char workspace[128]; /* "" */
};

/* 1: found. 0: no profile is set up (ANTHROPIC_PROFILE and ANTHROPIC_FEDERATION_RULE_ID
 * are not set, and there is no active one), or ant is not installed. -1: one is, and it
 * cannot be used. Runs ant, at most for 30 s. */
int profile_read(struct profile *ret_profile,
                 const char *(*variable)(void *ctx, const char *name), void *ctx,
                 struct err *err);
void profile_finish(struct profile *p); /* accepts all-zero */
