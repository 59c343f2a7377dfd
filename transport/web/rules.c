#include "transport/web/rules.h"
#include "mcp/protocol.h"
#include <arpa/inet.h>
#include <strings.h>

enum {
    PORT_DIGITS_MAX = 5,
    LENGTH_DIGITS_MAX = 18,
    VERSION_LENGTH = 10, /* 2026-07-28 */
    WS_KEY_LENGTH = 24,  /* base64 of 16 bytes */
    ADDRESS_MAX = 64,
};

const char *http_reason(enum web_status status)
{
    static const struct {
        enum web_status status;
        const char *reason;
    } rows[] = {
        {HTTP_OK, "OK"},
        {HTTP_ACCEPTED, "Accepted"},
        {HTTP_NO_CONTENT, "No Content"},
        {HTTP_BAD_REQUEST, "Bad Request"},
        {HTTP_UNAUTHORIZED, "Unauthorized"},
        {HTTP_FORBIDDEN, "Forbidden"},
        {HTTP_NOT_FOUND, "Not Found"},
        {HTTP_METHOD_NOT_ALLOWED, "Method Not Allowed"},
        {HTTP_NOT_ACCEPTABLE, "Not Acceptable"},
        {HTTP_TIMEOUT, "Request Timeout"},
        {HTTP_CONFLICT, "Conflict"},
        {HTTP_LENGTH_REQUIRED, "Length Required"},
        {HTTP_TOO_LARGE, "Content Too Large"},
        {HTTP_UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type"},
        {HTTP_UPGRADE_REQUIRED, "Upgrade Required"},
        {HTTP_TOO_MANY, "Too Many Requests"},
        {HTTP_INTERNAL, "Internal Server Error"},
        {HTTP_NOT_IMPLEMENTED, "Not Implemented"},
        {HTTP_UNAVAILABLE, "Service Unavailable"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].status == status)
            return rows[i].reason;
    return "Error";
}

static int refuse(struct http_refusal *refusal, enum web_status status,
                  const char *message)
{
    *refusal = (struct http_refusal){.status = status, .message = message};
    return -1;
}

static int refuse_and_close(struct http_refusal *refusal, enum web_status status,
                            const char *message)
{
    refuse(refusal, status, message);
    refusal->close = true;
    return -1;
}

static bool equals(struct str a, struct str b) /* ignoring case */
{
    return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

static struct str trim(struct str s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = str_from(s, 1);
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* The next element of a comma-separated list; false at its end. */
static bool next_element(struct str *rest, struct str *ret_element)
{
    if (rest->n == 0)
        return false;
    ptrdiff_t comma = str_find(*rest, ',');
    size_t n = comma < 0 ? rest->n : (size_t)comma;
    *ret_element = trim((struct str){rest->p, n});
    *rest = str_from(*rest, n + 1);
    return true;
}

static bool lists(struct str list, struct str wanted,
                  bool (*same)(struct str, struct str))
{
    struct str element;
    while (next_element(&list, &element))
        if (same(element, wanted))
            return true;
    return false;
}

int http_check_framing(const struct http_head *head, size_t body_max,
                       size_t *ret_body_bytes, struct http_refusal *refusal)
{
    struct str length = head->content_length;
    size_t bytes = 0;
    if (head->transfer_encoding.p)
        return refuse_and_close(refusal, HTTP_LENGTH_REQUIRED,
                                "Transfer-Encoding is not taken: send Content-Length");
    if (!length.p && head->method == HTTP_POST)
        return refuse_and_close(refusal, HTTP_LENGTH_REQUIRED,
                                "Content-Length is required");
    if (length.p && (length.n == 0 || length.n > LENGTH_DIGITS_MAX))
        return refuse_and_close(refusal, HTTP_BAD_REQUEST,
                                "Content-Length is not one plain number");
    for (size_t i = 0; i < length.n; i++) {
        if (length.p[i] < '0' || length.p[i] > '9')
            return refuse_and_close(refusal, HTTP_BAD_REQUEST,
                                    "Content-Length is not one plain number");
        bytes = 10 * bytes + (size_t)(length.p[i] - '0');
    }
    if (bytes > body_max)
        return refuse_and_close(refusal, HTTP_TOO_LARGE, "The body is too large");
    if (bytes > 0 && head->method != HTTP_POST)
        return refuse_and_close(refusal, HTTP_BAD_REQUEST,
                                "Only a POST may have a body");
    *ret_body_bytes = bytes;
    return 0;
}

/* Takes ":PORT" off the end. */
static bool drop_port(struct str *host)
{
    size_t digits = 0;
    while (digits < host->n && host->p[host->n - 1 - digits] >= '0' &&
           host->p[host->n - 1 - digits] <= '9')
        digits++;
    if (digits == host->n || host->p[host->n - 1 - digits] != ':')
        return true; /* none */
    host->n -= digits + 1;
    return digits > 0 && digits <= PORT_DIGITS_MAX;
}

static bool is_loopback(struct str host)
{
    return equals(host, STR("localhost")) || str_eq(host, STR("127.0.0.1")) ||
           str_eq(host, STR("[::1]"));
}

static bool is_address(struct str host)
{
    char text[ADDRESS_MAX];
    unsigned char address[sizeof(struct in6_addr)];
    bool v6 = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    if (v6)
        host = (struct str){host.p + 1, host.n - 2};
    if (host.n == 0 || host.n >= sizeof text)
        return false;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    return inet_pton(v6 ? AF_INET6 : AF_INET, text, address) == 1;
}

static bool is_among(struct str s, const struct str *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (equals(s, list[i]))
            return true;
    return false;
}

static bool host_allowed(struct str host, const struct http_policy *policy)
{
    struct str name = host;
    if (policy->any_host || is_among(host, policy->hosts, policy->host_count))
        return true;
    return drop_port(&name) &&
           (is_loopback(name) || is_among(name, policy->hosts, policy->host_count) ||
            (policy->any_address && is_address(name)));
}

/* Pages that this machine itself serves, and what the operator named. */
bool http_origin_allowed(struct str origin, const struct http_policy *policy)
{
    static const struct str schemes[] = {STR_INIT("http://"), STR_INIT("https://")};
    if (is_among(origin, policy->origins, policy->origin_count))
        return true;
    for (size_t i = 0; i < 2; i++) {
        struct str host = str_from(origin, schemes[i].n);
        if (str_starts(origin, schemes[i]) && drop_port(&host) && is_loopback(host))
            return true;
    }
    return false;
}

int http_check_source(const struct http_head *head, const struct http_policy *policy,
                      struct http_refusal *refusal)
{
    if (!head->host.p || head->host.n == 0)
        return refuse(refusal, HTTP_BAD_REQUEST, "Host is required");
    if (!host_allowed(head->host, policy))
        return refuse(refusal, HTTP_FORBIDDEN,
                      "This Host is not allowed (see --allow-host)");
    if (head->origin.p && !http_origin_allowed(head->origin, policy))
        return refuse(refusal, HTTP_FORBIDDEN,
                      "This Origin is not allowed (see --allow-origin)");
    return 0;
}

int http_route(const struct http_head *head, enum http_route *ret_route,
               struct http_refusal *refusal)
{
    static const struct {
        struct str path;
        enum http_route route;
    } rows[] = {
        {STR_INIT("/mcp"), ROUTE_MCP},
        {STR_INIT("/healthz"), ROUTE_HEALTH},
        {STR_INIT("/readyz"), ROUTE_READY},
        {STR_INIT("/metrics"), ROUTE_METRICS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (str_eq(head->path, rows[i].path)) {
            *ret_route = rows[i].route;
            return 0;
        }
    return refuse(refusal, HTTP_NOT_FOUND, "There is nothing here: MCP is at /mcp");
}

bool http_version_modern(struct str version)
{
    if (version.n != VERSION_LENGTH)
        return false;
    for (size_t i = 0; i < version.n; i++)
        if (i == 4 || i == 7 ? version.p[i] != '-'
                             : version.p[i] < '0' || version.p[i] > '9')
            return false;
    return memcmp(version.p, MCP_MODERN_VERSION, VERSION_LENGTH) >= 0;
}

int http_check_method(const struct http_head *head, enum http_route route,
                      struct http_refusal *refusal)
{
    enum http_method m = head->method;
    if (route != ROUTE_MCP) {
        if (m == HTTP_GET || m == HTTP_HEAD)
            return 0;
        refuse(refusal, HTTP_METHOD_NOT_ALLOWED, "Only GET is allowed here");
        refusal->header = "Allow: GET, HEAD\r\n";
        return -1;
    }
    if (m == HTTP_POST || m == HTTP_OPTIONS)
        return 0;
    if ((m == HTTP_GET || m == HTTP_DELETE) && head->session_id.p &&
        !http_version_modern(head->protocol_version))
        return 0;
    refuse(refusal, HTTP_METHOD_NOT_ALLOWED,
           "Only POST is allowed here; GET and DELETE with the Mcp-Session-Id of a "
           "session of the revisions up to 2025-11-25");
    refusal->header = "Allow: POST\r\n";
    return -1;
}

/* Does a list of media ranges take the type "type/subtype"? */
static bool accepts(struct str list, struct str type)
{
    struct str range;
    ptrdiff_t slash = str_find(type, '/');
    while (next_element(&list, &range)) {
        ptrdiff_t semicolon = str_find(range, ';');
        if (semicolon >= 0)
            range = trim((struct str){range.p, (size_t)semicolon});
        if (equals(range, type) || str_eq(range, STR("*/*")))
            return true;
        if (range.n == (size_t)slash + 2 && range.p[range.n - 1] == '*' &&
            strncasecmp(range.p, type.p, (size_t)slash + 1) == 0)
            return true;
    }
    return false;
}

int http_check_post(const struct http_head *head, struct http_refusal *refusal)
{
    struct str type = head->content_type;
    ptrdiff_t semicolon = str_find(type, ';');
    if (semicolon >= 0)
        type = trim((struct str){type.p, (size_t)semicolon});
    if (!equals(type, STR("application/json")))
        return refuse(refusal, HTTP_UNSUPPORTED_MEDIA_TYPE,
                      "Content-Type must be application/json");
    if (!accepts(head->accept, STR("application/json")) ||
        !accepts(head->accept, STR("text/event-stream")))
        return refuse(refusal, HTTP_NOT_ACCEPTABLE,
                      "Accept must list both application/json and text/event-stream");
    return 0;
}

int http_check_get(const struct http_head *head, struct http_refusal *refusal)
{
    if (accepts(head->accept, STR("text/event-stream")))
        return 0;
    return refuse(refusal, HTTP_NOT_ACCEPTABLE, "Accept must list text/event-stream");
}

static bool is_ws_key(struct str key)
{
    if (key.n != WS_KEY_LENGTH || key.p[22] != '=' || key.p[23] != '=')
        return false;
    for (size_t i = 0; i < 22; i++) {
        char c = key.p[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
              (c >= '0' && c <= '9') || c == '+' || c == '/'))
            return false;
    }
    return true;
}

int http_check_upgrade(const struct http_head *head, struct http_refusal *refusal)
{
    if (!str_eq(head->path, STR("/mcp")))
        return refuse(refusal, HTTP_NOT_FOUND, "There is nothing here: MCP is at /mcp");
    if (head->method != HTTP_GET || !head->keep_alive)
        return refuse(refusal, HTTP_BAD_REQUEST,
                      "A WebSocket is opened by a GET of HTTP/1.1");
    if (!lists(head->connection, STR("upgrade"), equals))
        return refuse(refusal, HTTP_BAD_REQUEST, "Connection must list Upgrade");
    if (!str_eq(head->ws_version, STR("13"))) {
        refuse(refusal, HTTP_UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13");
        refusal->header = "Sec-WebSocket-Version: 13\r\n";
        return -1;
    }
    if (!is_ws_key(head->ws_key))
        return refuse(refusal, HTTP_BAD_REQUEST,
                      "Sec-WebSocket-Key must be 16 bytes in base64");
    if (head->ws_protocol.p && !lists(head->ws_protocol, STR("mcp"), str_eq))
        return refuse(refusal, HTTP_BAD_REQUEST,
                      "Sec-WebSocket-Protocol must list mcp");
    return 0;
}

struct str http_bearer(const struct http_head *head)
{
    static const struct str scheme = STR_INIT("Bearer ");
    struct str a = head->authorization;
    if (a.n <= scheme.n || strncasecmp(a.p, scheme.p, scheme.n) != 0)
        return (struct str){0};
    return trim(str_from(a, scheme.n));
}

/* version-traceid-parentid-flags; a later version may have more behind it. */
struct str http_trace_id(struct str traceparent)
{
    enum { LENGTH = 55, ID = 3, ID_LENGTH = 32, PARENT = 36, FLAGS = 53 };
    bool zero = true;
    if (traceparent.n < LENGTH || str_starts(traceparent, STR("ff")))
        return (struct str){0};
    for (size_t i = 0; i < LENGTH; i++) {
        char c = traceparent.p[i];
        bool dash = i == ID - 1 || i == PARENT - 1 || i == FLAGS - 1;
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (dash ? c != '-' : !hex)
            return (struct str){0};
        if (i >= ID && i < PARENT - 1)
            zero &= c == '0';
    }
    return zero ? (struct str){0} : (struct str){traceparent.p + ID, ID_LENGTH};
}
