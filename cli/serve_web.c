#include "cli/serve_web.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/listening.h"
#include "cli/module.h"
#include "cli/oauth.h"
#include <stdio.h>
#include <string.h>

enum { PROXY_PING_S = 30 };

struct serve_web {
    struct serve_web_config config;
    const struct web *module;
    struct web_server *server;
    struct oauth oauth;
};

static void on_owner_gone(void *ctx, uint64_t owner)
{
    struct serve_web *w = ctx;
    sandboxes_drop_owner(w->config.tools->sandboxes, owner);
}

static void write_gauge(struct buf *to, const char *name, const char *help,
                        size_t value)
{
    buf_addf(to, "# HELP sandquay_%s %s\n# TYPE sandquay_%s gauge\nsandquay_%s %zu\n",
             name, help, name, name, value);
}

static void write_call(void *ctx, const char *backend, const char *call,
                       const char *outcome, uint64_t times)
{
    buf_addf(ctx,
             "sandquay_backend_calls_total{backend=\"%s\",call=\"%s\",outcome=\"%s\"} "
             "%llu\n",
             backend, call, outcome, (unsigned long long)times);
}

static void write_metrics(void *ctx, struct buf *to)
{
    struct serve_web *w = ctx;
    size_t sandboxes, running;
    sandboxes_count(w->config.tools->sandboxes, &sandboxes, &running);
    write_gauge(to, "sandboxes", "Sandboxes that live here.", sandboxes);
    write_gauge(to, "commands_running", "Commands that run in them.", running);
    buf_addz(to, "# HELP sandquay_backend_calls_total What was asked of the backend: "
                 "requests to Vercel, messages to local sandboxes.\n"
                 "# TYPE sandquay_backend_calls_total counter\n");
    sandboxes_each_call(w->config.tools->sandboxes, write_call, to);
}

static void on_stopped(void *ctx)
{
    struct serve_web *w = ctx;
    w->config.stopped(w->config.ctx);
}

/* What was given; the rest as it was. */
static void merge_limits(struct web_limits *to, const struct listening *l)
{
    const struct web_limits *given = &l->limits;
    const struct {
        uint32_t *to;
        uint32_t given;
    } rows[] = {
        {&to->connections, given->connections},
        {&to->principal_connections, given->principal_connections},
        {&to->principal_requests, given->principal_requests},
        {&to->sessions, given->sessions},
        {&to->principal_sessions, given->principal_sessions},
        {&to->session_idle_s, given->session_idle_s},
        {&to->head_s, given->head_s},
        {&to->body_s, given->body_s},
        {&to->idle_s, given->idle_s},
        {&to->write_s, given->write_s},
        {&to->shutdown_s, given->shutdown_s},
        {&to->ping_s, given->ping_s    ? given->ping_s
                      : l->trust_proxy ? PROXY_PING_S
                                       : 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].given)
            *rows[i].to = rows[i].given;
    if (given->body_bytes)
        to->body_bytes = given->body_bytes;
    if (given->principal_body_bytes)
        to->principal_body_bytes = given->principal_body_bytes;
}

static const char shared_warning[] = "no token is asked for: every user of this "
                                     "machine can run code here, and all share "
                                     "the same sandboxes";

static void log_where(const struct serve_web *w, const struct listening *l)
{
    for (size_t i = 0; i < l->address_count; i++) {
        const char *address = w->module->server_address(w->server, i);
        const struct log_field field = {"address", str_of(address), 0};
        log_event(LOG_INFO, "listening", &field, 1);
    }
    if (l->no_auth)
        log_warn("%s", shared_warning);
}

static void say_where(const struct serve_web *w, const struct listening *l,
                      const char *made_token)
{
    const char *s = l->tls_cert ? "s" : "";
    if (made_token)
        fprintf(stderr,
                "sandquay: the token of this run (see --token-file for your own): %s\n",
                made_token);
    for (size_t i = 0; i < l->address_count; i++) {
        const char *address = w->module->server_address(w->server, i);
        if (l->addresses[i].is_unix)
            fprintf(stderr, "sandquay: listening on %s\n", address);
        else
            fprintf(stderr,
                    "sandquay: listening on http%s://%s/mcp and ws%s://%s/mcp\n", s,
                    address, s, address);
    }
    if (l->no_auth)
        fprintf(stderr, "sandquay: %s\n", shared_warning);
}

/* A log that machines read is kept: no secret may go there. */
static int check_token(const struct options *o, const char *made_token, struct err *err)
{
    if (!o->log_json || !made_token)
        return 0;
    err_set(err, ERR_INVALID, "with --log-format json a token cannot be shown");
    return err_remedy(err, "give one: --token-file or --token-env");
}

static int start(struct serve_web *w, const struct listening *l,
                 const struct tokens *tokens, struct err *err)
{
    const void *entries;
    struct loop *loop = w->config.tools->loop;
    if (module_open(w->config.places, "web", &entries, err) < 0 ||
        oauth_new(&w->oauth, loop, w->config.places, l, tokens, err) < 0)
        return -1;
    w->module = entries;
    struct web_config config = {
        .mcp = w->config.mcp,
        .tools = w->config.table,
        .tool_count = w->config.tool_count,
        .addresses = l->addresses,
        .address_count = l->address_count,
        .tokens = tokens->rows,
        .token_count = tokens->count,
        .oauth = w->oauth.entries,
        .authority = w->oauth.authority,
        .hosts = l->hosts,
        .host_count = l->host_count,
        .origins = l->origins,
        .origin_count = l->origin_count,
        .tls_cert = l->tls_cert,
        .tls_key = l->tls_key,
        .trust_proxy = l->trust_proxy,
        .owner_gone = on_owner_gone,
        .write_metrics = write_metrics,
        .stopped = on_stopped,
        .ctx = w,
    };
    w->module->limits_default(&config.limits);
    merge_limits(&config.limits, l);
    return w->module->server_new(&w->server, loop, &config, err);
}

int serve_web_new(struct serve_web **ret_web, const struct serve_web_config *config,
                  struct err *err)
{
    const struct listening *l = &config->options->listening;
    struct tokens *tokens = mem_new(struct tokens);
    struct serve_web *w = mem_new(struct serve_web);
    const char *made_token = NULL;
    w->config = *config;
    int rc = tokens_find(tokens, l, &made_token, err);
    if (rc == 0)
        rc = check_token(config->options, made_token, err);
    if (rc == 0)
        rc = start(w, l, tokens, err);
    if (rc == 0 && config->options->log_json)
        log_where(w, l);
    else if (rc == 0)
        say_where(w, l, made_token);
    tokens_finish(tokens); /* the server keeps digests */
    mem_free(tokens);
    if (rc < 0) {
        serve_web_free(w);
        return -1;
    }
    *ret_web = w;
    return 0;
}

void serve_web_free(struct serve_web *w)
{
    if (!w)
        return;
    if (w->module)
        w->module->server_free(w->server);
    oauth_finish(&w->oauth);
    mem_free(w);
}
