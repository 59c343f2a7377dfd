/* What may be asked of the server over HTTP, sans I/O: the steps of Streamable HTTP
 * (MCP 2025-03-26 to 2026-07-28, "Transports") that need no body, and RFC 9110/9112
 * where attackers are stricter than clients. A refusal is complete: its status, its
 * text, what else goes into the head of the answer.
 *
 * The order: http_check_framing, http_check_source, http_route, the caller's own check
 * of the token, http_check_method, then for POST http_check_post. */
#pragma once
#include "base/str.h"
#include <stdbool.h>
#include <stddef.h>

enum web_status {
    HTTP_OK = 200,
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
    HTTP_LENGTH_REQUIRED = 411,
    HTTP_TOO_LARGE = 413,
    HTTP_UNSUPPORTED_MEDIA_TYPE = 415,
    HTTP_UPGRADE_REQUIRED = 426,
    HTTP_TOO_MANY = 429,
    HTTP_INTERNAL = 500,
    HTTP_NOT_IMPLEMENTED = 501,
    HTTP_UNAVAILABLE = 503,
};
const char *http_reason(enum web_status status); /* "Not Found" */

enum http_method {
    HTTP_GET,
    HTTP_POST,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_HEAD,
    HTTP_OTHER,
};

/* The head of a request: header values without the space around them; p is NULL for
 * one that is absent. Several of the same name are joined with a comma, as they came.
 */
struct http_head {
    enum http_method method;
    bool keep_alive; /* HTTP/1.1 */
    struct str path; /* decoded, without the query */
    struct str host, origin;
    struct str content_length, transfer_encoding, content_type, accept, authorization;
    struct str upgrade, connection, ws_key, ws_version, ws_protocol;
    struct str protocol_version, mcp_method, mcp_name, session_id, last_event_id;
    struct str forwarded_for, traceparent;
};

/* A request that is not served. */
struct http_refusal {
    enum web_status status;
    const char *message; /* static */
    const char *header;  /* a further header line with its CRLF, or NULL */
    bool close;          /* what follows on this connection is not to be trusted */
};

/* How long the body is. 411 for Transfer-Encoding (bodies in pieces are not taken) and
 * for a POST without a length, 400 for a length that is not one plain number, 413 above
 * body_max; all of them close. */
int http_check_framing(const struct http_head *head, size_t body_max,
                       size_t *ret_body_bytes, struct http_refusal *refusal);

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

enum http_route {
    ROUTE_MCP,
    ROUTE_HEALTH,
    ROUTE_READY,
    ROUTE_METRICS,
    ROUTE_METADATA, /* of an OAuth resource: not http_route()'s, see auth.c */
};
/* 404. */
int http_route(const struct http_head *head, enum http_route *ret_route,
               struct http_refusal *refusal);

/* 405 with Allow. On ROUTE_MCP a GET or DELETE is good only with a session of the
 * legacy revisions (Mcp-Session-Id, no modern MCP-Protocol-Version). */
int http_check_method(const struct http_head *head, enum http_route route,
                      struct http_refusal *refusal);
/* 415, 406. */
int http_check_post(const struct http_head *head, struct http_refusal *refusal);
/* 406: the GET stream. */
int http_check_get(const struct http_head *head, struct http_refusal *refusal);
/* A WebSocket handshake, RFC 6455 4.2.1: 404, 400, 426 with the version that is spoken.
 * The subprotocol is "mcp" or not named at all. */
int http_check_upgrade(const struct http_head *head, struct http_refusal *refusal);

/* The token of "Authorization: Bearer TOKEN"; p is NULL when there is none. */
struct str http_bearer(const struct http_head *head);

/* The trace id of a traceparent (W3C Trace Context), 32 hexadecimal digits; empty when
 * it is not one. */
struct str http_trace_id(struct str traceparent);

/* Is it a revision of the stateless era (2026-07-28 or later)? */
bool http_version_modern(struct str version);
