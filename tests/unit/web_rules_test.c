/* Every rule of MCP about the head of a request, as a table: what is good, what is
 * refused and how. */
#include "tests/unit/check.h"
#include "transport/web/rules.h"
#include <stdio.h>
#include <string.h>

static struct str text(const char *s)
{
    return s ? str_of(s) : (struct str){0};
}

static void routes_and_methods(void **state)
{
    (void)state;
    static const struct {
        enum http_method method;
        const char *path, *session, *version;
        int status;
    } rows[] = {
        {HTTP_POST, "/mcp", NULL, NULL, 0},
        {HTTP_POST, "/mcp", "s", "2026-07-28", 0},
        {HTTP_OPTIONS, "/mcp", NULL, NULL, 0},
        {HTTP_GET, "/mcp", "s", "2025-11-25", 0},
        {HTTP_GET, "/mcp", "s", NULL, 0},
        {HTTP_DELETE, "/mcp", "s", NULL, 0},
        {HTTP_GET, "/mcp", NULL, NULL, HTTP_METHOD_NOT_ALLOWED},
        {HTTP_GET, "/mcp", "s", "2026-07-28", HTTP_METHOD_NOT_ALLOWED},
        {HTTP_DELETE, "/mcp", NULL, "2025-11-25", HTTP_METHOD_NOT_ALLOWED},
        {HTTP_DELETE, "/mcp", "s", "2027-01-01", HTTP_METHOD_NOT_ALLOWED},
        {HTTP_HEAD, "/mcp", "s", NULL, HTTP_METHOD_NOT_ALLOWED},
        {HTTP_OTHER, "/mcp", "s", NULL, HTTP_METHOD_NOT_ALLOWED},
        {HTTP_GET, "/healthz", NULL, NULL, 0},
        {HTTP_HEAD, "/readyz", NULL, NULL, 0},
        {HTTP_GET, "/metrics", NULL, NULL, 0},
        {HTTP_POST, "/metrics", NULL, NULL, HTTP_METHOD_NOT_ALLOWED},
        {HTTP_OPTIONS, "/healthz", NULL, NULL, HTTP_METHOD_NOT_ALLOWED},
        {HTTP_GET, "/.well-known/oauth-protected-resource", NULL, NULL, HTTP_NOT_FOUND},
        {HTTP_GET, "/.well-known/oauth-authorization-server", NULL, NULL,
         HTTP_NOT_FOUND},
        {HTTP_GET, "/", NULL, NULL, HTTP_NOT_FOUND},
        {HTTP_POST, "/mcp/", NULL, NULL, HTTP_NOT_FOUND},
        {HTTP_POST, "/MCP", NULL, NULL, HTTP_NOT_FOUND},
        {HTTP_POST, "//mcp", NULL, NULL, HTTP_NOT_FOUND},
        {HTTP_POST, "", NULL, NULL, HTTP_NOT_FOUND},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_head http = {.method = rows[i].method};
        struct web_head head = {.http = &http,
                                .session_id = text(rows[i].session),
                                .protocol_version = text(rows[i].version)};
        struct http_refusal refusal = {0};
        enum web_route route;
        int rc = web_route(text(rows[i].path), &route, &refusal);
        if (rc == 0)
            rc = web_check_method(&head, route, &refusal);
        if (rc != (rows[i].status ? -1 : 0) || (int)refusal.status != rows[i].status)
            fail_msg("%d %s: %d", rows[i].method, rows[i].path, refusal.status);
        assert_int_equal(refusal.status == HTTP_METHOD_NOT_ALLOWED,
                         refusal.header && strncmp(refusal.header, "Allow: ", 7) == 0);
    }
}

static void posts(void **state)
{
    (void)state;
    static const char both[] = "application/json, text/event-stream";
    static const struct {
        const char *type, *accept;
        int status;
    } rows[] = {
        {"application/json", both, 0},
        {"application/json; charset=utf-8", both, 0},
        {"Application/JSON ;x=y", "text/event-stream;q=0.5,application/json;q=1", 0},
        {"application/json", "*/*", 0},
        {"application/json", "application/*, text/*", 0},
        {"application/json", "text/html, Application/Json , TEXT/EVENT-STREAM", 0},
        {"text/plain", both, HTTP_UNSUPPORTED_MEDIA_TYPE},
        {"application/jsonx", both, HTTP_UNSUPPORTED_MEDIA_TYPE},
        {"application/json, text/plain", both, HTTP_UNSUPPORTED_MEDIA_TYPE},
        {"", both, HTTP_UNSUPPORTED_MEDIA_TYPE},
        {NULL, both, HTTP_UNSUPPORTED_MEDIA_TYPE},
        {"application/json", "application/json", HTTP_NOT_ACCEPTABLE},
        {"application/json", "text/event-stream", HTTP_NOT_ACCEPTABLE},
        {"application/json", "application/json text/event-stream", HTTP_NOT_ACCEPTABLE},
        {"application/json", "application/*", HTTP_NOT_ACCEPTABLE},
        {"application/json", "", HTTP_NOT_ACCEPTABLE},
        {"application/json", NULL, HTTP_NOT_ACCEPTABLE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_head http = {.content_type = text(rows[i].type),
                                 .accept = text(rows[i].accept)};
        struct web_head head = {.http = &http};
        struct http_refusal refusal = {0};
        int rc = web_check_post(&head, &refusal);
        if (rc != (rows[i].status ? -1 : 0) || (int)refusal.status != rows[i].status)
            fail_msg("row %zu: %d", i, refusal.status);
    }
}

static void versions(void **state)
{
    (void)state;
    static const struct {
        const char *version;
        bool modern;
    } rows[] = {
        {"2026-07-28", true},  {"2027-01-01", true},  {"2025-11-25", false},
        {"2026-07-2", false},  {"2026-07-2x", false}, {"9999", false},
        {"zzzz-zz-zz", false}, {"", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(web_version_modern(str_of(rows[i].version)), rows[i].modern);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_and_methods),
        cmocka_unit_test(posts),
        cmocka_unit_test(versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
