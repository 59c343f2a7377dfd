/* https://sb-....vercel.run, the hosts that the SDK's domain() names: TLS connections
 * to them are passed on to the port of the sandbox that each stands for. */
#pragma once
#include "vercel_api/private.h"

bool domain_is(void *ctx, struct str host);
void domain_visit(void *ctx, struct str host, int fd, void *tls_ctx);
void domains_free(struct vercel_api *api);
