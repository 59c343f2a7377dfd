#include "agent/agent.h"
#include "agent/input.h"
#include "agent/instructions.h"
#include "agent/mcp_config.h"
#include "agent/model/credentials.h"
#include "agent/model/models.h"
#include "agent/prompt.h"
#include "agent/task.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/module.h"
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    SYSTEM_MAX = 4 * 1024 * 1024,
    TOOLS_MAX = 24 * 1024 * 1024,
    SCHEMA_MAX = 1024 * 1024,
    SIGNALS = 3,
    TWICE_MS = 2000, /* between two Ctrl-C that mean the end */
};

struct agent {
    const struct agent_config *config;
    struct loop *loop;
    struct loop_signal *signals[SIGNALS];
    struct loop_later *quit_later;
    struct view *view;

    struct mcp_config file;
    struct server_spec specs[SERVERS_MAX];
    size_t spec_count;
    struct servers *servers;
    struct catalog catalog;
    struct approval *approval;

    struct credentials credentials;
    struct model_config model_config;
    struct model *model;
    char model_name[MODELS_ID_MAX];
    struct buf system, tools, schema;

    struct conversation conversation;
    struct journal *journal;
    struct journal_head recalled; /* of the session that is gone on with */
    bool resumed, told;
    char id[JOURNAL_ID_MAX];
    char kept[64]; /* the name of what outlives this; empty: nothing does */

    struct buf input;      /* the user's message */
    struct prompt *prompt; /* of a conversation; NULL: there is one task */
    uint64_t interrupted_ms;
    struct task *task;
    struct usage usage; /* of all tasks */
    double dollars;

    int terminal_fd;  /* where questions are answered, if not on stdin */
    bool ready, over; /* what is waited for: the servers, the task */
    int signum;       /* it must end because of this one; 0: it need not */
};

static void wait_until(struct agent *a, const bool *what)
{
    while (!*what && !a->signum)
        loop_run(a->loop);
}

static void on_ready(void *ctx)
{
    struct agent *a = ctx;
    a->ready = true;
    loop_stop(a->loop);
}

static void on_task_ended(void *ctx)
{
    struct agent *a = ctx;
    a->over = true;
    loop_stop(a->loop);
}

static void cancel_task(struct agent *a)
{
    if (!a->task || a->over)
        return;
    task_cancel(a->task);
    a->over = true;
}

/* Ctrl-C stops the task, or what is being typed; twice, or where there is neither, it
 * is the end. */
static void on_interrupt(void *ctx, int signum)
{
    struct agent *a = ctx;
    uint64_t now = loop_now_ms(a->loop);
    bool twice = a->interrupted_ms && now - a->interrupted_ms <= TWICE_MS;
    bool working = a->task && !a->over;
    a->interrupted_ms = now;
    cancel_task(a);
    if (twice || (!working && !a->prompt))
        a->signum = signum;
    if (a->prompt)
        prompt_interrupt(a->prompt);
    loop_stop(a->loop);
}

static void on_end_signal(void *ctx, int signum)
{
    struct agent *a = ctx;
    a->signum = signum;
    cancel_task(a);
    if (a->prompt)
        prompt_interrupt(a->prompt);
    loop_stop(a->loop);
}

static void on_gone(void *ctx)
{
    struct agent *a = ctx;
    if (a->quit_later)
        loop_later_ask(a->quit_later); /* not from inside of what was to be shown */
}

static void on_quit(void *ctx)
{
    on_end_signal(ctx, SIGPIPE);
}

static void note(struct agent *a, const char *what, const char *name,
                 const struct err *err)
{
    struct buf text;
    buf_init(&text, 2048);
    buf_addf(&text, "%s%s: %s%s%s", what, name, err->msg, err->remedy[0] ? "; " : "",
             err->remedy);
    a->view->ops->note(a->view, buf_str(&text));
    buf_finish(&text);
}

static void on_server_lost(void *ctx, const char *name, const struct err *err)
{
    note(ctx, "server ", name, err);
}

static void on_server_said(void *ctx, const char *name, struct str line)
{
    struct agent *a = ctx;
    if (a->config->verbose || strcmp(name, a->config->own.name) == 0)
        a->view->ops->server(a->view, name, line);
}

static void open_view(struct agent *a)
{
    const struct agent_config *c = a->config;
    struct view_config view = {
        .loop = a->loop,
        .out_fd = c->out_fd,
        .err_fd = c->err_fd,
        .verbose = c->verbose,
        .thinking = c->thinking_shown,
        .out_terminal = isatty(c->out_fd) == 1,
        .err_terminal = isatty(c->err_fd) == 1,
        .unicode = c->unicode,
        .gone = on_gone,
        .ctx = a,
    };
    view.colour = view.err_terminal && !c->no_colour;
    a->view = c->output == AGENT_TEXT
                  ? view_text_new(&view)
                  : view_json_new(&view, c->output == AGENT_STREAM_JSON);
}

/* From here on Ctrl-C is ours. */
static void watch_signals(struct agent *a)
{
    static const int signums[SIGNALS] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < SIGNALS; i++)
        a->signals[i] = loop_signal_new(a->loop, signums[i],
                                        i == 0 ? on_interrupt : on_end_signal, a);
    a->quit_later = loop_later_new(a->loop, on_quit, a);
}

/* The session that is to be gone on with, if any, and the names of all things. */
static int open_session(struct agent *a, struct err *err)
{
    const struct agent_config *c = a->config;
    char from[JOURNAL_ID_MAX];
    journal_new_id(a->id);
    if (c->resume_id || c->resume_latest) {
        if (c->resume_id)
            snprintf(from, sizeof from, "%s", c->resume_id);
        else if (journal_latest(c->state_dir, str_of(c->directory), from, err) < 0)
            return -1;
        if (c->resume_id && strlen(c->resume_id) >= sizeof from)
            return err_set(err, ERR_INVALID, "\"%.60s\" is not the id of a session",
                           c->resume_id);
        if (journal_resume(&a->journal, c->state_dir, from, c->fork ? a->id : NULL,
                           &a->conversation, &a->recalled, err) < 0)
            return -1;
        snprintf(a->id, sizeof a->id, "%s", journal_id(a->journal));
        a->resumed = true;
    }
    if (c->kept)
        snprintf(a->kept, sizeof a->kept, "%s", c->kept);
    else if (a->recalled.kept.n && a->recalled.kept.n < sizeof a->kept)
        memcpy(a->kept, a->recalled.kept.p, a->recalled.kept.n);
    else if (c->keep)
        snprintf(a->kept, sizeof a->kept, "agent-%s", a->id);
    return 0;
}

static int open_servers(struct agent *a, struct err *err)
{
    const struct agent_config *c = a->config;
    a->specs[0] = c->own;
    if (!c->own.url &&
        c->own_argv(c->ctx, a->kept[0] ? a->kept : NULL, &a->specs[0].argv, err) < 0)
        return -1;
    memcpy(a->specs + 1, a->file.specs, a->file.count * sizeof a->specs[0]);
    a->spec_count = 1 + a->file.count;
    struct servers_config config = {
        .loop = a->loop,
        .specs = a->specs,
        .count = a->spec_count,
        .find = c->find,
        .find_ctx = c->ctx,
        .ca_file = c->ca_file,
        .open_ms = SERVERS_OPEN_MS,
        .ready = on_ready,
        .lost = on_server_lost,
        .said = on_server_said,
        .ctx = a,
    };
    a->view->ops->waiting(a->view, "starting the servers");
    a->servers = servers_new(&config);
    wait_until(a, &a->ready);
    if (a->signum)
        return err_set(err, ERR_CANCELLED, "interrupted");
    if (servers_failure(a->servers, 0)) {
        *err = *servers_failure(a->servers, 0);
        return -1;
    }
    servers_fill(a->servers, &a->catalog);
    if (a->resumed)
        catalog_use(&a->catalog, a->recalled.tools);
    catalog_write(&a->catalog, &a->tools);
    if (a->resumed)
        buf_adds(&a->system, a->recalled.system);
    else
        instructions_write(&a->system, c->system, a->servers);
    return 0;
}

static const char *variable(const struct agent *a, const char *name)
{
    const char *value = a->config->variable(a->config->ctx, name);
    return value && value[0] ? value : NULL;
}

static void choose_model(struct agent *a)
{
    const char *name = a->config->model;
    if (!name && a->recalled.model.n) {
        snprintf(a->model_name, sizeof a->model_name, "%.*s",
                 STR_FMT(a->recalled.model));
        return;
    }
    if (!name)
        name = variable(a, "ANTHROPIC_MODEL");
    if (!name)
        name = MODELS_DEFAULT;
    if (a->config->gateway)
        models_gateway_id(str_of(name), a->model_name);
    else
        snprintf(a->model_name, sizeof a->model_name, "%s", name);
}

/* Everything about the model that can be wrong is found out before a server starts. */
static int choose_access(struct agent *a, struct err *err)
{
    const struct agent_config *c = a->config;
    struct model_config *m = &a->model_config;
    struct credentials_offer offer = {
        .variable = c->variable,
        .ctx = c->ctx,
        .base_url = c->base_url,
        .gateway = c->gateway,
    };
    choose_model(a);
    if (credentials_find(&a->credentials, &offer, err) < 0) {
        if (err->kind == ERR_NOT_FOUND)
            view_write(c->err_fd, str_of(credentials_ways));
        return -1;
    }
    model_config_init(m);
    credentials_use(&a->credentials, m);
    m->x_api_key |= c->x_api_key;
    if (c->version)
        m->version = c->version;
    m->model = str_of(a->model_name);
    m->max_tokens = c->max_tokens;
    m->effort = str_of(c->effort);
    m->schema = buf_str(&a->schema);
    if (c->thinking_given)
        m->thinking = c->thinking_shown ? THINKING_SHOWN : THINKING_HIDDEN;
    return models_fit(m, a->credentials.anthropic, err);
}

static int open_model(struct agent *a, struct err *err)
{
    a->model_config.system = buf_str(&a->system);
    a->model_config.tools = buf_str(&a->tools);
    return model_new(&a->model, a->loop, &a->model_config, err);
}

static void open_journal(struct agent *a)
{
    struct err err;
    const struct agent_config *c = a->config;
    struct journal_head head = {
        .directory = str_of(c->directory),
        .model = str_of(a->model_name),
        .system = buf_str(&a->system),
        .tools = buf_str(&a->tools),
        .kept = str_of(a->kept),
    };
    /* A disk that is full or read-only is no reason not to work. */
    if (!a->journal &&
        journal_create(&a->journal, c->state_dir, a->id, &head, &err) < 0)
        note(a, "the session is not written down", "", &err);
}

/* By the name alone, whoever is asked: a gateway costs about the same. */
static bool on_dollars(void *ctx, const struct usage *usage, double *ret_dollars)
{
    struct agent *a = ctx;
    return models_dollars(str_of(a->model_name), usage, ret_dollars);
}

/* A limit that cannot be kept is no limit. */
static int check_budget(struct agent *a, struct err *err)
{
    struct usage none = {0};
    double dollars;
    if (a->config->max_dollars > 0 && !on_dollars(a, &none, &dollars)) {
        err_set(err, ERR_INVALID, "--max-budget-usd: the price of %s is not known here",
                a->model_name);
        return err_remedy(err, "limit it with --max-turns and --max-tokens");
    }
    return 0;
}

/* Where to ask: also when stdin is a pipe there may be somebody at the terminal. */
static int question_fd(struct agent *a)
{
    if (!isatty(a->config->err_fd))
        return -1;
    if (isatty(a->config->in_fd))
        return a->config->in_fd;
    a->terminal_fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
    return a->terminal_fd;
}

static int open_all(struct agent *a, struct err *err)
{
    const struct agent_config *c = a->config;
    struct approval_config approval = {
        .mode = c->approve,
        .allowed = c->allowed_tools,
        .in_fd = question_fd(a),
        .err_fd = c->err_fd,
        .loop = a->loop,
    };
    a->approval = approval_new(&approval);
    if (c->schema && input_json(&a->schema, c->schema, err) < 0)
        return err_prefix(err, "--json-schema");
    if (c->mcp_config &&
        mcp_config_read(&a->file, c->mcp_config, c->variable, c->ctx, err) < 0)
        return -1;
    if (open_session(a, err) < 0 || choose_access(a, err) < 0 ||
        check_budget(a, err) < 0 || open_servers(a, err) < 0 || open_model(a, err) < 0)
        return -1;
    open_journal(a);
    struct view_start start = {
        .session = a->id,
        .model = a->model_name,
        .tools = buf_str(&a->tools),
        .resumed = a->resumed,
    };
    a->view->ops->start(a->view, &start);
    return 0;
}

static int exit_status(enum task_outcome outcome)
{
    static const int statuses[] = {
        [TASK_DONE] = 0,
        [TASK_TRUNCATED] = AGENT_EXIT_TRUNCATED,
        [TASK_CONTEXT_FULL] = AGENT_EXIT_CONTEXT,
        [TASK_REFUSED] = AGENT_EXIT_REFUSED,
        [TASK_TURN_LIMIT] = AGENT_EXIT_TURNS,
        [TASK_BUDGET] = AGENT_EXIT_BUDGET,
        [TASK_CANCELLED] = AGENT_EXIT_SIGNALLED + SIGINT,
        [TASK_FAILED] = AGENT_EXIT_API,
        [TASK_NO_SERVER] = AGENT_EXIT_CANNOT,
        [TASK_WRONG_SHAPE] = AGENT_EXIT_SHAPE,
        [TASK_NOT_BEGUN] = AGENT_EXIT_CANNOT,
    };
    return statuses[outcome];
}

static bool is_json(struct str text)
{
    struct arena arena = {0};
    struct json_doc doc;
    struct err err;
    bool yes = json_parse(&doc, &arena, text, &err) == 0;
    arena_finish(&arena);
    return yes;
}

static void tell_end(struct agent *a, struct view_end *end)
{
    end->session = a->id;
    end->model = a->model_name;
    end->kept = a->config->keep && a->kept[0] && a->servers ? a->kept : NULL;
    if (a->schema.n && end->outcome == TASK_DONE) {
        end->is_json = is_json(end->text);
        if (!end->is_json)
            end->outcome = TASK_WRONG_SHAPE;
    }
    a->view->ops->end(a->view, end);
}

/* What the model remembers of an earlier run need not be there any more. Once. */
static struct str what_is_gone(struct agent *a)
{
    bool kept = a->recalled.kept.n && str_eq(a->recalled.kept, str_of(a->kept));
    bool gone = a->resumed && !a->told && !kept;
    a->told = true;
    return gone ? STR("[The earlier part of this conversation ran elsewhere. Whatever "
                      "was made or started there with the tools (files, processes, "
                      "installed packages) is gone; the tools begin anew.]")
                : (struct str){0};
}

/* The user's message is in a->input. */
static int run_task(struct agent *a)
{
    const struct agent_config *c = a->config;
    struct task_config config = {
        .calls =
            {
                .loop = a->loop,
                .servers = a->servers,
                .specs = a->specs,
                .catalog = &a->catalog,
                .approval = a->approval,
                .view = a->view,
                .silence_ms = CALLS_SILENCE_MS,
            },
        .model = a->model,
        .conversation = &a->conversation,
        .journal = a->journal,
        .max_turns = c->max_turns,
        .dollars = on_dollars,
        .max_dollars = c->max_dollars,
        .spent = a->dollars,
        .ended = on_task_ended,
        .ctx = a,
    };
    struct view_end end;
    struct buf blocks;
    buf_init(&blocks, 4 * INPUT_BYTES_MAX);
    struct str said[] = {what_is_gone(a), buf_str(&a->input)};
    conversation_text_blocks(&blocks, said, 2);
    a->over = false;
    a->task = task_new(&config, buf_str(&blocks));
    buf_finish(&blocks);
    buf_reset(&a->input, 64 * 1024);
    wait_until(a, &a->over);
    task_result(a->task, &end);
    usage_add(&a->usage, &end.usage);
    a->dollars += end.has_dollars ? end.dollars : 0;
    tell_end(a, &end);
    task_free(a->task);
    a->task = NULL;
    return exit_status(end.outcome);
}

/* What the user says: the task, what came on stdin, and what the model must know. */
static int take_input(struct agent *a, struct err *err)
{
    const struct agent_config *c = a->config;
    struct buf piped;
    buf_init(&piped, INPUT_BYTES_MAX);
    int rc = isatty(c->in_fd) ? 0 : input_read(&piped, c->in_fd, c->err_fd, err);
    if (rc == 0 && c->task)
        buf_addz(&a->input, c->task);
    if (rc == 0 && c->task && piped.n)
        buf_addz(&a->input, "\n\n<stdin>\n");
    if (rc == 0)
        buf_adds(&a->input, buf_str(&piped));
    if (rc == 0 && c->task && piped.n)
        buf_addz(&a->input, "\n</stdin>");
    buf_finish(&piped);
    if (rc == 0 && a->input.n == 0) {
        err_set(err, ERR_INVALID, "which task?");
        rc = err_remedy(err, "e.g. sandquay agent 'write a script that ...'");
    }
    return rc;
}

static void say(struct agent *a, const char *text)
{
    a->view->ops->note(a->view, str_of(text));
}

/* What is typed that is not for the model. false: it is for it. */
static bool take_command(struct agent *a, bool *ret_leave)
{
    struct str line = buf_str(&a->input);
    bool help = str_eq(line, STR("/help"));
    *ret_leave = str_eq(line, STR("/exit")) || str_eq(line, STR("/quit"));
    if (help)
        say(a, "say what is to be done; Ctrl-C stops it, twice (or Ctrl-D, /exit) "
               "leaves; a line that ends with \\ goes on");
    else if (line.n && !*ret_leave)
        return false;
    buf_reset(&a->input, 64 * 1024);
    return true;
}

/* Task after task, until the user leaves. */
static int converse(struct agent *a)
{
    char history[PATH_MAX];
    struct prompt_config config = {
        .loop = a->loop,
        .in_fd = a->config->in_fd,
        .out_fd = a->config->err_fd,
        .text = "> ",
        .history = history,
    };
    snprintf(history, sizeof history, "%s/history", a->config->state_dir);
    a->prompt = prompt_new(&config);
    say(a, "what is to be done? /help tells more, Ctrl-D leaves");
    for (bool leave = false; !leave && !a->signum;) {
        switch (prompt_read(a->prompt, &a->input)) {
        case PROMPT_EOF:
            leave = true;
            break;
        case PROMPT_INTERRUPTED:
            if (!a->signum)
                say(a, "Ctrl-C again, or Ctrl-D, leaves");
            break;
        case PROMPT_LINE:
            if (!take_command(a, &leave))
                leave = run_task(a) == AGENT_EXIT_CANNOT;
            break;
        }
    }
    prompt_free(a->prompt);
    a->prompt = NULL;
    return servers_failure(a->servers, 0) ? AGENT_EXIT_CANNOT : 0;
}

static void tear_down(struct agent *a)
{
    task_free(a->task);
    model_free(a->model);
    servers_free(a->servers);
    approval_free(a->approval);
    fd_close(&a->terminal_fd);
    journal_close(a->journal);
    a->view->ops->close(a->view);
    catalog_finish(&a->catalog);
    conversation_finish(&a->conversation);
    mcp_config_finish(&a->file);
    credentials_finish(&a->credentials);
    buf_finish(&a->system);
    buf_finish(&a->tools);
    buf_finish(&a->schema);
    buf_finish(&a->input);
    loop_later_free(a->quit_later);
    for (size_t i = 0; i < SIGNALS; i++)
        loop_signal_free(a->signals[i]);
    loop_free(a->loop);
}

/* It could not begin. */
static int fail(struct agent *a, const struct err *err)
{
    struct view_end end = {.outcome = TASK_NOT_BEGUN, .err = err};
    if (a->signum)
        return AGENT_EXIT_SIGNALLED + a->signum;
    tell_end(a, &end);
    return err->kind == ERR_INVALID ? AGENT_EXIT_USE : AGENT_EXIT_CANNOT;
}

static int agent_run(const struct agent_config *config)
{
    struct agent a = {.config = config, .terminal_fd = -1};
    struct err err;
    if (loop_new(&a.loop, &err) < 0) {
        log_error("%s", err.msg);
        return AGENT_EXIT_CANNOT;
    }
    buf_init(&a.system, SYSTEM_MAX);
    buf_init(&a.tools, TOOLS_MAX);
    buf_init(&a.schema, SCHEMA_MAX);
    buf_init(&a.input, 2 * INPUT_BYTES_MAX);
    conversation_init(&a.conversation);
    catalog_init(&a.catalog);
    open_view(&a);
    int status = 0;
    bool talks = !config->task && config->output == AGENT_TEXT &&
                 isatty(config->in_fd) && isatty(config->err_fd);
    int rc = talks ? 0 : take_input(&a, &err);
    if (rc == 0) {
        watch_signals(&a);
        rc = open_all(&a, &err);
    }
    if (rc < 0)
        status = fail(&a, &err);
    else
        status = talks ? converse(&a) : run_task(&a);
    if (a.signum)
        status = AGENT_EXIT_SIGNALLED + a.signum;
    tear_down(&a);
    return status;
}

static const struct agent_entries entries = {agent_run};
MODULE_EXPORT("agent", &entries);
