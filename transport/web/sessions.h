/* Sessions over HTTP: a legacy one lives from its initialize to DELETE or idleness, a
 * modern request has one of its own. Messages of the core go to the request (exchange)
 * that they are about, or to the session's GET stream. */
#pragma once
#include "transport/web/exchange.h"

/* NULL with *refusal when there are too many. legacy: it has an id. */
struct http_session *http_session_new(struct web_server *server,
                                      struct principal *principal, bool legacy,
                                      struct http_refusal *refusal);
/* Cancels what runs. Its exchanges are detached and end without an answer. */
void http_session_free(struct http_session *session);
/* The id that clients know it by; NULL: a modern request's. */
const char *http_session_id(const struct http_session *session);
/* A principal sees its own only. */
struct http_session *http_session_find(struct web_server *server, struct str id,
                                       const struct principal *principal);

/* Gives a message to the core and answers in ex, now or later. ex->opens: it is an
 * initialize, and when that fails the session is freed. */
void http_session_recv(struct http_session *session, struct exchange *ex,
                       const struct json_doc *doc);
/* ex becomes the session's GET stream (409 when there is one), or goes on with the
 * stream that its Last-Event-ID is of (400 when that cannot be). */
int http_session_stream(struct http_session *session, struct exchange *ex,
                        struct http_refusal *refusal);
/* The connection of ex is gone: a modern request is cancelled, a legacy one goes on. */
void http_session_detach(struct exchange *ex);

/* The server is stopping: what only waits for changes ends (the GET stream, listens).
 */
void http_session_stop(struct exchange *ex);

/* Frees those that nobody has used for too long; asks for its next turn. */
void http_sessions_sweep(void *server);
void http_sessions_free(struct web_server *server);
