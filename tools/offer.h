/* What sandquay offers besides tools: the sandboxes and their files as resources, a
 * prompt, completion of sandbox names. */
#pragma once
#include "mcp/server.h"
#include "tools/tools.h"

/* Fills in resources, prompts and completion; config->ctx is a struct tools_ctx. */
void offer_fill(struct mcp_server_config *config);
/* The server that was made with it: is told from now on when sandboxes come and go. */
void offer_serve(struct tools_ctx *tools, struct mcp_server *server);

/* offer_resources.c: sandbox://NAME is what is known of a sandbox, sandbox://NAME/PATH
 * a file in it. Reading starts a stopped sandbox and never makes one. */
call_fn offer_list_sandboxes, offer_read_sandbox, offer_read_file,
    offer_complete_sandbox;
/* offer_prompts.c */
call_fn offer_solve;
