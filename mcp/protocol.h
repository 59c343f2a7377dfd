/* Names of the Model Context Protocol: revisions, eras, _meta keys, log levels. */
#pragma once
#include "base/json.h"
#include "base/str.h"

/* Legacy: 2024-11-05 to 2025-11-25, opened by initialize. Modern: 2026-07-28,
 * stateless. */
enum mcp_era { MCP_LEGACY, MCP_MODERN };

struct mcp_version {
    struct str name;
    bool batches;
    bool progress_message; /* notifications/progress may carry a text */
    bool tasks;
    bool polls; /* a client asks again for a stream that was closed before its end */
};

#define MCP_MODERN_VERSION "2026-07-28"
#define MCP_META "io.modelcontextprotocol/"

/* The legacy revision to answer a wish with: that one if it is spoken, else the newest.
 */
const struct mcp_version *protocol_choose(struct json wish);
/* A legacy revision by its name, or NULL. */
const struct mcp_version *protocol_legacy(struct json name);
const struct mcp_version *protocol_legacy_name(struct str name);
const struct mcp_version *protocol_newest_legacy(void);

/* RFC 5424's, from the most to the least severe. */
enum mcp_log_level {
    MCP_LOG_NONE = -1,
    MCP_LOG_EMERGENCY,
    MCP_LOG_ALERT,
    MCP_LOG_CRITICAL,
    MCP_LOG_ERROR,
    MCP_LOG_WARNING,
    MCP_LOG_NOTICE,
    MCP_LOG_INFO,
    MCP_LOG_DEBUG,
};
const char *protocol_log_name(enum mcp_log_level level);
/* -1 when it is none of the eight names. */
int protocol_log_level(struct json name, enum mcp_log_level *ret_level);
