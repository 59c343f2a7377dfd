/* What is true of every request that a server takes over HTTP/1.1, sans I/O: RFC 9110,
 * 9112 and 6455 where attackers are stricter than clients. A refusal is complete: its
 * status, its text, what else goes into the head of the answer. */
#pragma once
#include "base/str.h"
#include <stdbool.h>
#include <stddef.h>

enum http_code {
    HTTP_SWITCHING = 101,
    HTTP_OK = 200,
    HTTP_CREATED = 201,
    HTTP_ACCEPTED = 202,
    HTTP_NO_CONTENT = 204,
    HTTP_BAD_REQUEST = 400,
    HTTP_UNAUTHORIZED = 401,
    HTTP_FORBIDDEN = 403,
    HTTP_NOT_FOUND = 404,
    HTTP_METHOD_NOT_ALLOWED = 405,
    HTTP_NOT_ACCEPTABLE = 406,
    HTTP_TIMEOUT = 408,
    HTTP_CONFLICT = 409,
    HTTP_GONE = 410,
    HTTP_LENGTH_REQUIRED = 411,
    HTTP_TOO_LARGE = 413,
    HTTP_UNSUPPORTED_MEDIA_TYPE = 415,
    HTTP_UNPROCESSABLE = 422,
    HTTP_UPGRADE_REQUIRED = 426,
    HTTP_TOO_MANY = 429,
    HTTP_INTERNAL = 500,
    HTTP_NOT_IMPLEMENTED = 501,
    HTTP_UNAVAILABLE = 503,
};
const char *http_reason(enum http_code status); /* "Not Found" */

enum http_method {
    HTTP_GET,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_HEAD,
    HTTP_OTHER,
};
const char *http_method_name(enum http_method method); /* "GET"; "other" */

enum { HTTP_ARGS_MAX = 32 };

/* The head of a request: header values without the space around them; p is NULL for one
 * that is absent. Several of the same name are joined with a comma, as they came. */
struct http_head {
    enum http_method method;
    bool keep_alive;                /* HTTP/1.1 */
    struct str path;                /* decoded, without the query */
    struct str args[HTTP_ARGS_MAX]; /* of the query: "key=value", decoded */
    size_t arg_count;
    struct str host, origin;
    struct str content_length, transfer_encoding, content_type, accept, authorization;
    struct str expect, forwarded_for, traceparent;
    struct str upgrade, connection, ws_key, ws_version, ws_protocol;
};

/* The value of an argument of the query; p is NULL when it is absent. */
struct str http_arg(const struct http_head *head, struct str key);

/* A request that is not served. */
struct http_refusal {
    enum http_code status;
    const char *code;    /* for those whose answers have one; static, or NULL */
    const char *message; /* static */
    const char *header;  /* a further header line with its CRLF, or NULL */
    bool close;          /* what follows on this connection is not to be trusted */
};
/* -1 */
int http_refuse(struct http_refusal *refusal, enum http_code status,
                const char *message);

struct http_framing {
    size_t body_bytes; /* 0 when it comes in pieces: then it is at most body_max */
    bool chunked;
};
/* May a request of this method have a body? */
bool http_has_body(enum http_method method);
/* How long the body is. 411 for a Transfer-Encoding other than "chunked" alone (and for
 * that, too, unless chunked_ok) and for a POST without a length, 400 for a length that
 * is not one plain number, 413 above body_max; all of them close. */
int http_check_framing(const struct http_head *head, size_t body_max, bool chunked_ok,
                       struct http_framing *ret_framing, struct http_refusal *refusal);

/* Which Host and Origin are good: against DNS rebinding and other sites' scripts. */
struct http_policy {
    const struct str *hosts; /* further names of this server: "mcp.example.com" */
    size_t host_count;
    const struct str *origins; /* further origins: "https://app.example.com" */
    size_t origin_count;
    /* The address is not loopback: a Host that is an IP address is good, too (a name
     * that an attacker rebinds is none). A unix socket: any Host. */
    bool any_address, any_host;
};
/* 403; 400 without exactly one Host. */
int http_check_source(const struct http_head *head, const struct http_policy *policy,
                      struct http_refusal *refusal);
/* The origin is one that CORS answers may name. */
bool http_origin_allowed(struct str origin, const struct http_policy *policy);

/* A WebSocket handshake, RFC 6455 4.2.1: 400, 426 with the version that is spoken. A
 * subprotocol is `protocol` or not named at all. */
int http_check_upgrade(const struct http_head *head, struct str protocol,
                       struct http_refusal *refusal);

/* The trace id of a traceparent (W3C Trace Context), 32 hexadecimal digits; empty when
 * it is not one. */
struct str http_trace_id(struct str traceparent);

/* The token of "Authorization: Bearer TOKEN"; p is NULL when there is none. */
struct str http_bearer(const struct http_head *head);

/* Does a list of media ranges take the type "type/subtype"? */
bool http_accepts(struct str list, struct str type);
/* Is it this type, whatever its parameters? */
bool http_is_type(struct str content_type, struct str type);
