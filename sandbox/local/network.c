/* What a local sandbox has of the network: its way out (egress.c), the variables that
 * lead programs there, and the warning where one was refused. */
#include "base/log.h"
#include "sandbox/local/local.h"
#include <sys/socket.h>

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

/* At the first sandbox: it looks at files. */
static void find_host(struct local *l)
{
    const struct sandbox_config *config = &l->set->config;
    struct err err;
    if (l->host_network || !config->host_network)
        return;
    l->host_network = config->host_network();
    if (host_proxy_init(&l->host_proxy, &l->host_network->proxy, &err) < 0)
        log_error("ignoring the host's proxy: %s; %s", err.msg, err.remedy);
}

void local_network_start(struct box *box, int listener)
{
    find_host(box->local);
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

void local_network_policy(struct box *box, const struct network_policy *policy)
{
    if (box->egress)
        egress_set_policy(box->egress, policy);
}

static void tell_row(const struct egress_row *row, network_attempt_fn *fn, void *ctx)
{
    static const char *const verdicts[] = {"pending", "allowed", "refused", "failed"};
    fn(ctx, &(struct network_attempt){.number = row->number,
                                      .time_ms = (uint64_t)row->time_ms,
                                      .host = str_of(row->host),
                                      .port = row->port,
                                      .address = str_of(row->address),
                                      .way = row->way,
                                      .verdict = verdicts[row->outcome],
                                      .reason = str_of(row->reason),
                                      .sent_bytes = row->sent_bytes,
                                      .received_bytes = row->received_bytes,
                                      .open = row->open});
}

void local_network_log(void *self, struct sandbox *sb, uint64_t since,
                       network_attempt_fn *fn, void *ctx)
{
    struct box *box = sb->impl;
    (void)self;
    if (!box || !box->egress)
        return;
    struct egress_log *log = egress_log_of(box->egress);
    uint64_t first = log->last > EGRESS_LOG_ROWS ? log->last - EGRESS_LOG_ROWS : 0;
    for (uint64_t n = (since > first ? since : first) + 1; n <= log->last; n++)
        tell_row(egress_log_row(log, n), fn, ctx);
}

static bool is_socket(int fd, int type)
{
    int got = 0;
    socklen_t n = sizeof got;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &got, &n) == 0 && got == type;
}

int local_network_more(struct box *box, struct wire_message *m)
{
    struct guest_network network;
    if (m->body_bytes != sizeof network || !box->egress || box->has_network)
        return -1;
    memcpy(&network, m->body, sizeof network);
    box->has_network = true;
    for (int i = 0; i < m->fd_count; i++) {
        bool dns = i == 0 && network.has_dns;
        if (!is_socket(m->fds[i], dns ? SOCK_DGRAM : SOCK_STREAM))
            return -1;
        if (dns)
            egress_serve_dns(box->egress, m->fds[i]);
        else
            egress_serve_transparent(box->egress, m->fds[i]);
        m->fds[i] = -1;
    }
    return 0;
}

/* For programs that ask them: curl, git, pip, npm, apt, newer node. */
static const char *const variables[] = {
    "HTTP_PROXY=http://127.0.0.1:%p",
    "HTTPS_PROXY=http://127.0.0.1:%p",
    "ALL_PROXY=socks5h://127.0.0.1:%p",
    "http_proxy=http://127.0.0.1:%p",
    "https_proxy=http://127.0.0.1:%p",
    "all_proxy=socks5h://127.0.0.1:%p",
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

const char *const *local_network_settings(const struct box *box, size_t *ret_count)
{
    const struct host_network *host = box->local->host_network;
    *ret_count = host ? host->env_count : 0;
    return host ? host->env : NULL;
}
