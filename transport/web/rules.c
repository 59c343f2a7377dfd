#include "transport/web/rules.h"
#include "mcp/protocol.h"

enum { VERSION_LENGTH = 10 /* 2026-07-28 */ };

int web_route(struct str path, enum web_route *ret_route, struct http_refusal *refusal)
{
    static const struct {
        struct str path;
        enum web_route route;
    } rows[] = {
        {STR_INIT("/mcp"), ROUTE_MCP},
        {STR_INIT("/healthz"), ROUTE_HEALTH},
        {STR_INIT("/readyz"), ROUTE_READY},
        {STR_INIT("/metrics"), ROUTE_METRICS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (str_eq(path, rows[i].path)) {
            *ret_route = rows[i].route;
            return 0;
        }
    return http_refuse(refusal, HTTP_NOT_FOUND,
                       "There is nothing here: MCP is at /mcp");
}

bool web_version_modern(struct str version)
{
    if (version.n != VERSION_LENGTH)
        return false;
    for (size_t i = 0; i < version.n; i++)
        if (i == 4 || i == 7 ? version.p[i] != '-'
                             : version.p[i] < '0' || version.p[i] > '9')
            return false;
    return memcmp(version.p, MCP_MODERN_VERSION, VERSION_LENGTH) >= 0;
}

int web_check_method(const struct web_head *head, enum web_route route,
                     struct http_refusal *refusal)
{
    enum http_method m = head->http->method;
    if (route != ROUTE_MCP) {
        if (m == HTTP_GET || m == HTTP_HEAD)
            return 0;
        http_refuse(refusal, HTTP_METHOD_NOT_ALLOWED, "Only GET is allowed here");
        refusal->header = "Allow: GET, HEAD\r\n";
        return -1;
    }
    if (m == HTTP_POST || m == HTTP_OPTIONS)
        return 0;
    if ((m == HTTP_GET || m == HTTP_DELETE) && head->session_id.p &&
        !web_version_modern(head->protocol_version))
        return 0;
    http_refuse(
        refusal, HTTP_METHOD_NOT_ALLOWED,
        "Only POST is allowed here; GET and DELETE with the Mcp-Session-Id of a "
        "session of the revisions up to 2025-11-25");
    refusal->header = "Allow: POST\r\n";
    return -1;
}

int web_check_post(const struct web_head *head, struct http_refusal *refusal)
{
    struct str accept = head->http->accept;
    if (!http_is_type(head->http->content_type, STR("application/json")))
        return http_refuse(refusal, HTTP_UNSUPPORTED_MEDIA_TYPE,
                           "Content-Type must be application/json");
    if (!http_accepts(accept, STR("application/json")) ||
        !http_accepts(accept, STR("text/event-stream")))
        return http_refuse(
            refusal, HTTP_NOT_ACCEPTABLE,
            "Accept must list both application/json and text/event-stream");
    return 0;
}

int web_check_get(const struct web_head *head, struct http_refusal *refusal)
{
    if (http_accepts(head->http->accept, STR("text/event-stream")))
        return 0;
    return http_refuse(refusal, HTTP_NOT_ACCEPTABLE,
                       "Accept must list text/event-stream");
}
