/* The server: one libwebsockets context, its listeners and connections, how it stops.
 * What libwebsockets 4.1.6 needs to be guarded against stands where the guard is. */
#include "base/log.h"
#include "base/mem.h"
#include "net/http_server/private.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

enum {
    SERV_BUF_BYTES = 64 * 1024, /* one read of a body */
    WS_READ_BYTES = 4096,       /* kept for each WebSocket */
    HEAD_BYTES = 16 * 1024,
    SPARE_FDS = 256, /* beside connections */
};

void http_limits_default(struct http_limits *limits)
{
    *limits = (struct http_limits){
        .connections = 4096,
        .body_bytes = 64 * 1024 * 1024,
        .out_bytes = 64 * 1024 * 1024,
        .message_bytes = 1024 * 1024,
        .head_s = 10,
        .body_s = 30,
        .idle_s = 75,
        .write_s = 60,
        .shutdown_s = 10,
    };
}

struct http_policy http_conn_policy(const struct http_conn *conn)
{
    const struct http_server_config *config = &conn->server->config;
    return (struct http_policy){
        .hosts = config->hosts,
        .host_count = config->host_count,
        .origins = config->origins,
        .origin_count = config->origin_count,
        .any_address = !conn->from->local,
        .any_host = conn->from->is_unix,
    };
}

void http_conn_close(struct http_conn *conn)
{
    if (conn->closing)
        return;
    conn->closing = true;
    lws_set_timeout(conn->wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
}

void http_limit_writing(struct http_conn *conn, bool waits)
{
    if (waits || conn->timed)
        lws_set_timeout(conn->wsi,
                        waits ? PENDING_TIMEOUT_HTTP_CONTENT : NO_PENDING_TIMEOUT,
                        waits ? (int)conn->server->config.limits.write_s : 0);
    conn->timed = waits;
}

static struct http_conn *conn_new(struct listening *from, struct lws *wsi)
{
    struct http_server *server = from->server;
    struct http_conn *conn = mem_new(struct http_conn);
    *conn = (struct http_conn){.server = server, .wsi = wsi, .from = from};
    if (!from->is_unix && log_enabled(LOG_INFO))
        lws_get_peer_simple(wsi, conn->peer, sizeof conn->peer);
    conn->next = server->conns;
    conn->at = &server->conns;
    if (conn->next)
        conn->next->at = &conn->next;
    server->conns = conn;
    server->conn_count++;
    if (server->config.app->conn_open)
        server->config.app->conn_open(server->config.ctx, conn);
    return conn;
}

void *http_conn_app(const struct http_conn *conn)
{
    return conn->app;
}

void http_conn_set_app(struct http_conn *conn, void *app)
{
    conn->app = app;
}

/* The last address of X-Forwarded-For is the one that the proxy itself has seen. */
void http_client(const struct http_conn *conn, const struct http_head *head,
                 char to[HTTP_CLIENT_MAX])
{
    struct str forwarded = head->forwarded_for;
    to[0] = '\0';
    if (conn->server->config.trust_proxy && forwarded.n) {
        while (str_find(forwarded, ',') >= 0)
            forwarded = str_from(forwarded, (size_t)str_find(forwarded, ',') + 1);
        while (forwarded.n && forwarded.p[0] == ' ')
            forwarded = str_from(forwarded, 1);
        snprintf(to, HTTP_CLIENT_MAX, "%.*s", STR_FMT(forwarded));
    } else if (conn->from->is_unix) {
        snprintf(to, HTTP_CLIENT_MAX, "unix");
    } else {
        memcpy(to, conn->peer, sizeof conn->peer);
    }
}

void http_server_pause_listeners(struct http_server *server)
{
    bool full =
        server->conn_count + server->peek_count >= server->config.limits.connections;
    for (size_t i = 0; i < server->listening_count; i++)
        if (server->listening[i].listener)
            listener_pause(server->listening[i].listener, full);
}

/* The last step of stopping, when nothing is left to wait for. */
static void maybe_stopped(struct http_server *server)
{
    if (!server->stopping || server->stopped || server->conn_count > 0)
        return;
    server->stopped = true;
    server->config.stopped(server->config.ctx);
}

static void conn_free(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    http_socket_gone(conn);
    http_release(conn);
    if (server->config.app->conn_release)
        server->config.app->conn_release(server->config.ctx, conn);
    *conn->at = conn->next;
    if (conn->next)
        conn->next->at = conn->at;
    server->conn_count--;
    http_server_pause_listeners(server);
    mem_free(conn);
    maybe_stopped(server);
}

void http_server_adopt(struct listening *l, int fd)
{
    struct http_server *server = l->server;
    struct lws_vhost *vhost =
        server->tls && !l->is_unix ? server->tls : server->hosting.vhost;
    lws_sock_file_fd_type socket = {.sockfd = fd};
    /* It closes fd when it fails. */
    struct lws *wsi = lws_adopt_descriptor_vhost(
        vhost, LWS_ADOPT_SOCKET | LWS_ADOPT_ALLOW_SSL | LWS_ADOPT_HTTP, socket, NULL,
        NULL);
    if (!wsi)
        return;
    lws_set_opaque_user_data(wsi, conn_new(l, wsi));
}

/* Beyond the limit connections wait in the kernel's queue. */
static void on_accepted(void *ctx, int fd)
{
    struct listening *l = ctx;
    struct http_server *server = l->server;
    if (server->config.app->tunnel && server->tls && !l->is_unix)
        http_peek(l, fd);
    else
        http_server_adopt(l, fd);
    http_server_pause_listeners(server);
}

/* 4.1.6: `in` may point to freed memory here when the upgrade is one that
 * libwebsockets does not know; the header is gone then. h2c would hide headers. */
static int on_upgrade(struct http_conn *conn)
{
    char upgrade[16];
    int n = lws_hdr_copy(conn->wsi, upgrade, sizeof upgrade, WSI_TOKEN_UPGRADE);
    if (n <= 0 || strcasecmp(upgrade, "websocket") != 0)
        return -1;
    return http_socket_on_upgrade(conn);
}

static int on_writable(struct http_conn *conn)
{
    if (conn->closing)
        return -1;
    return conn->is_socket ? http_socket_on_writable(conn) : http_on_writable(conn);
}

/* protocols[0] of both vhosts: HTTP, and WebSockets. */
static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user,
                    void *in, size_t n)
{
    (void)user;
    struct http_conn *conn = lws_get_opaque_user_data(wsi);
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return conn ? http_on_request(conn) : -1;
    case LWS_CALLBACK_HTTP_BODY:
        return conn ? http_on_body(conn, (struct str){in, n}) : -1;
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return conn ? http_on_body_end(conn) : -1;
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return conn ? on_upgrade(conn) : -1;
    case LWS_CALLBACK_ESTABLISHED:
        if (conn)
            http_socket_on_open(conn);
        return conn ? 0 : -1;
    case LWS_CALLBACK_RECEIVE:
        return conn ? http_socket_on_receive(conn, (struct str){in, n}) : -1;
    case LWS_CALLBACK_HTTP_WRITEABLE:
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return conn ? on_writable(conn) : -1;
    case LWS_CALLBACK_TIMER:
        if (!conn)
            return 0;
        return conn->is_socket ? http_socket_on_timer(conn) : http_on_timer(conn);
    case LWS_CALLBACK_CLOSED_HTTP:
        if (conn)
            http_release(conn);
        return 0;
    case LWS_CALLBACK_CLOSED:
        if (conn)
            http_socket_gone(conn);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY: /* the last one, always */
        lws_set_opaque_user_data(wsi, NULL);
        if (conn)
            conn_free(conn);
        return 0;
    default:
        return 0;
    }
}

/* The context of the vhost, once it is there: to load certificates again. */
static int on_tls_event(struct lws *wsi, enum lws_callback_reasons reason, void *user,
                        void *in, size_t n)
{
    if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS) {
        struct http_server *server = lws_vhost_user(lws_get_vhost(wsi));
        SSL_CTX_set_min_proto_version(user, TLS1_2_VERSION);
        server->tls_ctx = user;
        return 0;
    }
    return on_event(wsi, reason, user, in, n);
}

static void name_protocols(struct http_server *server)
{
    const char *name = server->config.protocol;
    struct lws_protocols p = {.name = name[0] ? name : "http",
                              .callback = on_event,
                              .rx_buffer_size = WS_READ_BYTES,
                              .tx_packet_size = HTTP_WRITE_BYTES};
    server->plain_protocols[0] = p;
    server->plain_protocols[1] = (struct lws_protocols)HOSTING_PROTOCOL;
    p.callback = on_tls_event;
    server->tls_protocols[0] = p;
}

/* libwebsockets finds connections in an array as long as the limit of descriptors. */
static void raise_descriptors(const struct http_limits *limits)
{
    struct rlimit files;
    rlim_t wanted = (rlim_t)limits->connections + SPARE_FDS;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur >= wanted)
        return;
    files.rlim_cur = wanted < files.rlim_max ? wanted : files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur < wanted)
        log_warn(
            "only %llu descriptors are allowed: fewer connections than the limit of "
            "%u can be served (see ulimit -n)",
            (unsigned long long)files.rlim_cur, limits->connections);
}

/* The context, and the vhost of plain connections. */
static int make_host(struct http_server *server, struct err *err)
{
    const struct http_limits *limits = &server->config.limits;
    struct lws_context_creation_info info = {
        .options = LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS |
                   (server->config.tls_cert ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0),
        .max_http_header_data2 = HEAD_BYTES,
        .max_http_header_pool2 = limits->connections,
        .pt_serv_buf_size = SERV_BUF_BYTES,
        .timeout_secs = limits->head_s,
        .timeout_secs_ah_idle = limits->head_s,
        .keepalive_timeout = (int)limits->idle_s,
    };
    return hosting_init(&server->hosting, server->loop, &info, server->plain_protocols,
                        err);
}

static int make_tls(struct http_server *server, struct err *err)
{
    const struct http_server_config *config = &server->config;
    struct lws_context_creation_info info = {
        .options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
        .vhost_name = "tls",
        .protocols = server->tls_protocols,
        .keepalive_timeout = (int)config->limits.idle_s,
        .timeout_secs = config->limits.head_s,
        .timeout_secs_ah_idle = config->limits.head_s,
        .user = server,
        .ssl_cert_filepath = config->tls_cert,
        .ssl_private_key_filepath = config->tls_key,
        .alpn = "http/1.1",
    };
    server->tls = hosting_vhost(&server->hosting, &info);
    /* Without a TLS context it would serve in the clear. */
    return server->tls && server->tls_ctx
               ? 0
               : err_set(err, ERR_INTERNAL, "TLS does not start");
}

static int load_certificate(SSL_CTX *ctx, const struct http_server_config *config,
                            struct err *err)
{
    const char *what = NULL;
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, config->tls_cert) != 1)
        what = config->tls_cert;
    else if (SSL_CTX_use_PrivateKey_file(ctx, config->tls_key, SSL_FILETYPE_PEM) != 1 ||
             SSL_CTX_check_private_key(ctx) != 1)
        what = config->tls_key;
    if (!what)
        return 0;
    char reason[120];
    ERR_error_string_n(ERR_get_error(), reason, sizeof reason);
    err_set(err, ERR_INVALID, "%s: %s", what, reason);
    return err_remedy(err,
                      "--tls-cert and --tls-key are PEM files that belong together");
}

/* Tried on a context of its own first: a server keeps what it has when the new files
 * are not good. */
static int try_certificate(const struct http_server_config *config, struct err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx)
        return err_set(err, ERR_INTERNAL, "OpenSSL does not start");
    int rc = load_certificate(ctx, config, err);
    SSL_CTX_free(ctx);
    return rc;
}

static void reload(struct http_server *server)
{
    struct err err;
    if (!server->tls_ctx)
        return;
    if (try_certificate(&server->config, &err) < 0 ||
        load_certificate(server->tls_ctx, &server->config, &err) < 0)
        log_error("keeping the certificate of before: %s", err.msg);
    else
        log_info("the certificate was read again");
}

static void on_grace(void *ctx)
{
    struct http_server *server = ctx;
    log_warn("stopping now: %zu connections have not ended by themselves",
             server->conn_count);
    for (struct http_conn *c = server->conns; c; c = c->next)
        http_conn_close(c);
    server->stopped = true;
    server->config.stopped(server->config.ctx);
}

static void stop_listening(struct http_server *server)
{
    for (size_t i = 0; i < server->listening_count; i++) {
        listener_free(server->listening[i].listener);
        server->listening[i].listener = NULL;
    }
}

/* Accepts nothing more; idle connections end, what is running may finish for a while.
 */
static void stop(struct http_server *server)
{
    server->stopping = true;
    stop_listening(server);
    http_peeks_end(server);
    loop_timer_start(server->grace, 1000ULL * server->config.limits.shutdown_s);
    for (struct http_conn *c = server->conns, *next; c; c = next) {
        next = c->next;
        if (c->is_socket)
            http_socket_on_stop(c);
        else
            http_on_stop(c);
    }
    maybe_stopped(server);
}

static void on_signal(void *ctx, int signum)
{
    struct http_server *server = ctx;
    if (signum == SIGHUP) {
        reload(server);
    } else if (!server->stopping) {
        log_info("stopping on signal %d", signum);
        stop(server);
    } else if (!server->stopped) {
        on_grace(server);
    }
}

static int start_listening(struct http_server *server, struct err *err)
{
    const struct http_server_config *config = &server->config;
    server->listening = mem_zalloc(config->address_count * sizeof server->listening[0]);
    for (size_t i = 0; i < config->address_count; i++) {
        struct listening *l = &server->listening[i];
        *l = (struct listening){.server = server,
                                .is_unix = config->addresses[i].is_unix,
                                .local = config->addresses[i].local};
        struct listener_config accepting = {on_accepted, l};
        server->listening_count = i + 1;
        if (listener_new(&l->listener, server->loop, &config->addresses[i], &accepting,
                         err) < 0)
            return -1;
    }
    return 0;
}

static int start(struct http_server *server, struct err *err)
{
    const struct http_server_config *config = &server->config;
    if (config->tls_cert && try_certificate(config, err) < 0)
        return -1;
    raise_descriptors(&config->limits);
    if (make_host(server, err) < 0 || (config->tls_cert && make_tls(server, err) < 0))
        return -1;
    return start_listening(server, err);
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    stop_listening(server);
    http_peeks_end(server);
    hosting_finish(&server->hosting);
    for (size_t i = 0; i < 3; i++)
        loop_signal_free(server->signals[i]);
    loop_timer_free(server->grace);
    buf_finish(&server->scratch);
    mem_free(server->listening);
    mem_free(server);
}

int http_server_new(struct http_server **ret_server, struct loop *loop,
                    const struct http_server_config *config, struct err *err)
{
    static const int signums[3] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (sigaction(SIGPIPE, &ignore, NULL) < 0)
        return err_sys(err, errno, "sigaction");
    struct http_server *server = mem_new(struct http_server);
    server->config = *config;
    server->loop = loop;
    name_protocols(server);
    buf_init(&server->scratch, LWS_PRE + (size_t)config->limits.message_bytes);
    server->grace = loop_timer_new(loop, on_grace, server);
    for (size_t i = 0; i < 3; i++)
        server->signals[i] = loop_signal_new(loop, signums[i], on_signal, server);
    if (start(server, err) < 0) {
        http_server_free(server);
        return -1;
    }
    *ret_server = server;
    return 0;
}

const char *http_server_address(const struct http_server *server, size_t i)
{
    return listener_text(server->listening[i].listener);
}

size_t http_server_connections(const struct http_server *server)
{
    return server->conn_count;
}

bool http_server_stopping(const struct http_server *server)
{
    return server->stopping;
}
