#include "transport/peer.h"
#include "base/mem.h"
#include <string.h>
#include <strings.h>

struct peer {
    struct peer_config config;
    struct spawn *spawn; /* one of these two */
    const struct connector *connector;
    struct connection *connection;
};

static bool begins(const char *url, const char *scheme)
{
    return url && strncasecmp(url, scheme, strlen(scheme)) == 0;
}

bool peer_is_http(const char *url)
{
    return begins(url, "http://") || begins(url, "https://");
}

int peer_check_url(const char *url, struct err *err)
{
    if (peer_is_http(url) || begins(url, "ws://") || begins(url, "wss://"))
        return 0;
    err_set(err, ERR_INVALID, "%.150s: not a URL of a server", url);
    return err_remedy(err, "e.g. ws://127.0.0.1:7777/mcp, or https://host/mcp");
}

enum client_era peer_era(const char *url)
{
    return peer_is_http(url) ? CLIENT_LEGACY : CLIENT_MODERN;
}

static void on_spawn_lost(void *ctx, int exit_code, int signum)
{
    struct peer *p = ctx;
    struct err err;
    if (signum)
        err_set(&err, ERR_UNAVAILABLE, "the server was killed by signal %d", signum);
    else
        err_set(&err, ERR_UNAVAILABLE, "the server ended early (status %d)", exit_code);
    p->config.lost(p->config.ctx, &err);
}

static void on_connection_lost(void *ctx, const struct err *err)
{
    struct peer *p = ctx;
    p->config.lost(p->config.ctx, err);
}

static int start_child(struct peer *p, struct err *err)
{
    struct spawn_config config = {
        .argv = p->config.argv,
        .env = p->config.env,
        .stderr_fd = p->config.stderr_fd,
        .lost = on_spawn_lost,
        .ctx = p,
    };
    return spawn_new(&p->spawn, p->config.loop, p->config.client, &config, err);
}

static int connect_to(struct peer *p, struct err *err)
{
    const struct peer_config *c = &p->config;
    const struct connector *connector;
    if (c->find(c->ctx, peer_is_http(c->url), &connector, err) < 0)
        return -1;
    struct connector_config config = {
        .url = c->url,
        .token = c->token,
        .ca_file = c->ca_file,
        .headers = c->headers,
        .header_count = c->header_count,
        .lost = on_connection_lost,
        .ctx = p,
    };
    if (connector->open(&p->connection, c->loop, c->client, &config, err) < 0)
        return -1;
    p->connector = connector;
    return 0;
}

int peer_open(struct peer **ret_peer, const struct peer_config *config, struct err *err)
{
    struct peer *p = mem_new(struct peer);
    p->config = *config;
    if ((config->url ? connect_to(p, err) : start_child(p, err)) < 0) {
        mem_free(p);
        return -1;
    }
    *ret_peer = p;
    return 0;
}

void peer_flush(struct peer *p)
{
    if (p->spawn)
        spawn_flush(p->spawn);
    else
        p->connector->flush(p->connection);
}

void peer_end(struct peer *p)
{
    if (p->spawn)
        spawn_end(p->spawn);
}

void peer_close(struct peer *p)
{
    if (!p)
        return;
    spawn_free(p->spawn);
    if (p->connector)
        p->connector->close(p->connection);
    mem_free(p);
}
