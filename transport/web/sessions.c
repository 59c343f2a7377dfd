#include "transport/web/sessions.h"
#include "base/log.h"
#include "base/mem.h"
#include "transport/web/replay.h"
#include <assert.h>
#include <openssl/rand.h>
#include <stdlib.h>

enum {
    PATIENCE_MS =
        5000, /* then the answer begins as a stream, so that nobody gives up */
    KEEP_ALIVE_MS = 15000,
    ID_BYTES = WEB_SESSION_ID / 2,
};

struct http_session {
    struct web_server *server;
    struct http_session *next, **at; /* legacy ones, of the server */
    char id[WEB_SESSION_ID + 1];     /* empty: a modern request's */
    struct principal *principal;
    uint64_t owner;
    struct session *mcp;
    struct exchange *exchanges; /* POSTs without their end */
    struct exchange *get;
    struct replay replay; /* of a legacy one */
    uint64_t last_stream, used_ms;
    bool opened; /* initialize succeeded */
};

static const struct http_refusal session_ended = {.status = HTTP_NOT_FOUND,
                                                  .message = "The session has ended"};

static void distribute(struct http_session *hs);
static void on_close_stream(void *ctx, uint64_t stream);

static void on_wake(void *ctx)
{
    distribute(ctx);
}

static void make_id(char id[WEB_SESSION_ID + 1])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char bytes[ID_BYTES];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        abort(); /* no randomness, no secrets */
    for (size_t i = 0; i < ID_BYTES; i++) {
        id[2 * i] = hex[bytes[i] >> 4];
        id[2 * i + 1] = hex[bytes[i] & 15];
    }
    id[WEB_SESSION_ID] = '\0';
}

static int check_count(const struct web_server *server,
                       const struct principal *principal, struct http_refusal *refusal)
{
    const struct web_limits *limits = &server->config.limits;
    if (principal->sessions >= limits->principal_sessions) {
        *refusal = (struct http_refusal){
            .status = HTTP_TOO_MANY,
            .message = "Too many sessions with this token: end some with DELETE"};
        return -1;
    }
    if (server->session_count >= limits->sessions) {
        *refusal = (struct http_refusal){.status = HTTP_UNAVAILABLE,
                                         .message = "Too many sessions",
                                         .header = "Retry-After: 60\r\n"};
        return -1;
    }
    return 0;
}

struct http_session *http_session_new(struct web_server *server,
                                      struct principal *principal, bool legacy,
                                      struct http_refusal *refusal)
{
    if (legacy && check_count(server, principal, refusal) < 0)
        return NULL;
    struct http_session *hs = mem_new(struct http_session);
    hs->server = server;
    hs->principal = principal;
    hs->owner = web_owner(principal->number, legacy ? web_new_connection(server) : 0);
    struct session_config config = {.owner = hs->owner,
                                    .principal = principal->name,
                                    .wake = on_wake,
                                    .close_stream = legacy ? on_close_stream : NULL,
                                    .wake_ctx = hs};
    hs->mcp = session_new(server->config.mcp, &config);
    if (!legacy)
        return hs;
    make_id(hs->id);
    replay_init(&hs->replay, &server->replay_bytes);
    hs->used_ms = loop_now_ms(server->loop);
    hs->next = server->sessions;
    hs->at = &server->sessions;
    if (hs->next)
        hs->next->at = &hs->next;
    server->sessions = hs;
    principal->sessions++;
    server->metrics.sessions++;
    if (server->session_count++ == 0)
        http_sessions_sweep(server);
    return hs;
}

void http_session_free(struct http_session *hs)
{
    if (!hs)
        return;
    struct web_server *server = hs->server;
    while (hs->exchanges) {
        struct exchange *ex = hs->exchanges;
        hs->exchanges = ex->next;
        ex->session = NULL;
        if (ex->http->state == HTTP_WAITING)
            http_answer_refusal(ex->http, &session_ended);
        else
            http_stream_end(ex->http);
    }
    if (hs->get) {
        hs->get->session = NULL;
        http_stream_end(hs->get->http);
    }
    session_free(hs->mcp);
    if (hs->id[0]) {
        replay_finish(&hs->replay);
        *hs->at = hs->next;
        if (hs->next)
            hs->next->at = hs->at;
        hs->principal->sessions--;
        server->session_count--;
        mcp_server_drop_owner(server->config.mcp, hs->owner);
        server->config.owner_gone(server->config.ctx, hs->owner);
    }
    mem_free(hs);
}

const char *http_session_id(const struct http_session *hs)
{
    return hs->id[0] ? hs->id : NULL;
}

/* Guessing is hopeless (128 bits), and a session is of use only to its principal: no
 * need for constant time. */
struct http_session *http_session_find(struct web_server *server, struct str id,
                                       const struct principal *principal)
{
    for (struct http_session *hs = server->sessions; hs; hs = hs->next)
        if (hs->principal == principal && str_eq(id, str_of(hs->id))) {
            hs->used_ms = loop_now_ms(server->loop);
            return hs;
        }
    return NULL;
}

/* Who is let go of it can find it again. */
static void open_stream(struct exchange *ex)
{
    struct http_session *hs = ex->session;
    reply_stream(ex);
    if (!hs || !hs->id[0])
        return;
    uint64_t number = replay_add(&hs->replay, ex->stream, (struct str){0});
    if (session_polls(hs->mcp))
        reply_prime(ex, number);
}

static void start_timer(struct exchange *ex, uint64_t delay_ms);

/* Lets go of the connection; the stream is still there. */
static void close_stream(struct exchange *ex)
{
    http_session_detach(ex);
    http_stream_end(ex->http);
}

/* Its token has expired: what only waits for changes ends, what was begun in time is
 * finished. */
static void lapse(struct exchange *ex)
{
    struct http_session *hs = ex->session;
    if (hs && ex == hs->get) {
        close_stream(ex);
    } else if (hs && !hs->id[0]) {
        session_end_listens(hs->mcp);
        distribute(hs);
    }
}

static void on_timer(void *ctx)
{
    struct exchange *ex = ctx;
    if (ex->http->state == HTTP_WAITING)
        open_stream(ex);
    if (web_token_left_ms(ex->conn, KEEP_ALIVE_MS) == 0)
        lapse(ex);
    if (ex->http->state != HTTP_STREAM)
        return;
    reply_keep_alive(ex);
    start_timer(ex, KEEP_ALIVE_MS);
}

static void start_timer(struct exchange *ex, uint64_t delay_ms)
{
    uint64_t left_ms = web_token_left_ms(ex->conn, delay_ms);
    if (left_ms) /* else it is told at the next turn that is due anyway */
        delay_ms = left_ms;
    if (!ex->timer)
        ex->timer = loop_timer_new(ex->conn->server->loop, on_timer, ex);
    loop_timer_start(ex->timer, delay_ms);
}

static void begin_stream(struct exchange *ex)
{
    open_stream(ex);
    start_timer(ex, KEEP_ALIVE_MS);
}

static struct exchange *exchange_of(const struct http_session *hs, uint64_t stream)
{
    for (struct exchange *ex = hs->exchanges; ex; ex = ex->next)
        if (ex->stream == stream)
            return ex;
    return NULL;
}

static bool is_only_one(const struct mcp_message *messages, size_t i, size_t count)
{
    for (size_t k = i + 1; k < count; k++)
        if (messages[k].stream == messages[i].stream)
            return false;
    return true;
}

static void send_event(struct http_session *hs, struct exchange *ex, struct str text,
                       bool must)
{
    uint64_t number = hs->id[0] ? replay_add(&hs->replay, ex->stream, text) : 0;
    reply_event(ex, number, text, must);
}

/* One answer and nothing else: JSON. Else a stream. */
static void deliver(struct http_session *hs, struct exchange *ex, struct str text,
                    const struct mcp_message *messages, size_t i, size_t count)
{
    const struct mcp_message *m = &messages[i];
    if (ex->opens) {
        hs->opened = !m->failed;
        if (m->failed)
            ex->session = NULL; /* no id for what is not opened */
    }
    if (ex->http->state == HTTP_WAITING && m->final &&
        is_only_one(messages, i, count) &&
        session_stream_requests(hs->mcp, m->stream) == 0) {
        http_answer(ex->http, (enum http_code)m->status, "application/json", text,
                    NULL);
        return;
    }
    if (ex->http->state == HTTP_WAITING)
        begin_stream(ex);
    send_event(hs, ex, text, m->final);
}

/* For a stream that its client may come back to. */
static void keep_event(struct http_session *hs, uint64_t stream, struct str text)
{
    if (hs->id[0] && replay_has(&hs->replay, stream))
        replay_add(&hs->replay, stream, text);
}

static void count_request(struct exchange *ex, const struct mcp_message *m)
{
    struct web_server *server = ex->conn->server;
    if (m->final && ex->is_message)
        metrics_request(&server->metrics, ex->method,
                        m->failed ? OUTCOME_ERROR : OUTCOME_OK,
                        loop_now_us(server->loop) - ex->http->started_us);
}

/* Those that have had their last message. */
static void end_exchanges(struct http_session *hs)
{
    for (struct exchange **at = &hs->exchanges; *at;) {
        struct exchange *ex = *at;
        if (session_stream_requests(hs->mcp, ex->stream) > 0) {
            at = &ex->next;
            continue;
        }
        *at = ex->next;
        ex->next = NULL;
        if (ex->http->state == HTTP_STREAM)
            http_stream_end(ex->http);
        else if (ex->http->state == HTTP_WAITING)
            http_answer(ex->http, HTTP_ACCEPTED, NULL, (struct str){0}, NULL);
        if (hs->id[0])
            ex->session = NULL; /* it may end before the answer is gone */
    }
}

static void distribute(struct http_session *hs)
{
    struct str output = session_output(hs->mcp);
    size_t count, from = 0;
    const struct mcp_message *messages = session_messages(hs->mcp, &count);
    for (size_t i = 0; i < count; i++) {
        struct str text = {output.p + from, messages[i].end - from - 1};
        struct exchange *ex =
            messages[i].stream ? exchange_of(hs, messages[i].stream) : hs->get;
        from = messages[i].end;
        hs->server->metrics.out_bytes += text.n;
        if (!ex) { /* nobody listens (any more) */
            keep_event(hs, messages[i].stream, text);
            continue;
        }
        if (ex == hs->get) {
            send_event(hs, ex, text, false);
            continue;
        }
        count_request(ex, &messages[i]);
        deliver(hs, ex, text, messages, i, count);
    }
    session_sent(hs->mcp);
    end_exchanges(hs);
}

void http_session_recv(struct http_session *hs, struct exchange *ex,
                       const struct json_doc *doc)
{
    struct loop *loop = hs->server->loop;
    ex->session = hs;
    ex->stream = ++hs->last_stream;
    ex->next = hs->exchanges;
    hs->exchanges = ex;
    hs->used_ms = loop_now_ms(loop);
    session_recv_json(hs->mcp, doc, ex->stream, hs->used_ms);
    distribute(hs);
    if (ex->http->state == HTTP_WAITING)
        start_timer(ex, PATIENCE_MS);
    if (ex->opens && !hs->opened)
        http_session_free(hs);
}

/* A handler wants its client to come back. */
static void on_close_stream(void *ctx, uint64_t stream)
{
    struct http_session *hs = ctx;
    struct exchange *ex = exchange_of(hs, stream);
    if (ex && ex->http->state == HTTP_WAITING)
        open_stream(ex);
    if (ex)
        close_stream(ex);
}

static void send_again(void *ctx, uint64_t number, struct str text)
{
    reply_event(ctx, number, text, true);
}

/* The stream that the client has lost goes on in ex, after the event that it names; the
 * old connection may not know yet that it is dead. */
static int resume(struct http_session *hs, struct exchange *ex,
                  struct http_refusal *refusal)
{
    uint64_t stream, number;
    int found = replay_find(&hs->replay, ex->head.last_event_id, &stream, &number);
    if (found != 0) {
        *refusal = (struct http_refusal){
            .status = HTTP_BAD_REQUEST,
            .message = found < 0 ? "This Last-Event-ID is not one of the session"
                                 : "The event of this Last-Event-ID is not kept any "
                                   "more"};
        return -1;
    }
    struct exchange *old = stream ? exchange_of(hs, stream) : hs->get;
    if (old)
        close_stream(old);
    ex->session = hs;
    ex->stream = stream;
    if (stream) {
        ex->next = hs->exchanges;
        hs->exchanges = ex;
    } else {
        hs->get = ex;
    }
    reply_stream(ex);
    start_timer(ex, KEEP_ALIVE_MS);
    replay_each(&hs->replay, stream, number, send_again, ex);
    end_exchanges(hs); /* if that was all of it */
    return 0;
}

int http_session_stream(struct http_session *hs, struct exchange *ex,
                        struct http_refusal *refusal)
{
    if (ex->head.last_event_id.n)
        return resume(hs, ex, refusal);
    if (hs->get) {
        *refusal =
            (struct http_refusal){.status = HTTP_CONFLICT,
                                  .message = "This session has its GET stream already"};
        return -1;
    }
    hs->get = ex;
    ex->session = hs;
    begin_stream(ex);
    return 0;
}

void http_session_detach(struct exchange *ex)
{
    struct http_session *hs = ex->session;
    ex->session = NULL;
    if (!hs)
        return;
    hs->used_ms = loop_now_ms(hs->server->loop);
    if (hs->get == ex)
        hs->get = NULL;
    for (struct exchange **at = &hs->exchanges; *at; at = &(*at)->next)
        if (*at == ex) {
            *at = ex->next;
            break;
        }
    if (!hs->id[0])
        http_session_free(hs);
}

void http_session_stop(struct exchange *ex)
{
    if (ex == ex->session->get) {
        http_stream_end(ex->http);
        return;
    }
    session_end_listens(ex->session->mcp);
    distribute(ex->session);
}

/* A session in use: something runs, or a stream is open. */
static bool is_idle(const struct http_session *hs)
{
    return !hs->get && !hs->exchanges && session_calls(hs->mcp) == 0;
}

void http_sessions_sweep(void *ctx)
{
    struct web_server *server = ctx;
    uint64_t now_ms = loop_now_ms(server->loop);
    uint64_t idle_ms = 1000ULL * server->config.limits.session_idle_s;
    uint64_t next_ms = idle_ms;
    for (struct http_session *hs = server->sessions, *next; hs; hs = next) {
        next = hs->next;
        uint64_t unused_ms = is_idle(hs) ? now_ms - hs->used_ms : 0;
        if (unused_ms >= idle_ms)
            http_session_free(hs);
        else if (idle_ms - unused_ms < next_ms)
            next_ms = idle_ms - unused_ms;
    }
    if (server->sessions)
        loop_timer_start(server->sweep, next_ms);
}

void http_sessions_free(struct web_server *server)
{
    while (server->sessions)
        http_session_free(server->sessions);
}
