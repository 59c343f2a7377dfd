/* The client side of WebSocket: one text message is one JSON-RPC message. A context of
 * libwebsockets hosts the caller's loop as long as the connection lives. */
#include "base/log.h"
#include "base/mem.h"
#include "mcp/server.h"
#include "net/http_server/assembly.h"
#include "net/http_server/hosting.h"
#include "transport/connector.h"
#include "transport/web/server.h"
#include <stdio.h>
#include <string.h>

enum { READ_BYTES = 64 * 1024, KEEP_BYTES = 1024 * 1024, HEAD_MAX = 2048 };

struct connection {
    struct connector_config config;
    struct client *client;
    struct hosting hosting;
    struct lws *wsi; /* NULL: not connected (any more) */
    struct assembly assembly;
    struct buf frame;
    size_t sent; /* of the client's output */
    bool open, is_lost;
    struct loop_later *lost_later;
    struct err why;
};

static void on_lost(void *ctx)
{
    struct connection *c = ctx;
    client_lost(c->client, &c->why);
    c->config.lost(c->config.ctx, &c->why);
}

static void lose(struct connection *c, const char *what, const char *reason)
{
    c->wsi = NULL;
    if (c->is_lost)
        return;
    c->is_lost = true;
    err_set(&c->why, ERR_UNAVAILABLE, "%.100s: %s%s%.80s", c->config.url, what,
            reason ? ": " : "", reason ? reason : "");
    loop_later_ask(c->lost_later);
}

static int add_token(struct connection *c, unsigned char **at, size_t room)
{
    if (!c->config.token)
        return 0;
    struct str token = secret_reveal(c->config.token);
    char value[HEAD_MAX];
    int n = snprintf(value, sizeof value, "Bearer %.*s", STR_FMT(token));
    int rc = n < 0 || (size_t)n >= sizeof value ||
             lws_add_http_header_by_token(c->wsi, WSI_TOKEN_HTTP_AUTHORIZATION,
                                          (unsigned char *)value, n, at, *at + room);
    secret_wipe(value, sizeof value);
    return rc ? -1 : 0;
}

static int receive(struct connection *c, struct str bytes)
{
    struct http_piece piece = {
        .bytes = bytes,
        .first = lws_is_first_fragment(c->wsi),
        .last = lws_is_final_fragment(c->wsi),
        .binary = lws_frame_is_binary(c->wsi),
        .rest_bytes = lws_remaining_packet_payload(c->wsi),
    };
    struct str text;
    struct err err;
    int code;
    int rc = assembly_add(&c->assembly, &piece, &text, &code);
    if (rc > 0 && client_recv(c->client, text, &err) < 0)
        log_warn("ignoring a message of the server: %s", err.msg);
    if (client_output(c->client).n > c->sent) /* what it says to that */
        lws_callback_on_writable(c->wsi);
    if (rc < 0)
        lws_close_reason(c->wsi, (enum lws_close_status)code, NULL, 0);
    return rc < 0 ? -1 : 0;
}

/* One message a callback. */
static int write_message(struct connection *c)
{
    struct str rest = str_from(client_output(c->client), c->sent);
    if (rest.n == 0)
        return 0;
    ptrdiff_t end = str_find(rest, '\n');
    size_t n = end < 0 ? rest.n : (size_t)end;
    buf_reset(&c->frame, KEEP_BYTES);
    char *to = buf_reserve(&c->frame, LWS_PRE + n);
    memcpy(to + LWS_PRE, rest.p, n);
    if (lws_write(c->wsi, (unsigned char *)to + LWS_PRE, n, LWS_WRITE_TEXT) < 0)
        return -1;
    c->sent += n + 1;
    if (c->sent < client_output(c->client).n) {
        lws_callback_on_writable(c->wsi);
        return 0;
    }
    client_sent(c->client);
    c->sent = 0;
    return 0;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user,
                    void *in, size_t n)
{
    (void)user;
    struct connection *c = lws_get_opaque_user_data(wsi);
    if (!c)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
        c->wsi = wsi;
        return add_token(c, in, n);
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        c->open = true;
        lws_callback_on_writable(wsi);
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        return receive(c, (struct str){in, n});
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return write_message(c);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        lose(c, "no connection", in);
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
        lose(c, "the server closed the connection", NULL);
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {
    {.name = "mcp",
     .callback = on_event,
     .rx_buffer_size = READ_BYTES,
     .tx_packet_size = READ_BYTES},
    HOSTING_PROTOCOL,
    {0},
};

static void flush(struct connection *c)
{
    if (c->open && c->wsi)
        lws_callback_on_writable(c->wsi);
}

static int dial(struct connection *c, char *url, struct err *err)
{
    const char *scheme, *host, *path;
    char full_path[HEAD_MAX];
    int port;
    if (lws_parse_uri(url, &scheme, &host, &port, &path))
        return err_set(err, ERR_INVALID, "%.150s is not a URL", c->config.url);
    bool secure = strcmp(scheme, "wss") == 0;
    if (c->config.token && !secure && !connector_is_local(c->config.url)) {
        err_set(err, ERR_DENIED,
                "%.150s: the token would go over the network in the clear",
                c->config.url);
        return err_remedy(err, "use wss:");
    }
    snprintf(full_path, sizeof full_path, "/%s", path);
    struct lws_client_connect_info info = {
        .context = c->hosting.lws,
        .vhost = c->hosting.vhost,
        .address = host,
        .port = port,
        .path = full_path,
        .host = host,
        .protocol = "mcp",
        .local_protocol_name = "mcp",
        .ssl_connection = secure ? LCCSCF_USE_SSL : 0,
        .opaque_user_data = c,
        .ietf_version_or_minus_one = -1,
    };
    if (!lws_client_connect_via_info(&info) && !c->is_lost)
        lose(c, "no connection", NULL);
    return 0;
}

static void close_connection(struct connection *c)
{
    if (!c)
        return;
    c->is_lost = true; /* nobody is told any more */
    hosting_finish(&c->hosting);
    loop_later_free(c->lost_later);
    assembly_finish(&c->assembly);
    buf_finish(&c->frame);
    mem_free(c);
}

static int open_connection(struct connection **ret_connection, struct loop *loop,
                           struct client *client, const struct connector_config *config,
                           struct err *err)
{
    struct connection *c = mem_new(struct connection);
    char *url = mem_strndup(config->url, strlen(config->url));
    c->config = *config;
    c->client = client;
    c->lost_later = loop_later_new(loop, on_lost, c);
    assembly_init(&c->assembly, MCP_MESSAGE_IN_MAX);
    buf_init(&c->frame, LWS_PRE + (size_t)MCP_MESSAGE_IN_MAX);
    struct lws_context_creation_info info = {
        .options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
        .timeout_secs = 20,
        .pt_serv_buf_size = READ_BYTES + LWS_PRE,
        .client_ssl_ca_filepath = config->ca_file,
    };
    int rc = hosting_init(&c->hosting, loop, &info, protocols, err);
    if (rc == 0)
        rc = dial(c, url, err);
    mem_free(url);
    if (rc < 0) {
        close_connection(c);
        return -1;
    }
    *ret_connection = c;
    return 0;
}

const struct connector websocket_connector = {open_connection, flush, close_connection};
