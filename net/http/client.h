/* Outgoing HTTP/1.1 (RFC 9110, 9112): libcurl's multi interface hosted by our loop.
 *
 * A client keeps connections and reuses them. TLS certificates are always verified;
 * http: URLs are for loopback. The environment's proxies (https_proxy, no_proxy, ...)
 * are honoured by libcurl itself. Redirects are not followed and nothing is retried
 * here: whether a request may be repeated is for its caller to know.
 *
 * Callbacks never run inside libcurl, so they may start, pause and cancel whatever they
 * like. After http_cancel() no callback of that call runs. */
#pragma once
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "net/loop.h"
#include <stdint.h>

struct http_client;
struct http_call;

/* Strings are borrowed for the client's life. */
struct http_config {
    const char *user_agent;
    const char *ca_file;  /* certificates to trust instead of the system's; or NULL */
    unsigned connections; /* at most, all together; 0: no limit of ours */
};

int http_client_new(struct http_client **ret_client, struct loop *loop,
                    const struct http_config *config, struct err *err);
/* Cancels what is under way and closes the connections. Accepts NULL. */
void http_client_free(struct http_client *client);
/* Works, without the loop, until no call is left or the time is over; for what must
 * still be said at the end of a process. */
void http_client_drain(struct http_client *client, uint64_t limit_ms);

/* How far a failed request came: may it have had an effect? */
enum http_reach {
    HTTP_NOT_SENT, /* it did not leave this machine */
    HTTP_SENT,     /* nobody knows */
    HTTP_ANSWERED, /* the answer's head came, then it broke */
};

struct http_events {
    /* The head of the answer; look into it with http_header(). May be NULL. */
    void (*head)(void *ctx, int status);
    /* A piece of the body, of any size. */
    void (*body)(void *ctx, struct str bytes);
    /* Once, last: the answer is complete (err NULL), or failed. The call is gone. */
    void (*done)(void *ctx, const struct err *err, enum http_reach reach);
};

struct http_request {
    const char *method;
    struct str url;
    const struct str *headers; /* "Name: value"; copied */
    size_t header_count;
    const struct secret *bearer; /* Authorization: Bearer; or NULL; copied */
    struct str body;             /* borrowed until done, or cancelled */
    /* A body made piece by piece instead: writes up to max bytes to `to`; 0 ends it.
     * Called inside libcurl: it may not call this client. Sent chunked. */
    size_t (*read_body)(void *ctx, char *to, size_t max);
    /* A dead kept-alive connection may be replaced silently and the request sent again;
     * else that is an error (HTTP_SENT). */
    bool repeatable;
    uint32_t head_timeout_ms; /* until the answer's head has come; 0: none */
    uint32_t idle_timeout_ms; /* without a byte of the body, unless paused; 0: none */
};

enum { HTTP_CONNECT_TIMEOUT_MS = 10000, HTTP_HEAD_MAX = 256 * 1024 };

/* Never calls back before it returns. */
struct http_call *http_start(struct http_client *client,
                             const struct http_request *request,
                             const struct http_events *events, void *ctx);
void http_cancel(struct http_call *call); /* accepts NULL */
/* While paused nothing is delivered; a little is buffered, then the peer has to wait.
 */
void http_pause(struct http_call *call, bool pause);
/* The value of the answer's last header of that name, valid during the callback. */
struct str http_header(struct http_call *call, const char *name);
/* Is there any call under way? */
bool http_client_busy(const struct http_client *client);
