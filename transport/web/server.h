/* Private to transport/web: what its files share. */
#pragma once
#include "net/http_server/server.h"
#include "transport/web/body.h"
#include "transport/web/metrics.h"
#include "transport/web/web.h"

enum {
    WEB_DIGEST = 32,          /* SHA-256 */
    WEB_SESSION_ID = 32,      /* characters: 128 bits in hex */
    WEB_CHALLENGE_MAX = 4096, /* a WWW-Authenticate line */
};

struct principal {
    const char *name;
    char *own_name;  /* of the list's, which is not kept */
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
    struct http_server *http;
    struct principal *principals; /* as many as tokens; [0] alone without any */
    size_t principal_count;
    struct principal *subjects; /* of the authority, as they come */
    struct token *tokens;
    size_t token_count;
    char challenge[WEB_CHALLENGE_MAX]; /* of the refusal in hand */
    struct param_headers *params;
    size_t websocket_count;
    struct http_session *sessions;
    size_t session_count;
    uint64_t replay_bytes;    /* kept of all sessions' streams */
    struct loop_timer *sweep; /* of idle sessions */
    uint32_t last_connection; /* number of an owner */
    struct metrics metrics;
};

/* What MCP has of an accepted connection: HTTP requests, or a WebSocket. */
struct conn {
    struct web_server *server;
    struct http_conn *http;
    struct principal *principal; /* who it is, once that is known */
    uint64_t expires_s;          /* its token, in seconds since 1970; 0: it does not */
};

/* web.c */
uint32_t web_new_connection(struct web_server *server);

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
/* Milliseconds until its token is no longer good; at most `most`, and that, too, where
 * it does not expire. 0: it has expired. */
uint64_t web_token_left_ms(const struct conn *conn, uint64_t most);
/* later->fn is not called any more. */
void web_forget(struct conn *conn, struct web_later *later);
/* Is it a place of the metadata of RFC 9728? */
bool web_is_metadata(const struct web_server *server, struct str path);

/* http.c: struct http_app */
int exchange_on_request(void *ctx, struct http_exchange *http,
                        struct http_refusal *refusal);
void exchange_on_body_end(void *ctx, struct http_exchange *http);
void exchange_on_head(void *ctx, struct http_exchange *http, enum http_code status,
                      struct buf *to);
void exchange_on_stop(void *ctx, struct http_exchange *http);
void exchange_on_release(void *ctx, struct http_exchange *http);

/* reply.c */
void reply_write_refusal(void *ctx, struct buf *to, const struct http_refusal *refusal);

/* dial.c */
extern const struct connector websocket_connector;

/* websocket.c */
int websocket_on_upgrade(void *ctx, struct http_conn *http,
                         const struct http_head *head, struct http_refusal *refusal);
void websocket_on_upgraded(void *ctx, struct http_conn *http,
                           const struct http_head *head, enum http_code status);
void websocket_on_open(void *ctx, struct http_conn *http);
void websocket_on_receive(void *ctx, struct http_conn *http,
                          const struct http_piece *piece);
void websocket_on_writable(void *ctx, struct http_conn *http);
void websocket_on_stop(void *ctx, struct http_conn *http);
void websocket_on_release(void *ctx, struct http_conn *http);
