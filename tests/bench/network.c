/* Figures of servers over the network, floor and ours in one run:
 *
 *     bench_network FLOOR OURS ARGUMENTS...
 *
 * Client and server share one core for what is asked one at a time; both protocols are
 * written by hand here, so that the client costs little. */
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

enum { ROUNDS = 20000, MANY = 50, SECONDS = 2, IDLE = 10000, MODERN_MAX = 1024 };

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
        execv(argv[0], argv);
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

static void open_session(struct server *s)
{
    static const char body[] =
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{"
        "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},\"clientInfo\":{"
        "\"name\":\"b\",\"version\":\"1\"}}}";
    char text[4096];
    int fd = dial(s);
    int n = snprintf(text, sizeof text,
                     "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                     "application/json\r\nAccept: application/json, "
                     "text/event-stream\r\nContent-Length: %zu\r\n\r\n%s",
                     sizeof body - 1, body);
    if (write(fd, text, (size_t)n) < 0)
        fail("write");
    take(fd, "}", text, sizeof text);
    const char *at = strstr(text, "Mcp-Session-Id: ");
    if (at)
        snprintf(s->session, sizeof s->session, "%.*s", (int)(strcspn(at, "\n") + 1),
                 at);
    close(fd);
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
        take(fd, "\"result\":{}}", answer, sizeof answer);
        took[i] = now_us() - from;
    }
    pin(0, -1);
    pin(s->pid, -1);
    close(fd);
    qsort(took, ROUNDS, sizeof took[0], by_value);
    return took[ROUNDS / 2];
}

/* Each of 50 connections has one request under way all the time. */
static double many_at_once(const struct server *s, bool websocket)
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
    double from = now_us(), until = from + SECONDS * 1e6;
    while (now_us() < until) {
        if (poll(fds, MANY, 1000) <= 0)
            fail("poll");
        for (int i = 0; i < MANY; i++) {
            if (!fds[i].revents)
                continue;
            take(fds[i].fd, "\"result\":{}}", answer, sizeof answer);
            if (write(fds[i].fd, request, n) < 0)
                fail("write");
            count++;
        }
    }
    double took = now_us() - from;
    for (int i = 0; i < MANY; i++)
        close(fds[i].fd);
    return (double)count / took * 1e6;
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

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: bench_network FLOOR OURS ARGUMENTS...\n");
        return 2;
    }
    char *floor_argv[] = {argv[1], NULL};
    struct server servers[2] = {start(floor_argv), start(argv + 2)};
    open_session(&servers[1]);
    signal(SIGPIPE, SIG_IGN);
    printf("| | floor | ours |\n|---|---|---|\n");
    static const char *const names[] = {"POST -> JSON", "WebSocket"};
    for (int ws = 1; ws >= 0; ws--)
        printf("| %s ping, one at a time, same core, p50 us | %.1f | %.1f |\n",
               names[ws], one_at_a_time(&servers[0], ws),
               one_at_a_time(&servers[1], ws));
    for (int ws = 1; ws >= 0; ws--)
        printf("| %s pings per second over %d connections | %.0f | %.0f |\n", names[ws],
               MANY, many_at_once(&servers[0], ws), many_at_once(&servers[1], ws));
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur > IDLE + 64) {
        double mb;
        long used;
        idle(&servers[1], &mb, &used);
        printf("| %d idle WebSockets: MB; ticks of 10 ms in %d s | | %.0f; %ld |\n",
               IDLE, SECONDS, mb, used);
    }
    stop(&servers[0]);
    stop(&servers[1]);
    return 0;
}
