/* Both ends of the network's measurements, outside and inside a sandbox:
 *   bench_net serve                        prints its port; answers each byte with one;
 *                                          after a 'd' all that follows is discarded
 *   bench_net connect PORT COUNT [PROXY]   seconds of each connection and one byte
 *   bench_net flow PORT MIB [PROXY]        MiB/s of bytes sent, all of them arrived
 *   bench_net visit PORT TOKEN COUNT       as connect, through an exposed port
 * all on 127.0.0.1; PROXY is the port of an HTTP proxy, which is asked for CONNECT. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MIB = 1024 * 1024 };

static char chunk[MIB];

_Noreturn static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static double clock_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct sockaddr_in here(const char *port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int open_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0)
        fail("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = send(fd, p, n, MSG_NOSIGNAL);
        if (done < 0)
            fail("send");
        p += done;
        n -= (size_t)done;
    }
}

static void answer(int fd)
{
    ssize_t n;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    while ((n = recv(fd, chunk, sizeof chunk, 0)) > 0) {
        if (chunk[0] == 'd') {
            while ((n = recv(fd, chunk, sizeof chunk, 0)) > 0)
                ;
            send_all(fd, "e", 1);
            break;
        }
        send_all(fd, "a", 1);
    }
    close(fd);
}

static int serve(const char *port)
{
    struct sockaddr_in at = here(port);
    socklen_t n = sizeof at;
    int fd = open_socket();
    if (bind(fd, (struct sockaddr *)&at, n) < 0 || listen(fd, 100) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &n) < 0)
        fail("listen");
    printf("%u\n", ntohs(at.sin_port));
    fflush(stdout);
    for (int client; (client = accept(fd, NULL, NULL)) >= 0;)
        answer(client);
    return 1;
}

/* Reads until the bytes end with `end`. */
static void expect(int fd, const char *end)
{
    size_t n = 0, want = strlen(end);
    while (n < want || memcmp(chunk + n - want, end, want) != 0) {
        ssize_t got = recv(fd, chunk + n, sizeof chunk - n, 0);
        if (got <= 0)
            fail("recv");
        n += (size_t)got;
    }
}

static int reach(const char *port, const char *proxy)
{
    struct sockaddr_in to = here(proxy ? proxy : port);
    char ask[64];
    int fd = open_socket();
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        fail("connect");
    if (proxy) {
        int n =
            snprintf(ask, sizeof ask, "CONNECT 127.0.0.1:%s HTTP/1.1\r\n\r\n", port);
        send_all(fd, ask, (size_t)n);
        expect(fd, "\r\n\r\n");
    }
    return fd;
}

static int measure_connect(const char *port, long count, const char *proxy)
{
    while (count-- > 0) {
        double start = clock_s();
        int fd = reach(port, proxy);
        send_all(fd, "b", 1);
        expect(fd, "a");
        printf("%.9f\n", clock_s() - start);
        close(fd);
    }
    return 0;
}

static int measure_flow(const char *port, long mib, const char *proxy)
{
    int fd = reach(port, proxy);
    double start = clock_s();
    send_all(fd, "d", 1);
    for (long i = 0; i < mib; i++)
        send_all(fd, chunk, sizeof chunk);
    shutdown(fd, SHUT_WR);
    expect(fd, "e");
    printf("%.3f\n", (double)mib / (clock_s() - start));
    return 0;
}

static int measure_visit(const char *port, const char *token, long count)
{
    char ask[128];
    int n = snprintf(ask, sizeof ask,
                     "GET / HTTP/1.1\r\nAuthorization: Bearer %s\r\n\r\n", token);
    while (count-- > 0) {
        double start = clock_s();
        int fd = reach(port, NULL);
        send_all(fd, ask, (size_t)n);
        expect(fd, "a");
        printf("%.9f\n", clock_s() - start);
        close(fd);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "", *proxy = argc > 4 ? argv[4] : NULL;
    if (strcmp(what, "serve") == 0)
        return serve(argc > 2 ? argv[2] : "0");
    if (argc >= 4 && strcmp(what, "connect") == 0)
        return measure_connect(argv[2], strtol(argv[3], NULL, 10), proxy);
    if (argc >= 4 && strcmp(what, "flow") == 0)
        return measure_flow(argv[2], strtol(argv[3], NULL, 10), proxy);
    if (argc == 5 && strcmp(what, "visit") == 0)
        return measure_visit(argv[2], argv[3], strtol(argv[4], NULL, 10));
    fprintf(stderr, "usage: bench_net serve|connect|flow|visit ...\n");
    return 2;
}
