#include "net/listen.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    BACKLOG = 512,
    ACCEPT_TURN = 64,   /* connections taken before others have their turn */
    EXHAUSTED_MS = 200, /* until descriptors may be free again */
    PORT_DIGITS_MAX = 5,
    PORT_MAX = 65535,
};

struct listener {
    struct loop_io *io;
    struct loop_timer *retry;
    struct listener_config config;
    bool paused;
    char text[LISTEN_TEXT_MAX];
    struct sockaddr_un path; /* of a unix socket, else its first byte is 0 */
    dev_t device;
    ino_t inode;
};

static int parse_unix(struct listen_address *a, const char *path, struct err *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (path[0] != '/')
        return err_set(err, ERR_INVALID, "unix:%s: the path must be absolute", path);
    if (n >= sizeof un.sun_path)
        return err_set(err, ERR_INVALID, "unix:%s: longer than %zu bytes", path,
                       sizeof un.sun_path - 1);
    memcpy(un.sun_path, path, n + 1);
    memcpy(&a->addr, &un, sizeof un);
    a->length = sizeof un;
    a->local = a->is_unix = true;
    return 0;
}

static int parse_port(const char *text, in_port_t *ret_port)
{
    unsigned port = 0;
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > PORT_DIGITS_MAX || text[n])
        return -1;
    for (size_t i = 0; i < n; i++)
        port = 10 * port + (unsigned)(text[i] - '0');
    *ret_port = htons((in_port_t)port);
    return port > PORT_MAX ? -1 : 0;
}

static void set_v4(struct listen_address *a, struct in_addr host, in_port_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = host, .sin_port = port};
    memcpy(&a->addr, &in, sizeof in);
    a->length = sizeof in;
    a->local = ntohl(host.s_addr) >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;
}

static void set_v6(struct listen_address *a, struct in6_addr host, in_port_t port)
{
    struct sockaddr_in6 in = {
        .sin6_family = AF_INET6, .sin6_addr = host, .sin6_port = port};
    memcpy(&a->addr, &in, sizeof in);
    a->length = sizeof in;
    a->local = IN6_IS_ADDR_LOOPBACK(&host);
}

int listen_parse(struct listen_address *ret_address, const char *text, struct err *err)
{
    static const char unix_prefix[] = "unix:";
    struct listen_address a = {0};
    char host[INET6_ADDRSTRLEN + 2];
    struct in_addr v4 = {htonl(INADDR_LOOPBACK)};
    struct in6_addr v6;
    in_port_t port;
    if (strncmp(text, unix_prefix, sizeof unix_prefix - 1) == 0) {
        if (parse_unix(&a, text + sizeof unix_prefix - 1, err) < 0)
            return -1;
        *ret_address = a;
        return 0;
    }
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    if (!colon || parse_port(colon + 1, &port) < 0 || n >= sizeof host)
        return err_set(err, ERR_INVALID,
                       "\"%s\" is not HOST:PORT, [IPV6]:PORT or unix:/path", text);
    memcpy(host, text, n);
    host[n] = '\0';
    bool bracketed = n > 2 && host[0] == '[' && host[n - 1] == ']';
    if (bracketed)
        host[n - 1] = '\0';
    if (n == 0 || strcmp(host, "localhost") == 0 || inet_pton(AF_INET, host, &v4) == 1)
        set_v4(&a, v4, port);
    else if (bracketed && inet_pton(AF_INET6, host + 1, &v6) == 1)
        set_v6(&a, v6, port);
    else
        return err_set(err, ERR_INVALID,
                       "\"%s\": the host must be an address, like 127.0.0.1, [::1] or "
                       "0.0.0.0",
                       text);
    *ret_address = a;
    return 0;
}

/* A socket file that nobody listens on any more is in the way: a server was killed. */
static void remove_dead(const struct sockaddr_un *path)
{
    struct stat st;
    if (lstat(path->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)path, sizeof *path) < 0 &&
        errno == ECONNREFUSED)
        unlink(path->sun_path);
    fd_close(&fd);
}

static int bind_unix(struct listener *l, int fd, const struct listen_address *address)
{
    struct stat st;
    memcpy(&l->path, &address->addr, sizeof l->path);
    remove_dead(&l->path);
    mode_t before = umask(S_IXUSR | S_IRWXG | S_IRWXO);
    int rc = bind(fd, (const struct sockaddr *)&l->path, sizeof l->path);
    umask(before);
    if (rc < 0 || stat(l->path.sun_path, &st) < 0) {
        l->path.sun_path[0] = '\0';
        return -1;
    }
    l->device = st.st_dev;
    l->inode = st.st_ino;
    return 0;
}

static int bind_tcp(int fd, const struct listen_address *address)
{
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->addr.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    return bind(fd, (const struct sockaddr *)&address->addr, address->length);
}

static void write_text(struct listener *l, int fd)
{
    union {
        struct sockaddr_storage any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } a = {0};
    socklen_t length = sizeof a;
    char host[INET6_ADDRSTRLEN] = "";
    if (l->path.sun_path[0]) {
        snprintf(l->text, sizeof l->text, "unix:%s", l->path.sun_path);
        return;
    }
    getsockname(fd, (struct sockaddr *)&a, &length);
    if (a.any.ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &a.v6.sin6_addr, host, sizeof host);
        snprintf(l->text, sizeof l->text, "[%s]:%u", host, ntohs(a.v6.sin6_port));
    } else {
        inet_ntop(AF_INET, &a.v4.sin_addr, host, sizeof host);
        snprintf(l->text, sizeof l->text, "%s:%u", host, ntohs(a.v4.sin_port));
    }
}

static void wanted(struct listener *l)
{
    loop_io_want(l->io, l->paused ? 0 : LOOP_READ);
}

static void on_retry(void *ctx)
{
    wanted(ctx);
}

static void on_connection(void *ctx, unsigned events)
{
    (void)events;
    struct listener *l = ctx;
    for (int i = 0; i < ACCEPT_TURN && !l->paused; i++) {
        int fd = accept4(loop_io_fd(l->io), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            int on = 1;
            if (!l->path.sun_path[0])
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            l->config.accepted(l->config.ctx, fd);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED)
            continue;
        if (errno != EAGAIN) {
            /* EMFILE and the like: the connection stays in the queue, and the loop
             * would be told of it again and again. */
            log_warn("%s: accepting waits: errno %d", l->text, errno);
            loop_io_want(l->io, 0);
            loop_timer_start(l->retry, EXHAUSTED_MS);
        }
        return;
    }
}

int listener_new(struct listener **ret_listener, struct loop *loop,
                 const struct listen_address *address,
                 const struct listener_config *config, struct err *err)
{
    struct listener *l = mem_new(struct listener);
    int fd =
        socket(address->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc = fd < 0             ? -1
             : address->is_unix ? bind_unix(l, fd, address)
                                : bind_tcp(fd, address);
    if (rc < 0 || listen(fd, BACKLOG) < 0) {
        int sys = errno;
        fd_close(&fd);
        listener_free(l);
        err_sys(err, sys, "listening");
        if (sys == EADDRINUSE)
            err->kind = ERR_CONFLICT;
        return -1;
    }
    l->config = *config;
    write_text(l, fd);
    l->io = loop_io_new(loop, fd, on_connection, l);
    l->retry = loop_timer_new(loop, on_retry, l);
    wanted(l);
    *ret_listener = l;
    return 0;
}

void listener_pause(struct listener *listener, bool paused)
{
    if (listener->paused == paused)
        return;
    listener->paused = paused;
    wanted(listener);
}

const char *listener_text(const struct listener *listener)
{
    return listener->text;
}

void listener_free(struct listener *listener)
{
    struct stat st;
    if (!listener)
        return;
    const char *path = listener->path.sun_path;
    if (path[0] && lstat(path, &st) == 0 && st.st_dev == listener->device &&
        st.st_ino == listener->inode)
        unlink(path);
    loop_io_free(listener->io);
    loop_timer_free(listener->retry);
    mem_free(listener);
}
