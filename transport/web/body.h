/* The body of a POST against its head, sans I/O: which era it belongs to, and what
 * 2026-07-28 says about headers that mirror it ("Transports", Streamable HTTP, request
 * metadata). What is wrong with the message itself, the core (mcp/) answers. */
#pragma once
#include "base/json.h"
#include "mcp/server.h"
#include "transport/web/rules.h"

/* Which arguments of which tools travel in Mcp-Param-* headers too: "x-mcp-header" in
 * their input schemas. */
struct param_headers;
struct param_headers *param_headers_new(const struct mcp_tool *tools, size_t count);
void param_headers_free(struct param_headers *headers);

enum body_kind {
    BODY_MODERN,     /* stateless: a session of its own */
    BODY_INITIALIZE, /* opens a session */
    BODY_LEGACY,     /* belongs to the session that Mcp-Session-Id names */
};

/* A JSON-RPC error to answer with; HTTP status 400. */
struct body_refusal {
    int code;
    struct str id; /* raw JSON of a legal id, or empty; of the document */
    char message[200];
};

/* Looks up a header by its lower-case name; p is NULL when it is absent. */
typedef struct str body_header_fn(void *ctx, const char *name);

/* 0 with *ret_kind, or -1 with *refusal. */
int body_check(const struct json_doc *doc, const struct web_head *head,
               const struct param_headers *params, body_header_fn *header, void *ctx,
               enum body_kind *ret_kind, struct body_refusal *refusal);

/* The value that a header carries: as it is, or what "=?base64?...?=" encodes, decoded
 * into *a. INVALID when that is not strict base64 of UTF-8. */
int body_decode_header(struct str value, struct arena *a, struct str *ret_value,
                       struct err *err);
