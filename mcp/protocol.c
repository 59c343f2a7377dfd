/* The legacy revisions of the specification and the names that all of them share. */
#include "mcp/protocol.h"

static const struct mcp_version versions[] = {
    {STR_INIT("2025-11-25"), false, true, true, true},
    {STR_INIT("2025-06-18"), false, true, false, false},
    {STR_INIT("2025-03-26"), true, true, false, false},
    {STR_INIT("2024-11-05"), false, false, false, false},
};

const struct mcp_version *protocol_newest_legacy(void)
{
    return &versions[0];
}

const struct mcp_version *protocol_legacy_name(struct str name)
{
    enum { COUNT = sizeof versions / sizeof versions[0] };
    for (int i = 0; i < COUNT; i++)
        if (str_eq(name, versions[i].name))
            return &versions[i];
    /* TypeScript SDKs still list it; it differs in nothing that matters here. */
    return str_eq(name, STR("2024-10-07")) ? &versions[COUNT - 1] : NULL;
}

const struct mcp_version *protocol_legacy(struct json name)
{
    struct arena a = {0};
    const struct mcp_version *version = protocol_legacy_name(json_str(name, &a));
    arena_finish(&a);
    return version;
}

const struct mcp_version *protocol_choose(struct json wish)
{
    const struct mcp_version *wished = protocol_legacy(wish);
    return wished ? wished : protocol_newest_legacy();
}

static const char *const levels[] = {"emergency", "alert",  "critical", "error",
                                     "warning",   "notice", "info",     "debug"};

const char *protocol_log_name(enum mcp_log_level level)
{
    return levels[level];
}

int protocol_log_level(struct json name, enum mcp_log_level *ret_level)
{
    for (int i = MCP_LOG_EMERGENCY; i <= MCP_LOG_DEBUG; i++)
        if (json_str_is(name, str_of(levels[i]))) {
            *ret_level = (enum mcp_log_level)i;
            return 0;
        }
    return -1;
}
