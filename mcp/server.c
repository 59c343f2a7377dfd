/* What all connections share: the offer, the slots of the calls, the sessions. */
#include "base/mem.h"
#include "mcp/session.h"
#include <assert.h>

struct mcp_server *mcp_server_new(const struct mcp_server_config *config)
{
    struct mcp_server *server = mem_new(struct mcp_server);
    struct err err;
    server->config = *config;
    json_parse(&server->empty, &server->arena, STR("{}"), &err);
    return server;
}

void mcp_server_free(struct mcp_server *server)
{
    if (!server)
        return;
    assert(!server->sessions);
    calls_finish(server);
    arena_finish(&server->arena);
    mem_free(server);
}

void mcp_server_set_tools(struct mcp_server *server, const struct mcp_tool *tools,
                          size_t count)
{
    server->config.tools = tools;
    server->config.tool_count = count;
    mcp_server_changed(server, 0, MCP_TOOLS_CHANGE);
}

void mcp_server_set_prompts(struct mcp_server *server, const struct mcp_prompt *prompts,
                            size_t count)
{
    server->config.prompts = prompts;
    server->config.prompt_count = count;
    mcp_server_changed(server, 0, MCP_PROMPTS_CHANGE);
}
