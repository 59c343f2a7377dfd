#include "tools/offer.h"

#define INFO_URI "sandbox://{sandbox}"
#define FILE_URI "sandbox://{sandbox}/{+path}"

static const struct mcp_template templates[] = {
    {.uri = INFO_URI,
     .definition = STR_INIT(
         "{\"uriTemplate\":\"" INFO_URI "\",\"name\":\"sandbox\",\"title\":\"Sandbox\","
         "\"description\":\"What is known of a sandbox: status, limits, what is "
         "isolated\",\"mimeType\":\"application/json\"}"),
     .read = offer_read_sandbox,
     .complete = offer_complete_sandbox},
    {.uri = FILE_URI,
     .definition =
         STR_INIT("{\"uriTemplate\":\"" FILE_URI "\",\"name\":\"sandbox-file\","
                  "\"title\":\"File in a sandbox\",\"description\":\"A file by its "
                  "absolute path, e.g. sandbox://default/workspace/main.py\"}"),
     .read = offer_read_file,
     .complete = offer_complete_sandbox},
};

static const struct mcp_prompt prompts[] = {
    {.name = "solve_in_sandbox",
     .definition = STR_INIT(
         "{\"name\":\"solve_in_sandbox\",\"title\":\"Solve in the sandbox\","
         "\"description\":\"Work on a task by writing, running and checking code in "
         "the sandbox\",\"arguments\":[{\"name\":\"task\",\"description\":\"What is to "
         "be done\",\"required\":true}]}"),
     .get = offer_solve},
};

void offer_fill(struct mcp_server_config *config)
{
    config->templates = templates;
    config->template_count = sizeof templates / sizeof templates[0];
    config->prompts = prompts;
    config->prompt_count = sizeof prompts / sizeof prompts[0];
    config->list_resources = offer_list_sandboxes;
    config->features |= MCP_RESOURCES_CHANGE;
}

static void on_change(void *ctx, uint64_t owner)
{
    mcp_server_changed(ctx, owner, MCP_RESOURCES_CHANGE);
}

void offer_serve(struct tools_ctx *tools, struct mcp_server *server)
{
    sandboxes_on_change(tools->sandboxes, on_change, server);
}
