/* Sandboxes as such: made, taken from those that are ready, deleted, many at once. */
#include "base/fd.h"
#include "tests/bench/client/peer.h"
#include "tests/bench/client/rows.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 64 * 1024, NAME_BYTES = 64, WARM_UP = 5, READY_MS = 200 };

struct session {
    struct peer server;
    struct buf line;
    unsigned id;
    char name[NAME_BYTES]; /* of the sandbox in hand */
};

static int begin(const struct bench *b, struct session *s, struct err *err)
{
    double took;
    *s = (struct session){0};
    buf_init(&s->line, LINE_BYTES);
    if (bench_open(b, &s->server, err) < 0)
        return -1;
    bench_command_line(&s->line, ++s->id, "true"); /* the helper runs from now on */
    return bench_ask(&s->server, buf_str(&s->line), STR("\"exitCode\":0"), &took, err);
}

static void end(struct session *s)
{
    buf_finish(&s->line);
    peer_finish(&s->server);
}

static int call(struct session *s, const char *tool, const char *arguments,
                struct str want, double *ret_s, struct err *err)
{
    buf_reset(&s->line, LINE_BYTES);
    bench_begin_call(&s->line, ++s->id, tool);
    buf_addz(&s->line, arguments);
    bench_end_call(&s->line);
    return bench_ask(&s->server, buf_str(&s->line), want, ret_s, err);
}

/* special: none that is kept ready is what it asks for. */
static int create(struct session *s, bool special, double *ret_s, struct err *err)
{
    struct str answer;
    buf_reset(&s->line, LINE_BYTES);
    bench_begin_call(&s->line, ++s->id, "sandbox_create");
    buf_addz(&s->line, special ? "\"pids\":511" : "");
    bench_end_call(&s->line);
    double start = clock_s();
    if (peer_send(&s->server, buf_str(&s->line), err) < 0 ||
        peer_response(&s->server, &answer, err) < 0)
        return -1;
    *ret_s = clock_s() - start;
    static const char key[] = "\"structuredContent\":{\"sandbox\":\"";
    const char *at = memmem(answer.p, answer.n, key, sizeof key - 1);
    if (!at)
        return err_set(err, ERR_PROTOCOL, "no sandbox was made: %.*s",
                       (int)(answer.n < 150 ? answer.n : 150), answer.p);
    at += sizeof key - 1;
    size_t n = (size_t)(answer.p + answer.n - at), length = 0;
    while (length < n && length < NAME_BYTES - 1 && at[length] != '"')
        length++;
    snprintf(s->name, sizeof s->name, "%.*s", (int)length, at);
    return 0;
}

static int run(struct session *s, double *ret_s, struct err *err)
{
    char arguments[200];
    snprintf(arguments, sizeof arguments, "\"command\":\"true\",\"sandbox\":\"%s\"",
             s->name);
    return call(s, "execute_command", arguments, STR("\"exitCode\":0"), ret_s, err);
}

static int delete (struct session *s, double *ret_s, struct err *err)
{
    char arguments[200];
    snprintf(arguments, sizeof arguments, "\"sandbox\":\"%s\",\"delete\":true",
             s->name);
    return call(s, "sandbox_stop", arguments, STR("deleted"), ret_s, err);
}

enum part { PART_CREATE, PART_FIRST, PART_DESTROY };

static int measure_part(const struct bench *b, struct measurement *m, enum part part,
                        struct err *err)
{
    struct session s;
    int rc = begin(b, &s, err);
    for (size_t i = 0; rc == 0 && bench_more(b, i, WARM_UP + 200, WARM_UP + 50); i++) {
        double made, first = 0, gone;
        rc = create(&s, true, &made, err);
        if (rc == 0 && part == PART_FIRST)
            rc = run(&s, &first, err);
        if (rc == 0)
            rc = delete (&s, &gone, err);
        if (rc == 0 && i >= WARM_UP)
            sample_add(&m->main.ours,
                       1e3 * (part == PART_DESTROY ? gone : made + first));
    }
    end(&s);
    return rc;
}

int measure_create(const struct bench *b, struct measurement *m, struct err *err)
{
    return measure_part(b, m, PART_CREATE, err);
}

int measure_create_first(const struct bench *b, struct measurement *m, struct err *err)
{
    return measure_part(b, m, PART_FIRST, err);
}

int measure_destroy(const struct bench *b, struct measurement *m, struct err *err)
{
    return measure_part(b, m, PART_DESTROY, err);
}

/* Creation and first command, less a command in a sandbox that has run one. */
int measure_create_ready(const struct bench *b, struct measurement *m, struct err *err)
{
    struct session s;
    int rc = begin(b, &s, err);
    for (size_t i = 0; rc == 0 && bench_more(b, i, 60, 20); i++) {
        double woken, made, first, plain, gone;
        poll(NULL, 0, READY_MS); /* until one is ready again */
        /* all are awake, as they are for the plain command */
        rc = call(&s, "sandbox_list", "", STR("sandboxes"), &woken, err);
        if (rc == 0)
            rc = create(&s, false, &made, err);
        if (rc == 0)
            rc = run(&s, &first, err);
        if (rc == 0)
            rc = run(&s, &plain, err);
        if (rc == 0)
            rc = delete (&s, &gone, err);
        if (rc == 0)
            sample_add(&m->main.ours, 1e3 * (made + first - plain));
    }
    end(&s);
    return rc;
}

static int one_hundred(const struct bench *b, double *ret_s, struct err *err)
{
    enum { COUNT = 100 };
    const char *argv[] = {b->server, "serve", "--max-sandboxes", "200", NULL};
    struct peer p = {0};
    struct buf text;
    struct str answer;
    buf_init(&text, LINE_BYTES);
    int rc = peer_spawn(&p, argv, b->verbose, err);
    if (rc == 0)
        rc = peer_initialize(&p, true, err);
    for (unsigned i = 0; i < COUNT; i++) {
        bench_begin_call(&text, i + 1, "sandbox_create");
        bench_end_call(&text);
    }
    double start = clock_s();
    if (rc == 0)
        rc = peer_send(&p, buf_str(&text), err);
    for (unsigned i = 0; i < COUNT && rc == 0; i++) {
        rc = peer_response(&p, &answer, err);
        if (rc == 0)
            rc = response_check(answer, STR("running"), err);
    }
    *ret_s = clock_s() - start;
    buf_finish(&text);
    peer_finish(&p);
    return rc;
}

int measure_hundred(const struct bench *b, struct measurement *m, struct err *err)
{
    for (size_t i = 0; bench_more(b, i, 11, 3); i++) {
        double took;
        if (one_hundred(b, &took, err) < 0)
            return -1;
        sample_add(&m->main.ours, took * 1e3);
    }
    return 0;
}

/* The last child of a process; 0: none. */
static pid_t last_child(pid_t pid)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    fd_close(&fd);
    text[n > 0 ? n : 0] = '\0';
    pid_t last = 0;
    char *p = text;
    for (long value; (value = strtol(p, &p, 10)) > 0;)
        last = (pid_t)value;
    return last;
}

int measure_sandbox_memory(const struct bench *b, struct measurement *m,
                           struct err *err)
{
    for (size_t i = 0; bench_more(b, i, 11, 3); i++) {
        struct session s;
        double mb;
        int rc = begin(b, &s, err);
        pid_t guest = rc < 0 ? 0 : last_child(last_child(s.server.pid));
        if (rc == 0 && guest == 0)
            rc = err_set(err, ERR_NOT_FOUND, "the sandbox's first process");
        if (rc == 0)
            rc = bench_resident_mb(guest, &mb, err);
        end(&s);
        if (rc < 0)
            return -1;
        sample_add(&m->main.ours, mb);
    }
    return 0;
}

static int one_snapshot(struct session *s, double *ret_s, struct err *err)
{
    char arguments[200];
    double took;
    snprintf(s->name, sizeof s->name, "bench-%u", s->id);
    snprintf(arguments, sizeof arguments, "\"name\":\"%s\"", s->name);
    int rc = call(s, "sandbox_create", arguments, STR("running"), &took, err);
    snprintf(arguments, sizeof arguments, "\"sandbox\":\"%s\"", s->name);
    if (rc == 0)
        rc = call(s, "sandbox_stop", arguments, STR("stopped"), &took, err);
    if (rc == 0)
        rc = call(s, "sandbox_snapshot", arguments, STR("snap_"), ret_s, err);
    if (rc == 0)
        rc = delete (s, &took, err);
    return rc;
}

/* In a state directory of its own. */
int measure_snapshot(const struct bench *b, struct measurement *m, struct err *err)
{
    const char *argv[] = {b->server, "serve", "--toolsets", "lifecycle", NULL};
    char state[] = "/tmp/sq-bench-XXXXXX", command[100];
    struct session s = {0};
    if (!mkdtemp(state))
        return err_set(err, ERR_IO, "no directory for the state");
    setenv("XDG_STATE_HOME", state, 1);
    buf_init(&s.line, LINE_BYTES);
    int rc = peer_spawn(&s.server, argv, b->verbose, err);
    if (rc == 0)
        rc = peer_initialize(&s.server, true, err);
    for (size_t i = 0; rc == 0 && bench_more(b, i, WARM_UP + 50, WARM_UP + 15); i++) {
        double took;
        rc = one_snapshot(&s, &took, err);
        if (rc == 0 && i >= WARM_UP)
            sample_add(&m->main.ours, took * 1e3);
    }
    end(&s);
    unsetenv("XDG_STATE_HOME");
    struct bare bare;
    struct err ignored;
    snprintf(command, sizeof command, "rm -rf %s", state);
    if (bare_start(&bare, command, &ignored) == 0)
        bare_wait(&bare, &ignored);
    return rc;
}
