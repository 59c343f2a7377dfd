/* Tries to get out of a throw-away sandbox that is made as the configured ones are, but
 * with small limits: one row a protection. */
#pragma once
#include "cli/report.h"
#include "sandbox/sandbox.h"

/* guest: the path of the guest program, which does the trying inside. False when a
 * protection that this level promises does not hold. */
bool prove_protections(struct report *r, const struct sandbox_backend *backend,
                       const struct sandbox_config *config, const char *guest);
