/* sandquay doctor: tries what this machine offers, then tries to break out of a sandbox
 * made as the configured ones are. One row a probe and one a protection; what decides
 * is what was tried in the sandbox. */
#include "base/json_write.h"
#include "base/mem.h"
#include "cli/probes.h"
#include "cli/prove.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/verbs.h"
#include "sandbox/vercel/vercel.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_MS = 30000, OUTPUT_BYTES = 64 * 1024 };

/* Each prints "NAME<tab>PATH<tab>VERSION", or only its name. */
static const char toolchain_script[] =
    "for p in node npm python3 pip git gcc; do\n"
    "  printf '%s\\t' $p; q=$(command -v $p) && q=$(realpath \"$q\") &&\n"
    "    printf '%s\\t%s' \"$q\" \"$($p --version 2>&1 | head -n 1)\"\n"
    "  echo\n"
    "done";

/* What of sandbox/guest/transparent.c is there, as seen inside: the resolver at port
 * 53, and where nftables redirects to, or the usual ports. */
static const char transparent_script[] =
    "grep -q ' 0100007F:0035 ' /proc/net/udp || exit 1\n"
    "grep -q ' 0100007F:0C39 ' /proc/net/tcp && exit 0\n"
    "grep -q ' 00000000:01BB ' /proc/net/tcp && exit 2\n"
    "exit 1";
enum { TRANSPARENT, NOT_TRANSPARENT, TRANSPARENT_USUAL };

struct doctor {
    struct report report;
    const struct sandbox_backend *backend;
    struct sandbox_config config;
    struct places places;
    int level; /* 0: no sandbox could be made */
    bool made, holds;
};

static void tell_probes(struct report *r, const struct probe *list, size_t count)
{
    static const enum report_verdict verdicts[] = {REPORT_OK, REPORT_WEAKER,
                                                   REPORT_MISSING, REPORT_INFO};
    for (size_t i = 0; i < count; i++) {
        struct probe_result result = {.verdict = PROBE_MISSING};
        list[i].run(&result);
        report_row(r, "machine", verdicts[result.verdict], list[i].name, result.text,
                   "");
    }
}

/* What is known of the account before it is asked. */
static void tell_credentials(struct report *r, const struct vercel_credentials *c)
{
    char text[300];
    long long left_s = (long long)c->expires_s - time(NULL);
    if (c->expires_s)
        snprintf(text, sizeof text, "%s, good for %lld min%s", c->source,
                 left_s > 0 ? left_s / 60 : 0,
                 c->refresh_token || (c->oidc && c->cli_token) ? ", then renewed" : "");
    else
        snprintf(text, sizeof text, "%s", c->source);
    report_row(r, "account", REPORT_OK, "token", text, "");
    snprintf(text, sizeof text, "%s%s%s%s", c->team[0] ? c->team : "the account's own",
             c->scope_source ? " (" : "", c->scope_source ? c->scope_source : "",
             c->scope_source ? ")" : "");
    report_row(r, "account", REPORT_OK, "team", text, "");
    report_row(r, "account", REPORT_OK, "project",
               c->project[0] ? c->project
                             : "vercel-sandbox-default-project, made if need be",
               "");
}

/* The account's answer to one request: the token, the team and the project are good. */
static int ask_account(struct doctor *d, struct session *s, struct err *err)
{
    char text[160];
    size_t count;
    if (session_count(s, &count, err) < 0)
        return -1;
    snprintf(text, sizeof text, "the token is accepted; %zu sandbox%s in the project",
             count, count == 1 ? "" : "es");
    report_row(&d->report, "account", REPORT_OK, "account", text, "");
    return 0;
}

/* Where the host finds a program, if sandboxes do not see that: it is not below /usr.
 * "": they do. */
static void find_hidden(const char *name, char to[PATH_MAX])
{
    const char *path = getenv("PATH");
    to[0] = '\0';
    for (size_t n; path && *path; path += n + (path[n] == ':')) {
        char at[PATH_MAX], full[PATH_MAX];
        n = strcspn(path, ":");
        if (n == 0 || n > PATH_MAX / 2)
            continue;
        snprintf(at, sizeof at, "%.*s/%.100s", (int)n, path, name);
        if (access(at, X_OK) < 0 || !realpath(at, full))
            continue;
        if (strncmp(full, "/usr/", 5) != 0 && strncmp(full, "/bin/", 5) != 0)
            snprintf(to, PATH_MAX, "%s", at);
        return; /* what the host itself would run */
    }
}

/* DIR of DIR/bin/PROGRAM. */
static void say_binding(const char *program, char *to, size_t room)
{
    const char *slash = strrchr(program, '/');
    size_t n = slash ? (size_t)(slash - program) : 0;
    if (n > 4 && strncmp(program + n - 4, "/bin", 4) == 0)
        snprintf(to, room, "--bind-toolchain %.*s", (int)(n - 4 < 500 ? n - 4 : 500),
                 program);
    else
        snprintf(to, room, "--bind-toolchain and the directory of its version");
}

static void tell_toolchain(struct report *r, const char *name, const char *path,
                           const char *version, bool local)
{
    char text[700], hidden[PATH_MAX], fix[700] = "";
    find_hidden(name, hidden);
    bool other = local && hidden[0] && strncmp(path, "/opt/toolchains/", 16) != 0;
    if (other)
        say_binding(hidden, fix, sizeof fix);
    snprintf(text, sizeof text, "%.120s (%.120s)%s%.300s", path, version,
             other ? ", not the host's " : "", other ? hidden : "");
    if (version[0]) {
        report_row(r, "toolchain", REPORT_OK, name, text, fix);
        return;
    }
    if (other) {
        report_row(r, "toolchain", REPORT_INFO, name,
                   "not seen inside: it is not below /usr", fix);
        return;
    }
    snprintf(text, sizeof text,
             local ? "apt-get install %s" : "install it inside (package %s)",
             strcmp(name, "node") == 0  ? "nodejs"
             : strcmp(name, "pip") == 0 ? "python3-pip"
                                        : name);
    report_row(r, "toolchain", REPORT_INFO, name,
               local ? "not seen inside: it is not below /usr" : "not in the image",
               text);
}

static void tell_toolchains(struct report *r, char *output, bool local)
{
    for (char *save, *row = strtok_r(output, "\n", &save); row;
         row = strtok_r(NULL, "\n", &save)) {
        char *path = strchr(row, '\t'), *version = path ? strchr(path + 1, '\t') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        if (version)
            *version++ = '\0';
        tell_toolchain(r, row, path, version ? version : "", local);
    }
}

static void tell_transparent(struct doctor *d, int found)
{
    struct report *r = &d->report;
    static const char name[] = "transparent network";
    if (found == TRANSPARENT)
        report_row(r, "sandbox", REPORT_OK, name,
                   "programs that know nothing of proxies reach every port", "");
    else if (found == TRANSPARENT_USUAL)
        report_row(r, "sandbox", REPORT_WEAKER, name,
                   "programs that know nothing of proxies reach ports 443, 80 and 22 "
                   "only: nftables cannot redirect here",
                   "modprobe -a nf_tables nft_chain_nat nft_redir");
    else
        report_row(r, "sandbox", REPORT_WEAKER, name,
                   d->level > 2
                       ? "not at this level: programs need the proxy variables"
                       : "this kernel has no local routes for it: programs need "
                         "the proxy variables",
                   "");
}

/* A sandbox as any client gets it: made, used, gone. */
static bool end_to_end(struct doctor *d, struct err *err)
{
    struct session s = {0};
    struct buf output;
    int code = 0, tools = 0, transparent = NOT_TRANSPARENT;
    uint64_t ran_us = 0, gone_us;
    buf_init(&output, OUTPUT_BYTES);
    bool local = !d->config.vercel;
    int rc = session_start(&s, d->backend, &d->config, err);
    if (rc == 0 && !local)
        rc = ask_account(d, &s, err);
    if (rc == 0)
        rc = session_open(&s, err);
    if (rc == 0) {
        uint64_t start = loop_now_us(s.loop);
        rc = session_run(&s, STR("true"), TIMEOUT_MS, NULL, &code, err);
        ran_us = loop_now_us(s.loop) - start;
    }
    if (rc == 0)
        rc = session_run(&s, STR(toolchain_script), TIMEOUT_MS, &output, &tools, err);
    if (rc == 0 && local)
        rc = session_run(&s, STR(transparent_script), TIMEOUT_MS, NULL, &transparent,
                         err);
    d->level = rc == 0 ? s.level : 0;
    char text[160];
    bool installs = s.installs;
    double made_ms = (double)s.opened_us / 1000;
    gone_us = session_close(&s);
    if (rc == 0 && buf_cstr(&output))
        tell_toolchains(&d->report, output.p, local);
    if (rc == 0) {
        snprintf(
            text, sizeof text,
            "made in %.1f ms, `true` ran in %.1f ms with status %d, gone in %.1f ms",
            made_ms, (double)ran_us / 1000, code, (double)gone_us / 1000);
        report_row(&d->report, "sandbox", code == 0 ? REPORT_OK : REPORT_MISSING,
                   "sandbox", text, "");
    }
    if (rc == 0 && local) {
        report_row(&d->report, "sandbox", installs ? REPORT_OK : REPORT_WEAKER,
                   "writable system",
                   installs
                       ? "apt-get install works inside and changes nothing outside"
                       : "/usr is read-only inside: pip and npm work, apt does not",
                   installs ? "" : "run it as root");
        tell_transparent(d, transparent);
    }
    buf_finish(&output);
    return rc == 0 && code == 0;
}

static void try_sandbox(struct doctor *d)
{
    struct err err;
    if (!end_to_end(d, &err)) {
        report_row(&d->report, "sandbox", REPORT_MISSING, "sandbox", err.msg,
                   err.remedy);
        return;
    }
    d->made = true;
    d->holds = d->config.vercel ||
               prove_protections(&d->report, d->backend, &d->config, d->places.guest);
}

static const char *verdict_text(const struct doctor *d)
{
    if (d->config.vercel)
        return d->made ? "Sandboxes are Vercel's microVMs."
                       : "No sandbox can be had from Vercel.";
    if (!d->made)
        return "A sandbox as configured cannot be had here.";
    if (!d->holds)
        return "A protection does not hold: do not run untrusted code here.";
    switch (d->level) {
    case 1:
        return "Level 1: full isolation and limits.";
    case 2:
        return "Level 2: isolated; limits without cgroups.";
    case 3:
        return "Level 3: isolated through bubblewrap; limits without cgroups.";
    default:
        return "Level 4: weak isolation, as it was asked for.";
    }
}

static void print_json(const struct doctor *d, const struct utsname *machine)
{
    struct buf text;
    struct json_writer w;
    buf_init(&text, 512 * 1024);
    jw_init(&w, &text);
    jw_object(&w);
    jw_key_cstr(&w, "version", SANDQUAY_VERSION);
    jw_key_cstr(&w, "kernel", machine->release);
    jw_key_cstr(&w, "machine", machine->machine);
    jw_key_bool(&w, "root", geteuid() == 0);
    jw_key_cstr(&w, "backend", d->config.vercel ? "vercel" : "local");
    jw_key_i64(&w, "level", d->level);
    if (d->config.require_level)
        jw_key_i64(&w, "requiredLevel", d->config.require_level);
    jw_key_bool(&w, "holds", d->holds);
    jw_key_cstr(&w, "verdict", verdict_text(d));
    jw_key(&w, "rows");
    jw_array(&w);
    jw_raw(&w, buf_str(&d->report.rows));
    jw_end_array(&w);
    jw_end_object(&w);
    printf("%.*s\n", STR_FMT(buf_str(&text)));
    buf_finish(&text);
}

static int examine(const struct options *o)
{
    struct doctor *d = mem_new(struct doctor);
    struct utsname machine = {0};
    struct err err;
    uname(&machine);
    if (places_find(&d->places, &err) < 0 ||
        serve_sandbox_config(o, &d->places, &d->backend, &d->config, &err) < 0) {
        mem_free(d);
        return verb_fail("doctor", &err, 1);
    }
    report_init(&d->report, o->json);
    if (!o->json)
        printf("sandquay %s, Linux %s on %s, as %s\n", SANDQUAY_VERSION,
               machine.release, machine.machine,
               geteuid() == 0 ? "root" : "an ordinary user");
    report_row(&d->report, "backend", REPORT_OK, "backend", d->config.backend_why, "");
    if (d->config.vercel) {
        tell_credentials(&d->report, d->config.vercel->credentials);
    } else {
        tell_probes(&d->report, probes, probe_count);
        tell_probes(&d->report, host_probes, host_probe_count);
    }
    try_sandbox(d);
    if (o->json)
        print_json(d, &machine);
    else
        printf("\n%s\n", verdict_text(d));
    int status = d->made && d->holds ? 0 : 1;
    report_finish(&d->report);
    mem_free(d);
    return status;
}

int doctor_main(int argc, char **argv)
{
    struct options o;
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
    return examine(&o);
}
