/* Private to mcp/: what session.c, methods.c and calls.c share. */
#pragma once
#include "mcp/errors.h"
#include "mcp/jsonrpc.h"
#include "mcp/protocol.h"
#include "mcp/server.h"

struct call {
    uint64_t ref;
    struct session *session;
    struct call *next; /* of the session */
    const struct mcp_tool *tool;
    struct arena arena;
    struct json_doc doc; /* of the message, whose text is in the arena */
    struct json args;
    struct str id, token; /* raw JSON; token empty: no progress wanted */
    enum mcp_era era;
    enum mcp_log_level log_level;
    bool in_handler, ended;
    uint64_t started_ms, progress_ms;
    double progress;
    void *state;
    void (*on_cancel)(struct call *call);
    struct json_writer writer; /* between call_content_begin and _end */
    size_t message_start;
};

struct mcp_server {
    struct mcp_server_config config;
    struct call **slots; /* by the low half of a ref */
    uint32_t slot_count, generation;
    struct buf tools_list; /* the JSON array of tools/list */
    size_t sessions;
};

struct session {
    struct mcp_server *server;
    struct session_config config;
    struct arena arena; /* of the message in hand */
    struct buf out;
    struct mcp_message *messages;
    size_t message_count, message_cap;
    struct call *calls;
    size_t call_count;
    const struct mcp_version *version; /* negotiated by initialize; NULL before */
    enum mcp_log_level log_level;
    uint64_t now_ms;
    bool receiving, woken, broken;
};

/* One request in hand. */
struct request {
    struct session *session;
    const struct json_doc *doc;
    struct str id; /* raw */
    struct json method, params;
    enum mcp_era era;
    enum mcp_log_level log_level; /* below which nothing is sent */
};

/* A message: begin, write with the writer, end. end() wakes the transport when needed.
 */
size_t session_begin(struct session *s, struct json_writer *w);
void session_end(struct session *s, size_t start, uint64_t request, bool final);
/* Takes back what was written since begin. */
void session_rollback(struct session *s, size_t start);

/* The response to a request: begin leaves the `result` object open. */
size_t session_begin_result(struct session *s, struct json_writer *w, struct str id,
                            enum mcp_era era);
void session_end_result(struct session *s, struct json_writer *w, size_t start,
                        uint64_t request);
void session_error(struct session *s, struct str id, int code, const char *message);

/* methods.c: answers one classified request. */
void methods_dispatch(struct request *r);
/* calls.c */
void calls_start(struct request *r, const struct mcp_tool *tool, struct json args);
struct call *calls_by_id(struct session *s, struct str id);
void calls_cancel(struct call *call);
