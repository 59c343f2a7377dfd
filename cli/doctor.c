/* sandquay doctor: tries what isolation this machine offers, then runs commands in a
 * real sandbox. One line a probe; what decides is the sandbox itself. */
#include "base/fd.h"
#include "base/mem.h"
#include "cli/probes.h"
#include "cli/verbs.h"
#include "sandbox/vercel/vercel.h"
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { OWNER = 1, TIMEOUT_MS = 30000, OUTPUT_BYTES = 8192 };

/* Each prints "NAME<tab>PATH<tab>VERSION", or only its name. */
static const char toolchain_script[] =
    "for p in node npm python3 pip git gcc; do\n"
    "  printf '%s\\t' $p; q=$(command -v $p) && q=$(realpath \"$q\") &&\n"
    "    printf '%s\\t%s' \"$q\" \"$($p --version 2>&1 | head -n 1)\"\n"
    "  echo\n"
    "done";

/* The end-to-end run: open, `true`, the toolchains, close. */
struct doctor {
    struct loop *loop;
    struct sandboxes *set;
    struct sandbox_info info;
    char name[SANDBOX_NAME_MAX + 1], notice[400];
    uint64_t started_us, opened_us, ran_us, closed_us;
    uint64_t watch;
    bool second; /* the toolchains' command runs */
    int exit_code;
    char output[OUTPUT_BYTES + 1];
    bool failed, finished;
    struct err err;
    const struct sandbox_backend *backend;
    struct sandbox_config config;
};

static void line(const char *verdict, const char *name, const char *text)
{
    printf("%-8s %s: %s\n", verdict, name, text);
}

static void give_up(struct doctor *d, const struct err *err)
{
    d->failed = d->finished = true;
    d->err = *err;
    loop_stop(d->loop);
}

static void start(struct doctor *d);

static void on_news(void *ctx, uint64_t command)
{
    struct doctor *d = ctx;
    struct command_info info;
    struct err err;
    if (command_get(d->set, OWNER, command, &info, &err) < 0) {
        give_up(d, &err);
        return;
    }
    if (info.status == COMMAND_RUNNING)
        return;
    command_unwatch(d->set, d->watch);
    d->watch = 0;
    if (!d->second) {
        d->exit_code = info.exit_code;
        d->ran_us = loop_now_us(d->loop);
        d->second = true;
        start(d);
        return;
    }
    size_t n =
        command_read(d->set, command, COMMAND_STDOUT, 0, d->output, OUTPUT_BYTES);
    d->output[n] = '\0';
    d->finished = true;
    loop_stop(d->loop);
}

static void on_start(void *ctx, uint64_t command, const struct err *err)
{
    struct doctor *d = ctx;
    if (err) {
        give_up(d, err);
        return;
    }
    d->watch = command_watch(d->set, command, on_news, d);
    on_news(d, command);
}

static void start(struct doctor *d)
{
    struct command_spec spec = {
        .command = d->second ? STR(toolchain_script) : STR("true"),
        .timeout_ms = TIMEOUT_MS,
    };
    command_start(d->set, d->info.id, &spec, on_start, d);
}

static void on_open(void *ctx, const struct sandbox_info *info, const struct err *err)
{
    struct doctor *d = ctx;
    if (err) {
        give_up(d, err);
        return;
    }
    d->info = *info;
    d->opened_us = loop_now_us(d->loop);
    snprintf(d->notice, sizeof d->notice, "%.*s", STR_FMT(info->first_notice));
    start(d);
}

static void make_sandbox(struct doctor *d)
{
    d->started_us = loop_now_us(d->loop);
    sandbox_open(d->set, OWNER, (struct str){0}, on_open, d);
}

/* The account's answer to one request: the token, the team and the project are good. */
static void on_listed(void *ctx, const struct sandbox_info *infos, size_t count,
                      const struct err *err)
{
    struct doctor *d = ctx;
    char text[300];
    (void)infos;
    if (err) {
        give_up(d, err);
        return;
    }
    snprintf(text, sizeof text, "the token is accepted; %zu sandbox%s in the project",
             count, count == 1 ? "" : "es");
    line("ok", "account", text);
    make_sandbox(d);
}

static int end_to_end(struct doctor *d, struct err *err)
{
    if (loop_new(&d->loop, err) < 0)
        return -1;
    int rc = sandboxes_new(&d->set, d->loop, d->backend, &d->config, err);
    if (rc == 0) {
        if (d->config.vercel)
            sandbox_list(d->set, OWNER, on_listed, d);
        else
            make_sandbox(d);
        if (!d->finished)
            loop_run(d->loop);
        uint64_t closing_us = loop_now_us(d->loop);
        sandboxes_free(d->set);
        d->closed_us = loop_now_us(d->loop) - closing_us;
    }
    loop_free(d->loop);
    if (rc == 0 && d->failed) {
        *err = d->err;
        rc = -1;
    }
    return rc;
}

static void tell_toolchains(char *output, bool local)
{
    for (char *save, *row = strtok_r(output, "\n", &save); row;
         row = strtok_r(NULL, "\n", &save)) {
        char *path = strchr(row, '\t'), *version = path ? strchr(path + 1, '\t') : NULL;
        char text[300];
        if (!path)
            continue;
        *path = '\0';
        if (version) {
            *version = '\0';
            snprintf(text, sizeof text, "%.120s (%.120s)", path + 1, version + 1);
        } else {
            snprintf(text, sizeof text,
                     local
                         ? "not seen inside; install it below /usr (apt-get install %s)"
                         : "not in the image; install it inside (package %s)",
                     strcmp(row, "node") == 0  ? "nodejs"
                     : strcmp(row, "pip") == 0 ? "python3-pip"
                                               : row);
        }
        line(version ? "ok" : "missing", row, text);
    }
}

static void tell_probes(void)
{
    static const char *const words[] = {"ok", "weaker", "missing"};
    for (size_t i = 0; i < probe_count; i++) {
        struct probe_result r = {.verdict = PROBE_MISSING};
        probes[i].run(&r);
        line(words[r.verdict], probes[i].name, r.text);
    }
}

/* What is known of the account before it is asked. */
static void tell_credentials(const struct vercel_credentials *c)
{
    char text[300];
    long long left_s = (long long)c->expires_s - time(NULL);
    if (c->expires_s)
        snprintf(text, sizeof text, "%s, good for %lld min%s", c->source,
                 left_s > 0 ? left_s / 60 : 0,
                 c->refresh_token || (c->oidc && c->cli_token) ? ", then renewed" : "");
    else
        snprintf(text, sizeof text, "%s", c->source);
    line("ok", "token", text);
    snprintf(text, sizeof text, "%s%s%s%s", c->team[0] ? c->team : "the account's own",
             c->scope_source ? " (" : "", c->scope_source ? c->scope_source : "",
             c->scope_source ? ")" : "");
    line("ok", "team", text);
    line("ok", "project",
         c->project[0] ? c->project
                       : "vercel-sandbox-default-project, made if need be");
}

static int tell_sandbox(struct doctor *d)
{
    struct err err;
    int status = 1;
    char text[600];
    if (end_to_end(d, &err) < 0) {
        snprintf(text, sizeof text, "%s%s%s", err.msg, err.remedy[0] ? "; " : "",
                 err.remedy);
        line("missing", "sandbox", text);
        printf(d->config.vercel ? "\nNo sandbox can be had from Vercel.\n"
                                : "\nCode cannot be run safely here.\n");
    } else {
        tell_toolchains(d->output, !d->config.vercel);
        snprintf(
            text, sizeof text,
            "made in %.1f ms, `true` ran in %.1f ms with status %d, gone in %.1f ms",
            (double)(d->opened_us - d->started_us) / 1000,
            (double)(d->ran_us - d->opened_us) / 1000, d->exit_code,
            (double)d->closed_us / 1000);
        bool safe = d->exit_code == 0 && (d->info.level == 1 || d->info.level == 2);
        line(d->exit_code == 0 ? "ok" : "missing", "sandbox", text);
        if (d->config.vercel)
            printf("\nSandboxes are Vercel's microVMs.\n");
        else
            printf("\nLevel %d%s%s\n", d->info.level,
                   d->info.level == 1   ? " (full isolation and limits)."
                   : d->info.level == 2 ? " (isolated; limits without cgroups)."
                                        : ".",
                   safe ? "" : " Do not run untrusted code here.");
        if (d->notice[0])
            printf("%s\n", d->notice);
        status = safe ? 0 : 1;
    }
    return status;
}

/* On the backend that a server would use. */
static int examine(const struct options *o)
{
    struct places places;
    struct err err;
    struct doctor *d = mem_new(struct doctor);
    int status = 1;
    if (places_find(&places, &err) < 0 ||
        serve_sandbox_config(o, &places, &d->backend, &d->config, &err) < 0) {
        verb_fail("doctor", &err, 1);
    } else {
        line("ok", "backend", d->config.backend_why);
        if (d->config.vercel)
            tell_credentials(d->config.vercel->credentials);
        else
            tell_probes();
        status = tell_sandbox(d);
    }
    mem_free(d);
    return status;
}

int doctor_main(int argc, char **argv)
{
    static struct options o; /* for the life of the process, with what it holds */
    struct err err;
    if (options_parse(&o, OPTIONS_DOCTOR, argc, argv, &err) < 0)
        return verb_fail("doctor", &err, EXIT_WRONG_USE);
    if (o.help) {
        help_verb(OPTIONS_DOCTOR);
        return 0;
    }
    if (o.first < argc) {
        err_set(&err, ERR_INVALID, "unknown argument %s", argv[o.first]);
        err_remedy(&err, "see sandquay doctor --help");
        return verb_fail("doctor", &err, EXIT_WRONG_USE);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct utsname machine;
    if (uname(&machine) == 0)
        printf("sandquay %s, Linux %s on %s, as %s\n", SANDQUAY_VERSION,
               machine.release, machine.machine,
               getuid() == 0 ? "root" : "an ordinary user");
    return examine(&o);
}
