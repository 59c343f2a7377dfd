/* What may be asked of MCP over HTTP, sans I/O: the steps of Streamable HTTP (MCP
 * 2025-03-26 to 2026-07-28, "Transports") that need no body. What is true of every HTTP
 * request was checked before (net/http_server/rules.h).
 *
 * The order: web_route, the caller's own check of the token, web_check_method, then for
 * POST web_check_post. */
#pragma once
#include "net/http_server/rules.h"

/* The head of a request, and what MCP adds to it; p is NULL for what is absent. */
struct web_head {
    const struct http_head *http;
    struct str protocol_version, mcp_method, mcp_name, session_id, last_event_id;
};

enum web_route {
    ROUTE_MCP,
    ROUTE_HEALTH,
    ROUTE_READY,
    ROUTE_METRICS,
    ROUTE_METADATA, /* of an OAuth resource: not web_route()'s, see auth.c */
};
/* 404. */
int web_route(struct str path, enum web_route *ret_route, struct http_refusal *refusal);

/* 405 with Allow. On ROUTE_MCP a GET or DELETE is good only with a session of the
 * legacy revisions (Mcp-Session-Id, no modern MCP-Protocol-Version). */
int web_check_method(const struct web_head *head, enum web_route route,
                     struct http_refusal *refusal);
/* 415, 406. */
int web_check_post(const struct web_head *head, struct http_refusal *refusal);
/* 406: the GET stream. */
int web_check_get(const struct web_head *head, struct http_refusal *refusal);

/* Is it a revision of the stateless era (2026-07-28 or later)? */
bool web_version_modern(struct str version);
