#include "tests/bench/client/network.h"
#include "base/base64.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/json_write.h"
#include "tests/bench/client/peer.h"
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_BYTES = 8 * 1024 * 1024, PROXY = 3128, INSIDE = 8123, FLOW_MIB = 256 };

#define PROGRAM "/tmp/bench_net"

/* A server with a sandbox that has our program, and our program serving outside. */
struct place {
    struct peer server;
    char program[PATH_MAX], port[16];
    pid_t outside;
    unsigned last_id;
};

/* Calls a tool; its structuredContent, parsed into *a. */
static int call(struct place *p, const char *tool, struct str args, struct arena *a,
                struct json *ret_content, struct err *err)
{
    struct buf line;
    struct str answer;
    struct json_doc *doc = arena_alloc(a, sizeof *doc);
    buf_init(&line, LINE_BYTES);
    buf_addf(&line,
             "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"tools/call\",\"params\":"
             "{\"name\":\"%s\",\"arguments\":%.*s}}\n",
             ++p->last_id, tool, STR_FMT(args));
    int rc = peer_send(&p->server, buf_str(&line), err);
    if (rc == 0)
        rc = peer_response(&p->server, &answer, err);
    if (rc == 0)
        rc = json_parse(doc, a, arena_dup(a, answer), err);
    buf_finish(&line);
    if (rc < 0)
        return -1;
    *ret_content = json_pointer(json_root(doc), "/result/structuredContent");
    if (!json_present(*ret_content))
        return err_set(err, ERR_PROTOCOL, "%s: %.100s", tool, answer.p);
    return 0;
}

static int run_inside(struct place *p, const char *command, bool background,
                      struct arena *a, struct str *ret_stdout, struct err *err)
{
    struct json content;
    struct buf args;
    buf_init(&args, 4096);
    buf_addf(&args,
             "{\"command\":\"%s\",\"timeoutMs\":60000,\"maxOutputBytes\":262144%s}",
             command, background ? ",\"background\":true" : "");
    int rc = call(p, "execute_command", buf_str(&args), a, &content, err);
    buf_finish(&args);
    if (rc == 0)
        *ret_stdout = json_str(json_get(content, STR("stdout")), a);
    return rc;
}

static int read_program(const char *path, struct buf *bytes, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 1;
    buf_init(bytes, LINE_BYTES / 2);
    while (fd >= 0 && n > 0) {
        char *to = buf_reserve(bytes, 65536);
        n = to ? read(fd, to, 65536) : -1;
        bytes->n += n > 0 ? (size_t)n : 0;
    }
    fd_close(&fd);
    return bytes->n ? 0 : err_set(err, ERR_IO, "%s cannot be read", path);
}

static int bring_program(struct place *p, struct arena *a, struct err *err)
{
    struct buf bytes, args;
    struct json content;
    struct str out;
    if (read_program(p->program, &bytes, err) < 0)
        return -1;
    buf_init(&args, LINE_BYTES);
    buf_addz(&args, "{\"path\":\"" PROGRAM "\",\"encoding\":\"base64\",\"content\":\"");
    base64_encode(&args, buf_str(&bytes));
    buf_addz(&args, "\"}");
    struct err ignored; /* it has no structured answer; the next step tells */
    call(p, "write_file", buf_str(&args), a, &content, &ignored);
    buf_finish(&bytes);
    buf_finish(&args);
    return run_inside(p, "chmod 755 " PROGRAM, false, a, &out, err);
}

/* Starts our program; its first line is its port. */
static int serve_outside(struct place *p, struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_set(err, ERR_IO, "pipe");
    p->outside = fork();
    if (p->outside == 0) {
        dup2(ends[1], 1);
        execl(p->program, p->program, "serve", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    ssize_t n = read(ends[0], p->port, sizeof p->port - 1);
    close(ends[0]);
    p->port[n > 0 ? n : 0] = '\0';
    p->port[strcspn(p->port, "\n")] = '\0';
    return n > 0 ? 0 : err_set(err, ERR_IO, "%s does not serve", p->program);
}

static int place_open(struct place *p, const struct bench *b, struct arena *a,
                      struct err *err)
{
    const char *argv[] = {b->server,    "serve",   "--network", "127.0.0.1",
                          "--toolsets", "network", NULL};
    const char *slash = strrchr(b->echo, '/');
    *p = (struct place){.last_id = 100};
    snprintf(p->program, sizeof p->program, "%.*sbench_net",
             slash ? (int)(slash + 1 - b->echo) : 0, b->echo);
    if (serve_outside(p, err) < 0 ||
        peer_spawn(&p->server, argv, b->verbose, err) < 0 ||
        peer_initialize(&p->server, true, err) < 0)
        return -1;
    return bring_program(p, a, err);
}

static void place_close(struct place *p, struct arena *a)
{
    if (p->outside > 0) {
        kill(p->outside, SIGKILL);
        waitpid(p->outside, NULL, 0);
    }
    peer_finish(&p->server);
    arena_finish(a);
}

static void take_numbers(struct str text, double factor, struct sample *s)
{
    while (text.n) {
        ptrdiff_t end = str_find(text, '\n');
        char line[32];
        size_t n = end < 0 ? text.n : (size_t)end;
        snprintf(line, sizeof line, "%.*s", (int)n, text.p);
        if (n)
            sample_add(s, strtod(line, NULL) * factor);
        text = str_from(text, n + 1);
    }
}

/* The same outside, as a bare child. */
static int run_outside(const char *command, double factor, struct sample *s,
                       struct err *err)
{
    char text[65536];
    size_t n = 0;
    FILE *pipe = popen(command, "r"); /* a test's own: no shell of a user's */
    if (!pipe)
        return err_set(err, ERR_IO, "popen");
    n = fread(text, 1, sizeof text, pipe);
    int status = pclose(pipe);
    take_numbers((struct str){text, n}, factor, s);
    return status == 0 ? 0 : err_set(err, ERR_IO, "%s: status %d", command, status);
}

static bool more(const struct bench *b, size_t done, size_t full, size_t quick)
{
    if (b->profile_s > 0)
        return clock_s() - b->started_s < b->profile_s;
    return done < (b->quick ? quick : full);
}

static int measure_pair(const struct bench *b, struct place *p, const char *inside,
                        const char *outside, double factor, struct measurement *m,
                        struct err *err)
{
    for (size_t i = 0; more(b, i, 15, 5); i++) {
        struct arena a = {0};
        struct str out;
        int rc =
            b->profile_s > 0 ? 0 : run_outside(outside, factor, &m->main.floor, err);
        if (rc == 0)
            rc = run_inside(p, inside, false, &a, &out, err);
        if (rc == 0)
            take_numbers(out, factor, &m->main.ours);
        arena_finish(&a);
        if (rc < 0)
            return -1;
    }
    return 0;
}

static int measure_inside_out(const struct bench *b, const char *what, int amount,
                              double factor, struct measurement *m, struct err *err)
{
    struct place p;
    struct arena a = {0};
    char inside[200], outside[PATH_MAX + 100];
    int rc = place_open(&p, b, &a, err);
    if (rc == 0) {
        snprintf(inside, sizeof inside, PROGRAM " %s %s %d %d", what, p.port, amount,
                 PROXY);
        snprintf(outside, sizeof outside, "%s %s %s %d", p.program, what, p.port,
                 amount);
        rc = measure_pair(b, &p, inside, outside, factor, m, err);
    }
    place_close(&p, &a);
    return rc;
}

int measure_egress_connect(const struct bench *b, struct measurement *m,
                           struct err *err)
{
    return measure_inside_out(b, "connect", 40, 1e3, m, err);
}

int measure_egress_flow(const struct bench *b, struct measurement *m, struct err *err)
{
    return measure_inside_out(b, "flow", FLOW_MIB, 1, m, err);
}

/* The floor: the same connection to the program outside. */
static int visit(const struct bench *b, struct place *p, struct str url,
                 struct measurement *m, struct err *err)
{
    char command[PATH_MAX + 200];
    const char *port = memmem(url.p, url.n, "1:", 2);
    const char *token = memmem(url.p, url.n, "=", 1);
    if (!port || !token)
        return err_set(err, ERR_PROTOCOL, "no URL of a port");
    for (size_t i = 0; more(b, i, 15, 5); i++) {
        snprintf(command, sizeof command, "%s visit %ld %.*s 40", p->program,
                 strtol(port + 2, NULL, 10), (int)(url.p + url.n - token - 1),
                 token + 1);
        if (run_outside(command, 1e3, &m->main.ours, err) < 0)
            return -1;
        snprintf(command, sizeof command, "%s connect %s 40", p->program, p->port);
        if (b->profile_s <= 0 && run_outside(command, 1e3, &m->main.floor, err) < 0)
            return -1;
    }
    return 0;
}

int measure_port(const struct bench *b, struct measurement *m, struct err *err)
{
    struct place p;
    struct arena a = {0};
    struct json content;
    struct str out;
    char command[100], args[50];
    snprintf(command, sizeof command, PROGRAM " serve %d", INSIDE);
    snprintf(args, sizeof args, "{\"port\":%d}", INSIDE);
    int rc = place_open(&p, b, &a, err);
    if (rc == 0)
        rc = run_inside(&p, command, true, &a, &out, err);
    if (rc == 0) /* until it listens */
        rc = run_inside(&p, "until " PROGRAM " connect 8123 1; do :; done 2> /dev/null",
                        false, &a, &out, err);
    if (rc == 0)
        rc = call(&p, "expose_port", str_of(args), &a, &content, err);
    if (rc == 0)
        rc = visit(b, &p, json_str(json_get(content, STR("url")), &a), m, err);
    place_close(&p, &a);
    return rc;
}
