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
#include "net/http_server/rules.h"
#include "net/listen.h"
#include "net/loop.h"

struct lws;
struct http_server;
struct http_exchange;
struct http_conn;

/* What came of a WebSocket message. */
struct http_piece {
    struct str bytes;
    bool first, last; /* of the message */
    bool binary;
    size_t rest_bytes; /* of its frame that are still to come */
};

struct http_app {
    /* The head of a request is here, its framing and source are good. Answer it, now
     * or later, or -1 with *refusal. Its body is collected in ex->body until body_end,
     * unless `body` is set. */
    int (*request)(void *ctx, struct http_exchange *ex, struct http_refusal *refusal);
    void (*body_end)(void *ctx, struct http_exchange *ex);
    /* A streamed answer has been taken by the socket: there is room for more. */
    void (*drained)(void *ctx, struct http_exchange *ex);
    /* The answer is gone, or the connection is: the last call about ex. */
    void (*release)(void *ctx, struct http_exchange *ex);
    /* The body of a refusal's answer (JSON). */
    void (*write_refusal)(void *ctx, struct buf *to, const struct http_refusal *r);

    /* A WebSocket is asked for; -1 with *refusal. NULL: there are none. */
    int (*upgrade)(void *ctx, struct http_conn *conn, const struct http_head *head,
                   struct http_refusal *refusal);
    void (*socket_open)(void *ctx, struct http_conn *conn);
    void (*socket_receive)(void *ctx, struct http_conn *conn,
                           const struct http_piece *piece);
    /* The socket takes one message: http_socket_send(), once, or nothing. */
    void (*socket_writable)(void *ctx, struct http_conn *conn);
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
    bool chunked_bodies;            /* are taken; else 411 */
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
    struct buf body; /* gone after body_end */
    void *app;

    /* private to net/http_server */
    struct buf out;
    size_t body_bytes, discarded;
    size_t sent;          /* of out */
    uint64_t deadline_ms; /* of the body; 0: none */
    struct chunks *chunks;
    bool body_ended;       /* a second end of the body: the connection spins */
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
void http_answer_refusal(struct http_exchange *ex, const struct http_refusal *refusal);

/* An answer in pieces; each of them is one chunk. What waits is limited by `drained`
 * and http_waiting(). */
void http_stream(struct http_exchange *ex, enum http_code status, const char *type,
                 const char *header);
void http_stream_add(struct http_exchange *ex, struct str bytes);
void http_stream_end(struct http_exchange *ex);
/* The stream is not whole: the client must see that, so the connection is cut. */
void http_stream_cut(struct http_exchange *ex);
size_t http_waiting(const struct http_exchange *ex); /* bytes */

/* WebSockets */
void *http_socket_app(const struct http_conn *conn);
void http_socket_set_app(struct http_conn *conn, void *app);
void http_socket_ask_writable(struct http_conn *conn);
void http_socket_send(struct http_conn *conn, struct str bytes, bool binary);
/* Reading waits while paused. */
void http_socket_pause(struct http_conn *conn, bool paused);
/* Closes with a code of RFC 6455 7.4.1 at the next writable moment. */
void http_socket_close(struct http_conn *conn, int code);

/* Is the server stopping? */
bool http_stopping(const struct http_conn *conn);
