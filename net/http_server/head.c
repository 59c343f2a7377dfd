/* The head of a request as libwebsockets has it, copied out. It joins headers of one
 * name with a comma; headers that it does not know are looked up by name and colon. */
#include "net/http_server/private.h"

static struct str trimmed(char *p, size_t n)
{
    while (n && (p[n - 1] == ' ' || p[n - 1] == '\t'))
        n--;
    while (n && (p[0] == ' ' || p[0] == '\t')) {
        p++;
        n--;
    }
    return (struct str){p, n};
}

static struct str known(struct lws *wsi, struct arena *a, enum lws_token_indexes token)
{
    int n = lws_hdr_total_length(wsi, token);
    if (n <= 0)
        return (struct str){0};
    char *to = arena_alloc(a, (size_t)n + 1);
    n = lws_hdr_copy(wsi, to, n + 1, token);
    return n <= 0 ? (struct str){0} : trimmed(to, (size_t)n);
}

struct str http_head_custom(struct lws *wsi, struct arena *a, const char *name)
{
    char with_colon[160];
    size_t name_n = strlen(name);
    if (name_n + 1 > sizeof with_colon)
        return (struct str){0};
    memcpy(with_colon, name, name_n);
    with_colon[name_n++] = ':';
    int n = lws_hdr_custom_length(wsi, with_colon, (int)name_n);
    if (n < 0)
        return (struct str){0};
    char *to = arena_alloc(a, (size_t)n + 1);
    n = lws_hdr_custom_copy(wsi, to, n + 1, with_colon, (int)name_n);
    return n < 0 ? (struct str){0} : trimmed(to, (size_t)n);
}

static enum http_method method_of(int lws_method)
{
    switch (lws_method) {
    case LWSHUMETH_GET:
        return HTTP_GET;
    case LWSHUMETH_POST:
        return HTTP_POST;
    case LWSHUMETH_PUT:
        return HTTP_PUT;
    case LWSHUMETH_PATCH:
        return HTTP_PATCH;
    case LWSHUMETH_DELETE:
        return HTTP_DELETE;
    case LWSHUMETH_OPTIONS:
        return HTTP_OPTIONS;
    case LWSHUMETH_HEAD:
        return HTTP_HEAD;
    default:
        return HTTP_OTHER;
    }
}

/* "Transfer-Encoding : chunked": a name with a space is another, unknown one to us, and
 * may be the real one to a proxy before us. */
static bool smuggles(struct lws *wsi)
{
    static const char *const names[] = {"transfer-encoding :", "transfer-encoding\t:",
                                        "content-length :", "content-length\t:"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (lws_hdr_custom_length(wsi, names[i], (int)strlen(names[i])) >= 0)
            return true;
    return false;
}

/* One fragment of libwebsockets' an argument, decoded. */
static void read_args(struct lws *wsi, struct arena *a, struct http_head *head)
{
    int total = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_URI_ARGS);
    if (total <= 0)
        return;
    char *to = arena_alloc(a, (size_t)total + 1);
    for (int i = 0; i < HTTP_ARGS_MAX; i++) {
        int n = lws_hdr_copy_fragment(wsi, to, total + 1, WSI_TOKEN_HTTP_URI_ARGS, i);
        if (n < 0)
            return;
        head->args[head->arg_count++] = arena_dup(a, (struct str){to, (size_t)n});
    }
}

void http_head_read(struct lws *wsi, struct arena *a, struct http_head *head)
{
    char *uri = NULL;
    int uri_n = 0;
    int method = lws_http_get_uri_and_method(wsi, &uri, &uri_n);
    struct str version = known(wsi, a, WSI_TOKEN_HTTP);
    *head = (struct http_head){
        .method = method < 0 ? HTTP_OTHER : method_of(method),
        .keep_alive = str_eq(version, STR("HTTP/1.1")),
        .host = known(wsi, a, WSI_TOKEN_HOST),
        .origin = known(wsi, a, WSI_TOKEN_ORIGIN),
        .content_length = known(wsi, a, WSI_TOKEN_HTTP_CONTENT_LENGTH),
        .transfer_encoding = known(wsi, a, WSI_TOKEN_HTTP_TRANSFER_ENCODING),
        .content_type = known(wsi, a, WSI_TOKEN_HTTP_CONTENT_TYPE),
        .accept = known(wsi, a, WSI_TOKEN_HTTP_ACCEPT),
        .authorization = known(wsi, a, WSI_TOKEN_HTTP_AUTHORIZATION),
        .upgrade = known(wsi, a, WSI_TOKEN_UPGRADE),
        .connection = known(wsi, a, WSI_TOKEN_CONNECTION),
        .ws_key = known(wsi, a, WSI_TOKEN_KEY),
        .ws_version = known(wsi, a, WSI_TOKEN_VERSION),
        .ws_protocol = known(wsi, a, WSI_TOKEN_PROTOCOL),
        .expect = known(wsi, a, WSI_TOKEN_HTTP_EXPECT),
        .forwarded_for = known(wsi, a, WSI_TOKEN_X_FORWARDED_FOR),
        .traceparent = http_head_custom(wsi, a, "traceparent"),
    };
    if (uri_n > 0)
        head->path = arena_dup(a, (struct str){uri, (size_t)uri_n});
    read_args(wsi, a, head);
    if (smuggles(wsi))
        head->transfer_encoding = STR("hidden");
}
