/* Which backend, and why. */
#pragma once
#include "cli/options.h"
#include "cli/places.h"

/* --backend NAME, or auto: vercel when there are credentials for it, else local.
 * Credentials that are there and not enough are an error, never a silent local. For
 * vercel its module is opened; what config->vercel and ->backend_why point to lives as
 * long as the process. */
int backend_choose(const struct options *o, const struct places *places,
                   const struct sandbox_backend **ret_backend,
                   struct sandbox_config *config, struct err *err);
