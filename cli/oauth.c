#include "cli/oauth.h"
#include "base/mem.h"
#include "cli/module.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

/* Clients on this machine reach the first address as it is; for others the operator
 * knows the URL, and a Host header must not decide it. */
static int default_resource(const struct listening *l, char to[256], struct err *err)
{
    const struct listen_address *a = &l->addresses[0];
    const char *scheme = l->tls_cert ? "https" : "http";
    char text[INET6_ADDRSTRLEN] = "";
    unsigned port = 0;
    if (a->addr.ss_family == AF_INET && a->local) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&a->addr;
        inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
        port = ntohs(in->sin_port);
        snprintf(to, 256, "%s://%s:%u/mcp", scheme, text, port);
    } else if (a->addr.ss_family == AF_INET6 && a->local) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&a->addr;
        inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof text);
        port = ntohs(in->sin6_port);
        snprintf(to, 256, "%s://[%s]:%u/mcp", scheme, text, port);
    }
    if (port)
        return 0;
    err_set(err, ERR_INVALID, "--oauth-issuer needs the URL of this server");
    return err_remedy(err,
                      "add --oauth-resource https://host/mcp, as clients reach it");
}

int oauth_new(struct oauth *ret_oauth, struct loop *loop, const struct places *places,
              const struct listening *l, const struct tokens *tokens, struct err *err)
{
    struct oauth oauth = {0};
    const void *entries;
    if (!l->oauth_issuer)
        return 0;
    if ((!l->oauth_resource && default_resource(l, ret_oauth->resource, err) < 0) ||
        module_open(places, "oauth", &entries, err) < 0)
        return -1;
    oauth.entries = entries;
    uint32_t *taken = mem_zalloc((tokens->count + 1) * sizeof taken[0]);
    for (size_t i = 0; i < tokens->count; i++)
        taken[i] = tokens->rows[i].number;
    struct authority_config config = {
        .issuer = l->oauth_issuer,
        .resource = l->oauth_resource ? l->oauth_resource : ret_oauth->resource,
        .audiences = l->audiences,
        .audience_count = l->audience_count,
        .scope = l->oauth_scope,
        .state_dir = places->state,
        .ca_file = places_ca_file(),
        .taken = taken,
        .taken_count = tokens->count,
    };
    int rc = oauth.entries->authority_new(&oauth.authority, loop, &config, err);
    mem_free(taken);
    if (rc < 0)
        return -1;
    ret_oauth->entries = oauth.entries;
    ret_oauth->authority = oauth.authority;
    return 0;
}

void oauth_finish(struct oauth *oauth)
{
    if (oauth->entries)
        oauth->entries->authority_free(oauth->authority);
    oauth->entries = NULL;
}
