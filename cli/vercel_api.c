/* sandquay vercel-api: the module "vercel-api" with what the flags say. */
#include "vercel_api/vercel_api.h"
#include "base/dirs.h"
#include "base/log.h"
#include "cli/module.h"
#include "cli/verbs.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOSTS_MAX = LISTENING_NAMES_MAX + 2 };

struct serving {
    struct loop *loop;
    struct sandboxes *sandboxes;
    const struct vercel_api_entries *module;
    struct vercel_api *api;
    char state[PATH_MAX];
    struct str hosts[HOSTS_MAX];
};

static void on_stopped(void *ctx)
{
    struct serving *s = ctx;
    loop_stop(s->loop);
}

/* It leaves the environment, which children inherit. */
static int find_token(const struct options *o, struct str *ret_token, struct err *err)
{
    const char *variable = o->listening.token_env;
    const char *value = variable ? getenv(variable) : o->token;
    if (variable && o->token)
        return err_set(err, ERR_INVALID, "--token and --token-env exclude each other");
    if ((variable && (!value || !value[0])) || (value && !value[0]))
        return err_set(err, ERR_INVALID, "the token is empty");
    static char copy[4096];
    if (value && strlen(value) >= sizeof copy)
        return err_set(err, ERR_INVALID, "the token is too long");
    snprintf(copy, sizeof copy, "%s", value ? value : "");
    *ret_token = str_of(copy);
    if (variable)
        unsetenv(variable);
    return 0;
}

/* Without a token everybody who can connect can run code here. */
static int check_addresses(const struct options *o, struct str token, struct err *err)
{
    const struct listening *l = &o->listening;
    if (l->address_count == 0) {
        err_set(err, ERR_INVALID, "--listen is required");
        return err_remedy(err, "for example --listen 127.0.0.1:7777");
    }
    for (size_t i = 0; i < l->address_count && token.n == 0; i++)
        if (!l->addresses[i].local) {
            err_set(err, ERR_DENIED,
                    "without a token everybody on the network could run code here");
            return err_remedy(err,
                              "give one (--token-env VAR), or listen on 127.0.0.1");
        }
    return 0;
}

static int make_state_dir(struct serving *s, const struct options *o,
                          const struct places *places, struct err *err)
{
    int n = o->state_dir
                ? snprintf(s->state, sizeof s->state, "%s", o->state_dir)
                : snprintf(s->state, sizeof s->state, "%s/vercel-api", places->state);
    if (n < 0 || (size_t)n >= sizeof s->state)
        return err_set(err, ERR_INVALID, "the state directory's path is too long");
    return dirs_make(s->state, err);
}

static int start(struct serving *s, const struct options *o,
                 const struct places *places, struct str token, struct err *err)
{
    const struct sandbox_backend *backend;
    struct sandbox_config config;
    const void *entries;
    const struct listening *l = &o->listening;
    if (serve_sandbox_config(o, places, &backend, &config, err) < 0 ||
        make_state_dir(s, o, places, err) < 0 ||
        module_open(places, "vercel-api", &entries, err) < 0 ||
        loop_new(&s->loop, err) < 0)
        return -1;
    config.state_dir = s->state;
    if (sandboxes_new(&s->sandboxes, s->loop, backend, &config, err) < 0)
        return -1;
    memcpy(s->hosts, l->hosts, l->host_count * sizeof s->hosts[0]);
    s->hosts[l->host_count] = STR("vercel.com");
    s->hosts[l->host_count + 1] = STR("api.vercel.com");
    struct vercel_api_config serve = {
        .sandboxes = s->sandboxes,
        .state_dir = s->state,
        .addresses = l->addresses,
        .address_count = l->address_count,
        .token = token,
        .hosts = s->hosts,
        .host_count = l->host_count + 2,
        .tls_cert = l->tls_cert,
        .tls_key = l->tls_key,
        .stopped = on_stopped,
        .ctx = s,
    };
    s->module = entries;
    return s->module->server_new(&s->api, s->loop, &serve, err);
}

static void say_where(const struct serving *s, const struct listening *l, bool token)
{
    for (size_t i = 0; i < l->address_count; i++)
        fprintf(stderr, "sandquay: Vercel's API is at %s%s/api\n",
                l->addresses[i].is_unix ? ""
                : l->tls_cert           ? "https://"
                                        : "http://",
                s->module->server_address(s->api, i));
    if (!token)
        fprintf(stderr, "sandquay: any token is good: every user of this machine can "
                        "run code here\n");
}

int vercel_api_main(int argc, char **argv)
{
    static struct options o; /* for the life of the process, with what it holds */
    static struct serving s;
    struct places places;
    struct str token = {0};
    struct err err;
    if (options_parse(&o, OPTIONS_VERCEL_API, argc, argv, &err) < 0)
        return verb_fail("vercel-api", &err, EXIT_WRONG_USE);
    if (o.help) {
        help_verb(OPTIONS_VERCEL_API);
        return 0;
    }
    if (o.first < argc) {
        err_set(&err, ERR_INVALID, "unknown argument %s", argv[o.first]);
        err_remedy(&err, "see sandquay vercel-api --help");
        return verb_fail("vercel-api", &err, EXIT_WRONG_USE);
    }
    if (o.verbose)
        log_set_level(LOG_INFO);
    int rc = find_token(&o, &token, &err);
    if (rc == 0)
        rc = check_addresses(&o, token, &err);
    if (rc == 0)
        rc = places_find(&places, &err);
    if (rc == 0)
        rc = start(&s, &o, &places, token, &err);
    if (rc == 0) {
        say_where(&s, &o.listening, token.n > 0);
        loop_run(s.loop);
    }
    if (s.module)
        s.module->server_free(s.api);
    sandboxes_free(s.sandboxes);
    if (s.loop)
        loop_free(s.loop);
    options_finish(&o);
    return rc == 0 ? 0 : verb_fail("vercel-api", &err, EXIT_WRONG_USE);
}
