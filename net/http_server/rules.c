#include "net/http_server/rules.h"
#include <arpa/inet.h>
#include <strings.h>

enum {
    PORT_DIGITS_MAX = 5,
    LENGTH_DIGITS_MAX = 18,
    WS_KEY_LENGTH = 24, /* base64 of 16 bytes */
    ADDRESS_MAX = 64,
};

const char *http_reason(enum http_code status)
{
    static const struct {
        enum http_code status;
        const char *reason;
    } rows[] = {
        {HTTP_SWITCHING, "Switching Protocols"},
        {HTTP_OK, "OK"},
        {HTTP_CREATED, "Created"},
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
        {HTTP_GONE, "Gone"},
        {HTTP_LENGTH_REQUIRED, "Length Required"},
        {HTTP_TOO_LARGE, "Content Too Large"},
        {HTTP_UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type"},
        {HTTP_UNPROCESSABLE, "Unprocessable Content"},
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

const char *http_method_name(enum http_method method)
{
    static const char *const names[] = {
        [HTTP_GET] = "GET",     [HTTP_POST] = "POST",     [HTTP_PUT] = "PUT",
        [HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE", [HTTP_OPTIONS] = "OPTIONS",
        [HTTP_HEAD] = "HEAD",   [HTTP_OTHER] = "other",
    };
    return names[method];
}

int http_refuse(struct http_refusal *refusal, enum http_code status,
                const char *message)
{
    *refusal = (struct http_refusal){.status = status, .message = message};
    return -1;
}

static int refuse_and_close(struct http_refusal *refusal, enum http_code status,
                            const char *message)
{
    http_refuse(refusal, status, message);
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

bool http_has_body(enum http_method method)
{
    return method == HTTP_POST || method == HTTP_PUT || method == HTTP_PATCH;
}

static int check_length(struct str length, size_t body_max, size_t *ret_bytes,
                        struct http_refusal *refusal)
{
    size_t bytes = 0;
    bool plain = length.n > 0 && length.n <= LENGTH_DIGITS_MAX;
    for (size_t i = 0; i < length.n && plain; i++) {
        plain = length.p[i] >= '0' && length.p[i] <= '9';
        bytes = 10 * bytes + (size_t)(length.p[i] - '0');
    }
    if (!plain)
        return refuse_and_close(refusal, HTTP_BAD_REQUEST,
                                "Content-Length is not one plain number");
    if (bytes > body_max)
        return refuse_and_close(refusal, HTTP_TOO_LARGE, "The body is too large");
    *ret_bytes = bytes;
    return 0;
}

int http_check_framing(const struct http_head *head, size_t body_max, bool chunked_ok,
                       struct http_framing *ret_framing, struct http_refusal *refusal)
{
    struct http_framing framing = {0};
    struct str length = head->content_length;
    bool body = http_has_body(head->method);
    if (head->transfer_encoding.p) {
        if (!chunked_ok || !body || length.p ||
            !equals(head->transfer_encoding, STR("chunked")))
            return refuse_and_close(
                refusal, HTTP_LENGTH_REQUIRED,
                "This Transfer-Encoding is not taken: send Content-Length");
        framing.chunked = true;
        *ret_framing = framing;
        return 0;
    }
    if (!length.p && body)
        return refuse_and_close(refusal, HTTP_LENGTH_REQUIRED,
                                "Content-Length is required");
    if (length.p && check_length(length, body_max, &framing.body_bytes, refusal) < 0)
        return -1;
    if (framing.body_bytes > 0 && !body)
        return refuse_and_close(refusal, HTTP_BAD_REQUEST, "This method has no body");
    *ret_framing = framing;
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
        return http_refuse(refusal, HTTP_BAD_REQUEST, "Host is required");
    if (!host_allowed(head->host, policy))
        return http_refuse(refusal, HTTP_FORBIDDEN,
                           "This Host is not allowed (see --allow-host)");
    if (head->origin.p && !http_origin_allowed(head->origin, policy))
        return http_refuse(refusal, HTTP_FORBIDDEN,
                           "This Origin is not allowed (see --allow-origin)");
    return 0;
}

bool http_accepts(struct str list, struct str type)
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

int http_check_upgrade(const struct http_head *head, struct str protocol,
                       struct http_refusal *refusal)
{
    if (head->method != HTTP_GET || !head->keep_alive)
        return http_refuse(refusal, HTTP_BAD_REQUEST,
                           "A WebSocket is opened by a GET of HTTP/1.1");
    if (!lists(head->connection, STR("upgrade"), equals))
        return http_refuse(refusal, HTTP_BAD_REQUEST, "Connection must list Upgrade");
    if (!str_eq(head->ws_version, STR("13"))) {
        http_refuse(refusal, HTTP_UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13");
        refusal->header = "Sec-WebSocket-Version: 13\r\n";
        return -1;
    }
    if (!is_ws_key(head->ws_key))
        return http_refuse(refusal, HTTP_BAD_REQUEST,
                           "Sec-WebSocket-Key must be 16 bytes in base64");
    if (head->ws_protocol.p && !lists(head->ws_protocol, protocol, str_eq))
        return http_refuse(refusal, HTTP_BAD_REQUEST,
                           "This Sec-WebSocket-Protocol is not spoken here");
    return 0;
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

struct str http_bearer(const struct http_head *head)
{
    static const struct str scheme = STR_INIT("Bearer ");
    struct str a = head->authorization;
    if (a.n <= scheme.n || strncasecmp(a.p, scheme.p, scheme.n) != 0)
        return (struct str){0};
    return trim(str_from(a, scheme.n));
}

bool http_is_type(struct str content_type, struct str type)
{
    ptrdiff_t semicolon = str_find(content_type, ';');
    if (semicolon >= 0)
        content_type = trim((struct str){content_type.p, (size_t)semicolon});
    return equals(content_type, type);
}

struct str http_arg(const struct http_head *head, struct str key)
{
    for (size_t i = 0; i < head->arg_count; i++) {
        struct str arg = head->args[i];
        if (str_starts(arg, key) && arg.n > key.n && arg.p[key.n] == '=')
            return str_from(arg, key.n + 1);
        if (str_eq(arg, key))
            return (struct str){"", 0};
    }
    return (struct str){0};
}
