/* The floor of the measurements over the network: libwebsockets alone, which answers
 * each POST and each WebSocket message with one canned response without looking at it:
 * lws_echo [BYTES of a response]. */
#include <libwebsockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 4096, WRITE_BYTES = 256 * 1024 };

/* A response with room before it, for a frame's head; the same behind a head of HTTP.
 */
static unsigned char *answer, *whole;
static size_t answer_n, whole_n;

static void make(size_t bytes)
{
    static const char begin[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{",
                      end[] = "}}";
    size_t least = sizeof begin + sizeof end - 2;
    size_t pad = bytes > least ? bytes - least : 0;
    answer_n = least + pad;
    answer = malloc(LWS_PRE + answer_n + 1);
    whole = malloc(LWS_PRE + ROOM + answer_n);
    if (!answer || !whole)
        abort();
    char *to = (char *)answer + LWS_PRE;
    memcpy(to, begin, sizeof begin - 1);
    memset(to + sizeof begin - 1, ' ', pad);
    memcpy(to + sizeof begin - 1 + pad, end, sizeof end - 1);
    int n = snprintf((char *)whole + LWS_PRE, ROOM,
                     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     answer_n);
    memcpy(whole + LWS_PRE + n, to, answer_n);
    whole_n = (size_t)n + answer_n;
}

struct session {
    size_t sent; /* of `whole` */
};

/* A piece of a long one a callback, as libwebsockets wants it. */
static int write_whole(struct lws *wsi, struct session *s)
{
    size_t n = whole_n - s->sent < WRITE_BYTES ? whole_n - s->sent : WRITE_BYTES;
    if (lws_write(wsi, whole + LWS_PRE + s->sent, n, LWS_WRITE_HTTP) < 0)
        return -1;
    s->sent += n;
    if (s->sent < whole_n) {
        lws_callback_on_writable(wsi);
        return 0;
    }
    s->sent = 0;
    return lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user,
                    void *in, size_t n)
{
    (void)in;
    (void)n;
    switch (reason) {
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
        lws_callback_on_writable(wsi);
        return 0;
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return write_whole(wsi, user);
    case LWS_CALLBACK_RECEIVE:
        lws_callback_on_writable(wsi);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return lws_write(wsi, answer + LWS_PRE, answer_n, LWS_WRITE_TEXT) < 0 ? -1 : 0;
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

int main(int argc, char **argv)
{
    static const struct lws_protocols protocols[] = {
        {.name = "mcp",
         .callback = on_event,
         .per_session_data_size = sizeof(struct session),
         .rx_buffer_size = 4096},
        {0}};
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
    make(argc > 1 ? strtoul(argv[1], NULL, 10) : 0);
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
