#include "net/http/client.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    HIGH_MARK = 1024 * 1024, /* buffered of one answer before the peer has to wait */
    RECEIVE_BYTES = 128 * 1024,
    CONNECTION_AGE_S = 60, /* idle ones are not trusted for longer */
};

/* A socket of libcurl's, watched through a descriptor of our own: libcurl closes its
 * own when it likes, but a watched one must stay open until libuv has let go of it. */
struct watch {
    struct watch *next, **at;
    struct http_client *client;
    curl_socket_t socket;
    struct loop_io *io;
    unsigned wanted;
};

struct http_client {
    struct loop *loop;
    CURLM *multi;
    struct loop_timer *timer;
    struct loop_later *later; /* deliver() outside of libcurl's turns */
    struct watch *watches;
    struct http_call *calls; /* all, so that none is leaked */
    struct http_call *dirty, **dirty_end;
    bool delivering, ending;
    int64_t timeout_ms; /* what libcurl asked for, -1: nothing; for drain() */
    struct http_config config;
};

struct http_call {
    struct http_client *client;
    struct http_call *next, **at;
    struct http_call *next_dirty;
    bool is_dirty, in_callback, cancelled;
    CURL *easy;
    struct curl_slist *headers;
    char *url;
    struct http_events events;
    void *ctx;
    struct str body;
    size_t body_at;
    size_t (*read_body)(void *ctx, char *to, size_t max);
    bool repeatable;
    struct buf in;
    size_t head_bytes;
    int status;
    bool head_came, head_told, stopped /* libcurl was told to pause */, paused;
    bool finished, timed_out;
    CURLcode result;
    char detail[CURL_ERROR_SIZE];
    struct loop_timer *timer;
    uint32_t head_timeout_ms, idle_timeout_ms;
    uint64_t last_byte_ms;
};

static void mark_dirty(struct http_call *call)
{
    struct http_client *client = call->client;
    if (call->is_dirty)
        return;
    call->is_dirty = true;
    call->next_dirty = NULL;
    *client->dirty_end = call;
    client->dirty_end = &call->next_dirty;
}

static void unmark(struct http_call *call)
{
    struct http_client *client = call->client;
    if (!call->is_dirty)
        return;
    struct http_call **at = &client->dirty;
    while (*at != call)
        at = &(*at)->next_dirty;
    *at = call->next_dirty;
    if (client->dirty_end == &call->next_dirty)
        client->dirty_end = at;
    call->is_dirty = false;
}

/* Out of libcurl, out of the lists. The memory goes with call_free(). */
static void detach(struct http_call *call)
{
    if (!call->easy)
        return;
    unmark(call);
    curl_multi_remove_handle(call->client->multi, call->easy);
    curl_easy_cleanup(call->easy);
    call->easy = NULL;
    loop_timer_free(call->timer);
    call->timer = NULL;
    *call->at = call->next;
    if (call->next)
        call->next->at = call->at;
}

static void call_free(struct http_call *call)
{
    detach(call);
    for (struct curl_slist *h = call->headers; h; h = h->next)
        secret_wipe(h->data, strlen(h->data));
    curl_slist_free_all(call->headers);
    buf_finish(&call->in);
    mem_free(call->url);
    mem_free(call);
}

/* What libcurl calls: these only copy and take note. */

static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
    struct http_call *call = ctx;
    (void)size;
    call->head_bytes += n;
    if (call->head_bytes > HTTP_HEAD_MAX)
        return 0;
    if (n > 2 || (n == 2 && p[0] != '\r'))
        return n;
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && !call->head_came) { /* not a 100 Continue */
        call->status = (int)status;
        call->head_came = true;
        call->last_byte_ms = loop_now_ms(call->client->loop);
        mark_dirty(call);
    }
    return n;
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct http_call *call = ctx;
    (void)size;
    if (call->in.n + n > HIGH_MARK && call->in.n) {
        call->stopped = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    buf_add(&call->in, p, n);
    call->last_byte_ms = loop_now_ms(call->client->loop);
    mark_dirty(call);
    return n;
}

static size_t on_read(char *to, size_t size, size_t n, void *ctx)
{
    struct http_call *call = ctx;
    (void)size;
    if (call->read_body)
        return call->read_body(call->ctx, to, n);
    struct str left = str_from(call->body, call->body_at);
    if (left.n > n)
        left.n = n;
    if (left.n)
        memcpy(to, left.p, left.n);
    call->body_at += left.n;
    return left.n;
}

/* libcurl sends a request again by itself when a kept-alive connection dies before an
 * answer. What must not run twice refuses to be rewound. */
static int on_seek(void *ctx, curl_off_t offset, int origin)
{
    struct http_call *call = ctx;
    if (!call->repeatable || call->read_body || origin != SEEK_SET || offset != 0)
        return CURL_SEEKFUNC_FAIL;
    call->body_at = 0;
    return CURL_SEEKFUNC_OK;
}

static curl_socket_t on_open_socket(void *ctx, curlsocktype purpose,
                                    struct curl_sockaddr *address)
{
    (void)ctx;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    struct http_client *client = ctx;
    (void)multi;
    client->timeout_ms = timeout_ms;
    if (timeout_ms < 0)
        loop_timer_stop(client->timer);
    else
        loop_timer_start(client->timer, (uint64_t)timeout_ms);
    return 0;
}

/* Back in our own hands: tell the callers. */

static void explain(const struct http_call *call, struct err *err)
{
    const char *detail =
        call->detail[0] ? call->detail : curl_easy_strerror(call->result);
    switch (call->result) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        err_set(err, ERR_UNAVAILABLE, "%.200s", detail);
        err_remedy(err, "check the network, and https_proxy if one is needed");
        return;
    case CURLE_OPERATION_TIMEDOUT:
        err_set(err, ERR_TIMEOUT, "%.200s", detail);
        err_remedy(err, "check the network and try again");
        return;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
        err_set(err, ERR_UNAVAILABLE, "no trusted TLS connection: %.180s", detail);
        err_remedy(err, "where a proxy inspects TLS, name its CA with SSL_CERT_FILE");
        return;
    case CURLE_WRITE_ERROR:
        err_set(err, ERR_LIMIT, "the head of the answer is over %d KiB",
                HTTP_HEAD_MAX / 1024);
        return;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        err_set(err, ERR_INVALID, "%.200s", detail);
        return;
    case CURLE_SEND_FAIL_REWIND:
        detail = "the connection was closed before an answer came";
        break;
    default:
        break;
    }
    err_set(err, ERR_IO, "the connection broke: %.180s", detail);
    err_remedy(err, "try again");
}

static enum http_reach reach_of(struct http_call *call)
{
    long sent = 0;
    if (call->head_came)
        return HTTP_ANSWERED;
    curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &sent);
    return sent > 0 ? HTTP_SENT : HTTP_NOT_SENT;
}

static void finish_call(struct http_call *call)
{
    struct err err;
    enum http_reach reach = reach_of(call);
    bool ok = call->result == CURLE_OK && !call->timed_out;
    if (call->timed_out) {
        err_set(&err, ERR_TIMEOUT, "no answer within %u s",
                (call->head_came ? call->idle_timeout_ms : call->head_timeout_ms) /
                    1000);
        err_remedy(&err, "check the network and try again");
    } else if (!ok) {
        explain(call, &err);
    }
    detach(call);
    call->events.done(call->ctx, ok ? NULL : &err, reach);
    call_free(call);
}

/* One callback; false when there is nothing to tell. */
static bool step(struct http_call *call)
{
    if (call->head_came && !call->head_told) {
        call->head_told = true;
        if (call->events.head)
            call->events.head(call->ctx, call->status);
        return true;
    }
    if (call->in.n == 0)
        return false;
    /* The bytes are moved out: the callback may pause or cancel. */
    struct buf bytes = call->in;
    buf_init(&call->in, HIGH_MARK + RECEIVE_BYTES);
    call->events.body(call->ctx, buf_str(&bytes));
    if (!call->in.p && !call->cancelled) {
        call->in = bytes; /* the memory is used again */
        buf_reset(&call->in, RECEIVE_BYTES);
    } else {
        buf_finish(&bytes);
    }
    return true;
}

static void resume(struct http_call *call)
{
    if (call->stopped && !call->finished) {
        call->stopped = false;
        curl_easy_pause(call->easy, CURLPAUSE_CONT);
    }
}

static void deliver(struct http_client *client)
{
    if (client->delivering)
        return;
    client->delivering = true;
    while (client->dirty) {
        struct http_call *call = client->dirty;
        unmark(call);
        if (call->paused)
            continue;
        call->in_callback = true; /* so that cancelling does not free it under us */
        while (!call->paused && !call->cancelled && step(call))
            ;
        call->in_callback = false;
        if (call->cancelled) {
            call_free(call);
        } else if (!call->paused) {
            if (call->finished)
                finish_call(call);
            else
                resume(call);
        }
    }
    client->delivering = false;
}

static void on_later(void *ctx)
{
    deliver(ctx);
}

static void read_results(struct http_client *client)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(client->multi, &left));) {
        struct http_call *call = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        call->finished = true;
        call->result = m->data.result;
        mark_dirty(call);
    }
}

static void act(struct http_client *client, curl_socket_t socket, int events)
{
    int running;
    curl_multi_socket_action(client->multi, socket, events, &running);
    read_results(client);
    deliver(client);
}

static void on_timer(void *ctx)
{
    struct http_client *client = ctx;
    client->timeout_ms = -1;
    act(client, CURL_SOCKET_TIMEOUT, 0);
}

/* POLLERR arrives as every wanted event: libcurl finds out why by reading or writing.
 */
static int curl_events(unsigned ready)
{
    return (ready & LOOP_READ ? CURL_CSELECT_IN : 0) |
           (ready & LOOP_WRITE ? CURL_CSELECT_OUT : 0);
}

static void on_socket(void *ctx, unsigned ready)
{
    struct watch *w = ctx;
    struct http_client *client = w->client;
    curl_socket_t socket = w->socket;
    act(client, socket, curl_events(ready));
    for (w = client->watches; w; w = w->next)
        if (w->socket == socket)
            loop_io_want(w->io, w->wanted); /* after an error it stands still */
}

static void watch_free(struct watch *w)
{
    *w->at = w->next;
    if (w->next)
        w->next->at = w->at;
    if (w->client->ending) /* the peer need not wait for the loop's next turn */
        shutdown(w->socket, SHUT_RDWR);
    loop_io_free(w->io);
    mem_free(w);
}

static struct watch *watch_new(struct http_client *client, curl_socket_t socket)
{
    int fd = fcntl(socket, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return NULL;
    struct watch *w = mem_new(struct watch);
    *w = (struct watch){.client = client, .socket = socket, .next = client->watches};
    w->at = &client->watches;
    if (w->next)
        w->next->at = &w->next;
    client->watches = w;
    w->io = loop_io_new(client->loop, fd, on_socket, w);
    curl_multi_assign(client->multi, socket, w);
    return w;
}

static int on_curl_socket(CURL *easy, curl_socket_t socket, int what, void *ctx,
                          void *socket_ctx)
{
    struct http_client *client = ctx;
    struct watch *w = socket_ctx;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w)
            watch_free(w);
        curl_multi_assign(client->multi, socket, NULL);
        return 0;
    }
    if (!w && !(w = watch_new(client, socket)))
        return -1;
    w->wanted = (what & CURL_POLL_IN ? LOOP_READ : 0u) |
                (what & CURL_POLL_OUT ? LOOP_WRITE : 0u);
    loop_io_want(w->io, w->wanted);
    return 0;
}

int http_client_new(struct http_client **ret_client, struct loop *loop,
                    const struct http_config *config, struct err *err)
{
    static bool initialised; /* one thread */
    if (!initialised && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(err, ERR_UNAVAILABLE, "libcurl cannot be initialised");
    initialised = true;
    struct http_client *client = mem_new(struct http_client);
    client->loop = loop;
    client->config = *config;
    client->timeout_ms = -1;
    client->dirty_end = &client->dirty;
    client->multi = curl_multi_init();
    client->timer = loop_timer_new(loop, on_timer, client);
    client->later = loop_later_new(loop, on_later, client);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS,
                      (long)config->connections);
    *ret_client = client;
    return 0;
}

void http_client_free(struct http_client *client)
{
    if (!client)
        return;
    client->ending = true;
    while (client->calls)
        call_free(client->calls);
    curl_multi_cleanup(client->multi);
    while (client->watches)
        watch_free(client->watches);
    loop_timer_free(client->timer);
    loop_later_free(client->later);
    mem_free(client);
}

bool http_client_busy(const struct http_client *client)
{
    return client->calls != NULL;
}

static void drain_once(struct http_client *client, int64_t left_ms)
{
    enum { POLLED_MAX = 64 };
    struct pollfd fds[POLLED_MAX];
    nfds_t n = 0;
    for (const struct watch *w = client->watches; w && n < POLLED_MAX; w = w->next)
        fds[n++] =
            (struct pollfd){.fd = w->socket,
                            .events = (short)((w->wanted & LOOP_READ ? POLLIN : 0) |
                                              (w->wanted & LOOP_WRITE ? POLLOUT : 0))};
    if (client->timeout_ms >= 0 && client->timeout_ms < left_ms)
        left_ms = client->timeout_ms;
    int ready = poll(fds, n, (int)left_ms);
    for (nfds_t i = 0; i < n && ready > 0; i++)
        if (fds[i].revents)
            act(client, fds[i].fd,
                (fds[i].revents & ~POLLOUT ? CURL_CSELECT_IN : 0) |
                    (fds[i].revents & POLLOUT ? CURL_CSELECT_OUT : 0));
    if (ready <= 0)
        on_timer(client);
}

void http_client_drain(struct http_client *client, uint64_t limit_ms)
{
    uint64_t end = loop_now_ms(client->loop) + limit_ms;
    on_timer(client);
    for (uint64_t now; client->calls && (now = loop_now_ms(client->loop)) < end;)
        drain_once(client, (int64_t)(end - now));
}

/* Time limits of a call: for the head, then between two pieces of the body. */
static void on_call_timer(void *ctx)
{
    struct http_call *call = ctx;
    uint64_t now = loop_now_ms(call->client->loop);
    if (call->head_came) {
        uint64_t due = call->last_byte_ms + call->idle_timeout_ms;
        if (call->idle_timeout_ms == 0)
            return;
        if (call->paused || now < due) {
            loop_timer_start(call->timer,
                             call->paused ? call->idle_timeout_ms : due - now);
            return;
        }
    }
    call->finished = call->timed_out = true;
    mark_dirty(call);
    deliver(call->client);
}

static void start_timer(struct http_call *call)
{
    uint32_t first =
        call->head_timeout_ms ? call->head_timeout_ms : call->idle_timeout_ms;
    if (first == 0)
        return;
    call->timer = loop_timer_new(call->client->loop, on_call_timer, call);
    loop_timer_start(call->timer, first);
}

static void add_header(struct http_call *call, struct str text)
{
    char *line = mem_strndup(text.p, text.n);
    call->headers = curl_slist_append(call->headers, line);
    secret_wipe(line, text.n);
    mem_free(line);
}

static void set_headers(struct http_call *call, const struct http_request *request)
{
    add_header(call, STR("Expect:")); /* never wait for a 100 Continue */
    for (size_t i = 0; i < request->header_count; i++)
        add_header(call, request->headers[i]);
    if (request->bearer) {
        struct buf line;
        buf_init(&line, 64 * 1024);
        buf_addz(&line, "Authorization: Bearer ");
        buf_adds(&line, secret_reveal(request->bearer));
        add_header(call, buf_str(&line));
        secret_wipe(line.p, line.n);
        buf_finish(&line);
    }
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
}

static void set_body(struct http_call *call, const struct http_request *request)
{
    CURL *easy = call->easy;
    bool get = strcmp(request->method, "GET") == 0;
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    if (get || (strcmp(request->method, "DELETE") == 0 && request->body.n == 0 &&
                !request->read_body)) {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
        return;
    }
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(easy, CURLOPT_READDATA, call);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, call);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     request->read_body ? (curl_off_t)-1 : (curl_off_t)request->body.n);
    if (request->read_body)
        add_header(call, STR("Transfer-Encoding: chunked"));
}

static void set_options(struct http_call *call)
{
    CURL *easy = call->easy;
    const struct http_config *config = &call->client->config;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_URL, call->url);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->detail);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* cancelling never waits for DNS */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    if (strncasecmp(call->url, "http:", 5) == 0) /* to loopback: past any proxy */
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (config->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, config->ca_file);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, config->user_agent);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)HTTP_CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 15L);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)CONNECTION_AGE_S);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BYTES);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)RECEIVE_BYTES);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
}

struct http_call *http_start(struct http_client *client,
                             const struct http_request *request,
                             const struct http_events *events, void *ctx)
{
    struct http_call *call = mem_new(struct http_call);
    *call = (struct http_call){
        .client = client,
        .easy = curl_easy_init(),
        .url = mem_strndup(request->url.p, request->url.n),
        .events = *events,
        .ctx = ctx,
        .body = request->body,
        .read_body = request->read_body,
        .repeatable = request->repeatable,
        .head_timeout_ms = request->head_timeout_ms,
        .idle_timeout_ms = request->idle_timeout_ms,
        .next = client->calls,
    };
    call->at = &client->calls;
    if (call->next)
        call->next->at = &call->next;
    client->calls = call;
    buf_init(&call->in, HIGH_MARK + RECEIVE_BYTES);
    set_options(call);
    set_body(call, request);
    set_headers(call, request);
    start_timer(call);
    CURLMcode rc = curl_multi_add_handle(client->multi, call->easy);
    if (rc != CURLM_OK) {
        snprintf(call->detail, sizeof call->detail, "%s", curl_multi_strerror(rc));
        call->finished = true;
        call->result = CURLE_FAILED_INIT;
        mark_dirty(call);
        loop_later_ask(client->later);
    }
    return call;
}

void http_cancel(struct http_call *call)
{
    if (!call)
        return;
    detach(call);
    if (call->in_callback)
        call->cancelled = true;
    else
        call_free(call);
}

void http_pause(struct http_call *call, bool pause)
{
    if (call->paused == pause)
        return;
    call->paused = pause;
    if (pause)
        return;
    call->last_byte_ms = loop_now_ms(call->client->loop);
    mark_dirty(call);
    loop_later_ask(call->client->later);
}

struct str http_header(struct http_call *call, const char *name)
{
    struct curl_header *h;
    if (curl_easy_header(call->easy, name, 0, CURLH_HEADER, -1, &h) != CURLHE_OK)
        return (struct str){0};
    return str_of(h->value);
}
