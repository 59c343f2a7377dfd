/* A call: one request in flight, as its handler sees it: a tool that is called, a
 * resource that is read, a prompt that is got, a value that is completed.
 *
 * The handler runs when the request arrives; its arguments are checked already. It
 * ends, now or later, in exactly one of the functions that end a call, one that fits
 * its kind, or in call_fail(). To end it later it keeps call_ref(), a number, and asks
 * call_find() again when it has the answer: NULL means that the call is gone
 * (cancelled, or its connection closed), and there is nobody to answer. A `struct call
 * *` is valid inside the handler, the on_cancel callback and after call_find() until
 * the call ends; never across turns of the loop. */
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

/* The arguments of a tool or a prompt: an object. They, every string taken from them
 * and the arena live until the call ends (the message is copied once). */
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
/* 0: told, or nobody watches; else after how many ms it may be. */
unsigned call_progress(struct call *call, double progress, double total,
                       struct str message, uint64_t now_ms);

/* A log notification, if the peer asked for this level. */
void call_log(struct call *call, enum mcp_log_level level, struct str text);

/* Closes the stream of this call's answer for now: its client comes back for the rest
 * (HTTP in the revision 2025-11-25). false: there is no such stream. */
bool call_close_stream(struct call *call);

/* --- Tools --- */

/* Ends the call with a result that has structuredContent: `object` is one JSON object
 * without raw newlines; the text block carries the same text, as the specification
 * asks. */
void call_result_structured(struct call *call, struct str object);

/* Ends the call with content blocks. Between begin and end, write content block objects
 * with the returned writer (it is inside the content array) and call nothing else of
 * this session: struct json_writer *w = call_content_begin(call); call_content_text(w,
 * text); call_content_blob(w, uri, mime_type, bytes); call_content_end(call);
 *
 * call_fail() instead of call_content_end() takes back what was written; so it is with
 * every pair of begin and end here. Whatever the way, a result of more than
 * MCP_MESSAGE_OUT_MAX is replaced by a LIMIT error. */
struct json_writer *call_content_begin(struct call *call);
void call_content_text(struct json_writer *w, struct str text);
void call_content_image(struct json_writer *w, struct str mime_type, struct str bytes);
void call_content_audio(struct json_writer *w, struct str mime_type, struct str bytes);
/* An embedded resource: of text, or of bytes. */
void call_content_resource(struct json_writer *w, struct str uri, struct str mime_type,
                           struct str text);
void call_content_blob(struct json_writer *w, struct str uri, struct str mime_type,
                       struct str bytes);
void call_content_end(struct call *call);

/* The call goes on as a task, whose id is its answer now; true also when it is one
 * already. What the handler keeps (ref, state) stays valid; progress, log and result go
 * to the task. false: its client takes no tasks (or only ones that it asks for), or
 * there are too many: answer it as usual. */
bool call_become_task(struct call *call);

/* --- Resources --- */

/* The URI that is asked for, as it came; and what a variable of the template stands for
 * in it, percent-decoded (lives as long as the call; {NULL, 0}: no such variable). */
struct str call_uri(const struct call *call);
struct str call_var(struct call *call, struct str name);

/* Ends the call with contents: one or several, each with its URI. */
struct json_writer *call_contents_begin(struct call *call);
void call_contents_text(struct json_writer *w, struct str uri, struct str mime_type,
                        struct str text);
void call_contents_blob(struct json_writer *w, struct str uri, struct str mime_type,
                        struct str bytes);
void call_contents_end(struct call *call);

/* mcp_server_config.list_resources: where to go on, as given to call_resources_end()
 * for the page before; empty: from the start. Ends the call with resources/list
 * entries; next is empty behind the last page. */
struct str call_cursor(struct call *call);
struct json_writer *call_resources_begin(struct call *call);
void call_resources_end(struct call *call, struct str next);

/* --- Prompts --- */

/* Ends the call with messages: struct json_writer *w = call_messages_begin(call, text);
 * call_message_begin(w, "user"); call_content_text(w, text) or another block (one a
 * message); call_message_end(w); call_messages_end(call); */
struct json_writer *call_messages_begin(struct call *call, struct str description);
void call_message_begin(struct json_writer *w, const char *role);
void call_message_end(struct json_writer *w);
void call_messages_end(struct call *call);

/* --- Completion --- */

/* The name of the prompt's argument or the template's variable, what was typed of its
 * value, and the values that others have already ({NULL, 0}: not given). */
struct str call_argument_name(struct call *call);
struct str call_argument_value(struct call *call);
struct str call_argument_context(struct call *call, struct str name);
/* Ends the call with values, the best first; the first 100 are sent, and how many there
 * are. */
void call_complete(struct call *call, const struct str *values, size_t count);

/* --- Asking the client --- */

/* A tool, a prompt or a resource may ask its client, the same way in both eras:
 *
 *   struct json answer = call_answer(call, CALL_ASK_FORM, "name");
 *   if (!json_present(answer)) {
 *       call_ask_form(call, "name", STR("What is your name?"), STR("{...}"));
 *       call_ask_end(call, (struct str){0});
 *       return;
 *   }
 *
 * call_ask_end() ends this run of the handler (free what it keeps: its state and
 * on_cancel are forgotten). When the answers are there it runs again from its start:
 * with the same call, or, in the modern era, with another one of the same arguments,
 * perhaps on another server. What is to survive goes into `state`, which comes back as
 * call_round(), unchanged. A client that answers nothing, not all, or in the wrong
 * shape leaves call_answer() absent: ask again. */
enum call_ask {
    CALL_ASK_FORM = 1,   /* elicitation of a form: flat, primitive values, no secrets */
    CALL_ASK_URL = 2,    /* elicitation at a URL */
    CALL_ASK_SAMPLE = 4, /* a message of the client's model */
    CALL_ASK_ROOTS = 8,  /* its directories */
};
/* Questions of one round (4 MiB together), and bytes of state; beyond the sizes the
 * call fails with LIMIT. */
enum { CALL_ASKS_MAX = 16, CALL_STATE_MAX = 16 * 1024 };

/* Has the client declared that it can be asked this? */
bool call_can_ask(const struct call *call, enum call_ask what);
/* Ends the call with the error that says so. call_ask_end() does it by itself. */
void call_fail_incapable(struct call *call, enum call_ask what);

/* The client's answer: an ElicitResult (action accept, decline or cancel; content if
 * accepted), CreateMessageResult or ListRootsResult object. Lives as long as the call.
 * Its values are not checked against a schema. */
struct json call_answer(struct call *call, enum call_ask what, const char *key);
/* What was given to call_ask_end() in the round before; empty in the first. */
struct str call_round(const struct call *call);

/* One or more questions, each with its key (ASCII without quotes); then the end. schema
 * and params (of sampling/createMessage): JSON objects without raw newlines. */
void call_ask_form(struct call *call, const char *key, struct str message,
                   struct str schema);
void call_ask_url(struct call *call, const char *key, struct str message,
                  struct str url);
void call_ask_sample(struct call *call, const char *key, struct str params);
void call_ask_roots(struct call *call, const char *key);
void call_ask_end(struct call *call, struct str state);

/* --- Failure --- */

/* Ends the call with an error. Of a tool: a result with isError, whose text block is
 * {"code","cause","remedy"}. Of others: a JSON-RPC error; NOT_FOUND of a resource as
 * each era has it. */
void call_fail(struct call *call, const struct err *err);
/* The same as a JSON-RPC error, also of a tool: the request, not its work, has failed.
 */
void call_fail_protocol(struct call *call, const struct err *err);
