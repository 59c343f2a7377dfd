/* A call: one tools/call in flight, as a tool's handler sees it.
 *
 * The handler runs when the call arrives; its arguments already satisfy the tool's
 * inputSchema. It ends, now or later, in exactly one call_result_*() or call_fail(). To
 * end it later it keeps call_ref(), a number, and asks call_find() again when it has
 * the answer: NULL means that the call is gone (cancelled, or its connection closed),
 * and there is nobody to answer. A `struct call *` is valid inside the handler, the
 * on_cancel callback and after call_find() until the call ends; never across turns of
 * the loop. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/json_write.h"
#include "mcp/protocol.h"
#include <stdbool.h>
#include <stdint.h>

struct call;
struct mcp_server;
typedef void call_fn(struct call *call);

uint64_t call_ref(const struct call *call);
struct call *call_find(struct mcp_server *server, uint64_t ref);

void *call_ctx(const struct call *call); /* mcp_server_config.ctx */
struct mcp_server *call_server(const struct call *call);
uint64_t call_owner(const struct call *call);
uint64_t call_started_ms(const struct call *call);

/* The arguments: an object. They, every string taken from them and the arena live until
 * the call ends (the message is copied once). */
struct json call_args(const struct call *call);
struct arena *call_arena(struct call *call);

/* Anything the handler wants to keep with the call (its own heap object). */
void call_set_state(struct call *call, void *state);
void *call_state(const struct call *call);
/* Runs when the peer cancels or its connection closes, before the call is freed: stop
 * the work, free the state, answer nothing. call_find() does not find it any more. */
void call_on_cancel(struct call *call, void (*fn)(struct call *call));

/* Progress for people who watch: dropped unless the peer gave a token; at most 10 a
 * second; `progress` must grow. total < 0: not known. message may be empty. now_ms as
 * in session_recv. */
bool call_wants_progress(const struct call *call);
void call_progress(struct call *call, double progress, double total, struct str message,
                   uint64_t now_ms);

/* A log notification, if the peer asked for this level. */
void call_log(struct call *call, enum mcp_log_level level, struct str text);

/* Ends the call with a result that has structuredContent: `object` is one JSON object
 * without raw newlines; the text block carries the same text, as the specification
 * asks. */
void call_result_structured(struct call *call, struct str object);

/* Ends the call with content blocks. Between begin and end, write content block objects
 * with the returned writer (it is inside the content array) and call nothing else of
 * this session: struct json_writer *w = call_content_begin(call); call_content_text(w,
 * text); call_content_blob(w, uri, mime_type, bytes); call_content_end(call);
 *
 * call_fail() instead of call_content_end() takes back what was written. Whatever the
 * way, a result of more than MCP_MESSAGE_OUT_MAX is replaced by a LIMIT error. */
struct json_writer *call_content_begin(struct call *call);
void call_content_text(struct json_writer *w, struct str text);
void call_content_image(struct json_writer *w, struct str mime_type, struct str bytes);
void call_content_blob(struct json_writer *w, struct str uri, struct str mime_type,
                       struct str bytes);
void call_content_end(struct call *call);

/* Ends the call with isError: text block {"code","cause","remedy"} from *err. */
void call_fail(struct call *call, const struct err *err);
