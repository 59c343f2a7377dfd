/* sandquay agent: the module "agent" with what the flags and the environment say. */
#include "agent/agent.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/agent_flags.h"
#include "cli/dotenv.h"
#include "cli/module.h"
#include "cli/remote.h"
#include "cli/verbs.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct agent_verb {
    struct options *options;
    struct places places;
    struct dotenv dotenv;
    const char *argv[OPTIONS_SERVER_ARGS_MAX + 3];
    const char **env; /* the server's */
    char directory[PATH_MAX];
    struct secret *token;
};

static int on_find(void *ctx, bool http, const struct connector **ret_connector,
                   struct err *err)
{
    struct agent_verb *v = ctx;
    return remote_find(&v->places, http, ret_connector, err);
}

static const char *on_variable(void *ctx, const char *name)
{
    struct agent_verb *v = ctx;
    return dotenv_get(&v->dotenv, name);
}

/* What is to outlive the agent is a sandbox with a name. */
static int on_argv(void *ctx, const char *kept, const char *const **ret_argv,
                   struct err *err)
{
    struct agent_verb *v = ctx;
    if (kept && !v->options->sandbox &&
        options_add_server(v->options, "--sandbox", kept, err) < 0)
        return -1;
    remote_argv(v->options, &v->places, v->argv);
    *ret_argv = v->argv;
    return 0;
}

/* The server has no business with the keys of the model. */
static void make_environment(struct agent_verb *v)
{
    size_t count = 0, n = 0;
    while (environ[count])
        count++;
    v->env = mem_zalloc((count + 1) * sizeof v->env[0]);
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], "ANTHROPIC_", 10) != 0 &&
            strncmp(environ[i], "AI_GATEWAY_", 11) != 0)
            v->env[n++] = environ[i];
}

/* Can the terminal show more than ASCII? */
static bool speaks_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value && value[0])
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}

static int prepare(struct agent_verb *v, struct agent_config *c, struct err *err)
{
    struct options *o = v->options;
    if (o->connect && c->keep)
        return err_set(err, ERR_INVALID,
                       "--keep is for the server that is started: it does not go with "
                       "--connect");
    if (remote_check(o, err) < 0 || agent_flags_check(c, err) < 0 ||
        places_find(&v->places, err) < 0)
        return -1;
    if (!getcwd(v->directory, sizeof v->directory))
        return err_sys(err, errno, "the working directory");
    dotenv_read(&v->dotenv, v->directory);
    if (o->connect && remote_token(o, &v->token, err) < 0)
        return -1;
    make_environment(v);
    c->own = (struct server_spec){
        .name = "sandquay",
        .env = v->env,
        .url = o->connect,
        .token = v->token,
        .own = !o->connect,
    };
    c->own_argv = on_argv;
    c->find = on_find;
    c->ca_file = places_ca_file();
    c->variable = on_variable;
    c->ctx = v;
    c->in_fd = 0;
    c->out_fd = 1;
    c->err_fd = 2;
    c->verbose = o->verbose;
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
    c->no_colour = (no_colour && no_colour[0]) || !term || strcmp(term, "dumb") == 0;
    c->unicode = speaks_utf8();
    c->state_dir = v->places.state;
    c->directory = v->directory;
    c->kept = o->sandbox;
    return 0;
}

int agent_main(int argc, char **argv)
{
    static struct options o; /* for the life of the process, with what it holds */
    static struct agent_verb v;
    static struct agent_config config;
    const void *entries;
    struct err err;
    struct buf task;
    v.options = &o;
    agent_flags_default(&config);
    if (options_parse_agent(&o, &config, argc, argv, &err) < 0)
        return verb_fail("agent", &err, EXIT_WRONG_USE);
    if (o.help) {
        help_verb(OPTIONS_AGENT);
        return 0;
    }
    if (o.verbose)
        log_set_level(LOG_INFO);
    if (prepare(&v, &config, &err) < 0)
        return verb_fail("agent", &err, EXIT_WRONG_USE);
    if (module_open(&v.places, "agent", &entries, &err) < 0)
        return verb_fail("agent", &err, EXIT_CANNOT);
    buf_init(&task, 4 * 1024 * 1024);
    for (int i = o.first; i < argc; i++)
        buf_addf(&task, "%s%s", i > o.first ? " " : "", argv[i]);
    config.task = o.first < argc ? buf_cstr(&task) : NULL;
    int status = ((const struct agent_entries *)entries)->run(&config);
    buf_finish(&task);
    mem_free(v.env);
    secret_free(v.token);
    dotenv_finish(&v.dotenv);
    options_finish(&o);
    return status;
}
