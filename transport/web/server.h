/* Private to transport/web: what its files share. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "transport/web/body.h"
#include "transport/web/host.h"
#include "transport/web/metrics.h"
#include "transport/web/rules.h"
#include "transport/web/web.h"
#include <libwebsockets.h>

enum {
    WEB_CHUNK = 256 * 1024,   /* of one lws_write() */
    WEB_DIGEST = 32,          /* SHA-256 */
    WEB_SESSION_ID = 32,      /* characters: 128 bits in hex */
    WEB_CLIENT_MAX = 64,      /* an address as text */
    WEB_CHALLENGE_MAX = 4096, /* a WWW-Authenticate line */
};

struct principal {
    const char *name;
    uint32_t number; /* see web_owner() */
    uint32_t connections, requests, sessions;
    uint64_t body_bytes;
    struct principal *next; /* subjects of the authority */
};

struct token {
    unsigned char digest[WEB_DIGEST];
    struct principal *principal;
};

struct http_session;

struct web_server {
    struct web_config config;
    struct loop *loop;
    struct web_host host;
    struct lws_vhost *tls; /* NULL: not used */
    void *tls_ctx;         /* OpenSSL's SSL_CTX of the vhost */
    struct listening {
        struct web_server *server;
        struct listener *listener;
        bool is_unix, local;
    } * listening;
    size_t listening_count;
    struct principal *principals; /* as many as tokens; [0] alone without any */
    size_t principal_count;
    struct principal *subjects; /* of the authority, as they come */
    struct token *tokens;
    size_t token_count;
    char challenge[WEB_CHALLENGE_MAX]; /* of the refusal in hand */
    struct param_headers *params;
    struct conn *conns; /* all, most recent first */
    size_t conn_count, websocket_count;
    struct http_session *sessions;
    size_t session_count;
    struct loop_timer *sweep; /* of idle sessions */
    uint32_t last_connection; /* number of an owner */
    struct buf scratch;       /* a frame that is being written */
    struct loop_signal *signals[3];
    struct loop_timer *grace;
    struct metrics metrics;
    bool stopping, stopped;
};

/* One accepted connection: HTTP requests one after the other, or a WebSocket. */
struct conn {
    struct web_server *server;
    struct lws *wsi;
    const struct listening *from;
    struct conn *next, **at;
    struct principal *principal; /* who it is, once that is known */
    struct exchange *exchange;   /* the request in hand */
    struct websocket *websocket;
    bool closing; /* at the next chance */
};

/* web.c */
/* Ends the connection soon, whether it is writable or not; from anywhere. */
void conn_close(struct conn *conn);
/* Its address, for the log; with --trust-proxy what the proxy says. */
void conn_client(const struct conn *conn, const struct http_head *head,
                 char to[WEB_CLIENT_MAX]);
struct http_policy web_policy(const struct conn *conn);
uint32_t web_new_connection(struct web_server *server);
/* The last step of stopping, when nothing is left to wait for. */
void web_maybe_stopped(struct web_server *server);

/* auth.c */
void web_auth_init(struct web_server *server);
void web_auth_finish(struct web_server *server);
/* Who is told later whose token it is; `wait` is set then, for web_forget(). */
struct web_later {
    authority_fn *fn;
    void *ctx;
    struct authority_wait *wait;
};
/* Who the request comes from, counted at the connection: 0. Otherwise -1 with the
 * refusal: 401, 403, 429, 503. 1: the authority must ask first, see web_identified();
 * later NULL: that is a 503, too. */
int web_authenticate(struct conn *conn, const struct http_head *head,
                     struct web_later *later, struct http_refusal *refusal);
/* The rest of it, from later->fn. */
int web_identified(struct conn *conn, const struct authority_answer *answer,
                   struct http_refusal *refusal);
/* later->fn is not called any more. */
void web_forget(struct conn *conn, struct web_later *later);
/* Is it a place of the metadata of RFC 9728? */
bool web_is_metadata(const struct web_server *server, struct str path);

/* head.c: the head of the request that libwebsockets has parsed. Strings live in *a. */
void head_read(struct lws *wsi, struct arena *a, struct http_head *head);
/* One more header, by its lower-case name; p is NULL when it is absent. */
struct str head_custom(struct lws *wsi, struct arena *a, const char *name);

/* http.c: callbacks of a connection that is not a WebSocket. -1: close it. */
int http_on_request(struct conn *conn);
int http_on_body(struct conn *conn, struct str bytes);
int http_on_body_end(struct conn *conn);
int http_on_writable(struct conn *conn);
int http_on_timer(struct conn *conn);
/* The connection is going: the request in hand ends as its era says. */
void http_release(struct conn *conn);
/* Answers an upgrade that is refused, at once: there is no writable callback. */
void http_refuse_upgrade(struct conn *conn, const struct http_refusal *refusal);
/* The server is stopping: streams end, what is running may finish. */
void http_stop(struct conn *conn);

/* dial.c */
extern const struct connector websocket_connector;

/* websocket.c */
int websocket_on_upgrade(struct conn *conn);
void websocket_on_open(struct conn *conn);
int websocket_on_receive(struct conn *conn, struct str bytes);
int websocket_on_writable(struct conn *conn);
int websocket_on_timer(struct conn *conn);
void websocket_release(struct conn *conn);
void websocket_stop(struct conn *conn);
