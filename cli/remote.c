#include "cli/remote.h"
#include "base/mem.h"
#include "cli/module.h"
#include "transport/web/web.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOKEN_VARIABLE "SANDQUAY_TOKEN"

struct remote {
    struct remote_config config;
    struct peer *peer;
    const char *argv[OPTIONS_SERVER_ARGS_MAX + 3];
    struct secret *token;
};

enum client_era remote_era(const struct options *options)
{
    return peer_era(options->connect);
}

int remote_check(const struct options *o, struct err *err)
{
    static const char *const good[] = {"--verbose", "--sandbox"};
    const char *url = o->connect;
    if (!url)
        return 0;
    if (peer_check_url(url, err) < 0)
        return err_prefix(err, "--connect");
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

static void on_lost(void *ctx, const struct err *err)
{
    struct remote *r = ctx;
    r->config.lost(r->config.ctx, err);
}

int remote_find(const struct places *places, bool http,
                const struct connector **ret_connector, struct err *err)
{
    const void *entries;
    if (module_open(places, http ? "connect" : "web", &entries, err) < 0)
        return -1;
    *ret_connector = http ? entries : ((const struct web *)entries)->connector;
    return 0;
}

static int on_find(void *ctx, bool http, const struct connector **ret_connector,
                   struct err *err)
{
    struct remote *r = ctx;
    return remote_find(r->config.places, http, ret_connector, err);
}

void remote_argv(const struct options *o, const struct places *places,
                 const char *to[OPTIONS_SERVER_ARGS_MAX + 3])
{
    static const char name[] = "serve";
    to[0] = places->executable;
    to[1] = name;
    memcpy(to + 2, o->server_args, o->server_arg_count * sizeof to[0]);
    to[2 + o->server_arg_count] = NULL;
}

/* The first one of the file, or the variable's. */
int remote_token(const struct options *o, struct secret **ret_token, struct err *err)
{
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
        *ret_token = secret_new(tokens->rows[0].token);
    tokens_finish(tokens);
    mem_free(tokens);
    return rc;
}

int remote_open(struct remote **ret_remote, const struct remote_config *config,
                struct err *err)
{
    struct remote *r = mem_new(struct remote);
    r->config = *config;
    remote_argv(config->options, config->places, r->argv);
    int rc =
        config->options->connect ? remote_token(config->options, &r->token, err) : 0;
    struct peer_config peer = {
        .argv = r->argv,
        .env = (const char *const *)environ,
        .url = config->options->connect,
        .token = r->token,
        .ca_file = places_ca_file(),
        .find = on_find,
        .loop = config->loop,
        .client = config->client,
        .lost = on_lost,
        .ctx = r,
    };
    if (rc < 0 || peer_open(&r->peer, &peer, err) < 0) {
        remote_close(r);
        return -1;
    }
    *ret_remote = r;
    return 0;
}

void remote_flush(struct remote *r)
{
    peer_flush(r->peer);
}

void remote_close(struct remote *r)
{
    if (!r)
        return;
    peer_close(r->peer);
    secret_free(r->token);
    mem_free(r);
}
