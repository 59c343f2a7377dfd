/* The floor of the measurements over the network: libwebsockets alone, which answers
 * each POST and each WebSocket message with one canned response without looking at it.
 */
#include <libwebsockets.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char answer[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}";
static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                           "Content-Length: 36\r\n\r\n"
                           "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}";
enum { ANSWER = sizeof answer - 1, HEAD = sizeof head - 1 };

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user,
                    void *in, size_t n)
{
    unsigned char frame[LWS_PRE + HEAD];
    (void)user;
    (void)in;
    (void)n;
    switch (reason) {
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
        lws_callback_on_writable(wsi);
        return 0;
    case LWS_CALLBACK_HTTP_WRITEABLE:
        memcpy(frame + LWS_PRE, head, HEAD);
        if (lws_write(wsi, frame + LWS_PRE, HEAD, LWS_WRITE_HTTP) < 0)
            return -1;
        return lws_http_transaction_completed(wsi) ? -1 : 0;
    case LWS_CALLBACK_RECEIVE:
        lws_callback_on_writable(wsi);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        memcpy(frame + LWS_PRE, answer, ANSWER);
        return lws_write(wsi, frame + LWS_PRE, ANSWER, LWS_WRITE_TEXT) < 0 ? -1 : 0;
    default:
        return 0;
    }
}

static volatile sig_atomic_t ended;

static void on_signal(int signum)
{
    (void)signum;
    ended = 1;
}

int main(void)
{
    static const struct lws_protocols protocols[] = {
        {.name = "mcp", .callback = on_event, .rx_buffer_size = 4096}, {0}};
    struct lws_context_creation_info info = {
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .iface = "127.0.0.1",
        .uid = (__typeof__(((struct lws_context_creation_info *)NULL)->uid))-1,
        .gid = (__typeof__(((struct lws_context_creation_info *)NULL)->gid))-1,
        .protocols = protocols,
        .keepalive_timeout = 60,
        .vhost_name = "echo",
    };
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    lws_set_log_level(LLL_ERR, NULL);
    struct lws_context *context = lws_create_context(&info);
    struct lws_vhost *vhost = context ? lws_create_vhost(context, &info) : NULL;
    if (!vhost)
        return 1;
    fprintf(stderr, "listening on http://127.0.0.1:%d/mcp\n",
            lws_get_vhost_listen_port(vhost));
    while (!ended && lws_service(context, 0) >= 0)
        ;
    lws_context_destroy(context);
    return 0;
}
