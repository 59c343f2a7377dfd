/* Multi round-trip requests: a modern server asks its client by answering
 * "input_required"; the client sends the request again, with the answers and with the
 * state that it was given. That state comes back from outside, so it carries a MAC over
 * itself, its expiry, the principal and the request it belongs to: it cannot be
 * changed, used by another, for other arguments, or later. Any server with the same key
 * takes it. Specification: 2026-07-28 "Multi Round-Trip Requests". */
#include "base/base64.h"
#include "mcp/canonical.h"
#include "mcp/session.h"

enum {
    EXPIRY_SIZE = 8,
    HEAD_SIZE = SHA256_SIZE + EXPIRY_SIZE,
    STATE_MAX = 64 * 1024, /* a handler's */
    TOKEN_MAX = 2 * (HEAD_SIZE + STATE_MAX),
    LIFETIME_MS = 10 * 60 * 1000,
};

/* A string with its length, so that two of them cannot be shifted into each other. */
static void add_counted(struct hmac256 *m, struct str s)
{
    uint64_t n = s.n;
    hmac256_add(m, (struct str){(const char *)&n, sizeof n});
    hmac256_add(m, s);
}

/* What makes it the same request: the rest is about the round, or about nothing. */
static void add_request(struct hmac256 *m, struct json params)
{
    static const struct str keys[] = {STR_INIT("name"), STR_INIT("uri"),
                                      STR_INIT("arguments")};
    struct arena a = {0};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        canonical_add(m, json_get(params, keys[i]), &a);
        hmac256_add(m, STR(";"));
    }
    arena_finish(&a);
}

/* expiry: EXPIRY_SIZE bytes. */
static void make_mac(const struct session *s, struct str method, struct json params,
                     const unsigned char *expiry, struct str state,
                     unsigned char ret_mac[SHA256_SIZE])
{
    struct hmac256 m;
    const unsigned char *key = s->server->config.host->key;
    hmac256_init(&m, (struct str){(const char *)key, MCP_KEY_SIZE});
    add_counted(&m, STR("sandquay requestState 1"));
    add_counted(&m, str_of(s->config.principal));
    add_counted(&m, method);
    add_counted(&m, (struct str){(const char *)expiry, EXPIRY_SIZE});
    add_counted(&m, state);
    add_request(&m, params);
    hmac256_end(&m, ret_mac);
}

static void put_expiry(unsigned char *to, uint64_t unix_ms)
{
    for (int i = EXPIRY_SIZE - 1; i >= 0; i--, unix_ms >>= 8)
        to[i] = (unsigned char)unix_ms;
}

static uint64_t get_expiry(const unsigned char *from)
{
    uint64_t unix_ms = 0;
    for (int i = 0; i < EXPIRY_SIZE; i++)
        unix_ms = unix_ms << 8 | from[i];
    return unix_ms;
}

static void write_state(struct call *call, struct str state, struct json_writer *w)
{
    const struct mcp_host *host = call->session->server->config.host;
    unsigned char head[HEAD_SIZE];
    struct buf token;
    put_expiry(head + SHA256_SIZE, host->unix_ms(host->ctx) + LIFETIME_MS);
    make_mac(call->session, str_of(calls_method(call)), call->params,
             head + SHA256_SIZE, state, head);
    buf_init(&token, HEAD_SIZE + STATE_MAX);
    buf_add(&token, head, sizeof head);
    buf_adds(&token, state);
    jw_key(w, "requestState");
    jw_base64(w, buf_str(&token));
    buf_finish(&token);
}

void mrtr_answer(struct call *call, struct str state)
{
    struct session *s = call->session;
    struct json_writer w;
    size_t start = session_begin_result_type(s, &w, call->id, "input_required");
    jw_key(&w, "inputRequests");
    ask_write(call, &w);
    if (state.n)
        write_state(call, state, &w);
    calls_end_result(call, &w, start);
}

static int check(struct request *r, struct str token, struct str *ret_state)
{
    struct session *s = r->session;
    const struct mcp_host *host = s->server->config.host;
    unsigned char mac[SHA256_SIZE];
    const unsigned char *head = (const unsigned char *)token.p;
    if (!host || token.n < HEAD_SIZE)
        return -1;
    struct str state = str_from(token, HEAD_SIZE);
    make_mac(s, json_str(r->method, &s->arena), r->params, head + SHA256_SIZE, state,
             mac);
    if (!sha256_same(mac, head, SHA256_SIZE) ||
        get_expiry(head + SHA256_SIZE) < host->unix_ms(host->ctx))
        return -1;
    *ret_state = arena_dup(&s->arena, state);
    return 0;
}

int mrtr_read(struct request *r, struct json *ret_responses, struct str *ret_state)
{
    struct json state = json_get(r->params, STR("requestState"));
    *ret_responses = json_get(r->params, STR("inputResponses"));
    *ret_state = (struct str){0};
    if (json_present(*ret_responses) && json_type(*ret_responses) != JSON_OBJECT) {
        request_refuse(r, "params.inputResponses must be an object");
        return -1;
    }
    if (!json_present(state))
        return 0;
    struct str text = json_str(state, &r->session->arena);
    struct buf token;
    struct err err;
    buf_init(&token, TOKEN_MAX);
    int rc = text.p && text.n <= TOKEN_MAX ? base64_decode(&token, text, &err) : -1;
    if (rc == 0)
        rc = check(r, buf_str(&token), ret_state);
    buf_finish(&token);
    if (rc < 0)
        request_refuse(r, "params.requestState is not as it was given, has expired, or "
                          "belongs to another request: start again without it");
    return rc;
}
