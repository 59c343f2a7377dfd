/* Both eras on one connection, message by message: a request whose _meta names a
 * protocol version is modern (2026-07-28, stateless: nothing of earlier messages
 * counts); every other one is legacy, also before any handshake, because clients race.
 * Specification: 2026-07-28 "Versioning" and "Base Protocol" (_meta). */
#include "mcp/session.h"

#define VERSION_KEY MCP_META "protocolVersion"
#define CAPABILITIES_KEY MCP_META "clientCapabilities"
#define LOG_LEVEL_KEY MCP_META "logLevel"

enum { ECHO_MAX = 200 };

static int refuse(struct request *r, const char *message)
{
    request_error(r, RPC_INVALID_PARAMS, message);
    return -1;
}

static int refuse_version(struct request *r, struct json version)
{
    struct str requested = json_str(version, &r->session->arena);
    struct json_writer w;
    size_t start = request_begin_error(r, &w, RPC_UNSUPPORTED_VERSION,
                                       "Unsupported protocol version");
    if (requested.n > ECHO_MAX)
        requested.n = ECHO_MAX;
    jw_key(&w, "data");
    jw_object(&w);
    jw_key_raw(&w, "supported", STR("[\"" MCP_MODERN_VERSION "\"]"));
    jw_key_str(&w, "requested", requested);
    jw_end_object(&w);
    request_end_error(r, &w, start, RPC_UNSUPPORTED_VERSION);
    return -1;
}

static int read_modern_meta(struct request *r, struct json meta, struct json version)
{
    struct json level = json_get(meta, STR(LOG_LEVEL_KEY));
    if (json_type(version) != JSON_STRING)
        return refuse(r, "_meta[\"" VERSION_KEY "\"] must be a string");
    if (!rpc_is(version, STR(MCP_MODERN_VERSION)))
        return refuse_version(r, version);
    struct json capabilities = json_get(meta, STR(CAPABILITIES_KEY));
    if (json_type(capabilities) != JSON_OBJECT)
        return refuse(r, "_meta[\"" CAPABILITIES_KEY "\"] is required: an object");
    r->client = capabilities_read(capabilities);
    r->log_level = MCP_LOG_NONE;
    if (json_present(level) && protocol_log_level(level, &r->log_level) < 0)
        return refuse(r, "_meta[\"" LOG_LEVEL_KEY
                         "\"] must be one of the eight syslog levels");
    return 0;
}

int classify_request(struct request *r)
{
    struct json meta = json_get(r->params, STR("_meta"));
    struct json version = json_get(meta, STR(VERSION_KEY));
    if (r->in_batch &&
        (json_present(version) || rpc_is(r->method, STR("initialize")))) {
        request_error(r, RPC_INVALID_REQUEST, "this request cannot be part of a batch");
        return -1;
    }
    if (json_present(version)) {
        r->era = MCP_MODERN;
        return read_modern_meta(r, meta, version);
    }
    r->era = MCP_LEGACY;
    if (!rpc_is(r->method, STR("server/discover")))
        return 0;
    if (json_type(json_get(meta, STR(CAPABILITIES_KEY))) == JSON_OBJECT)
        return refuse(r, "params._meta lacks \"" VERSION_KEY "\"");
    return refuse(r, "params._meta lacks \"" VERSION_KEY "\" and \"" CAPABILITIES_KEY
                     "\"");
}
