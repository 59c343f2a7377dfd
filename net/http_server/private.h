/* Private to net/http_server: what its files share. */
#pragma once
#include "net/http_server/hosting.h"
#include "net/http_server/server.h"
#include <libwebsockets.h>

enum { HTTP_WRITE_BYTES = 256 * 1024 /* of one lws_write() */ };

struct http_server {
    struct http_server_config config;
    struct loop *loop;
    struct hosting hosting; /* its vhost: of plain connections */
    struct lws_vhost *tls;  /* NULL: not used */
    void *tls_ctx;          /* OpenSSL's SSL_CTX of that vhost */
    struct lws_protocols plain_protocols[3], tls_protocols[2];
    struct listening {
        struct http_server *server;
        struct listener *listener;
        bool is_unix, local;
    } * listening;
    size_t listening_count;
    struct http_conn *conns; /* all, most recent first */
    size_t conn_count;
    struct peek *peeks; /* connections whose host is not known yet */
    size_t peek_count;
    struct buf scratch; /* a frame that is being written */
    struct loop_signal *signals[3];
    struct loop_timer *grace;
    bool stopping, stopped;
};

/* One accepted connection: HTTP requests one after the other, or a WebSocket. */
struct http_conn {
    struct http_server *server;
    struct lws *wsi;
    const struct listening *from;
    struct http_conn *next, **at;
    struct http_exchange *exchange; /* the request in hand */
    void *app, *socket_app;
    bool is_socket, paused;
    bool receiving;             /* a message, in this callback */
    bool asked;                 /* in it, for a writable moment */
    bool wrote;                 /* in this callback */
    bool timed;                 /* a limit of time for writing is set */
    bool ping;                  /* is due */
    int close_code;             /* of a WebSocket; 0: it stays open */
    bool closing;               /* at the next chance */
    char peer[HTTP_CLIENT_MAX]; /* address; a socket that is gone has none any more */
};

/* peek.c: asks the application whose it is, when the host that it names is known. Takes
 * fd; what is for here comes back to http_server_adopt(). */
void http_peek(struct listening *l, int fd);
void http_peeks_end(struct http_server *server);

/* server.c */
void http_server_adopt(struct listening *l, int fd);
void http_server_pause_listeners(struct http_server *server);
/* Ends the connection soon, whether it is writable or not. */
void http_conn_close(struct http_conn *conn);
struct http_policy http_conn_policy(const struct http_conn *conn);
/* What waits for the socket may do so for a limited time. */
void http_limit_writing(struct http_conn *conn, bool waits);

/* head.c: the head of the request that libwebsockets has parsed. Strings live in *a. */
void http_head_read(struct lws *wsi, struct arena *a, struct http_head *head);
struct str http_head_custom(struct lws *wsi, struct arena *a, const char *name);

/* exchange.c: callbacks of a connection that is not a WebSocket. -1: close it. */
int http_on_request(struct http_conn *conn);
int http_on_body(struct http_conn *conn, struct str bytes);
int http_on_body_end(struct http_conn *conn);
int http_on_writable(struct http_conn *conn);
int http_on_timer(struct http_conn *conn);
void http_on_stop(struct http_conn *conn);
/* The connection is going, or the answer is gone. */
void http_release(struct http_conn *conn);
void http_ask_writable(struct http_exchange *ex);

/* answer.c */
void http_answer_refused(struct http_exchange *ex, const struct http_refusal *refusal);
/* An answer for a connection that is not an exchange. */
void http_write_refusal(const struct http_server *server, struct buf *to,
                        const struct http_refusal *refusal);

/* socket.c */
int http_socket_on_upgrade(struct http_conn *conn);
void http_socket_on_open(struct http_conn *conn);
int http_socket_on_receive(struct http_conn *conn, struct str bytes);
int http_socket_on_writable(struct http_conn *conn);
int http_socket_on_timer(struct http_conn *conn);
void http_socket_on_stop(struct http_conn *conn);
void http_socket_gone(struct http_conn *conn);
