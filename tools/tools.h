/* The tools: the only place where MCP meets sandboxes. A tool is one row of the table
 * in tools/tools.c, one handler in tools/<name>.c and one schemas/tools/<name>.json. */
#pragma once
#include "mcp/server.h"
#include "sandbox/sandbox.h"

enum { TOOLS_CURSORS = 256 };

/* How far command_output has given a command's output to its reader. */
struct tools_cursor {
    uint64_t command; /* 0: free */
    uint64_t next[2]; /* by enum command_stream */
};

/* What every handler gets as call_ctx(). The first two are set by the owner, the rest
 * starts all-zero. */
struct tools_ctx {
    struct sandboxes *sandboxes;
    struct loop *loop;
    struct tool_job *jobs; /* that wait for a sandbox; see tools/job.h */
    struct tools_cursor cursors[TOOLS_CURSORS]; /* a ring: the oldest is forgotten */
    unsigned cursor_count;
};

/* What a sandbox is doing that takes its time, as progress of the calls that wait for
 * it: for sandboxes_on_doing(); ctx is the struct tools_ctx. */
void tools_doing(void *ctx, uint64_t owner, uint64_t sandbox, struct str text);
/* After sandboxes_free(): forgets what was still waiting for a sandbox. */
void tools_finish(struct tools_ctx *ctx);

/* Sets of tools, as bits; the default ones are always offered. */
enum {
    TOOLSET_DEFAULT = 1,
    TOOLSET_LIFECYCLE = 2,
    TOOLSET_NETWORK = 4,
    TOOLSET_WORKSPACE = 8, /* offered by itself where it is of use */
};
#define TOOLSET_NAMES "default, lifecycle, network, workspace, all"

/* "lifecycle,network": bits. INVALID for an unknown name. */
int tools_sets_parse(const char *list, unsigned *ret_sets, struct err *err);

/* The table of these sets, in the order of tools/list; the schemas are compiled at the
 * first call. Valid until the next call. */
const struct mcp_tool *tools_table(unsigned sets, size_t *ret_count);
/* What the server says of itself to the model: static text. */
extern const char tools_instructions[];

/* The handlers. */
void tool_execute_command(struct call *call);
void tool_command_output(struct call *call);
void tool_command_input(struct call *call);
void tool_read_file(struct call *call);
void tool_write_file(struct call *call);
void tool_sandbox_create(struct call *call);
void tool_sandbox_list(struct call *call);
void tool_expose_port(struct call *call);
void tool_network_policy(struct call *call);
void tool_network_log(struct call *call);
void tool_sandbox_stop(struct call *call);
void tool_sandbox_snapshot(struct call *call);
void tool_sandbox_fork(struct call *call);
void tool_sandbox_extend(struct call *call);
void tool_workspace_changes(struct call *call);
