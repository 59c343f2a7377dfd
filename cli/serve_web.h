/* serve --listen: the module "web" with what the flags say. */
#pragma once
#include "cli/options.h"
#include "cli/places.h"
#include "tools/tools.h"

struct serve_web;

struct serve_web_config { /* borrowed */
    const struct options *options;
    const struct places *places;
    struct tools_ctx *tools;
    struct mcp_server *mcp;
    const struct mcp_tool *table;
    size_t tool_count;
    void (*stopped)(void *ctx); /* after SIGTERM or SIGINT */
    void *ctx;
};

/* Listens, and says where on stderr; with a token that was made for this run. */
int serve_web_new(struct serve_web **ret_web, const struct serve_web_config *config,
                  struct err *err);
void serve_web_free(struct serve_web *web); /* accepts NULL */
