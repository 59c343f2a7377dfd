/* OAuth for `serve --listen`: from its flags to the module (transport/authority.h). */
#pragma once
#include "cli/listening.h"
#include "cli/places.h"
#include "transport/authority.h"

struct oauth {
    const struct authority_entries *entries; /* NULL: not wanted */
    struct authority *authority;
    char resource[256]; /* where none was given */
};

/* Nothing, without --oauth-issuer. l is borrowed for the life of *ret_oauth. INVALID
 * for the flags; UNAVAILABLE without the module. */
int oauth_new(struct oauth *ret_oauth, struct loop *loop, const struct places *places,
              const struct listening *l, const struct tokens *tokens, struct err *err);
void oauth_finish(struct oauth *oauth); /* accepts all-zero */
