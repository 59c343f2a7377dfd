/* Ports of a sandbox, opened on the host: http://127.0.0.1:PORT/ with a random port and
 * a token, which the first request of each connection must carry. What follows is
 * bytes, so that streams and WebSockets pass like anything else. The guest makes the
 * connection inside and passes the socket out. */
#include "base/fd.h"
#include "base/mem.h"
#include "net/relay.h"
#include "sandbox/local/local.h"
#include "sandbox/local/port_ask.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PORTS_MAX = 16,
    VISITS_MAX = 256, /* of one port, at a time */
    READING_MS = 10000,
    CLOSING_MS = 1000,
    PAUSE_MS = 100,
    TOKEN_BYTES = 16,
};

struct port {
    struct box *box;
    struct port *next;
    uint16_t inside, outside;
    struct secret *token;
    struct loop_io *listener;
    struct loop_timer *pause; /* no descriptor was left: accepting waits */
    struct visit *visits;
    unsigned count;
};

/* One connection from the host. */
struct visit {
    struct port *port;
    struct visit *next;
    struct loop_io *client;
    struct dial *dial;
    struct loop_timer *limit;
    struct buf in;
    struct relay *relay;
    bool closing;
};

static void visit_free(struct visit *v)
{
    struct visit **at = &v->port->visits;
    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
    v->port->count--;
    relay_free(v->relay);
    loop_io_free(v->client);
    local_dial_free(v->dial);
    loop_timer_free(v->limit);
    buf_finish(&v->in);
    mem_free(v);
}

static void port_free(struct port *p)
{
    struct port **at = &p->box->ports;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    while (p->visits)
        visit_free(p->visits);
    loop_io_free(p->listener);
    loop_timer_free(p->pause);
    secret_free(p->token);
    mem_free(p);
}

void local_ports_close(struct box *box)
{
    while (box->ports)
        port_free(box->ports);
}

/* What was said must arrive: closing with unread bytes would throw it away. */
static void answer(struct visit *v, const char *status, const char *fields,
                   const char *text)
{
    struct buf b;
    buf_init(&b, 2 * HTTP_HEAD_MAX);
    buf_addf(&b,
             "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
             "Content-Length: %zu\r\nCache-Control: no-store\r\n"
             "Referrer-Policy: no-referrer\r\n%sConnection: close\r\n\r\n%s",
             status, strlen(text), fields, text);
    ssize_t ignored =
        send(loop_io_fd(v->client), b.p, b.n, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)ignored;
    buf_finish(&b);
    v->closing = true;
    shutdown(loop_io_fd(v->client), SHUT_WR);
    loop_io_want(v->client, LOOP_READ);
    loop_timer_start(v->limit, CLOSING_MS);
}

static void nobody_listens(struct visit *v)
{
    char text[160];
    snprintf(text, sizeof text,
             "sandquay: nothing in the sandbox listens on port %u. Start the server "
             "there, on 127.0.0.1 or 0.0.0.0.\n",
             v->port->inside);
    answer(v, "502 Bad Gateway", "", text);
}

static void does_not_answer(struct visit *v)
{
    answer(v, "504 Gateway Timeout", "",
           "sandquay: no whole request, or no answer, in time\n");
}

static void enter(struct visit *v, struct str path)
{
    struct buf fields;
    buf_init(&fields, 2 * HTTP_HEAD_MAX);
    buf_addf(&fields,
             "Location: %.*s\r\nSet-Cookie: sandquay-%u=%.*s; Path=/; HttpOnly; "
             "SameSite=Lax\r\n",
             STR_FMT(path), v->port->outside, STR_FMT(secret_reveal(v->port->token)));
    answer(v, "302 Found", buf_cstr(&fields), "");
    secret_wipe(fields.p, fields.n);
    buf_finish(&fields);
}

static void on_relayed(void *ctx)
{
    visit_free(ctx);
}

static void on_dialled(void *ctx, int fd, enum local_dialled how)
{
    struct visit *v = ctx;
    v->dial = NULL;
    if (how == LOCAL_DIALLED_NOBODY) {
        nobody_listens(v);
    } else if (how == LOCAL_DIALLED_LATE) {
        does_not_answer(v);
    } else if (how == LOCAL_DIALLED) {
        v->relay = relay_new(v->port->box->local->set->loop, loop_io_release(v->client),
                             fd, on_relayed, v);
        v->client = NULL;
        relay_to_far(v->relay, buf_str(&v->in));
        buf_finish(&v->in);
        relay_start(v->relay);
    }
}

static void reach(struct visit *v)
{
    loop_timer_stop(v->limit);
    v->dial = local_dial_new(v->port->box, v->port->inside, on_dialled, v);
}

static void on_client(void *ctx, unsigned events)
{
    struct visit *v = ctx;
    struct buf path = {0};
    (void)events;
    char *to = buf_reserve(&v->in, 4096);
    ssize_t n = to ? recv(loop_io_fd(v->client), to, 4096, MSG_DONTWAIT) : 0;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        visit_free(v);
        return;
    }
    if (v->closing)
        return; /* not kept */
    v->in.n += (size_t)n;
    switch (port_ask(buf_str(&v->in), v->port->outside, v->port->token, &path)) {
    case PORT_MORE:
        break;
    case PORT_BAD:
        answer(v, "400 Bad Request", "", "sandquay: this port speaks HTTP/1.1\n");
        break;
    case PORT_STRANGER:
        answer(v, "401 Unauthorized", "",
               "sandquay: this port of a sandbox needs its token: open the URL that "
               "was given, or send it as Authorization: Bearer\n");
        break;
    case PORT_ENTERS:
        enter(v, buf_str(&path));
        break;
    case PORT_ADMITTED:
        loop_io_want(v->client, 0);
        reach(v);
        break;
    }
    buf_finish(&path);
}

static void on_limit(void *ctx)
{
    struct visit *v = ctx;
    if (v->closing || v->in.n == 0) {
        visit_free(v);
        return;
    }
    does_not_answer(v);
}

static void visit_new(struct port *p, int fd)
{
    struct visit *v = mem_new(struct visit);
    struct loop *loop = p->box->local->set->loop;
    int on = 1;
    *v = (struct visit){.port = p, .next = p->visits};
    p->visits = v;
    p->count++;
    buf_init(&v->in, 2 * HTTP_HEAD_MAX);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    v->client = loop_io_new(loop, fd, on_client, v);
    loop_io_want(v->client, LOOP_READ);
    v->limit = loop_timer_new(loop, on_limit, v);
    loop_timer_start(v->limit, READING_MS);
    on_client(v, LOOP_READ); /* most have already sent it */
}

static void on_pause_over(void *ctx)
{
    struct port *p = ctx;
    loop_io_want(p->listener, LOOP_READ);
}

static void on_listener(void *ctx, unsigned events)
{
    struct port *p = ctx;
    (void)events;
    for (;;) {
        int fd =
            accept4(loop_io_fd(p->listener), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
            loop_io_want(p->listener, 0);
            loop_timer_start(p->pause, PAUSE_MS);
        }
        if (fd < 0)
            return;
        if (p->count >= VISITS_MAX)
            close(fd);
        else
            visit_new(p, fd);
    }
}

static int make_listener(uint16_t *ret_port, struct err *err)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&at, n) < 0 ||
        listen(fd, 128) < 0 || getsockname(fd, (struct sockaddr *)&at, &n) < 0) {
        err_sys(err, errno, "opening a port on 127.0.0.1");
        fd_close(&fd);
        return -1;
    }
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static struct secret *make_token(void)
{
    uint8_t random[TOKEN_BYTES];
    char text[2 * TOKEN_BYTES + 1];
    while (getrandom(random, sizeof random, 0) != sizeof random)
        ;
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(text + 2 * i, 3, "%02x", random[i]);
    struct secret *token = secret_new((struct str){text, 2 * sizeof random});
    secret_wipe(text, sizeof text);
    secret_wipe(random, sizeof random);
    return token;
}

static struct port *port_new(struct box *box, uint16_t inside, struct err *err)
{
    unsigned count = 0;
    uint16_t outside;
    for (struct port *p = box->ports; p; p = p->next) {
        if (p->inside == inside)
            return p;
        count++;
    }
    if (count >= PORTS_MAX) {
        err_set(err, ERR_LIMIT, "%u ports of the sandbox are open, the limit", count);
        err_remedy(err, "close one that is no longer needed");
        return NULL;
    }
    int fd = make_listener(&outside, err);
    if (fd < 0)
        return NULL;
    struct port *p = mem_new(struct port);
    struct loop *loop = box->local->set->loop;
    *p = (struct port){.box = box,
                       .next = box->ports,
                       .inside = inside,
                       .outside = outside,
                       .token = make_token()};
    box->ports = p;
    p->listener = loop_io_new(loop, fd, on_listener, p);
    loop_io_want(p->listener, LOOP_READ);
    p->pause = loop_timer_new(loop, on_pause_over, p);
    return p;
}

void local_expose(void *self, struct sandbox *sb, uint16_t port, sandbox_expose_fn *fn,
                  void *ctx)
{
    struct err err;
    struct box *box = sb->impl;
    char url[160];
    (void)self;
    struct port *p = port_new(box, port, &err);
    if (!p) {
        fn(ctx, (struct str){0}, &err);
        return;
    }
    snprintf(url, sizeof url, "http://127.0.0.1:%u/?" PORT_TOKEN_PARAMETER "=%.*s",
             p->outside, STR_FMT(secret_reveal(p->token)));
    fn(ctx, str_of(url), NULL);
    secret_wipe(url, sizeof url);
}

bool local_unexpose(void *self, struct sandbox *sb, uint16_t port)
{
    struct box *box = sb->impl;
    (void)self;
    for (struct port *p = box->ports; p; p = p->next)
        if (p->inside == port) {
            port_free(p);
            return true;
        }
    return false;
}
