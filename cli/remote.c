#include "cli/remote.h"
#include "base/mem.h"
#include "cli/module.h"
#include "transport/connector.h"
#include "transport/spawn.h"
#include "transport/web/web.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOKEN_VARIABLE "SANDQUAY_TOKEN"

struct remote {
    struct remote_config config;
    struct spawn *spawn; /* one of these two */
    const struct connector *connector;
    struct connection *connection;
    struct secret *token;
};

static bool begins(const char *url, const char *scheme)
{
    return url && strncasecmp(url, scheme, strlen(scheme)) == 0;
}

static bool is_http(const char *url)
{
    return begins(url, "http://") || begins(url, "https://");
}

enum client_era remote_era(const struct options *options)
{
    return is_http(options->connect) ? CLIENT_LEGACY : CLIENT_MODERN;
}

int remote_check(const struct options *o, struct err *err)
{
    static const char *const good[] = {"--verbose", "--sandbox"};
    const char *url = o->connect;
    if (!url)
        return 0;
    if (!is_http(url) && !begins(url, "ws://") && !begins(url, "wss://")) {
        err_set(err, ERR_INVALID, "--connect %.150s: not a URL of a server", url);
        return err_remedy(err, "e.g. ws://127.0.0.1:7777/mcp, or https://host/mcp");
    }
    for (size_t i = 0; i < o->server_arg_count; i++) {
        const char *flag = o->server_args[i];
        bool known = strncmp(flag, "--", 2) != 0;
        for (size_t k = 0; k < sizeof good / sizeof good[0]; k++)
            known |= strcmp(flag, good[k]) == 0;
        if (!known)
            return err_set(err, ERR_INVALID,
                           "%s is for the server: it does not go with --connect", flag);
    }
    return 0;
}

static void on_spawn_lost(void *ctx, int exit_code, int signum)
{
    struct remote *r = ctx;
    struct err err;
    if (signum)
        err_set(&err, ERR_UNAVAILABLE, "the server was killed by signal %d", signum);
    else
        err_set(&err, ERR_UNAVAILABLE, "the server ended early (status %d)", exit_code);
    r->config.lost(r->config.ctx, &err);
}

static void on_connection_lost(void *ctx, const struct err *err)
{
    struct remote *r = ctx;
    r->config.lost(r->config.ctx, err);
}

static int start_child(struct remote *r, struct err *err)
{
    static const char name[] = "serve";
    const struct options *o = r->config.options;
    const char *argv[OPTIONS_SERVER_ARGS_MAX + 3] = {r->config.places->executable,
                                                     name};
    memcpy(argv + 2, o->server_args, o->server_arg_count * sizeof argv[0]);
    struct spawn_config config = {
        .argv = argv,
        .env = (const char *const *)environ,
        .lost = on_spawn_lost,
        .ctx = r,
    };
    return spawn_new(&r->spawn, r->config.loop, r->config.client, &config, err);
}

/* The first one of the file, or the variable's. */
static int find_token(struct remote *r, struct err *err)
{
    const struct options *o = r->config.options;
    const struct listening *given = &o->listening;
    struct listening l = {.token_file = given->token_file,
                          .token_env = given->token_env};
    const char *made;
    if (!l.token_file && !l.token_env && getenv(TOKEN_VARIABLE))
        l.token_env = TOKEN_VARIABLE;
    if (!l.token_file && !l.token_env)
        return 0;
    struct tokens *tokens = mem_new(struct tokens);
    int rc = tokens_find(tokens, &l, &made, err);
    if (rc == 0)
        r->token = secret_new(tokens->rows[0].token);
    tokens_finish(tokens);
    mem_free(tokens);
    return rc;
}

static int connect_to(struct remote *r, struct err *err)
{
    const char *url = r->config.options->connect;
    const char *name = is_http(url) ? "connect" : "web";
    const void *entries;
    if (find_token(r, err) < 0 ||
        module_open(r->config.places, name, &entries, err) < 0)
        return -1;
    r->connector = is_http(url) ? entries : ((const struct web *)entries)->connector;
    struct connector_config config = {
        .url = url, .token = r->token, .lost = on_connection_lost, .ctx = r};
    return r->connector->open(&r->connection, r->config.loop, r->config.client, &config,
                              err);
}

int remote_open(struct remote **ret_remote, const struct remote_config *config,
                struct err *err)
{
    struct remote *r = mem_new(struct remote);
    r->config = *config;
    int rc = config->options->connect ? connect_to(r, err) : start_child(r, err);
    if (rc < 0) {
        remote_close(r);
        return -1;
    }
    *ret_remote = r;
    return 0;
}

void remote_flush(struct remote *r)
{
    if (r->spawn)
        spawn_flush(r->spawn);
    else
        r->connector->flush(r->connection);
}

void remote_close(struct remote *r)
{
    if (!r)
        return;
    spawn_free(r->spawn);
    if (r->connector)
        r->connector->close(r->connection);
    secret_free(r->token);
    mem_free(r);
}
