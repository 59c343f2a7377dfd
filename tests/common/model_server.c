#include "tests/common/model_server.h"
#include "base/fd.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Head and body of one request into s->last; false at the end of the connection. */
static bool read_request(struct model_server *s, int fd)
{
    s->last_n = 0;
    while (s->last_n < sizeof s->last - 1) {
        ssize_t got = read(fd, s->last + s->last_n, sizeof s->last - 1 - s->last_n);
        if (got <= 0)
            return false;
        s->last_n += (size_t)got;
        s->last[s->last_n] = '\0';
        const char *head = strstr(s->last, "\r\n\r\n");
        const char *length = strcasestr(s->last, "content-length: ");
        if (!head || !length)
            continue;
        size_t want = (size_t)(head + 4 - s->last) + strtoul(length + 16, NULL, 10);
        if (s->last_n >= want)
            return true;
    }
    return false;
}

static bool say(int fd, const char *p, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t put = send(fd, p + done, n - done, MSG_NOSIGNAL);
        if (put <= 0)
            return false;
        done += (size_t)put;
    }
    return true;
}

static void say_head(int fd, const struct model_step *step)
{
    char head[1024];
    size_t length = step->body.n + (step->cut ? 1 : 0);
    int n = snprintf(head, sizeof head, "%s\r\n",
                     step->head ? step->head
                                : "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; "
                                  "charset=utf-8\r\nrequest-id: req_head");
    if (step->hang)
        n += snprintf(head + n, sizeof head - (size_t)n, "Connection: close\r\n\r\n");
    else
        n += snprintf(head + n, sizeof head - (size_t)n, "Content-Length: %zu\r\n\r\n",
                      length);
    say(fd, head, (size_t)n);
}

/* false: the connection is over. */
static bool answer(int fd, const struct model_step *step)
{
    if (step->swallow)
        return false;
    say_head(fd, step);
    for (struct str rest = step->body; rest.n;) {
        size_t n = step->piece && step->piece < rest.n ? step->piece : rest.n;
        if (!say(fd, rest.p, n))
            return false;
        rest = str_from(rest, n);
    }
    if (step->hang) {
        char byte;
        while (read(fd, &byte, 1) > 0)
            ;
    }
    return !step->hang && !step->cut;
}

static void talk(struct model_server *s, int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    while (read_request(s, fd)) {
        size_t i = atomic_fetch_add(&s->requests, 1);
        if (i >= s->count) {
            atomic_store(&s->unexpected, true);
            return;
        }
        const struct model_step *step = &s->steps[i];
        if (step->expect.n &&
            !memmem(s->last, s->last_n, step->expect.p, step->expect.n)) {
            fprintf(stderr, "request %zu has no %.*s:\n%s\n", i, STR_FMT(step->expect),
                    s->last);
            atomic_store(&s->unexpected, true);
        }
        if (!answer(fd, step))
            return;
    }
}

static void *serve(void *ctx)
{
    struct model_server *s = ctx;
    int fd;
    while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
        talk(s, fd);
        close(fd);
    }
    return NULL;
}

void model_server_start(struct model_server *s, const struct model_step *steps,
                        size_t count)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    memset(s, 0, sizeof *s);
    s->steps = steps;
    s->count = count;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(s->listener, (struct sockaddr *)&a, n) < 0 ||
        listen(s->listener, 16) < 0 ||
        getsockname(s->listener, (struct sockaddr *)&a, &n) < 0)
        abort();
    s->port = ntohs(a.sin_port);
    if (pthread_create(&s->thread, NULL, serve, s) != 0)
        abort();
}

/* The client must have gone: the thread ends with its connection. */
void model_server_stop(struct model_server *s)
{
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    fd_close(&s->listener);
}
