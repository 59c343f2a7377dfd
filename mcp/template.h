/* URI templates (RFC 6570), of which resources use two forms: {name} stands for one or
 * more characters of a segment (none of / ? #), {+name} for one or more characters of
 * any kind. Matching never goes back: a variable ends at the first place where the
 * literal behind it stands. */
#pragma once
#include "base/arena.h"
#include "base/str.h"
#include <stdbool.h>

bool template_matches(struct str template, struct str uri);

/* What a variable stands for in a URI that matches, percent-decoded in *a. False: there
 * is no such variable, or no match. */
bool template_var(struct str template, struct str uri, struct str name, struct arena *a,
                  struct str *ret_value);
/* Has the template this variable? */
bool template_has(struct str template, struct str name);
