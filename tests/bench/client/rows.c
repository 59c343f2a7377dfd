#include "tests/bench/client/rows.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "tests/bench/client/network.h"
#include "tests/bench/client/peer.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    MIB = 1024 * 1024,
    WRITE_BYTES = 8 * MIB,
    READ_BYTES = MIB,
    LINE_MAX_BYTES = 32 * MIB,
    WINDOW = 64,
    BURST = 50,
};

bool bench_more(const struct bench *b, size_t done, size_t full, size_t quick)
{
    if (b->profile_s > 0)
        return clock_s() - b->started_s < b->profile_s;
    return done < (b->quick ? quick : full);
}

static bool with_floor(const struct bench *b)
{
    return b->profile_s <= 0;
}

static int start_ours(const struct bench *b, struct peer *p, struct err *err)
{
    const char *argv[] = {b->server, "serve", NULL};
    return peer_spawn(p, argv, b->verbose, err);
}

/* answer_bytes: how long its answers are; 0: as short as can be. */
static int start_floor(const struct bench *b, struct peer *p, size_t answer_bytes,
                       struct err *err)
{
    char size[32];
    snprintf(size, sizeof(size), "%zu", answer_bytes);
    const char *argv[] = {b->echo, size, NULL};
    return peer_spawn(p, argv, b->verbose, err);
}

int bench_open(const struct bench *b, struct peer *p, struct err *err)
{
    if (start_ours(b, p, err) < 0)
        return -1;
    return peer_initialize(p, true, err);
}

/* Sends the line and waits for its response; seconds that took. */
static int ask(struct peer *p, struct str line, struct str *ret_answer, double *ret_s,
               struct err *err)
{
    double start = clock_s();
    if (peer_send(p, line, err) < 0 || peer_response(p, ret_answer, err) < 0)
        return -1;
    *ret_s = clock_s() - start;
    return 0;
}

/* The same, checked to be a success that holds `want`. */
int bench_ask(struct peer *p, struct str line, struct str want, double *ret_s,
              struct err *err)
{
    struct str answer;
    if (ask(p, line, &answer, ret_s, err) < 0)
        return -1;
    return response_check(answer, want, err);
}

static int ask_floor(struct peer *p, struct str line, double *ret_s, struct err *err)
{
    struct str answer;
    return ask(p, line, &answer, ret_s, err);
}

void bench_begin_call(struct buf *line, unsigned id, const char *tool)
{
    buf_addf(line,
             "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"tools/call\",\"params\":{"
             "\"name\":\"%s\",\"arguments\":{",
             id, tool);
}

void bench_end_call(struct buf *line)
{
    buf_addz(line, "}}}\n");
}

void bench_command_line(struct buf *line, unsigned id, const char *command)
{
    buf_reset(line, LINE_MAX_BYTES);
    bench_begin_call(line, id, "execute_command");
    buf_addz(line, "\"command\":\"");
    json_escape(line, str_of(command));
    buf_addz(line, "\"");
    bench_end_call(line);
}

static int one_start(const struct bench *b, bool ours, double *ret_s, struct err *err)
{
    struct peer p = {0};
    struct str answer;
    double start = clock_s();
    int rc = ours ? start_ours(b, &p, err) : start_floor(b, &p, 0, err);
    if (rc == 0)
        rc = peer_send(&p, initialize_text(), err);
    if (rc == 0)
        rc = peer_response(&p, &answer, err);
    *ret_s = clock_s() - start;
    if (rc == 0 && ours)
        rc = response_check(answer, STR("\"protocolVersion\""), err);
    peer_finish(&p);
    return rc;
}

static int measure_init(const struct bench *b, struct measurement *m, struct err *err)
{
    enum { WARM_UP = 3 };
    double took;
    for (size_t i = 0; bench_more(b, i, WARM_UP + 100, WARM_UP + 40); i++) {
        if (with_floor(b)) {
            if (one_start(b, false, &took, err) < 0)
                return -1;
            if (i >= WARM_UP)
                sample_add(&m->main.floor, took * 1e3);
        }
        if (one_start(b, true, &took, err) < 0)
            return -1;
        if (i >= WARM_UP)
            sample_add(&m->main.ours, took * 1e3);
    }
    return 0;
}

/* VmRSS of a process in MB (10^6 bytes). */
int bench_resident_mb(pid_t pid, double *ret_mb, struct err *err)
{
    char path[64], text[8192];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, errno, "%s", path);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    fd_close(&fd);
    text[n > 0 ? n : 0] = '\0';
    const char *at = strstr(text, "VmRSS:");
    if (!at)
        return err_set(err, ERR_NOT_FOUND, "no VmRSS in %s", path);
    *ret_mb = strtod(at + sizeof("VmRSS:") - 1, NULL) * 1024 / 1e6;
    return 0;
}

static int one_memory(const struct bench *b, bool ours, double *ret_mb, struct err *err)
{
    struct str list = STR("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}\n");
    struct peer p = {0};
    double took;
    int rc = ours ? start_ours(b, &p, err) : start_floor(b, &p, 0, err);
    if (rc == 0)
        rc = peer_initialize(&p, ours, err);
    if (rc == 0)
        rc = ours ? bench_ask(&p, list, STR("\"execute_command\""), &took, err)
                  : ask_floor(&p, list, &took, err);
    if (rc == 0)
        rc = bench_resident_mb(p.pid, ret_mb, err);
    peer_finish(&p);
    return rc;
}

static int measure_memory(const struct bench *b, struct measurement *m, struct err *err)
{
    double mb;
    for (size_t i = 0; bench_more(b, i, 11, 3); i++) {
        if (with_floor(b)) {
            if (one_memory(b, false, &mb, err) < 0)
                return -1;
            sample_add(&m->main.floor, mb);
        }
        if (one_memory(b, true, &mb, err) < 0)
            return -1;
        sample_add(&m->main.ours, mb);
    }
    return 0;
}

static int ping_block(struct peer *p, bool ours, struct sample *s, struct err *err)
{
    enum { WARM_UP = 20, COUNT = 300 };
    for (unsigned i = 0; i < WARM_UP + COUNT; i++) {
        char text[96];
        int n =
            snprintf(text, sizeof(text),
                     "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"ping\"}\n", i + 1);
        struct str line = {text, (size_t)n};
        double took;
        if ((ours ? bench_ask(p, line, STR("\"result\""), &took, err)
                  : ask_floor(p, line, &took, err)) < 0)
            return -1;
        if (i >= WARM_UP)
            sample_add(s, took * 1e6);
    }
    return 0;
}

static int measure_ping(const struct bench *b, struct measurement *m, struct err *err)
{
    struct peer floor = {0}, ours = {0};
    int rc = start_floor(b, &floor, 0, err);
    if (rc == 0)
        rc = bench_open(b, &ours, err);
    for (size_t i = 0; rc == 0 && bench_more(b, i, 60, 15); i++) {
        if (with_floor(b))
            rc = ping_block(&floor, false, &m->main.floor, err);
        if (rc == 0)
            rc = ping_block(&ours, true, &m->main.ours, err);
    }
    peer_finish(&floor);
    peer_finish(&ours);
    return rc;
}

/* Pings with ids of one width, so that the k-th line starts at k * width. */
struct ping_text {
    char *p;
    size_t width, count;
};

static void ping_text_init(struct ping_text *t, size_t count)
{
    static const char format[] =
        "{\"jsonrpc\":\"2.0\",\"id\":%zu,\"method\":\"ping\"}\n";
    t->count = count;
    t->width = (size_t)snprintf(NULL, 0, format, (size_t)1000000);
    t->p = mem_alloc(count * t->width + 1);
    for (size_t i = 0; i < count; i++)
        snprintf(t->p + i * t->width, t->width + 1, format, 1000000 + i);
}

static size_t count_lines(struct str bytes)
{
    size_t lines = 0;
    for (ptrdiff_t at; (at = str_find(bytes, '\n')) >= 0; lines++)
        bytes = str_from(bytes, (size_t)at + 1);
    return lines;
}

/* All of the pings with WINDOW of them in flight; each answer makes room for the next.
 */
static int ping_window(struct peer *p, const struct ping_text *t, double *ret_s,
                       struct err *err)
{
    double start = clock_s();
    size_t sent = 0, answered = 0;
    struct str bytes = {0};
    while (answered < t->count) {
        size_t room = WINDOW - (sent - answered);
        size_t next = sent + room < t->count ? room : t->count - sent;
        struct str text = {t->p + sent * t->width, next * t->width};
        if (next > 0 && peer_send(p, text, err) < 0)
            return -1;
        sent += next;
        if (peer_read(p, &bytes, err) < 0)
            return -1;
        answered += count_lines(bytes);
    }
    *ret_s = clock_s() - start;
    if (answered != t->count || bytes.p[bytes.n - 1] != '\n')
        return err_set(err, ERR_PROTOCOL, "%zu answers to %zu pings", answered,
                       t->count);
    return memmem(bytes.p, bytes.n, "\"error\"", 7)
               ? err_set(err, ERR_PROTOCOL, "a ping was answered with an error")
               : 0;
}

static int measure_pings(const struct bench *b, struct measurement *m, struct err *err)
{
    struct peer floor = {0}, ours = {0};
    struct ping_text text;
    ping_text_init(&text, b->quick ? 20000 : 100000);
    double took;
    int rc = start_floor(b, &floor, 0, err);
    if (rc == 0)
        rc = bench_open(b, &ours, err);
    for (size_t i = 0; rc == 0 && bench_more(b, i, 21, 6); i++) {
        if (with_floor(b)) {
            rc = ping_window(&floor, &text, &took, err);
            if (rc == 0 && i > 0)
                sample_add(&m->main.floor, (double)text.count / took);
        }
        if (rc == 0)
            rc = ping_window(&ours, &text, &took, err);
        if (rc == 0 && i > 0)
            sample_add(&m->main.ours, (double)text.count / took);
    }
    mem_free(text.p);
    peer_finish(&floor);
    peer_finish(&ours);
    return rc;
}

static int one_bare(const char *command, double *ret_s, struct err *err)
{
    struct bare bare;
    double start = clock_s();
    if (bare_start(&bare, command, err) < 0 || bare_wait(&bare, err) < 0)
        return -1;
    *ret_s = clock_s() - start;
    return 0;
}

static int measure_execute(const struct bench *b, struct measurement *m,
                           struct err *err)
{
    enum { WARM_UP = 10 };
    struct peer ours = {0};
    struct buf line;
    buf_init(&line, LINE_MAX_BYTES);
    double took;
    int rc = bench_open(b, &ours, err);
    for (size_t i = 0; rc == 0 && bench_more(b, i, WARM_UP + 600, WARM_UP + 150); i++) {
        if (with_floor(b)) {
            rc = one_bare("true", &took, err);
            if (rc == 0 && i >= WARM_UP)
                sample_add(&m->main.floor, took * 1e3);
        }
        bench_command_line(&line, (unsigned)i + 1, "true");
        if (rc == 0)
            rc = bench_ask(&ours, buf_str(&line), STR("\"exitCode\":0"), &took, err);
        if (rc == 0 && i >= WARM_UP)
            sample_add(&m->main.ours, took * 1e3);
    }
    buf_finish(&line);
    peer_finish(&ours);
    return rc;
}

/* size_bytes of source code and JSON: newlines and quotes, about one escape in 16
 * bytes. */
static void mixed_text(struct buf *to, size_t size_bytes)
{
    uint32_t value = 1;
    while (to->n < size_bytes) {
        value = value * 1664525 + 1013904223;
        buf_addf(to, "    log_info(\"item %u of %%s has %%d parts\", name, %u);\n",
                 value % 1000, value >> 16);
        buf_addf(to, "{\"id\": %u, \"path\": \"src/part%u.c\", \"ok\": true}\n", value,
                 value >> 20);
        buf_addf(to, "The quick brown fox jumps over the lazy dog, %u times a day.\n",
                 value >> 8);
    }
    to->n = size_bytes;
}

/* size_bytes of one line without anything to escape. */
static void plain_text(struct buf *to, size_t size_bytes)
{
    while (to->n < size_bytes)
        buf_addz(to, "The quick brown fox jumps over the lazy dog. ");
    to->n = size_bytes;
}

static void write_line(struct buf *line, const char *path, struct str content)
{
    bench_begin_call(line, 7, "write_file");
    buf_addf(line, "\"path\":\"%s\",\"content\":\"", path);
    json_escape(line, content);
    buf_addz(line, "\"");
    bench_end_call(line);
}

/* Is the file in the sandbox what was written? By its bytes and lines, as wc counts
 * them. */
static int check_file(struct peer *p, const char *path, struct str content,
                      struct err *err)
{
    char command[128], want[64];
    struct buf line;
    buf_init(&line, LINE_MAX_BYTES);
    snprintf(command, sizeof(command), "echo $(wc -lc < %s)", path);
    snprintf(want, sizeof(want), "%zu %zu", count_lines(content), content.n);
    bench_command_line(&line, 8, command);
    double took;
    int rc = bench_ask(p, buf_str(&line), str_of(want), &took, err);
    buf_finish(&line);
    return rc;
}

/* Writes `content` again and again; the floor reads and drops the same line. */
static int writes(const struct bench *b, struct peer *ours, struct peer *floor,
                  const char *path, struct str content, struct figure *f,
                  struct err *err)
{
    enum { WARM_UP = 2 };
    struct buf line;
    buf_init(&line, LINE_MAX_BYTES);
    write_line(&line, path, content);
    double took, mb = (double)content.n / 1e6;
    int rc = 0;
    for (size_t i = 0; rc == 0 && bench_more(b, i, WARM_UP + 30, WARM_UP + 8); i++) {
        if (with_floor(b)) {
            rc = ask_floor(floor, buf_str(&line), &took, err);
            if (rc == 0 && i >= WARM_UP)
                sample_add(&f->floor, mb / took);
        }
        if (rc == 0)
            rc = bench_ask(ours, buf_str(&line), (struct str){0}, &took, err);
        if (rc == 0 && i >= WARM_UP)
            sample_add(&f->ours, mb / took);
    }
    buf_finish(&line);
    return rc == 0 ? check_file(ours, path, content, err) : -1;
}

static int measure_write(const struct bench *b, struct measurement *m, struct err *err)
{
    struct peer floor = {0}, ours = {0};
    struct buf mixed, plain;
    buf_init(&mixed, 2 * WRITE_BYTES);
    buf_init(&plain, 2 * WRITE_BYTES);
    mixed_text(&mixed, WRITE_BYTES);
    plain_text(&plain, WRITE_BYTES);
    m->beside[0].label = "the same, plain ASCII without escapes";
    int rc = start_floor(b, &floor, 0, err);
    if (rc == 0)
        rc = bench_open(b, &ours, err);
    if (rc == 0)
        rc = writes(b, &ours, &floor, "mixed.txt", buf_str(&mixed), &m->main, err);
    if (rc == 0 && with_floor(b))
        rc = writes(b, &ours, &floor, "plain.txt", buf_str(&plain), &m->beside[0], err);
    buf_finish(&mixed);
    buf_finish(&plain);
    peer_finish(&floor);
    peer_finish(&ours);
    return rc;
}

/* Writes the file once, then reads it whole again and again. The floor's answers are as
 * long as our own, so both move the same bytes through the pipe. */
static int reads(const struct bench *b, struct peer *ours, const char *path,
                 struct str content, struct figure *f, struct err *err)
{
    enum { WARM_UP = 5 };
    struct peer floor = {0};
    struct buf line;
    buf_init(&line, LINE_MAX_BYTES);
    write_line(&line, path, content);
    double took, mb = (double)content.n / 1e6;
    int rc = bench_ask(ours, buf_str(&line), (struct str){0}, &took, err);
    buf_reset(&line, LINE_MAX_BYTES);
    bench_begin_call(&line, 9, "read_file");
    buf_addf(&line, "\"path\":\"%s\",\"maxBytes\":%d", path, READ_BYTES);
    bench_end_call(&line);
    struct str answer;
    if (rc == 0)
        rc = ask(ours, buf_str(&line), &answer, &took, err);
    if (rc == 0 && answer.n < content.n)
        rc = err_set(err, ERR_PROTOCOL, "read_file answered %zu bytes, %.*s", answer.n,
                     (int)(answer.n < 150 ? answer.n : 150), answer.p);
    if (rc == 0 && with_floor(b))
        rc = start_floor(b, &floor, answer.n + 1, err);
    for (size_t i = 0; rc == 0 && bench_more(b, i, WARM_UP + 200, WARM_UP + 50); i++) {
        if (with_floor(b)) {
            rc = ask_floor(&floor, buf_str(&line), &took, err);
            if (rc == 0 && i >= WARM_UP)
                sample_add(&f->floor, mb / took);
        }
        if (rc == 0)
            rc = bench_ask(ours, buf_str(&line), (struct str){0}, &took, err);
        if (rc == 0 && i >= WARM_UP)
            sample_add(&f->ours, mb / took);
    }
    buf_finish(&line);
    peer_finish(&floor);
    return rc;
}

static int measure_read(const struct bench *b, struct measurement *m, struct err *err)
{
    struct peer ours = {0};
    struct buf mixed, plain;
    buf_init(&mixed, 2 * READ_BYTES);
    buf_init(&plain, 2 * READ_BYTES);
    mixed_text(&mixed, READ_BYTES);
    plain_text(&plain, READ_BYTES);
    m->beside[0].label = "the same, plain ASCII without escapes";
    int rc = bench_open(b, &ours, err);
    if (rc == 0)
        rc = reads(b, &ours, "mixed.txt", buf_str(&mixed), &m->main, err);
    if (rc == 0 && with_floor(b))
        rc = reads(b, &ours, "plain.txt", buf_str(&plain), &m->beside[0], err);
    buf_finish(&mixed);
    buf_finish(&plain);
    peer_finish(&ours);
    return rc;
}

static int bare_burst(double *ret_s, struct err *err)
{
    struct bare bare[BURST];
    size_t started = 0;
    double start = clock_s();
    int rc = 0;
    while (rc == 0 && started < BURST) {
        rc = bare_start(&bare[started], "sleep 0.2", err);
        started += rc == 0;
    }
    for (size_t i = 0; i < started; i++)
        if (bare_wait(&bare[i], err) < 0)
            rc = -1;
    *ret_s = clock_s() - start;
    return rc;
}

static int our_burst(struct peer *p, struct str lines, double *ret_s, struct err *err)
{
    double start = clock_s();
    if (peer_send(p, lines, err) < 0)
        return -1;
    for (size_t i = 0; i < BURST; i++) {
        struct str answer;
        if (peer_response(p, &answer, err) < 0 ||
            response_check(answer, STR("\"exitCode\":0"), err) < 0)
            return -1;
    }
    *ret_s = clock_s() - start;
    return 0;
}

static int measure_burst(const struct bench *b, struct measurement *m, struct err *err)
{
    struct peer ours = {0};
    struct buf line, lines;
    buf_init(&line, LINE_MAX_BYTES);
    buf_init(&lines, LINE_MAX_BYTES);
    for (unsigned i = 0; i < BURST; i++) {
        bench_command_line(&line, i + 1, "sleep 0.2");
        buf_adds(&lines, buf_str(&line));
    }
    double took;
    int rc = bench_open(b, &ours, err);
    for (size_t i = 0; rc == 0 && bench_more(b, i, 16, 6); i++) {
        if (with_floor(b)) {
            rc = bare_burst(&took, err);
            if (rc == 0 && i > 0)
                sample_add(&m->main.floor, took * 1e3);
        }
        if (rc == 0)
            rc = our_burst(&ours, buf_str(&lines), &took, err);
        if (rc == 0 && i > 0)
            sample_add(&m->main.ours, took * 1e3);
    }
    buf_finish(&line);
    buf_finish(&lines);
    peer_finish(&ours);
    return rc;
}

static void wait_s(double seconds)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)(seconds * 1e9)}, NULL);
}

/* Closes the peer's stdin (at *ret_start_s) and waits until it has exited. */
static int close_and_reap(struct peer *p, double *ret_start_s, struct err *err)
{
    int status;
    wait_s(0.005); /* let it come to rest */
    *ret_start_s = clock_s();
    fd_close(&p->in);
    if (waitpid(p->pid, &status, 0) < 0)
        return err_sys(err, errno, "waitpid");
    p->pid = 0;
    return status == 0 ? 0
                       : err_set(err, ERR_PROTOCOL, "the server ended with status %#x",
                                 (unsigned)status);
}

enum idle_kind { IDLE_FLOOR, IDLE_FRESH, IDLE_AFTER_COMMAND };

static int one_idle(const struct bench *b, enum idle_kind kind, double *ret_s,
                    struct err *err)
{
    struct peer p = {0};
    struct buf line;
    buf_init(&line, LINE_MAX_BYTES);
    bench_command_line(&line, 1, "true");
    int rc = kind == IDLE_FLOOR ? start_floor(b, &p, 0, err) : start_ours(b, &p, err);
    if (rc == 0)
        rc = peer_initialize(&p, kind != IDLE_FLOOR, err);
    if (rc == 0 && kind == IDLE_AFTER_COMMAND)
        rc = bench_ask(&p, buf_str(&line), STR("\"exitCode\":0"), ret_s, err);
    double start = 0;
    if (rc == 0)
        rc = close_and_reap(&p, &start, err);
    *ret_s = clock_s() - start;
    buf_finish(&line);
    peer_finish(&p);
    return rc;
}

static int measure_idle_exit(const struct bench *b, struct measurement *m,
                             struct err *err)
{
    double took;
    m->beside[0].label = "the same after a command, with its sandbox alive";
    for (size_t i = 0; bench_more(b, i, 51, 11); i++) {
        if (with_floor(b)) {
            if (one_idle(b, IDLE_FLOOR, &took, err) < 0)
                return -1;
            sample_add(&m->main.floor, took * 1e3);
            if (one_idle(b, IDLE_AFTER_COMMAND, &took, err) < 0)
                return -1;
            sample_add(&m->beside[0].ours, took * 1e3);
        }
        if (one_idle(b, IDLE_FRESH, &took, err) < 0)
            return -1;
        sample_add(&m->main.ours, took * 1e3);
    }
    return 0;
}

/* How many processes run `sleep` with this argument; kills them if asked to. */
static size_t sleepers(const char *argument, bool end_them)
{
    size_t found = 0;
    char want[64], path[300], text[128];
    int want_bytes = snprintf(want, sizeof(want), "sleep%c%s", '\0', argument) + 1;
    DIR *list = opendir("/proc");
    for (struct dirent *entry; list && (entry = readdir(list));) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
        fd_close(&fd);
        if (n != want_bytes || memcmp(text, want, (size_t)n) != 0)
            continue;
        found++;
        if (end_them)
            kill((pid_t)strtol(entry->d_name, NULL, 10), SIGKILL);
    }
    if (list)
        closedir(list);
    return found;
}

static int await_sleepers(const char *argument, size_t count, struct err *err)
{
    enum { PATIENCE_S = 10 };
    double start = clock_s();
    while (sleepers(argument, false) < count) {
        if (clock_s() - start > PATIENCE_S)
            return err_set(err, ERR_TIMEOUT, "the command did not start");
        wait_s(0.002);
    }
    return 0;
}

/* Reaps what is left of the server for up to `patience_s`: this process is the
 * subreaper of its descendants, so having no child is the proof that every one of them
 * is dead. */
static bool reap_all(double patience_s)
{
    double start = clock_s();
    for (;;) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid < 0 && errno == ECHILD)
            return true;
        if (clock_s() - start > patience_s)
            return false;
        if (pid == 0)
            wait_s(0.0001);
    }
}

static int await_nothing_left(const char *argument, struct err *err)
{
    if (reap_all(10))
        return 0;
    size_t left = sleepers(argument, true);
    reap_all(1);
    return err_set(err, ERR_PROTOCOL, "%zu processes of the command left behind", left);
}

static int one_busy(const struct bench *b, unsigned number, double *ret_s,
                    struct err *err)
{
    char argument[32], command[128];
    snprintf(argument, sizeof(argument), "3600.%d%04u", (int)getpid(), number % 10000);
    snprintf(command, sizeof(command), "setsid sleep %s & sleep %s", argument,
             argument);
    struct peer p = {0};
    struct buf line;
    buf_init(&line, LINE_MAX_BYTES);
    bench_command_line(&line, 1, command);
    int rc = bench_open(b, &p, err);
    if (rc == 0)
        rc = peer_send(&p, buf_str(&line), err);
    if (rc == 0)
        rc = await_sleepers(argument, 2, err);
    double start = 0;
    if (rc == 0)
        rc = close_and_reap(&p, &start, err);
    if (rc == 0)
        rc = await_nothing_left(argument, err);
    *ret_s = clock_s() - start;
    buf_finish(&line);
    peer_finish(&p);
    return rc;
}

static int measure_busy_exit(const struct bench *b, struct measurement *m,
                             struct err *err)
{
    double took;
    unsigned number = 0;
    for (size_t i = 0; bench_more(b, i, 31, 7); i++) {
        if (one_busy(b, number++, &took, err) < 0)
            return -1;
        sample_add(&m->main.ours, took * 1e3);
    }
    return 0;
}

const struct row rows[] = {
    {"init", "exec -> initialize answered, ms", TARGET_AT_MOST, 2.0, 0.97, 2,
     measure_init},
    {"memory", "idle memory (VmRSS), MB", TARGET_AT_MOST, 4, 1.2, 1, measure_memory},
    {"ping", "ping, p50 us (one at a time)", TARGET_AT_MOST, 12, 7.2, 1, measure_ping},
    {"pings", "pings per second, window 64", TARGET_AT_LEAST, 500e3, 3.06e6, 0,
     measure_pings},
    {"execute", "`execute_command true`, ms", TARGET_RATIO_AT_MOST, 1.15, 0.79, 2,
     measure_execute},
    {"write", "write_file of 8 MiB, MB/s", TARGET_AT_LEAST, 400, 0, 0, measure_write},
    {"read", "read_file of 1 MiB, MB/s", TARGET_AT_LEAST, 800, 0, 0, measure_read},
    {"burst", "50 commands `sleep 0.2` at once, ms", TARGET_AT_MOST, 215, 200, 0,
     measure_burst},
    {"create", "sandbox created, none kept ready, ms", TARGET_AT_MOST, 2.5, 0, 2,
     measure_create},
    {"create-first", "the same and its first command, ms", TARGET_AT_MOST, 3.5, 0, 2,
     measure_create_first},
    {"create-ready", "the same with one kept ready, over a plain command, ms",
     TARGET_AT_MOST, 0.3, 0, 2, measure_create_ready},
    {"destroy", "sandbox deleted, all of it gone, ms", TARGET_AT_MOST, 0.5, 0, 2,
     measure_destroy},
    {"hundred", "100 sandboxes created at once, ms", TARGET_AT_MOST, 400, 0, 0,
     measure_hundred},
    {"sandbox-memory", "memory of an idle sandbox (VmRSS of its guest), MB",
     TARGET_AT_MOST, 1.5, 0, 2, measure_sandbox_memory},
    {"snapshot", "snapshot of a stopped sandbox, ms", TARGET_AT_MOST, 1, 0, 2,
     measure_snapshot},
    {"exit-idle", "stdin closed, idle -> exited, ms", TARGET_AT_MOST, 2, 0.4, 2,
     measure_idle_exit},
    {"exit-busy", "stdin closed while a command runs -> exited and nothing left, ms",
     TARGET_AT_MOST, 20, 0, 1, measure_busy_exit},
    {"python", "`python3 -c pass`, inside over outside, ms", TARGET_RATIO_AT_MOST, 1.05,
     0, 1, measure_python},
    {"node", "`node -e 1`, inside over outside, ms", TARGET_RATIO_AT_MOST, 1.05, 0, 1,
     measure_node},
    {"untar", "4,000 files out of a tar, inside over outside, ms", TARGET_RATIO_AT_MOST,
     1.05, 0, 1, measure_untar},
    {"compile", "a C file compiled, inside over outside, ms", TARGET_RATIO_AT_MOST,
     1.05, 0, 1, measure_compile},
    {"egress", "connect through the egress proxy and one byte, ms", TARGET_AT_MOST, 0.3,
     0.1, 3, measure_egress_connect},
    {"flow", "... throughput, MiB/s", TARGET_AT_LEAST, 500, 1200, 0,
     measure_egress_flow},
    {"port", "host -> port inside, connect and one byte, ms", TARGET_AT_MOST, 0.2, 0.1,
     3, measure_port},
};
const size_t row_count = sizeof(rows) / sizeof(*rows);
