/* Private to transport/web: what MCP has of an HTTP request and its answer. The answer
 * is one text, or a stream of server-sent events. */
#pragma once
#include "transport/web/server.h"

struct exchange {
    struct http_exchange *http;
    struct conn *conn;
    struct web_head head;
    struct web_later later; /* whose it is, when that is not known yet */
    enum web_route route;
    size_t body_bytes; /* counted at the principal */
    bool counted;      /* as a request in flight of the principal */
    bool opens;        /* an initialize: the session stands and falls with it */
    struct http_session *session;
    struct exchange *next;    /* of the session */
    uint64_t stream;          /* see session_recv_on() */
    struct loop_timer *timer; /* patience, then keep-alives of the stream */
    unsigned method;          /* row of the metrics */
    bool is_message;          /* it has one */
    struct str trace;         /* id of the trace that it belongs to (W3C), or empty */
};

/* reply.c */

/* A JSON-RPC error as the whole answer; id raw or empty. */
void reply_error(struct exchange *ex, enum http_code status, int code, struct str id,
                 const char *message);
/* Begins a stream of events. */
void reply_stream(struct exchange *ex);
/* One event: a JSON text without newlines, and its number (see replay.h; 0: none). A
 * message that must not be lost ends the connection when the client takes too little;
 * another is dropped. */
void reply_event(struct exchange *ex, uint64_t number, struct str text, bool must);
/* An event that is nothing but an id, for clients that come back with it. */
void reply_prime(struct exchange *ex, uint64_t number);
void reply_keep_alive(struct exchange *ex);
