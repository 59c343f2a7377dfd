/* The agent: Claude, or another model behind the Messages API, with the tools of MCP
 * servers. The module "agent" (base/module.h). It knows nothing of sandboxes: its own
 * server is one like others, only started by itself.
 *
 *   agent.c    from the flags to the end: servers, model, tasks, tear-down
 *   task.c     one task: turns of the model, calls between them
 *   calls.c    the calls of one turn          servers.c   who answers them
 *   conversation.c  what the model gets to see    journal.c  the same on disk
 *   view_*.c   what people and programs see   prompt.c    where people type
 *   model/     the Messages API */
#pragma once
#include "agent/approval.h"
#include "agent/servers.h"

enum agent_output { AGENT_TEXT, AGENT_JSON, AGENT_STREAM_JSON };

/* Exit statuses, beside 0: the answer is there. */
enum {
    AGENT_EXIT_USE = 2,
    AGENT_EXIT_TRUNCATED = 3,
    AGENT_EXIT_REFUSED = 4,
    AGENT_EXIT_API = 5,
    AGENT_EXIT_TURNS = 6,
    AGENT_EXIT_BUDGET = 7,
    AGENT_EXIT_SHAPE = 8,
    AGENT_EXIT_CONTEXT = 9,
    AGENT_EXIT_CANNOT = 125, /* it could not begin, or its tools are gone */
    AGENT_EXIT_SIGNALLED = 128,
};

enum { AGENT_TURNS = 10, AGENT_MODEL_TOKENS = 16000 };

struct agent_config { /* borrowed */
    int in_fd, out_fd, err_fd;
    const char *task; /* NULL: stdin is the task, or a conversation on a terminal */

    /* Its own server: a child, or the one of --connect. */
    struct server_spec own; /* without argv */
    /* The child's command line; kept: the name of what is to outlive it, or NULL. */
    int (*own_argv)(void *ctx, const char *kept, const char *const **ret_argv,
                    struct err *err);
    int (*find)(void *ctx, bool http, const struct connector **ret_connector,
                struct err *err); /* as in peer_config */
    const char *ca_file;          /* for servers, as in peer_config */
    const char *(*variable)(void *ctx, const char *name); /* of the environment */
    void *ctx;                                            /* of these three */
    const char *mcp_config; /* a file with further servers, or NULL */

    const char *model, *system, *effort; /* NULL: the defaults */
    const char *base_url, *version;      /* of the API; NULL: the defaults */
    bool x_api_key, gateway;
    unsigned max_turns;
    int64_t max_tokens;
    double max_dollars; /* 0: no limit */
    const char *schema; /* JSON Schema of the answer; or the name of a file, or NULL */
    bool thinking_given, thinking_shown;

    enum approval_mode approve;
    const char *allowed_tools;
    enum agent_output output;
    bool verbose, no_colour, unicode;

    const char *state_dir, *directory; /* of the sessions; the working directory */
    const char *kept;                  /* --sandbox, or NULL */
    bool keep;
    bool resume_latest, fork;
    const char *resume_id; /* or NULL */
};

/* The module's table. */
struct agent_entries {
    /* Everything; says what went wrong itself. Returns the exit status. */
    int (*run)(const struct agent_config *config);
};
