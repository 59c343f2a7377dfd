/* The one place that knows how an error looks outside: JSON-RPC codes, HTTP status, and
 * the {code, cause, remedy} that a model reads. */
#pragma once
#include "base/err.h"
#include "base/json_write.h"
#include "mcp/protocol.h"

enum {
    RPC_PARSE_ERROR = -32700,
    RPC_INVALID_REQUEST = -32600,
    RPC_METHOD_NOT_FOUND = -32601,
    RPC_INVALID_PARAMS = -32602,
    RPC_INTERNAL_ERROR = -32603,
    RPC_RESOURCE_NOT_FOUND = -32002, /* legacy eras only */
    RPC_HEADER_MISMATCH = -32020,    /* these three: 2026-07-28 */
    RPC_MISSING_CAPABILITY = -32021,
    RPC_UNSUPPORTED_VERSION = -32022,
};

/* The code for an error that is answered as a JSON-RPC error. */
int errors_rpc_code(enum err_kind kind);

/* The HTTP status of a response that is this JSON-RPC error. */
int errors_rpc_status(int code, enum mcp_era era);
/* And of any error about the envelope of a modern request (params._meta). */
enum { ERRORS_ENVELOPE_STATUS = 400 };

/* Writes {"code":"NOT_FOUND","cause":"...","remedy":"..."}; remedy only if there is
 * one. */
void errors_write(struct json_writer *w, const struct err *err);
