/* What a local sandbox has of the network: its way out (egress.c), the variables that
 * lead programs there, and the warning where one was refused. */
#include "sandbox/local.h"

static void on_told(void *ctx, bool refused, const char *target, const char *reason)
{
    const struct box *box = ctx;
    for (struct command *c = box->local->set->oldest; c; c = c->next)
        if (c->sandbox == box->sandbox && c->status == COMMAND_RUNNING)
            command_warn(c,
                         refused ? "Network access to %.100s was refused: %.200s."
                                 : "Connecting to %.100s failed: %.200s.",
                         target, reason);
}

void local_network_start(struct box *box, int listener)
{
    static const struct network_policy allow_all;
    const struct sandbox_config *config = &box->local->set->config;
    const struct network_policy *own = sandbox_in_force(box->sandbox)->network;
    box->egress = egress_new(&(struct egress_config){
        .loop = box->local->set->loop,
        .limit = config->network ? config->network : &allow_all,
        .host_proxy = &box->local->host_proxy,
        .told = on_told,
        .ctx = box,
    });
    if (own)
        egress_set_policy(box->egress, own);
    egress_serve_proxy(box->egress, listener);
}

/* For programs that ask them: curl, git, pip, npm, apt, node from 20.? on. */
static const char *const variables[] = {
    "HTTP_PROXY=http://127.0.0.1:3128",
    "HTTPS_PROXY=http://127.0.0.1:3128",
    "ALL_PROXY=socks5h://127.0.0.1:3128",
    "http_proxy=http://127.0.0.1:3128",
    "https_proxy=http://127.0.0.1:3128",
    "all_proxy=socks5h://127.0.0.1:3128",
    "NO_PROXY=localhost,127.0.0.1,::1",
    "no_proxy=localhost,127.0.0.1,::1",
    "NODE_USE_ENV_PROXY=1",
};

const char *const *local_network_variables(const struct box *box, size_t *ret_count)
{
    bool off = !box->egress || egress_is_off(box->egress);
    *ret_count = off ? 0 : sizeof variables / sizeof variables[0];
    return variables;
}
