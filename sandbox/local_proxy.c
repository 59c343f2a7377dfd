/* The sandbox's one way out: a listener that the guest made inside its network
 * namespace. It answers every request with a refusal that says why. HTTP (CONNECT and
 * absolute-form) and SOCKS5 (RFC 1928) are understood well enough to name what was
 * refused. */
#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/local.h"
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_MAX = 8192, CLIENTS_MAX = 64, PATIENCE_MS = 5000 };

struct client {
    struct proxy *proxy;
    struct client *next;
    struct loop_io *io;
    struct loop_timer *patience;
    struct buf head;
    bool greeted; /* SOCKS5: the method was chosen */
};

struct proxy {
    struct loop *loop;
    struct loop_io *listener;
    struct client *clients;
    unsigned count;
    void (*refused)(void *ctx, const char *what);
    void *ctx;
};

static void client_free(struct client *c)
{
    struct client **at = &c->proxy->clients;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->proxy->count--;
    loop_io_free(c->io);
    loop_timer_free(c->patience);
    buf_finish(&c->head);
    mem_free(c);
}

static void on_patience(void *ctx)
{
    client_free(ctx);
}

static void say(struct client *c, struct str text)
{
    /* A few hundred bytes into an empty socket buffer: a short write is not worth
     * waiting for. */
    ssize_t ignored =
        send(loop_io_fd(c->io), text.p, text.n, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)ignored;
}

/* "GET http://host/path HTTP/1.1" or "CONNECT host:443 HTTP/1.1" -> "host" or
 * "host:443" */
static void refuse_http(struct client *c)
{
    struct str head = buf_str(&c->head);
    ptrdiff_t space = str_find(head, ' ');
    struct str target = space < 0 ? (struct str){0} : str_from(head, (size_t)space + 1);
    if (str_starts(target, STR("http://")))
        target = str_from(target, 7);
    size_t n = 0;
    while (n < target.n && n < 100 && !strchr(" /\r\n?#", target.p[n]) &&
           target.p[n] > ' ' && target.p[n] < 0x7f)
        n++;
    char what[101], text[512];
    snprintf(what, sizeof what, "%.*s", (int)n, n ? target.p : "");
    int body = snprintf(NULL, 0, "sandquay: %s: this sandbox has no network\n", what);
    int len = snprintf(text, sizeof text,
                       "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n"
                       "Content-Length: %d\r\nConnection: close\r\n\r\n"
                       "sandquay: %s: this sandbox has no network\n",
                       body, what);
    say(c, (struct str){text, (size_t)len});
    c->proxy->refused(c->proxy->ctx, what);
}

/* 1: refused and done; 0: more bytes are needed. */
static int socks(struct client *c)
{
    struct str in = buf_str(&c->head);
    const unsigned char *b = (const unsigned char *)in.p;
    if (!c->greeted) {
        if (in.n < 2 || in.n < 2 + (size_t)b[1])
            return 0;
        say(c, STR("\x05\x00"));
        buf_drop(&c->head, 2 + (size_t)b[1]);
        c->greeted = true;
        return socks(c);
    }
    if (in.n < 5)
        return 0;
    size_t name = b[3] == 3 ? b[4] : b[3] == 1 ? 4 : 16, at = b[3] == 3 ? 5 : 4;
    if (in.n < at + name + 2)
        return 0;
    char what[300];
    unsigned port = (unsigned)b[at + name] << 8 | b[at + name + 1];
    if (b[3] == 3)
        snprintf(what, sizeof what, "%.*s:%u", (int)name, in.p + at, port);
    else if (b[3] == 1)
        snprintf(what, sizeof what, "%u.%u.%u.%u:%u", b[4], b[5], b[6], b[7], port);
    else
        snprintf(what, sizeof what, "an IPv6 address, port %u", port);
    for (char *p = what; *p; p++)
        if (*p <= ' ' || *p >= 0x7f)
            *p = '?';
    say(c,
        (struct str){"\x05\x02\x00\x01\0\0\0\0\0\0", 10}); /* not allowed by ruleset */
    c->proxy->refused(c->proxy->ctx, what);
    return 1;
}

static void on_client(void *ctx, unsigned events)
{
    struct client *c = ctx;
    (void)events;
    char *to = buf_reserve(&c->head, 1024);
    ssize_t n = to ? recv(loop_io_fd(c->io), to, 1024, MSG_DONTWAIT) : -1;
    if (n < 0 && to && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        client_free(c);
        return;
    }
    c->head.n += (size_t)n;
    if (c->greeted || c->head.p[0] == 5) {
        if (socks(c))
            client_free(c);
        return;
    }
    if (memmem(c->head.p, c->head.n, "\r\n\r\n", 4)) {
        refuse_http(c);
        client_free(c);
    }
}

static void on_listener(void *ctx, unsigned events)
{
    struct proxy *p = ctx;
    (void)events;
    for (;;) {
        int fd =
            accept4(loop_io_fd(p->listener), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        if (p->count >= CLIENTS_MAX) {
            close(fd);
            continue;
        }
        struct client *c = mem_new(struct client);
        c->proxy = p;
        c->next = p->clients;
        p->clients = c;
        p->count++;
        buf_init(&c->head, HEAD_MAX);
        c->io = loop_io_new(p->loop, fd, on_client, c);
        loop_io_want(c->io, LOOP_READ);
        c->patience = loop_timer_new(p->loop, on_patience, c);
        loop_timer_start(c->patience, PATIENCE_MS);
    }
}

struct proxy *proxy_new(struct loop *loop, int listener,
                        void (*refused)(void *ctx, const char *what), void *ctx)
{
    struct proxy *p = mem_new(struct proxy);
    p->loop = loop;
    p->refused = refused;
    p->ctx = ctx;
    p->listener = loop_io_new(loop, listener, on_listener, p);
    loop_io_want(p->listener, LOOP_READ);
    return p;
}

void proxy_free(struct proxy *p)
{
    if (!p)
        return;
    while (p->clients)
        client_free(p->clients);
    loop_io_free(p->listener);
    mem_free(p);
}
