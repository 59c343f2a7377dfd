/* What servers ask of the client: roots, the user (elicitation), the model (sampling).
 * In the legacy eras these are requests of the server; in 2026-07-28 they are the
 * result of a request of ours, which is sent again with the answers. Specification:
 * "Client Features" of the legacy revisions, "Multi Round-Trip Requests" of 2026-07-28.
 */
#include "base/mem.h"
#include "mcp/client_internal.h"
#include "mcp/errors.h"

enum {
    ROUNDS_MAX = 32,
    QUESTIONS_MAX = 64, /* open at once */
    ROUND_BYTES_MAX = 16 * 1024 * 1024,
    STATE_MAX = 1024 * 1024,
};

#define DECLINED "{\"action\":\"decline\"}"

void client_write_capabilities(const struct client *c, struct json_writer *w)
{
    jw_object(w);
    if (c->config.roots)
        jw_key_raw(w, "roots", STR("{}"));
    if (c->config.asks & CLIENT_ELICITS)
        jw_key_raw(w, "elicitation", STR("{\"form\":{}}"));
    if (c->config.asks & CLIENT_SAMPLES)
        jw_key_raw(w, "sampling", STR("{}"));
    jw_end_object(w);
}

bool client_can_be_asked(const struct client *c)
{
    return c->config.roots || c->config.asks;
}

static void write_roots(const struct client *c, struct json_writer *w)
{
    jw_object(w);
    jw_key(w, "roots");
    jw_array(w);
    for (size_t i = 0; i < c->config.root_count; i++) {
        jw_object(w);
        jw_key_cstr(w, "uri", c->config.roots[i].uri);
        if (c->config.roots[i].name)
            jw_key_cstr(w, "name", c->config.roots[i].name);
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_end_object(w);
}

/* What is answered at once: 1, and it is written; 0: ask the owner; -1: not offered. */
static int answer_at_once(const struct client *c, struct json method,
                          struct json_writer *w)
{
    if (rpc_is(method, STR("roots/list")) && c->config.roots) {
        write_roots(c, w);
        return 1;
    }
    if (rpc_is(method, STR("elicitation/create"))) {
        if (c->config.asks & CLIENT_ELICITS)
            return 0;
        jw_raw(w, STR(DECLINED));
        return 1;
    }
    return rpc_is(method, STR("sampling/createMessage")) &&
                   (c->config.asks & CLIENT_SAMPLES)
               ? 0
               : -1;
}

/* --- Questions --- */

static struct question *add_question(struct client *c)
{
    struct question *q = mem_new(struct question);
    q->number = ++c->last_question;
    q->next = c->questions;
    c->questions = q;
    return q;
}

static size_t count_questions(const struct client *c)
{
    size_t count = 0;
    for (const struct question *q = c->questions; q; q = q->next)
        count++;
    return count;
}

static struct question *take_question(struct client *c, uint64_t number)
{
    for (struct question **at = &c->questions; *at; at = &(*at)->next)
        if ((*at)->number == number) {
            struct question *q = *at;
            *at = q->next;
            return q;
        }
    return NULL;
}

static void free_question(struct question *q)
{
    mem_free(q->id);
    mem_free(q->key);
    mem_free(q);
}

static void ask_owner(struct client *c, uint64_t question, struct json method,
                      struct json params)
{
    struct str name = json_str(method, &c->arena);
    c->config.on_asked(c->config.ctx, question, name, params);
}

static void withdraw(struct client *c, struct question *q)
{
    if (c->config.on_withdrawn)
        c->config.on_withdrawn(c->config.ctx, q->number);
    free_question(q);
}

void client_forget_questions(struct client *c, uint64_t request)
{
    for (struct question **at = &c->questions; *at;) {
        struct question *q = *at;
        if (request && q->request != request) {
            at = &q->next;
            continue;
        }
        *at = q->next;
        withdraw(c, q);
        at = &c->questions; /* the owner may have answered others */
    }
}

/* --- Legacy --- */

static size_t begin_response(struct client *c, struct json_writer *w, struct str id)
{
    size_t start = c->out.n;
    jw_init(w, &c->out);
    jw_object(w);
    jw_key_cstr(w, "jsonrpc", "2.0");
    jw_key_raw(w, "id", id);
    jw_key(w, "result");
    return start;
}

static void refuse(struct client *c, struct str id, int code, const char *message)
{
    struct json_writer w;
    size_t start = c->out.n;
    jw_init(&w, &c->out);
    rpc_begin_error(&w, id, code, message);
    rpc_end_error(&w);
    client_end_message(c, start);
}

void client_asked(struct client *c, const struct rpc *rpc)
{
    struct json_writer w;
    if (count_questions(c) >= QUESTIONS_MAX) {
        refuse(c, rpc->id, RPC_INTERNAL_ERROR, "too many questions at once");
        return;
    }
    size_t start = begin_response(c, &w, rpc->id);
    int answered = 1;
    if (rpc_is(rpc->method, STR("ping")))
        jw_raw(&w, STR("{}"));
    else
        answered = answer_at_once(c, rpc->method, &w);
    if (answered > 0) {
        jw_end_object(&w);
        client_end_message(c, start);
        return;
    }
    c->out.n = start;
    if (answered < 0) {
        refuse(c, rpc->id, RPC_METHOD_NOT_FOUND, "Method not found");
        return;
    }
    struct question *q = add_question(c);
    q->id = mem_strndup(rpc->id.p, rpc->id.n);
    ask_owner(c, q->number, rpc->method, rpc->params);
}

void client_withdrawn(struct client *c, struct str id)
{
    for (struct question *q = c->questions; q; q = q->next)
        if (q->id && str_eq(str_of(q->id), id)) {
            withdraw(c, take_question(c, q->number));
            return;
        }
}

/* --- Modern --- */

static void add_answer(struct pending *p, struct str key, struct str result)
{
    buf_addz(&p->round, p->round.n ? "," : "{");
    buf_adds(&p->round, key);
    buf_addc(&p->round, ':');
    buf_adds(&p->round, result);
    if (p->open_questions)
        p->open_questions--;
}

/* -1: it asks what is not offered. */
static int ask_one(struct client *c, struct pending *p, struct json key)
{
    struct json request = json_value(key);
    struct json method = json_get(request, STR("method"));
    struct json_writer w;
    struct buf answer;
    buf_init(&answer, ROUND_BYTES_MAX);
    jw_init(&w, &answer);
    int answered = answer_at_once(c, method, &w);
    uint64_t number = p->number;
    if (answered > 0) {
        add_answer(p, json_raw(key), buf_str(&answer));
    } else if (answered == 0) {
        struct question *q = add_question(c);
        struct str raw = json_raw(key);
        q->request = number;
        q->key = mem_strndup(raw.p, raw.n);
        ask_owner(c, q->number, method, json_get(request, STR("params")));
    }
    buf_finish(&answer);
    return answered < 0 ? -1 : 0;
}

static void give_up(struct client *c, uint64_t number, const char *why)
{
    struct err err;
    err_set(&err, ERR_PROTOCOL, "the server asks the client: %s", why);
    client_fail(c, number, &err);
}

static void start_round(struct pending *p, struct json result)
{
    struct str state = json_raw(json_get(result, STR("requestState")));
    p->rounds++;
    buf_finish(&p->round);
    buf_init(&p->round, ROUND_BYTES_MAX);
    mem_free(p->state);
    p->state = state.n ? mem_strndup(state.p, state.n) : NULL;
}

void client_input_required(struct client *c, struct pending *p, struct json result)
{
    struct json requests = json_get(result, STR("inputRequests"));
    uint64_t number = p->number;
    if (!p->method || p->rounds >= ROUNDS_MAX ||
        json_raw(json_get(result, STR("requestState"))).n > STATE_MAX ||
        count_questions(c) + json_len(requests) > QUESTIONS_MAX) {
        give_up(c, number, p->method ? "too much" : "what was never offered");
        return;
    }
    start_round(p, result);
    p->open_questions = (unsigned)json_len(requests) + 1; /* one: this loop */
    for (struct json k = json_first(requests); json_present(k); k = json_next(k)) {
        if (ask_one(c, p, k) < 0) {
            give_up(c, number, "something that it does not offer");
            return;
        }
        if (client_pending(c, number) != p)
            return; /* its owner has cancelled it */
    }
    if (--p->open_questions == 0)
        client_resend(c, p);
}

/* --- Answers --- */

int client_answer(struct client *c, uint64_t question, struct str result)
{
    struct question *q = take_question(c, question);
    int rc = 0;
    if (!q)
        return -1;
    struct pending *p = q->request ? client_pending(c, q->request) : NULL;
    if (p) {
        add_answer(p, str_of(q->key), result);
        if (p->round.overflow)
            give_up(c, p->number, "more than fits its answer");
        else if (p->open_questions == 0)
            client_resend(c, p);
    } else if (q->id) {
        struct json_writer w;
        size_t start = begin_response(c, &w, str_of(q->id));
        jw_raw(&w, result);
        jw_end_object(&w);
        rc = client_end_message(c, start);
    }
    free_question(q);
    return rc;
}
