/* Figures of servers over the network, floor, peer and ours in one run:
 *
 *     bench_network FLOOR -- [PEER ARGUMENTS...] -- OURS ARGUMENTS...
 *
 * Client and server share one core for what is asked one at a time; both protocols are
 * written by hand here, so that the client costs little. */
#include "tests/bench/network/channel.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    ROUNDS = 20000,
    MANY = 50,
    SECONDS = 2,
    TURNS = 3, /* of each server, one after the other */
    IDLE = 10000,
    MODERN_MAX = 1024,
    BIG = 4 * 1024 * 1024,
    BIG_ROUNDS = 40,
    TICK_US = 10000,
};
enum { FLOOR, PEER, OURS, SERVERS };

#define META                                                                           \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","           \
    "\"io.modelcontextprotocol/clientCapabilities\":{}}"

static const char ping[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}";
static const char upgrade[] =
    "GET /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mcp\r\n\r\n";

struct server {
    pid_t pid;
    int port;
    char session[128]; /* its header line */
};

static void fail(const char *what)
{
    fprintf(stderr, "bench_network: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void pin(pid_t pid, int core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (size_t i = 0; i < CPU_SETSIZE; i++)
        if (core < 0 || i == (size_t)core)
            CPU_SET(i, &set);
    sched_setaffinity(pid, sizeof set, &set);
}

static struct server start(char **argv)
{
    struct server s = {0};
    int fds[2];
    char line[4096];
    size_t n = 0;
    if (pipe(fds) < 0 || (s.pid = fork()) < 0)
        fail("fork");
    if (s.pid == 0) {
        dup2(fds[1], 2);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(fds[1]);
    while (!s.port) {
        ssize_t got = read(fds[0], line + n, sizeof line - 1 - n);
        if (got <= 0)
            fail(argv[0]);
        n += (size_t)got;
        line[n] = '\0';
        const char *at = strstr(line, "http://127.0.0.1:");
        if (at && strstr(at, "/mcp"))
            s.port = (int)strtol(at + 17, NULL, 10);
    }
    return s; /* its stderr stays open */
}

static void stop(struct server *s)
{
    kill(s->pid, SIGTERM);
    waitpid(s->pid, NULL, 0);
}

static int dial(const struct server *s)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)s->port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* Reads one answer: what it is, is told by its end. */
static void take(int fd, const char *end, char *to, size_t room)
{
    size_t n = 0;
    do {
        ssize_t got = read(fd, to + n, room - 1 - n);
        if (got <= 0)
            fail("read");
        n += (size_t)got;
        to[n] = '\0';
    } while (!strstr(to, end));
}

static int dial_websocket(const struct server *s)
{
    char answer[2048];
    int fd = dial(s);
    if (write(fd, upgrade, sizeof upgrade - 1) < 0)
        fail("write");
    take(fd, "\r\n\r\n", answer, sizeof answer);
    return fd;
}

static size_t frame(char *to)
{
    size_t n = sizeof ping - 1;
    memcpy(to, "\x81\x00\x01\x02\x03\x04", 6);
    to[1] = (char)(0x80 | n);
    for (size_t i = 0; i < n; i++)
        to[6 + i] = (char)(ping[i] ^ to[2 + i % 4]);
    return 6 + n;
}

static size_t post(const struct server *s, char *to, size_t room)
{
    return (size_t)snprintf(to, room,
                            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                            "application/json\r\nAccept: application/json, "
                            "text/event-stream\r\n%sContent-Length: %zu\r\n\r\n%s",
                            s->session, sizeof ping - 1, ping);
}

static struct str literal(const char *s)
{
    return (struct str){s, strlen(s)};
}

static void initialize(struct channel *c)
{
    channel_send(c, literal("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\","
                            "\"params\":{\"protocolVersion\":\"2025-11-25\","
                            "\"capabilities\":{},\"clientInfo\":{\"name\":\"b\","
                            "\"version\":\"1\"}}}"));
    channel_receive(c);
}

/* A session for the pings over HTTP. */
static void open_session(struct server *s)
{
    struct channel c;
    int fd = dial(s);
    channel_open(&c, CHANNEL_HTTP, fd, fd);
    initialize(&c);
    memcpy(s->session, c.session, sizeof s->session);
    channel_close(&c);
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double one_at_a_time(const struct server *s, bool websocket)
{
    static double took[ROUNDS];
    char request[MODERN_MAX], answer[4096];
    size_t n = websocket ? frame(request) : post(s, request, sizeof request);
    int fd = websocket ? dial_websocket(s) : dial(s);
    pin(0, 0);
    pin(s->pid, 0);
    for (int i = 0; i < ROUNDS; i++) {
        double from = now_us();
        if (write(fd, request, n) < 0)
            fail("write");
        take(fd, "\"result\":{}", answer, sizeof answer);
        took[i] = now_us() - from;
    }
    pin(0, -1);
    pin(s->pid, -1);
    close(fd);
    qsort(took, ROUNDS, sizeof took[0], by_value);
    return took[ROUNDS / 2];
}

static long ticks(pid_t pid)
{
    char path[64], text[1024] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (f) {
        size_t n = fread(text, 1, sizeof text - 1, f);
        text[n] = '\0';
        fclose(f);
    }
    char *at = strrchr(text, ')');
    for (int i = 0; at && i < 12; i++)
        at = strchr(at + 1, ' ');
    if (!at)
        return 0;
    long user = strtol(at, &at, 10);
    return user + strtol(at, NULL, 10);
}

struct rate {
    double per_second, cpu_us; /* of the server, each */
};

/* Each of 50 connections has one request under way all the time. */
static struct rate many_at_once(const struct server *s, bool websocket)
{
    struct pollfd fds[MANY];
    char request[MODERN_MAX], answer[4096];
    size_t n = websocket ? frame(request) : post(s, request, sizeof request);
    uint64_t count = 0;
    for (int i = 0; i < MANY; i++) {
        fds[i] = (struct pollfd){.fd = websocket ? dial_websocket(s) : dial(s),
                                 .events = POLLIN};
        if (write(fds[i].fd, request, n) < 0)
            fail("write");
    }
    long used = ticks(s->pid);
    double from = now_us(), until = from + SECONDS * 1e6;
    while (now_us() < until) {
        if (poll(fds, MANY, 1000) <= 0)
            fail("poll");
        for (int i = 0; i < MANY; i++) {
            if (!fds[i].revents)
                continue;
            take(fds[i].fd, "\"result\":{}", answer, sizeof answer);
            if (write(fds[i].fd, request, n) < 0)
                fail("write");
            count++;
        }
    }
    double took = now_us() - from;
    used = ticks(s->pid) - used;
    for (int i = 0; i < MANY; i++)
        close(fds[i].fd);
    return (struct rate){(double)count / took * 1e6,
                         (double)used * TICK_US / (double)count};
}

static long status_kb(pid_t pid)
{
    char path[64], line[256];
    long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "VmRSS:", 6) == 0)
            kb = strtol(line + 6, NULL, 10);
    if (f)
        fclose(f);
    return kb;
}

static void idle(const struct server *s, double *ret_mb, long *ret_ticks)
{
    static int fds[IDLE];
    long before = status_kb(s->pid);
    for (int i = 0; i < IDLE; i++)
        fds[i] = dial_websocket(s);
    *ret_mb = (double)(status_kb(s->pid) - before) / 1024;
    long used = ticks(s->pid);
    sleep(SECONDS);
    *ret_ticks = ticks(s->pid) - used;
    for (int i = 0; i < IDLE; i++)
        close(fds[i]);
}

static int by_rate(const void *a, const void *b)
{
    const struct rate *x = a, *y = b;
    return (x->per_second > y->per_second) - (x->per_second < y->per_second);
}

/* The median of the turns; servers take turns, so that all suffer from others alike. */
static void measure_many(const struct server servers[SERVERS], bool websocket,
                         struct rate to[SERVERS])
{
    struct rate all[SERVERS][TURNS];
    for (int turn = 0; turn < TURNS; turn++)
        for (int i = 0; i < SERVERS; i++)
            if (servers[i].pid)
                all[i][turn] = many_at_once(&servers[i], websocket);
    for (int i = 0; i < SERVERS; i++) {
        to[i] = (struct rate){0};
        if (!servers[i].pid)
            continue;
        qsort(all[i], TURNS, sizeof all[i][0], by_rate);
        to[i] = all[i][TURNS / 2];
    }
}

/* MB/s of answers of 4 MiB and a little, read one after the other. */
static void make_big(struct channel *c)
{
    initialize(c);
    channel_send(c, literal("{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\","
                            "\"params\":{\"name\":\"execute_command\",\"arguments\":{"
                            "\"command\":\"head -c 4194304 /dev/zero | tr '\\\\0' x "
                            "> /tmp/big\"}}}"));
    channel_receive(c); /* an error where there is no such tool */
}

static double big_answers(struct channel *c)
{
    static double took[BIG_ROUNDS];
    size_t n = 0;
    make_big(c);
    for (int i = 0; i < BIG_ROUNDS; i++) {
        double from = now_us();
        channel_send(c, literal("{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":"
                                "\"resources/read\",\"params\":{\"uri\":"
                                "\"sandbox://default/tmp/big\"}}"));
        struct str text = channel_receive(c);
        took[i] = now_us() - from;
        n = text.n;
        if (n < BIG) {
            fprintf(stderr, "bench_network: %.*s\n", (int)(n < 300 ? n : 300), text.p);
            exit(1);
        }
    }
    qsort(took, BIG_ROUNDS, sizeof took[0], by_value);
    channel_close(c);
    return (double)n / took[BIG_ROUNDS / 2];
}

static double big_over(const struct server *s, bool websocket)
{
    struct channel c;
    if (!s->pid)
        return 0;
    int fd = websocket ? dial_websocket(s) : dial(s);
    channel_open(&c, websocket ? CHANNEL_WEBSOCKET : CHANNEL_HTTP, fd, fd);
    return big_answers(&c);
}

/* `program serve` on pipes. */
static double big_on_stdio(char *program)
{
    int to[2], from[2];
    struct channel c;
    char *argv[] = {program, (char[]){"serve"}, NULL};
    if (pipe(to) < 0 || pipe(from) < 0)
        fail("pipe");
    pid_t pid = fork();
    if (pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        close(to[1]);
        execv(program, argv);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    channel_open(&c, CHANNEL_STDIO, from[0], to[1]);
    double rate = big_answers(&c);
    waitpid(pid, NULL, 0);
    return rate;
}

/* 0: not measured. */
static void print_row(const char *name, const double value[SERVERS], int digits)
{
    static const int order[SERVERS] = {FLOOR, OURS, PEER};
    printf("| %s |", name);
    for (int i = 0; i < SERVERS; i++)
        if (value[order[i]] > 0)
            printf(" %.*f |", digits, value[order[i]]);
        else
            printf(" |");
    printf("\n");
    fflush(stdout);
}

static void print_pings(const struct server servers[SERVERS])
{
    static const char *const names[] = {"POST -> JSON", "WebSocket"};
    char row[128];
    for (int ws = 1; ws >= 0; ws--) {
        double p50[SERVERS] = {0};
        for (int i = 0; i < SERVERS; i++)
            if (servers[i].pid)
                p50[i] = one_at_a_time(&servers[i], ws);
        snprintf(row, sizeof row, "%s ping, one at a time, same core, p50 us",
                 names[ws]);
        print_row(row, p50, 1);
    }
    for (int ws = 1; ws >= 0; ws--) {
        struct rate rates[SERVERS];
        double per_second[SERVERS], cpu_us[SERVERS];
        measure_many(servers, ws, rates);
        for (int i = 0; i < SERVERS; i++) {
            per_second[i] = rates[i].per_second;
            cpu_us[i] = rates[i].cpu_us;
        }
        snprintf(row, sizeof row, "%s pings per second over %d connections", names[ws],
                 MANY);
        print_row(row, per_second, 0);
        print_row("the server's CPU for each, us", cpu_us, 1);
    }
}

static void print_big(const struct server servers[SERVERS], char *ours)
{
    for (int ws = 1; ws >= 0; ws--) {
        double mb[SERVERS] = {[PEER] = big_over(&servers[PEER], ws),
                              [OURS] = big_over(&servers[OURS], ws)};
        print_row(ws ? "answer of 4 MiB over a WebSocket, MB/s"
                     : "the same over HTTP, MB/s",
                  mb, 0);
    }
    double stdio[SERVERS] = {[OURS] = big_on_stdio(ours)};
    print_row("the same on stdio, MB/s", stdio, 0);
}

static void print_idle(const struct server *ours)
{
    struct rlimit files;
    double mb;
    long used;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur <= IDLE + 64)
        return;
    idle(ours, &mb, &used);
    printf("| %d idle WebSockets: MB; ticks of 10 ms in %d s | | %.0f; %ld | |\n", IDLE,
           SECONDS, mb, used);
}

/* Where the arguments behind the next "--" begin, which becomes NULL. */
static char **behind_dashes(char **argv)
{
    while (*argv && strcmp(*argv, "--") != 0)
        argv++;
    if (!*argv)
        return argv;
    *argv = NULL;
    return argv + 1;
}

int main(int argc, char **argv)
{
    char **commands[SERVERS] = {argv + 1};
    if (argc < 2) {
        fprintf(stderr, "usage: bench_network FLOOR -- [PEER...] -- OURS...\n");
        return 2;
    }
    commands[PEER] = behind_dashes(commands[FLOOR]);
    commands[OURS] = behind_dashes(commands[PEER]);
    signal(SIGPIPE, SIG_IGN);
    struct server servers[SERVERS] = {0};
    for (int i = 0; i < SERVERS; i++)
        if (*commands[i])
            servers[i] = start(commands[i]);
    for (int i = PEER; i < SERVERS; i++)
        if (servers[i].pid)
            open_session(&servers[i]);
    printf("| | floor | ours | TypeScript SDK |\n|---|---|---|---|\n");
    print_pings(servers);
    print_big(servers, *commands[OURS]);
    print_idle(&servers[OURS]);
    for (int i = 0; i < SERVERS; i++)
        if (servers[i].pid)
            stop(&servers[i]);
    return 0;
}
