/* A connection that has been accepted and whose ClientHello is looked at, but not
 * taken, so that whoever it is for finds it whole. */
#include "base/fd.h"
#include "base/mem.h"
#include "net/http_server/hello.h"
#include "net/http_server/private.h"
#include <errno.h>
#include <sys/socket.h>

struct peek {
    struct listening *listening;
    struct peek *next, **at;
    struct loop_io *io;
    struct loop_timer *limit;
    size_t seen; /* bytes, when it was last looked at */
};

/* Gives the descriptor back. */
static int peek_free(struct peek *p)
{
    struct http_server *server = p->listening->server;
    int fd = loop_io_release(p->io);
    loop_timer_free(p->limit);
    *p->at = p->next;
    if (p->next)
        p->next->at = p->at;
    server->peek_count--;
    mem_free(p);
    return fd;
}

/* The kernel wakes us for the next look when there are so many bytes. */
static void wait_for(int fd, int bytes)
{
    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
}

static void look(struct peek *p)
{
    struct listening *l = p->listening;
    const struct http_server_config *config = &l->server->config;
    char bytes[HELLO_MAX];
    struct str host = {0};
    int fd = loop_io_fd(p->io);
    ssize_t n = recv(fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    size_t seen = n > 0 ? (size_t)n : 0;
    enum hello_verdict v = hello_read((struct str){bytes, seen}, &host);
    /* Woken without more: nothing more comes. */
    if (v == HELLO_MORE && seen > p->seen) {
        p->seen = seen;
        wait_for(fd, (int)seen + 1);
        return;
    }
    wait_for(fd, 1);
    fd = peek_free(p);
    if (v == HELLO_HOST && config->app->is_tunnel(config->ctx, host))
        config->app->tunnel(config->ctx, host, fd, l->server->tls_ctx);
    else
        http_server_adopt(l, fd);
    http_server_pause_listeners(l->server);
}

static void on_readable(void *ctx, unsigned events)
{
    (void)events;
    look(ctx);
}

static void on_limit(void *ctx)
{
    struct peek *p = ctx;
    struct http_server *server = p->listening->server;
    int fd = peek_free(p);
    fd_close(&fd);
    http_server_pause_listeners(server);
}

void http_peek(struct listening *l, int fd)
{
    struct http_server *server = l->server;
    struct peek *p = mem_new(struct peek);
    *p = (struct peek){.listening = l, .next = server->peeks, .at = &server->peeks};
    if (p->next)
        p->next->at = &p->next;
    server->peeks = p;
    server->peek_count++;
    p->io = loop_io_new(server->loop, fd, on_readable, p);
    p->limit = loop_timer_new(server->loop, on_limit, p);
    loop_timer_start(p->limit, 1000ULL * server->config.limits.head_s);
    loop_io_want(p->io, LOOP_READ);
    look(p); /* it may have come with the connection */
}

void http_peeks_end(struct http_server *server)
{
    while (server->peeks) {
        int fd = peek_free(server->peeks);
        fd_close(&fd);
    }
}
