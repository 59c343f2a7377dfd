/* The tools: the only place where MCP meets sandboxes. A tool is one row of the table
 * in tools/tools.c, one handler in tools/<name>.c and one schemas/tools/<name>.json. */
#pragma once
#include "mcp/server.h"
#include "sandbox/sandbox.h"

/* What every handler gets as call_ctx(). */
struct tools_ctx {
    struct sandboxes *sandboxes;
    struct loop *loop;
};

/* The table, in the order of tools/list; the schemas are compiled at the first call. */
const struct mcp_tool *tools_table(size_t *ret_count);
/* What the server says of itself to the model: static text. */
extern const char tools_instructions[];
