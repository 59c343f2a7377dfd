#include "vercel_api/pty.h"
#include "base/mem.h"
#include "vercel_api/commands.h"
#include <signal.h>
#include <stdio.h>

enum {
    TICKET_CHARS = 40,
    TICKET_LIFE_MS = 60 * 1000,
    TICKETS_MAX = 1024,
    TEXT_MAX_BYTES = 256 * 1024,
    PIECE = 32 * 1024,
    PENDING_MAX = 1024 * 1024,
    CLOSE_NORMAL = 1000,
    CLOSE_PROTOCOL = 1002,
    CLOSE_TOO_LARGE = 1009,
};

struct ticket {
    struct ticket *next;
    char token[TICKET_CHARS + 8], session_id[API_ID_MAX];
    uint64_t until_ms;
};

struct pty {
    struct vercel_api *api;
    struct http_conn *conn; /* NULL: gone, while the command is being started */
    char session_id[API_ID_MAX];
    struct buf text;    /* a text message whose end has not come */
    struct buf pending; /* typed, and not yet taken */
    bool starting, started, ended, told;
    uint64_t command, watch, at;
};

void pty_tickets_free(struct vercel_api *api)
{
    while (api->tickets) {
        struct ticket *next = api->tickets->next;
        mem_free(api->tickets);
        api->tickets = next;
    }
}

/* Old ones go, and the oldest when there are too many. */
static void sweep_tickets(struct vercel_api *api, uint64_t now)
{
    size_t count = 0;
    for (struct ticket **at = &api->tickets; *at;) {
        struct ticket *t = *at;
        if (now < t->until_ms && ++count < TICKETS_MAX) {
            at = &t->next;
            continue;
        }
        *at = t->next;
        mem_free(t);
    }
}

void session_interactive(struct request *r)
{
    struct vercel_api *api = r->api;
    struct session *s = request_session(r);
    if (!s)
        return;
    uint64_t now = loop_now_ms(api->loop);
    sweep_tickets(api, now);
    struct ticket *t = mem_new(struct ticket);
    api_new_id(t->token, "pty_", TICKET_CHARS - 4, ID_BASE62);
    memcpy(t->session_id, s->id, sizeof t->session_id);
    t->until_ms = now + TICKET_LIFE_MS;
    t->next = api->tickets;
    api->tickets = t;
    struct buf url;
    struct reply reply;
    buf_init(&url, 1024);
    buf_addf(&url, "%s://%.*s/ws/interactive", api->config.tls_cert ? "wss" : "ws",
             STR_FMT(r->ex->head.host));
    reply_begin(&reply);
    jw_key_str(&reply.w, "url", buf_str(&url));
    jw_key_cstr(&reply.w, "token", t->token);
    reply_end(&reply, r, HTTP_OK);
    buf_finish(&url);
}

/* The session that the token is for; it is good once. */
static bool take_ticket(struct vercel_api *api, struct str token,
                        char session_id[API_ID_MAX])
{
    sweep_tickets(api, loop_now_ms(api->loop));
    for (struct ticket **at = &api->tickets; *at; at = &(*at)->next) {
        struct ticket *t = *at;
        if (!str_eq(str_of(t->token), token))
            continue;
        memcpy(session_id, t->session_id, API_ID_MAX);
        *at = t->next;
        mem_free(t);
        return true;
    }
    return false;
}

int pty_upgrade(void *ctx, struct http_conn *conn, const struct http_head *head,
                struct http_refusal *refusal)
{
    struct vercel_api *api = ctx;
    char session_id[API_ID_MAX];
    if (!str_eq(head->path, STR("/ws/interactive")))
        return http_refuse(refusal, HTTP_NOT_FOUND, "There is no WebSocket here");
    if (!take_ticket(api, http_arg(head, STR("token")), session_id))
        return http_refuse(refusal, HTTP_FORBIDDEN, "The token is not known here");
    struct pty *pty = mem_new(struct pty);
    pty->api = api;
    pty->conn = conn;
    memcpy(pty->session_id, session_id, sizeof session_id);
    buf_init(&pty->text, TEXT_MAX_BYTES);
    buf_init(&pty->pending, PENDING_MAX);
    http_socket_set_app(conn, pty);
    return 0;
}

void pty_open(void *ctx, struct http_conn *conn)
{
    (void)ctx;
    (void)conn;
}

static void pty_free(struct pty *pty)
{
    command_unwatch(pty->api->set, pty->watch);
    buf_finish(&pty->text);
    buf_finish(&pty->pending);
    mem_free(pty);
}

void pty_release(void *ctx, struct http_conn *conn)
{
    struct pty *pty = http_socket_app(conn);
    struct err err;
    (void)ctx;
    pty->conn = NULL;
    if (pty->started && !pty->ended && !pty->api->finishing)
        command_signal(pty->api->set, pty->command, SIGHUP, &err);
    if (!pty->starting)
        pty_free(pty);
}

static uint16_t size_of(struct json v, uint16_t otherwise)
{
    int64_t n = 0;
    return json_i64(v, &n) && n > 0 && n <= UINT16_MAX ? (uint16_t)n : otherwise;
}

int pty_read_start(struct json message, struct arena *a, struct pty_start *ret_start)
{
    struct pty_start start = {0};
    struct json args = json_get(message, STR("args"));
    struct json env = json_get(message, STR("env"));
    start.argv[start.argc++] = json_str(json_get(message, STR("command")), a);
    start.cwd = json_str(json_get(message, STR("cwd")), a);
    start.cols = size_of(json_get(message, STR("cols")), 80);
    start.rows = size_of(json_get(message, STR("rows")), 24);
    if (!json_str_is(json_get(message, STR("type")), STR("start")) ||
        start.argv[0].n == 0 || json_len(args) >= PTY_ARGS_MAX ||
        json_len(env) >= PTY_ARGS_MAX)
        return -1;
    for (struct json k = json_type(args) == JSON_ARRAY ? json_first(args)
                                                       : (struct json){0};
         json_present(k); k = json_next(k))
        start.argv[start.argc++] = json_str(k, a);
    for (struct json k = json_type(env) == JSON_ARRAY ? json_first(env)
                                                      : (struct json){0};
         json_present(k); k = json_next(k))
        start.env[start.env_count++] = json_str(k, a);
    *ret_start = start;
    return 0;
}

int pty_read_resize(struct json message, struct pty_size *ret_size)
{
    struct pty_size size = {size_of(json_get(message, STR("cols")), 0),
                            size_of(json_get(message, STR("rows")), 0)};
    if (!json_str_is(json_get(message, STR("type")), STR("resize")) || !size.cols ||
        !size.rows)
        return -1;
    *ret_size = size;
    return 0;
}

/* As much as the command takes; the client waits with the rest. */
static void type_on(struct pty *pty)
{
    struct err err;
    size_t taken = 0;
    if (!pty->started || pty->ended)
        return;
    if (pty->pending.n &&
        command_input(pty->api->set, pty->command, buf_str(&pty->pending), false,
                      &taken, &err) < 0)
        taken = pty->pending.n; /* nobody reads it any more */
    buf_drop(&pty->pending, taken);
    http_socket_pause(pty->conn, pty->pending.n > 0);
}

static void on_news(void *ctx, uint64_t command)
{
    struct pty *pty = ctx;
    (void)command;
    type_on(pty);
    http_socket_ask_writable(pty->conn);
}

/* What it says is shown on the terminal. */
static void refuse(struct pty *pty, const struct err *err)
{
    buf_reset(&pty->text, TEXT_MAX_BYTES);
    buf_addf(&pty->text, "%s\r\n", err->msg);
    pty->ended = true;
    http_socket_ask_writable(pty->conn);
}

static void on_started(void *ctx, uint64_t command, const struct err *err)
{
    struct pty *pty = ctx;
    pty->starting = false;
    if (!pty->conn) {
        if (!err)
            command_kill(pty->api->set, command, COMMAND_KILLED);
        pty_free(pty);
    } else if (err) {
        refuse(pty, err);
    } else {
        pty->started = true;
        pty->command = command;
        pty->watch = command_watch(pty->api->set, command, on_news, pty);
        on_news(pty, command);
    }
}

static void start(struct pty *pty, struct json message)
{
    struct arena a = {0};
    struct err err;
    struct pty_start start = {0};
    struct session *s = session_find(pty->api, str_of(pty->session_id));
    if (s)
        session_look(s);
    if (pty_read_start(message, &a, &start) < 0) {
        http_socket_close(pty->conn, CLOSE_PROTOCOL);
    } else if (!s || s->status != SANDBOX_RUNNING) {
        err_set(&err, ERR_NOT_FOUND, "the sandbox has stopped");
        refuse(pty, &err);
    } else {
        struct command_spec spec = {
            .argv = start.argv,
            .argv_count = start.argc,
            .cwd = start.cwd.n ? start.cwd : str_of(s->cwd),
            .env = start.env,
            .env_count = start.env_count,
            .pty = {start.cols, start.rows},
            .keep_stdin = true,
            .hold = true,
        };
        pty->starting = true;
        command_start(pty->api->set, s->sandbox, &spec, on_started, pty);
    }
    arena_finish(&a);
}

static void take_text(struct pty *pty, struct str text)
{
    struct arena a = {0};
    struct json_doc doc;
    struct pty_size size;
    struct err err;
    if (json_parse(&doc, &a, text, &err) < 0)
        http_socket_close(pty->conn, CLOSE_PROTOCOL);
    else if (!pty->started && !pty->starting && !pty->ended)
        start(pty, json_root(&doc));
    else if (pty->started && pty_read_resize(json_root(&doc), &size) == 0)
        command_resize(pty->api->set, pty->command, size, &err);
    arena_finish(&a);
}

void pty_receive(void *ctx, struct http_conn *conn, const struct http_piece *piece)
{
    struct pty *pty = http_socket_app(conn);
    (void)ctx;
    if (pty->ended)
        return;
    if (piece->binary) {
        buf_adds(&pty->pending, piece->bytes);
        if (pty->pending.overflow)
            http_socket_close(conn, CLOSE_TOO_LARGE);
        else
            type_on(pty);
        return;
    }
    if (piece->first)
        buf_reset(&pty->text, PIECE);
    buf_adds(&pty->text, piece->bytes);
    if (pty->text.overflow)
        http_socket_close(conn, CLOSE_TOO_LARGE);
    else if (piece->last)
        take_text(pty, buf_str(&pty->text));
}

static void send_exit(struct pty *pty, int code)
{
    char text[64];
    snprintf(text, sizeof text, "{\"type\":\"exit\",\"code\":%d}", code);
    http_socket_send(pty->conn, str_of(text), false);
    http_socket_close(pty->conn, CLOSE_NORMAL);
}

/* A command that could not be started: why, then that it is over. */
static void tell_refusal(struct pty *pty)
{
    if (!pty->told)
        http_socket_send(pty->conn, buf_str(&pty->text), true);
    else
        send_exit(pty, 127);
    pty->told = true;
    http_socket_ask_writable(pty->conn);
}

void pty_writable(void *ctx, struct http_conn *conn)
{
    struct pty *pty = http_socket_app(conn);
    struct vercel_api *api = ctx;
    struct command_info info;
    struct err err;
    char piece[PIECE];
    if (pty->ended && !pty->started && pty->text.n) {
        tell_refusal(pty);
        return;
    }
    if (!pty->started || pty->ended)
        return;
    bool known = command_get(api->set, API_OWNER, pty->command, &info, &err) == 0;
    if (known && pty->at >= info.out[0].head_bytes &&
        pty->at < info.out[0].head_bytes + info.out[0].dropped_bytes)
        pty->at = info.out[0].head_bytes + info.out[0].dropped_bytes;
    size_t n = known ? command_read(api->set, pty->command, COMMAND_STDOUT, pty->at,
                                    piece, sizeof piece)
                     : 0;
    if (n) {
        pty->at += n;
        uint64_t had[2] = {pty->at, UINT64_MAX};
        http_socket_send(conn, (struct str){piece, n}, true);
        http_socket_ask_writable(conn);
        command_hold(api->set, pty->command, true, had);
    } else if (!known || info.status != COMMAND_RUNNING) {
        pty->ended = true;
        send_exit(pty, known ? info.exit_code : 255);
    }
}
