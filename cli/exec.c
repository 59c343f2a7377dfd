/* sandquay exec: one command, the way any client would run it. A server is started as
 * our child; execute_command starts the command in the background, command_output is
 * asked for what comes next (exact bytes, from offsets of ours, holding the command
 * when we are slow), command_input carries our stdin, as fast as the command takes it.
 */
#include "base/base64.h"
#include "base/fd.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/answer.h"
#include "cli/pump.h"
#include "cli/remote.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "mcp/client.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    INPUT_BYTES = 192 * 1024,  /* of stdin in one call */
    OUTPUT_BYTES = 256 * 1024, /* of output in one answer */
    PUMP_HIGH = 512 * 1024,    /* more is not asked for while this waits */
    WAIT_MS = 30000,
    PATIENCE_MS = 1000, /* then a terminal is told what takes so long */
    TWICE_MS = 2000,
    DEFAULT_TIMEOUT_MS = 24 * 3600 * 1000,
    EXIT_SIGNALLED = 128,
};

struct exec {
    const struct options *options;
    struct str command;
    struct loop *loop;
    struct client *client;
    struct remote *remote;
    struct loop_later *flush;
    struct loop_timer *patience;
    struct loop_signal *signals[4];
    struct terminal terminal; /* ours, while the command has it */
    char id[32];              /* commandId; empty until it runs */
    struct pump out[2];
    uint64_t next[2]; /* offsets of the output that comes next */
    bool asking, ended, quitting;
    bool looking, commits;
    bool looked; /* the changes of the workspace were asked for */
    bool lost_output, told_warning;
    struct inherited in_fd;
    struct loop_io *in;
    struct buf input; /* read from stdin, not yet taken */
    bool in_eof, in_sending, in_closed;
    uint64_t interrupted_ms;
    int status;
};

static void quit(struct exec *x, int status)
{
    if (x->quitting)
        return;
    x->quitting = true;
    x->status = status;
    if (x->loop)
        loop_stop(x->loop);
}

static void say(const char *what, struct str text)
{
    fprintf(stderr, "sandquay: %s%.*s\n", what, STR_FMT(text));
}

/* 125: it is our failure, not the command's. */
static void fail(struct exec *x, const struct err *err)
{
    if (!x->quitting)
        fprintf(stderr, "sandquay: %s%s%s\n", err->msg, err->remedy[0] ? "; " : "",
                err->remedy);
    quit(x, EXIT_CANNOT);
}

static void go_on(struct exec *x);
static void read_more(struct exec *x);

static bool append(struct exec *x, int stream, struct json content)
{
    static const struct str keys[2][2] = {
        {{"stdout", 6}, {"stdoutOffset", 12}},
        {{"stderr", 6}, {"stderrOffset", 12}},
    };
    static const struct str totals[2] = {{"stdoutBytes", 11}, {"stderrBytes", 11}};
    struct arena a = {0};
    struct err err;
    int64_t next = 0, total = 0;
    struct buf *to = &x->out[stream].bytes;
    size_t before = to->n;
    int rc = base64_decode(to, json_str(json_get(content, keys[stream][0]), &a), &err);
    arena_finish(&a);
    if (rc < 0 || !json_i64(json_get(content, keys[stream][1]), &next) ||
        !json_i64(json_get(content, totals[stream]), &total)) {
        err_set(&err, ERR_PROTOCOL, "the server's answer cannot be read");
        fail(x, &err);
        return false;
    }
    uint64_t given = to->n - before;
    if ((uint64_t)next > x->next[stream] + given && !x->lost_output) {
        say("", STR("some output is missing: it could not be kept"));
        x->lost_output = true;
    }
    x->next[stream] = (uint64_t)next;
    pump_flush(&x->out[stream]);
    return (uint64_t)next >= (uint64_t)total;
}

static void tell(struct json content, struct str key)
{
    struct arena a = {0};
    struct str text = json_str(json_get(content, key), &a);
    if (text.n)
        say("", text);
    arena_finish(&a);
}

/* What is missing of full isolation; that nothing is missing needs no line. */
static void tell_notice(struct json content)
{
    struct arena a = {0};
    struct str text = json_str(json_get(content, STR("notice")), &a);
    if (text.n && !memmem(text.p, text.n, "level 1", 7))
        say("", text);
    arena_finish(&a);
}

/* The command has ended and all of its output is here. */
static void take_status(struct exec *x, struct json content)
{
    int64_t code = EXIT_CANNOT;
    json_i64(json_get(content, STR("exitCode")), &code);
    x->status = (int)code & 0xff;
    x->ended = true;
    terminal_restore(&x->terminal);
    if (json_is_true(json_get(content, STR("timedOut"))))
        say("timed out after ",
            str_of(x->options->timeout ? x->options->timeout : "24h"));
    if (json_is_true(json_get(content, STR("oomKilled"))))
        say("", STR("out of memory: a process was killed (see --memory)"));
    if (json_str_is(json_get(content, STR("status")), STR("unknown")))
        say("", STR("how the command ended is not known"));
    tell(content, STR("warning"));
}

static void on_output(void *ctx, struct json result, const struct err *failed)
{
    struct exec *x = ctx;
    struct arena a = {0};
    struct err err;
    x->asking = false;
    struct json content = answer_content(result, failed, &a, &err);
    if (x->quitting) {
        arena_finish(&a);
        return;
    }
    if (!json_present(content)) {
        fail(x, &err);
        arena_finish(&a);
        return;
    }
    bool all = append(x, 0, content);
    all &= append(x, 1, content);
    bool running = json_str_is(json_get(content, STR("status")), STR("running"));
    if (all && !running)
        take_status(x, content);
    arena_finish(&a);
    go_on(x);
}

static void ask(struct exec *x)
{
    char arguments[400];
    int n = snprintf(arguments, sizeof arguments,
                     "{\"commandId\":\"%s\",\"stdoutOffset\":%llu,"
                     "\"stderrOffset\":%llu,\"maxBytes\":%d,\"encoding\":\"base64\","
                     "\"waitMs\":%d,\"hold\":true}",
                     x->id, (unsigned long long)x->next[0],
                     (unsigned long long)x->next[1], OUTPUT_BYTES, WAIT_MS);
    x->asking = true;
    client_call_tool(x->client, "command_output", (struct str){arguments, (size_t)n},
                     on_output, x);
}

static void say_change(struct json change)
{
    struct arena a = {0};
    struct str kind = json_str(json_get(change, STR("kind")), &a);
    struct str path = json_str(json_get(change, STR("path")), &a);
    fprintf(stderr, "%.*s ", STR_FMT(kind));
    for (size_t i = 0; i < path.n; i++)
        fputc((unsigned char)path.p[i] < ' ' ? '?' : path.p[i], stderr);
    fputc('\n', stderr);
    arena_finish(&a);
}

static void on_changes(void *ctx, struct json result, const struct err *failed)
{
    struct exec *x = ctx;
    struct arena a = {0};
    struct err err;
    int64_t total = 0;
    x->looking = false;
    struct json content = answer_content(result, failed, &a, &err);
    struct json list = json_get(content, STR("changes"));
    json_i64(json_get(content, STR("total")), &total);
    if (!json_present(content)) {
        fail(x, &err);
    } else {
        for (struct json row = json_first(list); json_present(row);
             row = json_next(row))
            say_change(row);
        if (total == 0)
            say("", STR("nothing in the workspace has changed"));
        else if (x->commits)
            say("", STR("these changes are in the workspace's directory now"));
        else if (x->options->sandbox)
            say("", STR("these changes wait in the sandbox; --commit writes them to "
                        "the directory"));
        else
            say("", STR("these changes were thrown away; --commit writes them to the "
                        "directory"));
    }
    arena_finish(&a);
    go_on(x);
}

/* What a failing command has done is only shown. */
static void look_at_changes(struct exec *x)
{
    x->looked = x->looking = true;
    x->commits = x->options->commit && x->status == 0;
    struct str arguments =
        x->commits ? STR("{\"action\":\"commit\"}") : STR("{\"action\":\"list\"}");
    client_call_tool(x->client, "workspace_changes", arguments, on_changes, x);
}

/* Whatever comes next, after anything has changed. */
static void go_on(struct exec *x)
{
    if (x->quitting)
        return;
    if (x->out[0].gone) {
        quit(x, EXIT_SIGNALLED + SIGPIPE);
        return;
    }
    size_t waiting = pump_waiting(&x->out[0]) + pump_waiting(&x->out[1]);
    if (x->ended && waiting == 0 && x->options->workspace_overlay && !x->looked)
        look_at_changes(x);
    else if (x->ended && waiting == 0 && !x->looking)
        quit(x, x->status);
    else if (!x->ended && x->id[0] && !x->asking && waiting < PUMP_HIGH)
        ask(x);
}

static void on_pump(void *ctx)
{
    go_on(ctx);
}

static void on_input(void *ctx, struct json result, const struct err *failed)
{
    struct exec *x = ctx;
    struct arena a = {0};
    struct err err;
    int64_t taken = 0;
    x->in_sending = false;
    struct json content = answer_content(result, failed, &a, &err);
    bool ok =
        json_present(content) && json_i64(json_get(content, STR("takenBytes")), &taken);
    if (ok && taken >= 0 && (size_t)taken <= x->input.n)
        buf_drop(&x->input, (size_t)taken);
    /* It has its end, or does not want more: but what cannot be given to any command is
     * not silently dropped. */
    bool lost = !json_present(content) && err.kind == ERR_UNAVAILABLE && x->input.n > 0;
    if (!ok || (x->in_eof && x->input.n == 0))
        x->in_closed = true;
    arena_finish(&a);
    if (lost)
        fail(x, &err);
    else
        read_more(x);
}

static void send_input(struct exec *x)
{
    struct buf text;
    struct json_writer w;
    buf_init(&text, 4 * INPUT_BYTES);
    jw_init(&w, &text);
    jw_object(&w);
    jw_key_cstr(&w, "commandId", x->id);
    jw_key(&w, "base64");
    jw_base64(&w, buf_str(&x->input));
    if (x->in_eof)
        jw_key_bool(&w, "close", true);
    jw_end_object(&w);
    x->in_sending = true;
    client_call_tool(x->client, "command_input", buf_str(&text), on_input, x);
    buf_finish(&text);
}

static void on_stdin(void *ctx, unsigned events)
{
    (void)events;
    struct exec *x = ctx;
    char *to = buf_reserve(&x->input, INPUT_BYTES);
    ssize_t n = read(x->in_fd.fd, to, INPUT_BYTES);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0 && terminal_left(&x->terminal, (struct str){to, (size_t)n})) {
        terminal_restore(&x->terminal);
        say("", STR("left"));
        quit(x, EXIT_SIGNALLED + SIGHUP);
        return;
    }
    if (n > 0)
        x->input.n += (size_t)n;
    else
        x->in_eof = true; /* an error (a background job's terminal) ends it, too */
    read_more(x);
}

/* Sends what was read; reads only when all of that was taken. */
static void read_more(struct exec *x)
{
    bool reads = !x->quitting && x->id[0] && !x->in_sending && !x->in_closed;
    if (reads && (x->input.n > 0 || x->in_eof)) {
        send_input(x);
        reads = false;
    }
    loop_io_want(x->in, reads ? LOOP_READ : 0);
}

static void on_signalled(void *ctx, struct json result, const struct err *failed)
{
    (void)ctx; /* a command that has just ended cannot be signalled: its end follows */
    (void)result;
    (void)failed;
}

/* Ctrl-C is the command's; twice, or before there is a command, it is ours. */
static void on_interrupt(void *ctx, int signum)
{
    struct exec *x = ctx;
    uint64_t now = loop_now_ms(x->loop);
    bool twice = x->interrupted_ms && now - x->interrupted_ms <= TWICE_MS;
    x->interrupted_ms = now;
    if (!x->id[0] || twice) {
        quit(x, EXIT_SIGNALLED + signum);
        return;
    }
    char arguments[100];
    int n = snprintf(arguments, sizeof arguments,
                     "{\"commandId\":\"%s\",\"signal\":\"SIGINT\"}", x->id);
    client_call_tool(x->client, "command_input", (struct str){arguments, (size_t)n},
                     on_signalled, x);
}

/* The size of our terminal is the command's. */
static void on_window_change(void *ctx, int signum)
{
    struct exec *x = ctx;
    uint16_t cols, rows;
    char arguments[120];
    (void)signum;
    if (!x->id[0] || x->ended)
        return;
    terminal_size(x->in_fd.fd, &cols, &rows);
    int n = snprintf(arguments, sizeof arguments,
                     "{\"commandId\":\"%s\",\"resize\":{\"cols\":%u,\"rows\":%u}}",
                     x->id, cols, rows);
    client_call_tool(x->client, "command_input", (struct str){arguments, (size_t)n},
                     on_signalled, x);
}

static void on_end_signal(void *ctx, int signum)
{
    quit(ctx, EXIT_SIGNALLED + signum);
}

static void on_started(void *ctx, struct json result, const struct err *failed)
{
    struct exec *x = ctx;
    struct arena a = {0};
    struct err err;
    struct json content = answer_content(result, failed, &a, &err);
    struct str id = json_str(json_get(content, STR("commandId")), &a);
    loop_timer_stop(x->patience);
    if (json_present(content) && (id.n == 0 || id.n >= sizeof x->id)) {
        err_set(&err, ERR_PROTOCOL, "the server's answer names no command");
        content = (struct json){0};
    }
    if (!json_present(content)) {
        fail(x, &err);
    } else {
        memcpy(x->id, id.p, id.n);
        tell_notice(content);
        if (x->options->tty)
            terminal_raw(&x->terminal, x->in_fd.fd);
        go_on(x);
        read_more(x);
    }
    arena_finish(&a);
}

static void write_terminal(const struct exec *x, struct json_writer *w)
{
    uint16_t cols, rows;
    terminal_size(x->in_fd.fd, &cols, &rows);
    jw_key(w, "pty");
    jw_object(w);
    jw_key_i64(w, "cols", cols);
    jw_key_i64(w, "rows", rows);
    jw_end_object(w);
}

static void start_command(struct exec *x)
{
    const struct options *o = x->options;
    struct buf text;
    struct json_writer w;
    buf_init(&text, 8 * 1024 * 1024);
    jw_init(&w, &text);
    jw_object(&w);
    jw_key_str(&w, "command", x->command);
    jw_key_bool(&w, "background", true);
    jw_key_bool(&w, "hold", true);
    jw_key_i64(&w, "timeoutMs",
               o->timeout_ms ? (int64_t)o->timeout_ms : DEFAULT_TIMEOUT_MS);
    if (o->cwd)
        jw_key_cstr(&w, "cwd", o->cwd);
    if (o->tty)
        write_terminal(x, &w);
    if (o->connect && o->sandbox)
        jw_key_cstr(&w, "sandbox", o->sandbox);
    if (o->env_count) {
        jw_key(&w, "env");
        jw_object(&w);
        for (size_t i = 0; i < o->env_count; i++) {
            const char *equals = strchr(o->env[i], '=');
            char *name = mem_strndup(o->env[i], (size_t)(equals - o->env[i]));
            jw_key_cstr(&w, name, equals + 1);
            mem_free(name);
        }
        jw_end_object(&w);
    }
    jw_end_object(&w);
    client_call_tool(x->client, "execute_command", buf_str(&text), on_started, x);
    buf_finish(&text);
}

static void on_open(void *ctx, struct json result, const struct err *failed)
{
    (void)result;
    struct exec *x = ctx;
    if (failed)
        fail(x, failed);
    else
        start_command(x);
}

static void on_patience(void *ctx)
{
    (void)ctx;
    if (isatty(STDERR_FILENO))
        say("", STR("making the sandbox ..."));
}

static void on_lost(void *ctx, const struct err *err)
{
    fail(ctx, err);
}

static void on_flush(void *ctx)
{
    struct exec *x = ctx;
    if (x->remote)
        remote_flush(x->remote);
}

static void on_wake(void *ctx)
{
    struct exec *x = ctx;
    loop_later_ask(x->flush);
}

static int open_server(struct exec *x, const struct places *places, struct err *err)
{
    struct client_config client = {
        .name = "sandquay exec",
        .version = SANDQUAY_VERSION,
        .era = remote_era(x->options),
        .wake = on_wake,
        .ctx = x,
    };
    x->client = client_new(&client);
    struct remote_config config = {
        .options = x->options,
        .places = places,
        .loop = x->loop,
        .client = x->client,
        .lost = on_lost,
        .ctx = x,
    };
    return remote_open(&x->remote, &config, err);
}

static int set_up(struct exec *x, const struct places *places, struct err *err)
{
    if (loop_new(&x->loop, err) < 0)
        return -1;
    x->flush = loop_later_new(x->loop, on_flush, x);
    x->patience = loop_timer_new(x->loop, on_patience, x);
    static const int signums[3] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < 3; i++)
        x->signals[i] = loop_signal_new(x->loop, signums[i],
                                        i == 0 ? on_interrupt : on_end_signal, x);
    if (x->options->tty)
        x->signals[3] = loop_signal_new(x->loop, SIGWINCH, on_window_change, x);
    buf_init(&x->input, 2 * INPUT_BYTES);
    /* The server gets stderr as it is, so it is started before we make ours our own. */
    int rc = open_server(x, places, err);
    pump_init(&x->out[0], x->loop, fcntl(1, F_DUPFD_CLOEXEC, 3), on_pump, x);
    pump_init(&x->out[1], x->loop, fcntl(2, F_DUPFD_CLOEXEC, 3), on_pump, x);
    x->in_fd = inherited_claim(fcntl(0, F_DUPFD_CLOEXEC, 3), O_RDONLY);
    x->in = loop_io_new(x->loop, x->in_fd.fd, on_stdin, x);
    return rc;
}

static void tear_down(struct exec *x)
{
    if (!x->loop)
        return;
    terminal_restore(&x->terminal);
    remote_close(x->remote);
    client_free(x->client);
    inherited_restore(&x->in_fd);
    loop_io_free(x->in);
    for (size_t i = 0; i < 2; i++)
        pump_finish(&x->out[i]);
    for (size_t i = 0; i < 4; i++)
        loop_signal_free(x->signals[i]);
    loop_later_free(x->flush);
    loop_timer_free(x->patience);
    buf_finish(&x->input);
    loop_free(x->loop);
}

/* One word as it is, several with spaces between them, as ssh does. */
static void join_words(struct buf *command, char **words, int count)
{
    for (int i = 0; i < count; i++) {
        if (i > 0)
            buf_addc(command, ' ');
        buf_addz(command, words[i]);
    }
}

int exec_run(const char *verb, struct options *o, struct str command)
{
    struct places places;
    struct err err;
    struct exec x = {.options = o, .command = command, .status = EXIT_CANNOT};
    x.terminal.fd = -1;
    if (remote_check(o, &err) < 0)
        return verb_fail(verb, &err, EXIT_WRONG_USE);
    if (places_find(&places, &err) < 0)
        return verb_fail(verb, &err, EXIT_CANNOT);
    if (set_up(&x, &places, &err) < 0) {
        fail(&x, &err);
    } else {
        loop_timer_start(x.patience, PATIENCE_MS);
        client_open(x.client, on_open, &x);
        loop_run(x.loop);
    }
    tear_down(&x);
    return x.status;
}

int exec_main(int argc, char **argv)
{
    static struct options o; /* for the life of the process, with what it holds */
    struct err err;
    if (options_parse(&o, OPTIONS_EXEC, argc, argv, &err) < 0)
        return verb_fail("exec", &err, EXIT_WRONG_USE);
    if (o.help) {
        help_verb(OPTIONS_EXEC);
        return 0;
    }
    if (o.commit && !o.workspace_overlay) {
        err_set(&err, ERR_INVALID, "--commit without --workspace-mode overlay");
        err_remedy(&err, "changes reach the directory as they are made");
        return verb_fail("exec", &err, EXIT_WRONG_USE);
    }
    if (o.first >= argc) {
        err_set(&err, ERR_INVALID, "which command?");
        err_remedy(&err, "e.g. sandquay exec 'python3 --version'");
        return verb_fail("exec", &err, EXIT_WRONG_USE);
    }
    if (o.verbose)
        log_set_level(LOG_INFO);
    struct buf command;
    buf_init(&command, 4 * 1024 * 1024);
    join_words(&command, argv + o.first, argc - o.first);
    int status = exec_run("exec", &o, buf_str(&command));
    buf_finish(&command);
    return status;
}
