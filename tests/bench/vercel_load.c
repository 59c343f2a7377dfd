/* Figures of `sandquay vercel-api` as a server of commands:
 *
 *     bench_vercel_load SANDQUAY [CONNECTIONS]
 *
 * Each connection asks for the program `true`, again and again, with its output as a
 * stream, as the SDK does. What is printed: requests a second over all connections;
 * and, asked one at a time, how long after a request the head of its answer and its end
 * come. The floor is the same program, spawned bare, as often as the connections. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SECONDS = 3, ROUNDS = 1000, CONNECTIONS_MAX = 256, ANSWER_MAX = 8192 };

struct connection {
    int fd;
    char answer[ANSWER_MAX];
    size_t n;
};

static char request[1024];

static void fail(const char *what)
{
    fprintf(stderr, "bench_vercel_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static pid_t start(const char *program, const char *state, int *ret_port)
{
    int fds[2];
    char line[4096];
    size_t n = 0;
    pid_t pid = -1;
    if (pipe(fds) < 0 || (pid = fork()) < 0)
        fail("fork");
    if (pid == 0) {
        dup2(fds[1], 2);
        execl(program, program, "vercel-api", "--listen", "127.0.0.1:0", "--state-dir",
              state, "--max-commands", "1000", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    for (*ret_port = 0; *ret_port == 0;) {
        ssize_t got = read(fds[0], line + n, sizeof line - 1 - n);
        if (got <= 0)
            fail(program);
        n += (size_t)got;
        line[n] = '\0';
        const char *at = strstr(line, "http://127.0.0.1:");
        if (at && strstr(at, "/api"))
            *ret_port = (int)strtol(at + 17, NULL, 10);
    }
    return pid; /* its stderr stays open */
}

static int dial(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void write_request(char *to, size_t room, const char *path, const char *body)
{
    snprintf(to, room,
             "POST %s?teamId=t HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer t"
             "\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             path, strlen(body), body);
}

static void send_all(int fd, const char *text)
{
    if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        fail("write");
}

/* More of the answer; true when it is all there. */
static bool take(struct connection *c)
{
    ssize_t got = read(c->fd, c->answer + c->n, sizeof c->answer - 1 - c->n);
    if (got <= 0)
        fail("the connection ended");
    c->n += (size_t)got;
    c->answer[c->n] = '\0';
    if (c->n + 1 == sizeof c->answer || (c->n >= 12 && c->answer[9] != '2')) {
        fprintf(stderr, "%s\n", c->answer);
        fail("the answer");
    }
    return c->n > 7 && strcmp(c->answer + c->n - 7, "\r\n0\r\n\r\n") == 0;
}

static void make_sandbox(int port)
{
    struct connection c = {.fd = dial(port)};
    char text[1024], path[200];
    write_request(text, sizeof text, "/api/v3/sandboxes",
                  "{\"projectId\":\"p\",\"ports\":[],\"persistent\":false}");
    send_all(c.fd, text);
    do
        take(&c);
    while (!strstr(c.answer, "\"routes\":[]"));
    const char *id = strstr(c.answer, "\"sbx_");
    snprintf(path, sizeof path, "/api/v2/sandboxes/sessions/%.32s/cmd",
             id ? id + 1 : "");
    write_request(request, sizeof request, path,
                  "{\"command\":\"true\",\"args\":[],\"env\":{},\"sudo\":false,"
                  "\"wait\":true,\"logs\":true}");
    close(c.fd);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void one_at_a_time(int port)
{
    static double head[ROUNDS], end[ROUNDS];
    struct connection c = {.fd = dial(port)};
    for (int i = 0; i < ROUNDS; i++) {
        double start_us = now_us();
        send_all(c.fd, request);
        c.n = 0;
        bool whole = take(&c);
        head[i] = now_us() - start_us;
        while (!whole)
            whole = take(&c);
        end[i] = now_us() - start_us;
    }
    close(c.fd);
    qsort(head, ROUNDS, sizeof head[0], by_size);
    qsort(end, ROUNDS, sizeof end[0], by_size);
    printf("head after %.2f ms (p99 %.2f), end after %.2f ms (p99 %.2f)\n",
           head[ROUNDS / 2] / 1e3, head[ROUNDS * 99 / 100] / 1e3, end[ROUNDS / 2] / 1e3,
           end[ROUNDS * 99 / 100] / 1e3);
}

static double all_at_once(int port, int count)
{
    static struct connection all[CONNECTIONS_MAX];
    static struct pollfd polls[CONNECTIONS_MAX];
    for (int i = 0; i < count; i++) {
        all[i] = (struct connection){.fd = dial(port)};
        polls[i] = (struct pollfd){.fd = all[i].fd, .events = POLLIN};
        send_all(all[i].fd, request);
    }
    double start_us = now_us(), end_us = start_us + SECONDS * 1e6;
    long done = 0;
    while (now_us() < end_us) {
        if (poll(polls, (nfds_t)count, 1000) <= 0)
            fail("poll");
        for (int i = 0; i < count; i++) {
            if (!polls[i].revents || !take(&all[i]))
                continue;
            done++;
            all[i].n = 0;
            send_all(all[i].fd, request);
        }
    }
    double seconds = (now_us() - start_us) / 1e6;
    for (int i = 0; i < count; i++)
        close(all[i].fd);
    return (double)done / seconds;
}

static pid_t spawn_true(void)
{
    static char name[] = "true";
    char *const argv[] = {name, NULL};
    extern char **environ;
    pid_t pid;
    if (posix_spawnp(&pid, name, NULL, NULL, argv, environ) != 0)
        fail("true");
    return pid;
}

static double floor_of(int count)
{
    double start_us = now_us(), end_us = start_us + SECONDS * 1e6;
    long done = 0;
    for (int i = 0; i < count; i++)
        spawn_true();
    while (now_us() < end_us) {
        if (wait(NULL) < 0)
            fail("wait");
        done++;
        spawn_true();
    }
    double seconds = (now_us() - start_us) / 1e6;
    while (wait(NULL) > 0)
        ;
    return (double)done / seconds;
}

int main(int argc, char **argv)
{
    char state[] = "/tmp/bench_vercel_load.XXXXXX";
    int port, count = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 50;
    if (argc < 2 || count < 1 || count > CONNECTIONS_MAX || !mkdtemp(state)) {
        fprintf(stderr, "usage: bench_vercel_load SANDQUAY [CONNECTIONS]\n");
        return 2;
    }
    double bare = floor_of(count);
    pid_t server = start(argv[1], state, &port);
    make_sandbox(port);
    one_at_a_time(port);
    double served = all_at_once(port, count);
    printf("%d connections: %.0f commands a second; spawned bare: %.0f\n", count,
           served, bare);
    kill(server, SIGTERM);
    waitpid(server, NULL, 0);
    fflush(stdout);
    return execlp("rm", "rm", "-rf", state, (char *)NULL);
}
