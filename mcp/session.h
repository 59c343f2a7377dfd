/* Private to mcp/: what session.c, classify.c, methods.c and calls.c share. */
#pragma once
#include "mcp/errors.h"
#include "mcp/jsonrpc.h"
#include "mcp/protocol.h"
#include "mcp/server.h"

struct call {
    uint64_t ref, stream;
    struct session *session;
    struct call *next; /* of the session; of the server while spare */
    const struct mcp_tool *tool;
    struct arena arena;
    struct json_doc doc; /* of the message, whose text is in the arena */
    struct json args;
    struct str id, token; /* raw JSON; token empty: no progress wanted */
    enum mcp_era era;
    enum mcp_log_level log_level; /* modern: what the request asked for */
    bool in_handler, ended, progressed, writing;
    uint64_t started_ms, progress_ms;
    double progress;
    void *state;
    void (*on_cancel)(struct call *call);
    struct json_writer writer; /* between call_content_begin and _end */
    size_t message_start;
};

/* A ref is generation << 32 | index of its slot. */
struct call_slot {
    struct call *call; /* NULL: free */
    uint32_t next_free;
};

struct mcp_server {
    struct mcp_server_config config;
    struct call_slot *slots;
    uint32_t slot_count, free_slot, generation;
    struct call *spare; /* ended ones, kept with an empty arena */
    int spare_count;
    struct buf tools_list; /* the JSON array of tools/list */
    struct json_doc empty; /* {}: the arguments of a call that has none */
    struct arena arena;
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
    size_t call_count, held_bytes;     /* texts of the calls in flight */
    const struct mcp_version *version; /* negotiated by initialize; NULL before */
    enum mcp_log_level log_level;      /* legacy: logging/setLevel */
    uint64_t now_ms, stream;           /* of the text in hand */
    bool receiving, woken, broken;
};

/* One request in hand. */
struct request {
    struct session *session;
    const struct json_doc *doc;
    struct str id; /* raw */
    struct json method, params;
    enum mcp_era era;
    enum mcp_log_level log_level; /* modern: below which nothing is sent */
    bool in_batch;
    bool classified; /* before that, what is wrong with it is its envelope */
};

/* A message: begin, write with the writer, end. Past MCP_MESSAGE_OUT_MAX the output's
 * overflow is set. After the last end() that a function does, session_wake(). */
size_t session_begin(struct session *s, struct json_writer *w);
void session_end(struct session *s, size_t start, const struct mcp_message *record);
/* Takes back what was written since begin. */
void session_rollback(struct session *s, size_t start);
/* Tells the transport of output that it does not expect. It may take the output. */
void session_wake(struct session *s);

/* The response to a request: begin leaves the `result` object open. call: the one that
 * is answered; NULL: the request in hand. */
size_t session_begin_result(struct session *s, struct json_writer *w, struct str id,
                            enum mcp_era era);
void session_end_result(struct session *s, struct json_writer *w, size_t start,
                        const struct call *call);
/* An error about the text in hand before it is known what it asks for. */
void session_error(struct session *s, struct str id, int code, const char *message);
/* An error that answers the request: begin leaves `error` open for its data. */
void request_error(struct request *r, int code, const char *message);
size_t request_begin_error(struct request *r, struct json_writer *w, int code,
                           const char *message);
void request_end_error(struct request *r, struct json_writer *w, size_t start,
                       int code);

/* A notification with `params` left open; about the call, or NULL: about none. */
size_t session_begin_notification(struct session *s, struct json_writer *w,
                                  const char *method);
void session_end_notification(struct session *s, struct json_writer *w, size_t start,
                              const struct call *call);

/* classify.c: fills in the era of a request, by what it carries itself. -1: it is
 * refused, and that is answered. */
int classify_request(struct request *r);
/* methods.c: answers one classified request. */
void methods_dispatch(struct request *r);

/* calls.c */
void calls_start(struct request *r, const struct mcp_tool *tool, struct json args);
struct call *calls_by_id(struct session *s, struct str id);
/* Its on_cancel runs; nothing more is said about it. */
void calls_cancel(struct call *call);
/* Gives back what mcp_server keeps for calls. */
void calls_finish(struct mcp_server *server);
