/* What all connections share: the offer, the slots of the calls, the sessions. */
#include "base/mem.h"
#include "mcp/tasks.h"
#include <assert.h>

struct mcp_server *mcp_server_new(const struct mcp_server_config *config)
{
    struct mcp_server *server = mem_new(struct mcp_server);
    struct err err;
    assert(config->host || !(config->features & MCP_TASKS));
    server->config = *config;
    server->due_ms = UINT64_MAX;
    json_parse(&server->empty, &server->arena, STR("{}"), &err);
    return server;
}

void mcp_server_free(struct mcp_server *server)
{
    if (!server)
        return;
    tasks_finish(server);
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

void server_due(struct mcp_server *server, uint64_t due_ms)
{
    const struct mcp_host *host = server->config.host;
    if (due_ms >= server->due_ms)
        return;
    server->due_ms = due_ms;
    host->schedule(host->ctx, due_ms);
}

void mcp_server_expire(struct mcp_server *server, uint64_t now_ms)
{
    uint64_t due_ms;
    for (struct session *s = server->sessions; s; s = s->next)
        requests_expire(s, now_ms);
    tasks_expire(server, now_ms);
    due_ms = tasks_due(server);
    for (struct session *s = server->sessions; s; s = s->next) {
        uint64_t session_due = requests_due(s);
        if (session_due < due_ms)
            due_ms = session_due;
    }
    server->due_ms = UINT64_MAX;
    if (due_ms < UINT64_MAX)
        server_due(server, due_ms);
}
