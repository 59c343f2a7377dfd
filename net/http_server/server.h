/* An HTTP/1.1 and WebSocket server on libwebsockets, for the modules that serve one
 * (base/module.h): listening, TLS, connections, exchanges, limits, the graceful stop,
 * and the guards that libwebsockets 4.1.6 needs (they stand where they act). What is
 * served is the application's: struct http_app.
 *
 * One libwebsockets context hosts the loop (net/loop.h). Callbacks run on it; nothing
 * here may be freed inside of one. Strings of a head live as long as its exchange. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "net/http_server/assembly.h"
#include "net/http_server/rules.h"
#include "net/listen.h"
#include "net/loop.h"

struct lws;
struct http_server;
struct http_exchange;
struct http_conn;

/* What is said to be optional may be NULL. */
struct http_app {
    /* A connection: the first call about it, and the last. Optional. */
    void (*conn_open)(void *ctx, struct http_conn *conn);
    void (*conn_release)(void *ctx, struct http_conn *conn);

    /* The head of a request is here, its framing and source are good. Answer it, now
     * or later, or -1 with *refusal. */
    int (*request)(void *ctx, struct http_exchange *ex, struct http_refusal *refusal);
    /* Its body is in ex->body. A request that has been answered has no such call. */
    void (*body_end)(void *ctx, struct http_exchange *ex);
    /* An answer begins, a refusal, too: further lines of its head. Optional. */
    void (*head)(void *ctx, struct http_exchange *ex, enum http_code status,
                 struct buf *to);
    /* A streamed answer has been taken by the socket: there is room for more.
     * Optional. */
    void (*drained)(void *ctx, struct http_exchange *ex);
    /* The server stops: what ends only when it is told to, should end. Optional. */
    void (*stop)(void *ctx, struct http_exchange *ex);
    /* The answer is gone, or the connection is: the last call about ex, also about one
     * that `request` was not called for. */
    void (*release)(void *ctx, struct http_exchange *ex);
    /* The body of a refusal's answer (JSON). */
    void (*write_refusal)(void *ctx, struct buf *to, const struct http_refusal *r);

    /* A WebSocket is asked for, by a good handshake from a good source; -1 with
     * *refusal. NULL: there are none. */
    int (*upgrade)(void *ctx, struct http_conn *conn, const struct http_head *head,
                   struct http_refusal *refusal);
    /* What came of the question: 101, or the status of the refusal. Optional. */
    void (*upgraded)(void *ctx, struct http_conn *conn, const struct http_head *head,
                     enum http_code status);
    void (*socket_open)(void *ctx, struct http_conn *conn);
    void (*socket_receive)(void *ctx, struct http_conn *conn,
                           const struct http_piece *piece);
    /* The socket takes one message: http_socket_send(), once, or nothing. */
    void (*socket_writable)(void *ctx, struct http_conn *conn);
    /* The server stops: http_socket_close() it, now or later. NULL: now, with 1001. */
    void (*socket_stop)(void *ctx, struct http_conn *conn);
    void (*socket_release)(void *ctx, struct http_conn *conn);

    /* Is a TLS connection to that host a tunnel, and not HTTP for here? Then it is
     * given, unread, with OpenSSL's SSL_CTX, to `tunnel`: fd is to be taken. NULL:
     * there are none. */
    bool (*is_tunnel)(void *ctx, struct str host);
    void (*tunnel)(void *ctx, struct str host, int fd, void *tls_ctx);
};

/* Beyond them: see each. */
struct http_limits {
    uint32_t connections;   /* wait in the kernel's queue */
    uint64_t body_bytes;    /* 413 */
    uint64_t out_bytes;     /* of one answer that wait for the client: it is closed */
    uint32_t message_bytes; /* of a WebSocket that are sent at once */
    uint32_t head_s, body_s, idle_s, write_s; /* patience with slow clients */
    uint32_t shutdown_s;                      /* for what is running at SIGTERM */
    uint32_t ping_s; /* between pings on a WebSocket; 0: none */
};
void http_limits_default(struct http_limits *limits);

/* Borrowed for the life of the server. */
struct http_server_config {
    const struct http_app *app;
    void *ctx;
    const struct listen_address *addresses;
    size_t address_count;
    const struct str *hosts, *origins; /* see struct http_policy */
    size_t host_count, origin_count;
    const char *tls_cert, *tls_key; /* PEM; NULL: no TLS. Unix sockets have none */
    const char *protocol;           /* WebSocket subprotocol, or "" */
    const char *exposed; /* headers of answers that pages of allowed origins may read
                          * beside the usual ones; or NULL */
    bool chunked_bodies; /* are taken; else 411 */
    bool trust_proxy;    /* X-Forwarded-For names the client, see http_client() */
    struct http_limits limits;
    void (*stopped)(void *ctx); /* after SIGTERM or SIGINT: end loop_run() */
};

/* Listens and becomes the loop's host. SIGTERM and SIGINT stop it gracefully (a second
 * one at once), SIGHUP reads the certificate again. */
int http_server_new(struct http_server **ret_server, struct loop *loop,
                    const struct http_server_config *config, struct err *err);
/* Ends every connection. The loop goes on without its host. */
void http_server_free(struct http_server *server);
/* What the i-th address became: "127.0.0.1:7777". */
const char *http_server_address(const struct http_server *server, size_t i);
size_t http_server_connections(const struct http_server *server); /* open ones */
bool http_server_stopping(const struct http_server *server);

/* Connections. What an application has of one is its `app`, and of a WebSocket, its
 * http_socket_app(). */
void *http_conn_app(const struct http_conn *conn);
void http_conn_set_app(struct http_conn *conn, void *app);

enum { HTTP_CLIENT_MAX = 64 };
/* The address of the client, for the log. */
void http_client(const struct http_conn *conn, const struct http_head *head,
                 char to[HTTP_CLIENT_MAX]);

enum http_state {
    HTTP_BODY,    /* being received */
    HTTP_WAITING, /* for the application's answer */
    HTTP_STREAM,  /* pieces of the answer go out */
    HTTP_ENDED,   /* the whole answer is in `out` */
};

/* One request and its answer. The application reads it, and owns `app`. */
struct http_exchange {
    struct http_conn *conn;
    enum http_state state;
    struct arena arena; /* of the head */
    struct http_head head;
    size_t body_bytes;     /* announced; of a body in chunks, the limit */
    struct buf body;       /* may be taken over, or finished once it has ended */
    enum http_code status; /* of the answer; 0: none yet */
    size_t out_bytes;      /* of the answer, so far */
    uint64_t started_us;   /* loop_now_us() */
    void *app;

    /* private to net/http_server */
    struct buf out;
    size_t discarded;     /* of the body of a request that is refused */
    size_t sent;          /* of out */
    uint64_t deadline_ms; /* of the body; 0: none */
    struct chunks *chunks;
    bool body_ended;       /* a second end of the body: the connection spins */
    unsigned repeated;     /* how often, while a refusal waits */
    bool unread;           /* libwebsockets must not look for input */
    bool close;            /* after the answer */
    bool bare;             /* HEAD: the answer has no body */
    bool chunked;          /* the answer */
    struct loop_io *watch; /* unread: a duplicate of the socket */
    struct loop_later *look_away;
};

/* Another header of the request, by its lower-case name; p is NULL when absent. */
struct str http_header(struct http_exchange *ex, const char *name);

/* The whole answer. type NULL: no body. header: further header lines, or NULL. */
void http_answer(struct http_exchange *ex, enum http_code status, const char *type,
                 struct str text, const char *header);
/* The rest of a large body that is still to come is not read. */
void http_answer_refusal(struct http_exchange *ex, const struct http_refusal *refusal);
/* A page of an allowed origin asks, and may read the answer. */
bool http_for_page(const struct http_exchange *ex);

/* An answer in pieces; each of them is one chunk. What waits is limited by `drained`
 * and http_waiting(). */
void http_stream(struct http_exchange *ex, enum http_code status, const char *type,
                 const char *header);
void http_stream_add(struct http_exchange *ex, struct str bytes);
void http_stream_add_parts(struct http_exchange *ex, const struct str *parts,
                           size_t count);
void http_stream_end(struct http_exchange *ex);
/* The stream is not whole: the client must see that, so the connection is cut. */
void http_stream_cut(struct http_exchange *ex);
size_t http_waiting(const struct http_exchange *ex); /* bytes */

/* WebSockets */
void *http_socket_app(const struct http_conn *conn);
void http_socket_set_app(struct http_conn *conn, void *app);
/* socket_writable is called when the socket takes a message; ask again for the next. */
void http_socket_ask_writable(struct http_conn *conn);
void http_socket_send(struct http_conn *conn, struct str bytes, bool binary);
/* Reading waits while paused. */
void http_socket_pause(struct http_conn *conn, bool paused);
/* Closes with a code of RFC 6455 7.4.1, that of the first call, at the next writable
 * moment without a message. */
void http_socket_close(struct http_conn *conn, int code);
