/* Private to transport/web: one HTTP request and its answer.
 *
 * The answer is written into `out` by reply.c and leaves in http_on_writable(), one
 * lws_write() a callback. It is one text with a length, or a stream of server-sent
 * events in chunks. */
#pragma once
#include "transport/web/server.h"

enum exchange_state {
    EXCHANGE_BODY,    /* being received */
    EXCHANGE_WAITING, /* for the first message of the core */
    EXCHANGE_STREAM,  /* events go out */
    EXCHANGE_ENDED,   /* the whole answer is in `out` */
};

struct exchange {
    struct conn *conn;
    enum exchange_state state;
    struct arena arena;     /* of the head */
    struct web_later later; /* whose it is, when that is not known yet */
    struct http_head head;
    enum http_route route;
    size_t body_bytes; /* announced, counted at the principal */
    struct buf body, out;
    size_t sent;          /* of out */
    uint64_t deadline_ms; /* of the body; 0: none */
    size_t discarded;     /* of the body of a request that is refused */
    bool counted;         /* as a request in flight of the principal */
    bool body_ended;      /* a second end of the body: the connection spins */
    unsigned repeated;    /* how often, while a refusal waits */
    bool unread;          /* not a POST: libwebsockets must not look for input */
    bool close;           /* after the answer */
    bool bare;            /* HEAD: the answer has no body */
    bool chunked;
    bool opens; /* an initialize: the session stands and falls with it */
    struct http_session *session;
    struct exchange *next;    /* of the session */
    uint64_t stream;          /* see session_recv_on() */
    uint64_t events;          /* sent so far, for their ids */
    struct loop_timer *timer; /* patience, then keep-alives of the stream */
    struct loop_io *watch;    /* unread: a duplicate of the socket */
    struct loop_later *look_away;
    unsigned method;        /* row of the metrics */
    bool is_message;        /* it has one */
    enum web_status status; /* of the answer; 0: none yet */
    size_t out_bytes;       /* of the answer, so far */
    struct str trace;       /* id of the trace that it belongs to (W3C), or empty */
    uint64_t started_us;
};

/* http.c: http_on_writable() is called when the socket takes more. */
void exchange_ask_writable(struct exchange *ex);

/* reply.c */

/* The whole answer. type NULL: no body. header: further header lines, or NULL. */
void reply_text(struct exchange *ex, enum web_status status, const char *type,
                struct str text, const char *header);
void reply_refusal(struct exchange *ex, const struct http_refusal *refusal);
/* A JSON-RPC error as the whole answer; id raw or empty. */
void reply_error(struct exchange *ex, enum web_status status, int code, struct str id,
                 const char *message);
/* Begins a stream of events; messages of an MCP session id go along. */
void reply_stream(struct exchange *ex);
/* One event: a JSON text without newlines. A message that must not be lost ends the
 * connection when the client takes too little; another is dropped. */
void reply_event(struct exchange *ex, struct str text, bool must);
void reply_keep_alive(struct exchange *ex);
void reply_stream_end(struct exchange *ex);
/* The head of an answer as bytes, for a connection that is not an exchange. */
void reply_write_refusal(struct buf *to, const struct http_refusal *refusal);
