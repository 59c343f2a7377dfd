/* Requests of ours to a legacy client: what a call asks it. They have ids of their own
 * ("s-1"), travel on the stream of their call, and tolerate every answer: an error, or
 * none within REQUEST_TIMEOUT_MS, fails the call. Specification: "Elicitation",
 * "Sampling", "Roots" of the legacy revisions. */
#include "mcp/tasks.h"
#include <stdio.h>

enum {
    REQUEST_TIMEOUT_MS = 5 * 60 * 1000, /* people answer them */
    ROUNDS_MAX = 32,                    /* of one call */
    ID_SIZE = 32,
};

static struct str write_id(char *to, uint64_t number)
{
    int n = snprintf(to, ID_SIZE, "\"s-%llu\"", (unsigned long long)number);
    return (struct str){to, (size_t)n};
}

static void send_one(struct call *call, struct ask *ask)
{
    struct session *s = call->session;
    struct json_writer w;
    char id[ID_SIZE];
    ask->number = ++s->last_request;
    size_t start = session_begin(s, &w);
    jw_object(&w);
    jw_key_cstr(&w, "jsonrpc", "2.0");
    jw_key_raw(&w, "id", write_id(id, ask->number));
    jw_key_cstr(&w, "method", ask_method(ask));
    jw_key_raw(&w, "params", ask->params);
    jw_end_object(&w);
    session_end(s, start,
                &(struct mcp_message){.request = call->ref, .stream = call->stream});
}

void requests_send(struct call *call, struct str state)
{
    struct session *s = call->session;
    const struct mcp_host *host = s->server->config.host;
    if (++call->rounds > ROUNDS_MAX) {
        struct err err;
        err_set(&err, ERR_LIMIT,
                "the client was asked %d times and has not answered "
                "what it was asked",
                ROUNDS_MAX);
        call_fail(call, &err);
        return;
    }
    call->round = arena_dup(&call->arena, state);
    call->open_asks = call->ask_count;
    call->asks_due_ms = host->now_ms(host->ctx) + REQUEST_TIMEOUT_MS;
    for (struct ask *ask = call->asks; ask; ask = ask->next)
        send_one(call, ask);
    server_due(s->server, call->asks_due_ms);
    session_wake(s);
}

void requests_withdraw(struct call *call)
{
    struct session *s = call->session;
    if (!call->open_asks || call->task) /* of a task: tasks/result asks for it */
        return;
    for (const struct ask *ask = call->asks; ask; ask = ask->next) {
        if (ask->answered)
            continue;
        struct json_writer w;
        char id[ID_SIZE];
        size_t start = session_begin_notification(s, &w, "notifications/cancelled");
        jw_key_raw(&w, "requestId", write_id(id, ask->number));
        session_end_notification(s, &w, start, call);
    }
    call->open_asks = 0;
}

static void fail(struct call *call, const struct err *err)
{
    requests_withdraw(call);
    if (call->kind != CALL_TASK_RESULT || !task_questions_failed(call, err))
        call_fail(call, err);
}

static struct call *find(struct session *s, struct str id, struct ask **ret_ask)
{
    char want[ID_SIZE];
    for (struct call *c = s->calls; c; c = c->next)
        for (struct ask *ask = c->open_asks ? c->asks : NULL; ask; ask = ask->next)
            if (!ask->answered && str_eq(id, write_id(want, ask->number))) {
                *ret_ask = ask;
                return c;
            }
    return NULL;
}

static void refused(struct call *call, const struct ask *ask, struct json error)
{
    struct err err;
    struct str text = json_str(json_get(error, STR("message")), &call->arena);
    err_set(&err, ERR_UNAVAILABLE, "the client refused %s: %.*s", ask_method(ask),
            text.n > 120 ? 120 : (int)text.n, text.p ? text.p : "");
    err_remedy(&err, "do without it, or ask in the conversation");
    fail(call, &err);
}

/* Keeps the answer with the call. -1: there is no room for it. */
static int keep(struct call *call, struct ask *ask, struct json result)
{
    struct session *s = call->session;
    struct str text = json_raw(result);
    struct err err;
    if (s->held_bytes + text.n > MCP_CALLS_BYTES_MAX)
        return -1;
    s->held_bytes += text.n;
    call->held_bytes += text.n;
    return json_parse(&ask->answer, &call->arena, arena_dup(&call->arena, text), &err);
}

void requests_answer(struct session *s, const struct rpc *rpc)
{
    struct ask *ask;
    struct call *call = find(s, rpc->id, &ask);
    if (!call)
        return; /* withdrawn, or never asked */
    ask->answered = true;
    call->open_asks--;
    if (json_type(rpc->result) != JSON_OBJECT) {
        refused(call, ask, rpc->error);
        return;
    }
    if (keep(call, ask, rpc->result) < 0) {
        struct err err;
        err_set(&err, ERR_LIMIT, "the client's answers are too large");
        fail(call, &err);
        return;
    }
    if (call->open_asks == 0)
        ask_next_round(call);
}

/* The first call whose client is too late. */
static struct call *late(struct session *s, uint64_t now_ms)
{
    for (struct call *c = s->calls; c; c = c->next)
        if (c->open_asks && c->asks_due_ms <= now_ms)
            return c;
    return NULL;
}

void requests_expire(struct session *s, uint64_t now_ms)
{
    struct call *call;
    while ((call = late(s, now_ms))) {
        struct err err;
        err_set(&err, ERR_TIMEOUT, "the client did not answer within %d minutes",
                REQUEST_TIMEOUT_MS / 60000);
        err_remedy(&err, "ask in the conversation, then call again");
        fail(call, &err);
    }
}

uint64_t requests_due(const struct session *s)
{
    uint64_t due_ms = UINT64_MAX;
    for (const struct call *c = s->calls; c; c = c->next)
        if (c->open_asks && c->asks_due_ms < due_ms)
            due_ms = c->asks_due_ms;
    return due_ms;
}
