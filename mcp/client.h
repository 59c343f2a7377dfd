/* The client side of the Model Context Protocol, sans I/O: used by exec and the agent.
 *
 * client_open() negotiates: it asks server/discover (2026-07-28) and falls back to
 * initialize (newest legacy revision) when the server does not know it. After that
 * client_request() sends requests of whichever era was found. One JSON text a message;
 * output and its framing are as in mcp/server.h: each message ends in "\n". */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include <stdbool.h>
#include <stdint.h>

struct client;

enum client_era { CLIENT_AUTO, CLIENT_LEGACY, CLIENT_MODERN };

/* A directory that the server may be told of. */
struct client_root {
    const char *uri, *name; /* name may be NULL */
};

/* What the owner of the client answers when a server asks. */
enum client_asks {
    CLIENT_ELICITS = 1, /* elicitation/create: a form for the user */
    CLIENT_SAMPLES = 2, /* sampling/createMessage: for its model */
};

struct client_config {
    const char *name, *version; /* of this client */
    enum client_era era;
    /* Servers that ask for roots get these; NULL: none are declared. Borrowed. */
    const struct client_root *roots;
    size_t root_count;
    /* enum client_asks bits: declared, and given to on_asked. Other elicitations are
     * declined, everything else is refused. */
    unsigned asks;
    /* A question: answer it, now or later, with client_answer(). method and params live
     * during the call. */
    void (*on_asked)(void *ctx, uint64_t question, struct str method,
                     struct json params);
    /* It need not be answered any more. May be NULL. */
    void (*on_withdrawn)(void *ctx, uint64_t question);
    /* A notification from the server: method and params (absent if none). May be NULL.
     */
    void (*on_notification)(void *ctx, struct str method, struct json params);
    void (*wake)(void *ctx); /* output appeared; see session_config.wake */
    void *ctx;
};

/* No callback may free the client or hand it a message; it may send and cancel. */
struct client *client_new(const struct client_config *config);
/* Requests in flight end with CANCELLED (their callbacks run), then it is freed. */
void client_free(struct client *c);

/* fn is called exactly once. result: the `result` object, or absent with err: PROTOCOL
 * for a JSON-RPC error (its message and code in the text), CANCELLED, UNAVAILABLE
 * (connection lost). */
typedef void client_result_fn(void *ctx, struct json result, const struct err *err);

/* Negotiates; result is the server's discover or initialize result. PROTOCOL when the
 * server speaks no revision that is known here. */
void client_open(struct client *c, client_result_fn *fn, void *ctx);

struct client_request {
    const char *method;
    struct str params; /* a JSON object text without _meta, or empty */
    bool progress;     /* ask for progress: on_progress is called */
    void (*on_progress)(void *ctx, double progress, double total, struct str message);
    client_result_fn *fn;
    void *ctx; /* of both callbacks */
};
/* Returns the request's number (never 0). When the output is full (the server does not
 * read), fn is called with LIMIT before it returns. */
uint64_t client_send(struct client *c, const struct client_request *request);
/* tools/call with arguments (a JSON object text). */
uint64_t client_call_tool(struct client *c, const char *tool, struct str arguments,
                          client_result_fn *fn, void *ctx);
/* Answers a question of on_asked() with a result object (JSON text without raw
 * newlines). -1: nobody waits for it any more, or the output is full. */
int client_answer(struct client *c, uint64_t question, struct str result);

/* All of a list, page after page: fn gets the array of each page ("tools" of
 * "tools/list"), then once an absent one: the end, with err if it is not complete. */
typedef void client_page_fn(void *ctx, struct json items, const struct err *err);
void client_list(struct client *c, const char *method, const char *key,
                 client_page_fn *fn, void *ctx);

/* The era that was found; sensible once client_open's fn was called without an error.
 */
bool client_is_modern(const struct client *c);

/* Sends notifications/cancelled; fn is called with CANCELLED now; a late answer is
 * dropped. */
void client_cancel(struct client *c, uint64_t request);

/* Takes one message. PROTOCOL when it is not JSON-RPC (the connection may go on).
 * Requests of the server (ping, roots/list, ...) are answered. */
int client_recv(struct client *c, struct str text, struct err *err);
/* The connection is gone: everything in flight ends with err. */
void client_lost(struct client *c, const struct err *err);

struct str client_output(const struct client *c);
void client_sent(struct client *c);
