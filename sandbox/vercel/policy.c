/* The policy that Vercel is told: what the server allows at most, narrowed by the
 * sandbox's own. There is one policy there, so the two become one; where they cannot
 * (a wildcard of one inside a wildcard of the other) the narrower reading counts. */
#include "base/mem.h"
#include "sandbox/vercel/private.h"

static bool covers(const struct network_policy *p, const char *domain)
{
    for (size_t i = 0; i < p->domain_count; i++) {
        if (strcmp(p->domains[i], domain) == 0 || strcmp(p->domains[i], "*") == 0)
            return true;
        if (!strchr(domain, '*') &&
            network_domain_matches(p->domains[i], str_of(domain)))
            return true;
    }
    return false;
}

static bool has_range(const struct network_policy *p, const struct address_range *r)
{
    for (size_t i = 0; i < p->allowed_count; i++)
        if (memcmp(&p->allowed[i], r, sizeof *r) == 0)
            return true;
    return false;
}

/* What is allowed in `own` and also in `limit`; what either denies. Both are CUSTOM. */
static void narrow(struct network_policy *own, const struct network_policy *limit)
{
    struct network_policy both = {.mode = NETWORK_CUSTOM};
    size_t denied = own->denied_count + limit->denied_count;
    both.domains = mem_zalloc((own->domain_count + limit->domain_count + 1) *
                              sizeof *both.domains);
    both.allowed = mem_zalloc((own->allowed_count + 1) * sizeof *both.allowed);
    both.denied = mem_zalloc((denied + 1) * sizeof *both.denied);
    for (size_t i = 0; i < own->domain_count; i++)
        if (covers(limit, own->domains[i]))
            both.domains[both.domain_count++] =
                mem_strndup(own->domains[i], strlen(own->domains[i]));
    for (size_t i = 0; i < limit->domain_count; i++)
        if (!covers(&both, limit->domains[i]) && covers(own, limit->domains[i]))
            both.domains[both.domain_count++] =
                mem_strndup(limit->domains[i], strlen(limit->domains[i]));
    for (size_t i = 0; i < own->allowed_count; i++)
        if (has_range(limit, &own->allowed[i]))
            both.allowed[both.allowed_count++] = own->allowed[i];
    for (size_t i = 0; i < own->denied_count; i++)
        both.denied[both.denied_count++] = own->denied[i];
    for (size_t i = 0; i < limit->denied_count; i++)
        both.denied[both.denied_count++] = limit->denied[i];
    network_policy_finish(own);
    *own = both;
}

bool policy_restricts(const struct vercel *v, const struct sandbox_spec *spec)
{
    const struct network_policy *limit = sandboxes_network(v->set);
    return limit->mode != NETWORK_ALLOW_ALL ||
           (spec->network && spec->network->mode != NETWORK_ALLOW_ALL);
}

void policy_in_force(const struct vercel *v, const struct sandbox_spec *spec,
                     struct network_policy *ret_policy)
{
    const struct network_policy *limit = sandboxes_network(v->set);
    const struct network_policy *own = spec->network;
    if (!own || limit->mode == NETWORK_DENY_ALL || own->mode == NETWORK_ALLOW_ALL) {
        network_policy_copy(ret_policy, limit);
        return;
    }
    network_policy_copy(ret_policy, own);
    if (limit->mode == NETWORK_CUSTOM && own->mode == NETWORK_CUSTOM)
        narrow(ret_policy, limit);
}
