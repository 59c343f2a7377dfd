/* A file of MCP servers, in the form that clients share:
 *   {"mcpServers": {"name": {"command", "args", "env"} or {"url", "headers"}}}
 * ${NAME} and ${NAME:-else} in its texts stand for variables of the environment. */
#pragma once
#include "agent/servers.h"
#include "base/arena.h"

struct mcp_config {
    struct arena arena;
    struct server_spec specs[SERVERS_MAX];
    struct secret *tokens[SERVERS_MAX];
    size_t count;
};

typedef const char *variable_fn(void *ctx, const char *name);

/* INVALID with the server's name; IO; LIMIT. */
int mcp_config_read(struct mcp_config *c, const char *path, variable_fn *variable,
                    void *ctx, struct err *err);
/* The same from a text; path is for messages. */
int mcp_config_parse(struct mcp_config *c, const char *path, struct str text,
                     variable_fn *variable, void *ctx, struct err *err);
void mcp_config_finish(struct mcp_config *c); /* accepts all-zero */
