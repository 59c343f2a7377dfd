/* What the server can: advertised only if it works; and what a client says that it can.
 */
#include "mcp/session.h"

static void write_capability(struct json_writer *w, const char *name, bool list_changed,
                             bool subscribe)
{
    jw_key(w, name);
    jw_object(w);
    if (subscribe)
        jw_key_bool(w, "subscribe", true);
    if (list_changed)
        jw_key_bool(w, "listChanged", true);
    jw_end_object(w);
}

static void write_tasks(const struct session *s, struct json_writer *w,
                        enum mcp_era era)
{
    if (era == MCP_MODERN)
        jw_key_raw(w, "extensions", STR("{\"" MCP_META "tasks\":{}}"));
    else if (s->version->tasks)
        jw_key_raw(w, "tasks",
                   STR("{\"list\":{},\"cancel\":{},\"requests\":{\"tools\":{"
                       "\"call\":{}}}}"));
}

/* Lists are offered also where they are empty: clients ask for them regardless and log
 * an error otherwise. */
void capabilities_write(const struct session *s, struct json_writer *w,
                        enum mcp_era era)
{
    unsigned features = s->server->config.features;
    jw_key(w, "capabilities");
    jw_object(w);
    write_capability(w, "tools", features & MCP_TOOLS_CHANGE, false);
    write_capability(w, "resources", features & MCP_RESOURCES_CHANGE,
                     features & MCP_RESOURCES_SUBSCRIBE);
    write_capability(w, "prompts", features & MCP_PROMPTS_CHANGE, false);
    write_capability(w, "completions", false, false);
    write_capability(w, "logging", false, false);
    if (features & MCP_TASKS)
        write_tasks(s, w, era);
    jw_end_object(w);
}

static bool declares(struct json capabilities, struct str name)
{
    return json_type(json_get(capabilities, name)) == JSON_OBJECT;
}

/* Of elicitation, {} means forms only: older revisions know nothing else. */
unsigned capabilities_read(struct json capabilities)
{
    struct json elicitation = json_get(capabilities, STR("elicitation"));
    unsigned client = 0;
    if (declares(elicitation, STR("url")))
        client |= CALL_ASK_URL;
    if (json_type(elicitation) == JSON_OBJECT &&
        (declares(elicitation, STR("form")) || !(client & CALL_ASK_URL)))
        client |= CALL_ASK_FORM;
    if (declares(capabilities, STR("sampling")))
        client |= CALL_ASK_SAMPLE;
    if (declares(capabilities, STR("roots")))
        client |= CALL_ASK_ROOTS;
    if (declares(json_get(capabilities, STR("extensions")), STR(MCP_META "tasks")))
        client |= CAPABILITY_TASKS;
    return client;
}
