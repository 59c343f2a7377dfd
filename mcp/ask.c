/* What a handler asks its client: one way to ask in both eras (call.h). The questions
 * of a round are kept with the call; how they travel is for requests.c (legacy:
 * requests of ours), mrtr.c (modern: in the answer) and tasks.c. */
#include "mcp/tasks.h"
#include <assert.h>
#include <stdio.h>

enum { ASK_BYTES_MAX = 4 * 1024 * 1024 }; /* of the questions of one round */

static const struct {
    enum call_ask what;
    const char *method;
    const char *capability; /* as JSON */
} kinds[] = {
    {CALL_ASK_FORM, "elicitation/create", "{\"elicitation\":{\"form\":{}}}"},
    {CALL_ASK_URL, "elicitation/create", "{\"elicitation\":{\"url\":{}}}"},
    {CALL_ASK_SAMPLE, "sampling/createMessage", "{\"sampling\":{}}"},
    {CALL_ASK_ROOTS, "roots/list", "{\"roots\":{}}"},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

const char *ask_method(const struct ask *ask)
{
    size_t i = 0;
    while (kinds[i].what != ask->what)
        i++;
    return kinds[i].method;
}

bool call_can_ask(const struct call *call, enum call_ask what)
{
    return call->session->server->config.host && (call->client & what);
}

void call_fail_incapable(struct call *call, enum call_ask what)
{
    size_t i = 0;
    while (kinds[i].what != what)
        i++;
    if (call->era == MCP_MODERN) {
        calls_fail_capability(call->session, call->id, str_of(kinds[i].capability),
                              call);
        calls_end(call);
        return;
    }
    struct err err;
    err_set(&err, ERR_UNAVAILABLE,
            "this client cannot be asked: it has not declared %s", kinds[i].capability);
    err_remedy(&err, "do without it, or ask in the conversation");
    call_fail(call, &err);
}

/* --- Asking --- */

static struct ask *add(struct call *call, enum call_ask what, struct str key)
{
    struct arena *a = &call->arena;
    struct ask *ask = arena_zalloc(a, sizeof *ask);
    struct ask **at = &call->asks;
    assert(!call->ended && call->ask_count < CALL_ASKS_MAX);
    while (*at)
        at = &(*at)->next;
    *at = ask;
    call->ask_count++;
    ask->what = what;
    ask->key = arena_dup(a, key);
    return ask;
}

static void set_params(struct call *call, struct ask *ask, struct str params)
{
    call->ask_bytes += params.n;
    if (call->ask_bytes <= ASK_BYTES_MAX)
        ask->params = arena_dup(&call->arena, params);
}

/* Takes it; one that has overflowed is too large in any case. */
static void take_params(struct call *call, struct ask *ask, struct buf *params)
{
    if (params->overflow)
        call->ask_bytes = ASK_BYTES_MAX;
    set_params(call, ask, buf_str(params));
    buf_finish(params);
}

void ask_add(struct call *call, enum call_ask what, struct str key, struct buf *params)
{
    take_params(call, add(call, what, key), params);
}

void call_ask_form(struct call *call, const char *key, struct str message,
                   struct str schema)
{
    struct ask *ask = add(call, CALL_ASK_FORM, str_of(key));
    struct json_writer w;
    struct buf params;
    buf_init(&params, ASK_BYTES_MAX);
    jw_init(&w, &params);
    jw_object(&w);
    jw_key_str(&w, "message", message);
    jw_key_raw(&w, "requestedSchema", schema);
    jw_end_object(&w);
    take_params(call, ask, &params);
}

void call_ask_url(struct call *call, const char *key, struct str message,
                  struct str url)
{
    struct ask *ask = add(call, CALL_ASK_URL, str_of(key));
    struct json_writer w;
    struct buf params;
    buf_init(&params, ASK_BYTES_MAX);
    jw_init(&w, &params);
    jw_object(&w);
    jw_key_cstr(&w, "mode", "url");
    jw_key_str(&w, "message", message);
    jw_key_str(&w, "url", url);
    if (call->era == MCP_LEGACY) {
        char id[32];
        int n = snprintf(id, sizeof id, "e-%llx-%zu", (unsigned long long)call->ref,
                         call->ask_count);
        jw_key_str(&w, "elicitationId", (struct str){id, (size_t)n});
    }
    jw_end_object(&w);
    take_params(call, ask, &params);
}

void call_ask_sample(struct call *call, const char *key, struct str params)
{
    set_params(call, add(call, CALL_ASK_SAMPLE, str_of(key)), params);
}

void call_ask_roots(struct call *call, const char *key)
{
    set_params(call, add(call, CALL_ASK_ROOTS, str_of(key)), STR("{}"));
}

void ask_write(const struct call *call, struct json_writer *w)
{
    jw_object(w);
    for (const struct ask *ask = call->asks; ask; ask = ask->next) {
        if (ask->answered)
            continue;
        jw_key(w, ask->key.p);
        jw_object(w);
        jw_key_cstr(w, "method", ask_method(ask));
        jw_key_raw(w, "params", ask->params);
        jw_end_object(w);
    }
    jw_end_object(w);
}

/* -1: the call has failed. */
static int check_asks(struct call *call, struct str state)
{
    struct err err;
    for (const struct ask *ask = call->asks; ask; ask = ask->next)
        if (!call_can_ask(call, ask->what)) {
            call_fail_incapable(call, ask->what);
            return -1;
        }
    if (call->ask_bytes <= ASK_BYTES_MAX && state.n <= CALL_STATE_MAX)
        return 0;
    err_set(&err, ERR_LIMIT, "what the client would be asked is too large");
    err_remedy(&err, "ask for less, in shorter words");
    call_fail(call, &err);
    return -1;
}

void call_ask_end(struct call *call, struct str state)
{
    assert(!call->ended && call->asks);
    if (check_asks(call, state) < 0)
        return;
    call->state = NULL;
    call->on_cancel = NULL;
    if (call->task)
        tasks_ask(call, state);
    else if (call->era == MCP_MODERN)
        mrtr_answer(call, state);
    else
        requests_send(call, state);
}

/* --- Answers --- */

static bool fits_form(struct json answer)
{
    struct json action = json_get(answer, STR("action"));
    if (rpc_is(action, STR("accept")))
        return json_type(json_get(answer, STR("content"))) == JSON_OBJECT;
    return rpc_is(action, STR("decline")) || rpc_is(action, STR("cancel"));
}

static bool fits_url(struct json answer)
{
    struct json action = json_get(answer, STR("action"));
    return rpc_is(action, STR("accept")) || rpc_is(action, STR("decline")) ||
           rpc_is(action, STR("cancel"));
}

static bool fits_sample(struct json answer)
{
    enum json_type content = json_type(json_get(answer, STR("content")));
    return json_type(json_get(answer, STR("role"))) == JSON_STRING &&
           json_type(json_get(answer, STR("model"))) == JSON_STRING &&
           (content == JSON_OBJECT || content == JSON_ARRAY);
}

static bool fits(enum call_ask what, struct json answer)
{
    switch (what) {
    case CALL_ASK_FORM:
        return fits_form(answer);
    case CALL_ASK_URL:
        return fits_url(answer);
    case CALL_ASK_SAMPLE:
        return fits_sample(answer);
    case CALL_ASK_ROOTS:
        return json_type(json_get(answer, STR("roots"))) == JSON_ARRAY;
    }
    return false;
}

static struct json find_answer(const struct call *call, struct str key)
{
    for (const struct ask *ask = call->answers; ask; ask = ask->next)
        if (str_eq(ask->key, key))
            return json_root(&ask->answer);
    return json_get(call->responses, key);
}

struct json call_answer(struct call *call, enum call_ask what, const char *key)
{
    struct json answer = find_answer(call, str_of(key));
    return fits(what, answer) ? answer : (struct json){0};
}

struct str call_round(const struct call *call)
{
    return call->round;
}

void ask_next_round(struct call *call)
{
    call->answers = call->asks;
    call->asks = NULL;
    call->ask_count = 0;
    call->ask_bytes = 0;
    calls_run(call);
}
