/* The server side of the Model Context Protocol, sans I/O: texts in, texts out, time
 * passed in.
 *
 * A `struct mcp_server` is what is offered (tools, resources, prompts) and is shared by
 * all connections; a `struct session` is one connection: the process's stdio, a
 * WebSocket, a legacy HTTP session, or one modern HTTP request. Every session speaks
 * both eras at once: the `initialize` handshake of 2024-11-05 ... 2025-11-25 and the
 * stateless requests of 2026-07-28; each message is classified by itself
 * (mcp/classify.c).
 *
 * Output is collected in the session: one JSON text a message, each followed by "\n"
 * (no message holds a raw newline). `struct mcp_message` records say where each one
 * ends and to which request it belongs, for transports that route. */
#pragma once
#include "base/buf.h"
#include "base/json.h"
#include "mcp/call.h"
#include "mcp/schema.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    MCP_MESSAGE_IN_MAX = 64 * 1024 * 1024,
    MCP_MESSAGE_OUT_MAX = 8 * 1024 * 1024, /* TypeScript clients hang up past 10 MiB */
    MCP_CALLS_MAX = 1024,                  /* in flight per session */
    MCP_CALLS_BYTES_MAX = 256 * 1024 * 1024, /* their texts together */
    MCP_SESSION_LISTENS_MAX = 64,            /* subscriptions/listen, per session */
    MCP_LISTENS_MAX = 1024,                  /* and per server */
    MCP_TASKS_MAX = 1024,                    /* kept, per server */
    MCP_OWNER_TASKS_MAX = 128,               /* and per owner */
};

/* May, or must, a call of the tool run as a task? In 2025-11-25 the client says whether
 * it does; in the extension of 2026 the handler does, by call_become_task(). A
 * definition for 2025-11-25 says the same in execution.taskSupport. */
enum mcp_task_support { MCP_TASK_FORBIDDEN, MCP_TASK_OPTIONAL, MCP_TASK_REQUIRED };

/* One tool: a row of the table that is given to the server. */
struct mcp_tool {
    const char *name;
    struct str definition;       /* its complete tools/list entry, minified JSON */
    const struct schema *input;  /* compiled from the definition's inputSchema */
    const struct schema *output; /* or NULL */
    call_fn *call;               /* the arguments already satisfy `input` */
    enum mcp_task_support task;
};

/* A resource that has a URI of its own. `read` ends in call_contents_end(). */
struct mcp_resource {
    const char *uri;
    struct str definition; /* its complete resources/list entry */
    call_fn *read;
    uint32_t ttl_ms; /* for how long clients may keep what it answers */
};

/* Resources by the dozen: every URI that the template (see mcp/template.h) matches;
 * `read` finds the parts with call_var(). `complete`, or NULL, suggests values of its
 * variables; it ends in call_complete(). */
struct mcp_template {
    const char *uri;
    struct str definition; /* its complete resources/templates/list entry */
    call_fn *read;
    uint32_t ttl_ms;
    call_fn *complete;
};

/* `get` finds its arguments in call_args(): strings, the required ones are there. It
 * ends in call_messages_end(). */
struct mcp_prompt {
    const char *name;
    struct str definition; /* its complete prompts/list entry */
    call_fn *get;
    call_fn *complete; /* of its arguments, or NULL */
};

/* What a server does beyond answering: advertised, and answered to, only if set. */
enum mcp_feature {
    MCP_TOOLS_CHANGE = 1, /* mcp_server_changed() is called for these */
    MCP_PROMPTS_CHANGE = 2,
    MCP_RESOURCES_CHANGE = 4,
    MCP_RESOURCES_SUBSCRIBE = 8, /* mcp_server_updated() is called */
    MCP_CHANGES = 15,
    MCP_TASKS = 16, /* needs a host */
};

/* What a server needs of its host besides texts and times. */
enum { MCP_KEY_SIZE = 32 };
struct mcp_host {
    /* mcp_server_expire() has something to do at due_ms (on the clock of
     * session_recv()), not before; UINT64_MAX: never. Replaces what was said before. */
    void (*schedule)(void *ctx, uint64_t due_ms);
    uint64_t (*now_ms)(void *ctx);  /* on that clock */
    uint64_t (*unix_ms)(void *ctx); /* milliseconds since 1970 */
    void *ctx;
    /* Secret and random: protects what clients keep for the server. Servers that serve
     * each other's clients share it. */
    unsigned char key[MCP_KEY_SIZE];
};

/* The tables are borrowed. Rows are listed in their order, a page of page_size at a
 * time. */
struct mcp_server_config {
    const char *name, *title, *version;
    const char *instructions; /* static: no date, level or id in it */
    const struct mcp_tool *tools;
    size_t tool_count;
    const struct mcp_resource *resources;
    size_t resource_count;
    const struct mcp_template *templates;
    size_t template_count;
    const struct mcp_prompt *prompts;
    size_t prompt_count;
    /* Lists the resources that come and go, behind those of the table; or NULL. It ends
     * in call_resources_end(). */
    call_fn *list_resources;
    size_t page_size;  /* 0: 1000 */
    unsigned features; /* enum mcp_feature */
    /* Borrowed; NULL: clients cannot be asked anything. */
    const struct mcp_host *host;
    void *ctx; /* given to every handler as call_ctx() */
};

struct mcp_server;
struct mcp_server *
mcp_server_new(const struct mcp_server_config *config); /* borrowed */
void mcp_server_free(struct mcp_server *server);        /* no session may be left */

/* Does what is due; now_ms as in session_recv(). Requests to clients have an end, tasks
 * a time to live. */
void mcp_server_expire(struct mcp_server *server, uint64_t now_ms);
/* The owner is gone for good: its tasks are cancelled and forgotten. */
void mcp_server_drop_owner(struct mcp_server *server, uint64_t owner);

/* Lists have changed (enum mcp_feature bits), or a resource has: tells the peers that
 * are to be told. owner: only its connections; with a lower half of 0: those of all
 * owners with this upper half; 0: all. */
void mcp_server_changed(struct mcp_server *server, uint64_t owner, unsigned lists);
void mcp_server_updated(struct mcp_server *server, uint64_t owner, struct str uri);
/* Offers other rows from now on (borrowed), and tells. Rows of the former table are
 * needed as long as calls of them are in flight. */
void mcp_server_set_tools(struct mcp_server *server, const struct mcp_tool *tools,
                          size_t count);
void mcp_server_set_prompts(struct mcp_server *server, const struct mcp_prompt *prompts,
                            size_t count);

/* One connection. `owner` is whose sandboxes its calls see; `principal` (borrowed, or
 * NULL) is the same by a name that other servers and later runs know it by.
 * `wake(wake_ctx)` is called
 * when output appears outside session_recv (an asynchronous result, progress): once,
 * until the output was taken. It may take the output; it must not free the session or
 * hand it a message. */
struct session;
struct session_config {
    uint64_t owner;
    const char *principal;
    void (*wake)(void *wake_ctx);
    /* Of a transport whose streams can be closed and asked for again: see
     * call_close_stream(). May be NULL. */
    void (*close_stream)(void *wake_ctx, uint64_t stream);
    void *wake_ctx;
};
struct session *session_new(struct mcp_server *server,
                            const struct session_config *config);
/* Cancels every call in flight (their on_cancel runs), then frees. Not from inside a
 * tool. */
void session_free(struct session *s);

/* Takes one JSON text (no framing). Whatever it is, the session survives; what is to be
 * answered is put into the output. now_ms: a monotonic clock. The text is borrowed for
 * the call. */
void session_recv(struct session *s, struct str text, uint64_t now_ms);
/* The same for a transport whose answers go different ways (each POST of HTTP has its
 * own): `stream`, a number of the transport's other than 0, comes back in the record of
 * every message that is about a request of this text. */
void session_recv_on(struct session *s, struct str text, uint64_t stream,
                     uint64_t now_ms);
/* The same for a text that is parsed already; it and its tokens are borrowed. */
void session_recv_json(struct session *s, const struct json_doc *doc, uint64_t stream,
                       uint64_t now_ms);
/* The transport could not frame a message (too long, not UTF-8 ...): answers with the
 * JSON-RPC error for err->kind (PROTOCOL: -32700, LIMIT: -32600), without an id. */
void session_recv_bad(struct session *s, const struct err *err);
/* A log notification for a legacy connection, if it asked for this level
 * (logging/setLevel; warnings and worse before it did). Modern peers ask request by
 * request: call_log(). */
void session_log(struct session *s, enum mcp_log_level level, struct str text);
/* Calls that are still running. */
size_t session_calls(const struct session *s);
/* Requests of this stream that have no response yet (a subscriptions/listen has none
 * while it lives): when there is none, the stream has
 * had its last message (0 after session_recv_on(): all is answered at once). */
size_t session_stream_requests(const struct session *s, uint64_t stream);
/* Its revision (2025-11-25) has the client ask again for a stream that was closed, with
 * the id of the last event; a stream begins with an event that is nothing but an id. */
bool session_polls(const struct session *s);
/* The peer took so little that an answer had to be dropped: close the connection. */
bool session_broken(const struct session *s);

/* The server is about to end: live subscriptions/listen requests get their response.
 * What else is in flight is for the transport to wait for, or to cancel. */
void session_end_listens(struct session *s);

struct mcp_message {
    size_t end;       /* offset behind its "\n" in the output */
    uint64_t request; /* ref of the call that it answers or tells about; 0: none */
    /* Where it goes: as given to session_recv_on() with the request that it answers or
     * is about. 0: it belongs to no request (the GET stream of legacy HTTP). */
    uint64_t stream;
    bool final;  /* it is the response */
    bool failed; /* a JSON-RPC error */
    /* Of a response: the HTTP status that a POST gets which has no other answer; from
     * the table in mcp/errors.c. */
    int status;
};

/* The output since the last session_sent(): bytes and message records. */
struct str session_output(const struct session *s);
const struct mcp_message *session_messages(const struct session *s, size_t *ret_count);
/* All of it was taken. */
void session_sent(struct session *s);
