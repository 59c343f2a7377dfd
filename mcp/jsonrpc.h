/* JSON-RPC 2.0 envelopes, as all revisions of MCP use them. */
#pragma once
#include "base/err.h"
#include "base/json.h"
#include "base/json_write.h"

enum rpc_kind { RPC_REQUEST, RPC_NOTIFICATION, RPC_RESPONSE };

/* Ids and progress tokens are echoed in every message about their request. */
enum { RPC_ID_MAX = 64 * 1024 };

struct rpc {
    enum rpc_kind kind;
    struct str id;      /* raw JSON text of a string or an integer; empty: none */
    struct json method; /* a string; absent in a response */
    struct json params; /* an object or absent */
    struct json result, error;
};

/* Sorts out one message. -1 with *ret_code (a JSON-RPC code) and err; rpc->id is set if
 * a legal id could be had. A notification is never an error: it would be answered. */
int rpc_read(struct json message, struct rpc *rpc, int *ret_code, struct err *err);

/* May it be echoed: a string or an integer of any size, up to RPC_ID_MAX bytes? */
bool rpc_legal_id(struct json id);

/* json_str_is(), quick for strings without escapes. */
bool rpc_is(struct json v, struct str s);

/* Writes {"jsonrpc":"2.0","id":ID,"error":{"code":..,"message":..  and leaves the error
 * object open for "data"; rpc_end_error closes both. An empty id is left out. */
void rpc_begin_error(struct json_writer *w, struct str id, int code,
                     const char *message);
void rpc_end_error(struct json_writer *w);
