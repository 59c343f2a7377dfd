/* Private to mcp/: what the files of the server side share. */
#pragma once
#include "mcp/errors.h"
#include "mcp/jsonrpc.h"
#include "mcp/protocol.h"
#include "mcp/server.h"

/* What is asked of a server: a request that a handler answers, now or later. */
enum call_kind {
    CALL_TOOL,
    CALL_RESOURCE,
    CALL_RESOURCE_LIST,
    CALL_PROMPT,
    CALL_COMPLETION,
    CALL_TASK_RESULT,
};

/* One question of a call to its client. Lives in the call's arena. */
struct ask {
    struct ask *next;
    enum call_ask what;
    struct str key, params; /* params: raw JSON; key ends in NUL */
    uint64_t number;        /* legacy: of our request */
    bool answered;
    struct json_doc answer;
};

struct task;

struct call {
    uint64_t ref, stream;
    struct task *task; /* that it runs as; or NULL */
    struct session *session;
    struct call *next; /* of the session; of the server while spare */
    enum call_kind kind;
    call_fn *handler;
    struct arena arena;
    struct json_doc doc; /* of the message, whose text is in the arena */
    struct json params, args;
    struct str id, token;                /* raw JSON; token empty: no progress wanted */
    struct str uri;                      /* of a resource or of a template */
    const struct mcp_template *template; /* that the URI matches */
    struct str cursor;                   /* of list_resources */
    uint32_t ttl_ms;
    enum mcp_era era;
    enum mcp_log_level log_level; /* modern: what the request asked for */
    bool in_handler, ended, progressed, writing;
    /* What its client can be asked, is asked now, and has answered (of the round
     * before; modern: `responses`); what the handler gave with its last question. */
    unsigned client; /* enum call_ask bits */
    struct ask *asks, *answers;
    size_t ask_count, open_asks, ask_bytes;
    unsigned rounds;
    uint64_t asks_due_ms;
    size_t held_bytes; /* of s->held_bytes */
    struct json responses;
    struct str round;
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
    struct json_doc empty; /* {}: the arguments of a call that has none */
    struct arena arena;
    struct session *sessions;
    size_t listens;  /* of all of them */
    uint64_t due_ms; /* as told to the host */
    struct task *tasks;
    uint64_t last_task;
    size_t task_bytes; /* of their results */
};

struct session {
    struct session *next, *previous; /* of the server */
    struct mcp_server *server;
    struct session_config config;
    struct arena arena; /* of the message in hand */
    struct buf out;
    struct mcp_message *messages;
    size_t message_count, message_cap;
    struct call *calls;
    size_t call_count, held_bytes;       /* texts of the calls in flight */
    const struct mcp_version *version;   /* negotiated by initialize; NULL before */
    enum mcp_log_level log_level;        /* legacy: logging/setLevel */
    uint64_t now_ms, stream;             /* of the text in hand */
    struct subscriptions *subscriptions; /* NULL: never one */
    unsigned client;                     /* enum call_ask bits: legacy, as declared */
    uint64_t last_request;               /* of ours to the client */
    bool initialized;                    /* legacy: it may be told of changes */
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
    unsigned client;              /* enum call_ask bits: modern, as declared */
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
/* Modern: with another resultType than "complete". */
size_t session_begin_result_type(struct session *s, struct json_writer *w,
                                 struct str id, const char *type);
void session_end_result(struct session *s, struct json_writer *w, size_t start,
                        const struct call *call);
/* An error about the text in hand before it is known what it asks for. */
void session_error(struct session *s, struct str id, int code, const char *message);
/* An error with its HTTP status: begin leaves `error` open for its data. */
size_t session_begin_error(struct session *s, struct json_writer *w, struct str id,
                           int code, const char *message);
void session_end_error(struct session *s, struct json_writer *w, size_t start,
                       int status, const struct call *call);
/* An error that answers the request: begin leaves `error` open for its data. */
void request_error(struct request *r, int code, const char *message);
size_t request_begin_error(struct request *r, struct json_writer *w, int code,
                           const char *message);
void request_end_error(struct request *r, struct json_writer *w, size_t start,
                       int code);
/* -32602 */
void request_refuse(struct request *r, const char *message);
/* "what: name", for a name that is not known. */
void request_unknown(struct request *r, int code, const char *what, struct json name);
/* {} */
void request_acknowledge(struct request *r);

/* A notification with `params` left open; about the call, or NULL: about none. */
size_t session_begin_notification(struct session *s, struct json_writer *w,
                                  const char *method);
void session_end_notification(struct session *s, struct json_writer *w, size_t start,
                              const struct call *call);
void session_end_notification_on(struct session *s, struct json_writer *w, size_t start,
                                 uint64_t stream);

typedef void method_fn(struct request *r);
/* The methods' handlers, by file. */
method_fn toolcalls_list, toolcalls_call;
method_fn resources_list, resources_templates_list, resources_read;
method_fn prompts_list, prompts_get;
method_fn completion_complete;
method_fn task_get, task_update, task_cancel, task_result, task_list;
method_fn subscriptions_subscribe, subscriptions_unsubscribe, subscriptions_listen;

/* classify.c: fills in the era of a request, by what it carries itself. -1: it is
 * refused, and that is answered. */
int classify_request(struct request *r);
/* methods.c: answers one classified request. */
void methods_dispatch(struct request *r);

/* calls.c. The call that the request becomes, or NULL (too many; that is answered): set
 * what its kind needs, then run it. Its args are {} if they are absent. */
struct call *calls_new(struct request *r, enum call_kind kind, call_fn *handler,
                       struct json args);
void calls_run(struct call *call);
/* It goes on in another session. */
void calls_move(struct call *call, struct session *to);
/* The place of a value of the request in the call's own copy of the message. */
struct json calls_own(const struct call *call, struct json of_request);
/* Its result: begin leaves `result` open; end replaces one that is too large to be sent
 * by a LIMIT error, and ends the call. */
size_t calls_begin_result(struct call *call, struct json_writer *w);
void calls_end_result(struct call *call, struct json_writer *w, size_t start);
/* The same with the call's own writer, for results that a handler writes: `key` is an
 * array that is left open. */
struct json_writer *calls_begin_items(struct call *call, const char *key);
void calls_end_items(struct call *call);
struct call *calls_by_id(struct session *s, struct str id);
const char *calls_method(const struct call *call); /* of its request */
/* Its response is written: the call is gone. */
void calls_end(struct call *call);
/* -32021; capability: a ClientCapabilities object. call, or NULL: the request in hand.
 */
void calls_fail_capability(struct session *s, struct str id, struct str capability,
                           const struct call *call);
/* Its on_cancel runs; nothing more is said about it. */
void calls_cancel(struct call *call);
/* Gives back what mcp_server keeps for calls. */
void calls_finish(struct mcp_server *server);
/* toolcalls.c: an error that the model is to read: a tool's result with isError. */
void toolcalls_write_failure(struct session *s, struct str id, enum mcp_era era,
                             const struct call *call, const struct err *err);
/* resources.c: how it is said that a resource is not there: the code, and the data of
 * the error. */
int resources_missing_code(enum mcp_era era);
void resources_write_missing(struct json_writer *w, struct json uri);

/* prompts.c */
const struct mcp_prompt *prompts_find(const struct mcp_server *server,
                                      struct json name);
/* Has the prompt an argument of this name? */
bool prompts_declare(struct session *s, const struct mcp_prompt *prompt,
                     struct json name);

/* capabilities.c: the member "capabilities"; and what a client declares, as enum
 * call_ask bits. */
enum { CAPABILITY_TASKS = 1 << 8 }; /* one more bit: the extension of 2026 */
#define CAPABILITY_TASKS_JSON "{\"extensions\":{\"" MCP_META "tasks\":{}}}"
void capabilities_write(const struct session *s, struct json_writer *w,
                        enum mcp_era era);
unsigned capabilities_read(struct json capabilities);

/* server.c: something is to expire at due_ms. */
void server_due(struct mcp_server *server, uint64_t due_ms);

/* ask.c */
const char *ask_method(const struct ask *ask);
/* Takes params. */
void ask_add(struct call *call, enum call_ask what, struct str key, struct buf *params);
/* The questions of this round that are open, as an InputRequests object. */
void ask_write(const struct call *call, struct json_writer *w);
/* All are answered: the handler runs again. */
void ask_next_round(struct call *call);

/* mrtr.c: ends the call with its questions; and reads what a request brings of the
 * round before (-1: it is refused, and that is answered). */
void mrtr_answer(struct call *call, struct str state);
int mrtr_read(struct request *r, struct json *ret_responses, struct str *ret_state);

/* requests.c */
void requests_send(struct call *call, struct str state);
void requests_answer(struct session *s, const struct rpc *rpc);
void requests_withdraw(struct call *call); /* those that are open */
void requests_expire(struct session *s, uint64_t now_ms);
uint64_t requests_due(const struct session *s); /* UINT64_MAX: never */

/* subscriptions.c */
bool subscriptions_has(struct session *s, struct str id);
void subscriptions_cancel(struct session *s, struct str id); /* if it is one */
size_t subscriptions_on(const struct session *s, uint64_t stream);
void subscriptions_tell_task(const struct task *task);
void subscriptions_forget(struct session *s); /* those of the legacy eras */
void subscriptions_finish(struct session *s);

/* lists.c: a table whose rows have a definition. */
struct list {
    const char *key;
    const void *rows;
    size_t count, stride, definition; /* of a row; offset of its struct str */
};
/* Answers the request with the page that its cursor asks for. */
void lists_answer(struct request *r, const struct list *list);
/* What clients may cache. */
void lists_write_caching(struct json_writer *w, enum mcp_era era, uint32_t ttl_ms);
