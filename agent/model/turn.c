/* One turn: a request, its stream, and what is done about failures. Before a stream has
 * begun the request is repeated as the official SDK does it. When a stream breaks the
 * whole turn is: no tool has run for it yet, so nothing happens twice. */
#include "agent/model/api_error.h"
#include "agent/model/private.h"
#include "agent/model/request.h"
#include "agent/model/retry.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http/sse.h"
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

enum {
    ANSWER_MAX = 64 * 1024, /* what is read of an error */
    VALUE_MAX = 96,         /* of a header that is kept */
    GRACE_MS = 1000,        /* for the end of a stream behind the message's */
    WHY_MAX = 480,
};

struct turn {
    struct model *model;
    struct turn *next, **at;
    struct turn_events events;
    void *ctx;
    struct buf body;
    struct loop_timer
        *timer; /* the wait before a repetition; the grace after the end */
    struct loop_later *later; /* the first attempt, and failures before it */
    unsigned retries, repeats;
    bool in_callback, cancelled, renewed;

    /* Of this attempt. */
    struct http_call *call;
    int status;
    bool is_stream, failed;
    struct err why;
    char request_id[VALUE_MAX], should_retry[VALUE_MAX], after_ms[VALUE_MAX],
        after[VALUE_MAX], type[VALUE_MAX];
    struct sse sse;
    struct accumulator message;
    struct buf answer; /* that is no stream */
};

static void attempt(struct turn *t);

static void end_attempt(struct turn *t)
{
    http_cancel(t->call);
    t->call = NULL;
    sse_finish(&t->sse);
    accumulator_finish(&t->message);
    buf_finish(&t->answer);
}

/* Out of the model's list, nothing under way; the memory goes with turn_free(). */
static void detach(struct turn *t)
{
    if (!t->at)
        return;
    *t->at = t->next;
    if (t->next)
        t->next->at = t->at;
    t->at = NULL;
    loop_timer_free(t->timer);
    loop_later_free(t->later);
    http_cancel(t->call);
    t->call = NULL;
}

static void turn_free(struct turn *t)
{
    detach(t);
    end_attempt(t);
    buf_finish(&t->body);
    mem_free(t);
}

void turn_cancel(struct turn *turn)
{
    if (!turn)
        return;
    detach(turn);
    turn->cancelled = true;
    if (!turn->in_callback)
        turn_free(turn);
}

static void finish(struct turn *t, const struct err *err)
{
    detach(t);
    t->events.done(t->ctx, err ? NULL : &t->message.message, err);
    turn_free(t);
}

/* Tells that the turn begins anew, and waits. */
static void again(struct turn *t, const struct err *err, uint64_t wait_ms)
{
    char why[WHY_MAX];
    snprintf(why, sizeof why, "%s", err->msg);
    end_attempt(t);
    t->in_callback = true;
    t->events.again(t->ctx, why, wait_ms);
    t->in_callback = false;
    if (t->cancelled)
        turn_free(t);
    else
        loop_timer_start(t->timer, wait_ms);
}

static uint64_t delay_ms(const struct retry_advice *advice, unsigned done)
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0)
        random = 0; /* only spreads clients in time */
    return retry_delay_ms(advice, done, random, (int64_t)time(NULL));
}

/* The request failed before its stream began. */
static void retry_or_fail(struct turn *t, struct err *err)
{
    struct retry_advice advice = {t->status, str_of(t->should_retry),
                                  str_of(t->after_ms), str_of(t->after)};
    const struct model_config *config = &t->model->config;
    bool ours = t->status == 0 && err->kind == ERR_INVALID; /* a URL that is none */
    bool worth_it = !ours && retry_is_worth_it(&advice);
    if (!worth_it || t->retries >= config->retries) {
        finish(t, err);
        return;
    }
    uint64_t wait_ms = delay_ms(&advice, t->retries);
    if (wait_ms > config->wait_max_ms) {
        err_remedy(err, "the server asks to wait %llu s: try again then",
                   (unsigned long long)(wait_ms + 999) / 1000);
        finish(t, err);
        return;
    }
    t->retries++;
    again(t, err, wait_ms);
}

/* The stream broke. */
static void repeat_or_fail(struct turn *t, const struct err *err)
{
    const struct retry_advice none = {0};
    if (t->repeats >= t->model->config.repeats) {
        finish(t, err);
        return;
    }
    uint64_t wait_ms = delay_ms(&none, t->repeats);
    t->repeats++;
    again(t, err, wait_ms);
}

static void keep_header(struct turn *t, const char *name, char to[VALUE_MAX])
{
    struct str value = http_header(t->call, name);
    size_t n = 0;
    for (; n < value.n && n < VALUE_MAX - 1; n++)
        to[n] = value.p[n] >= ' ' && value.p[n] < 0x7f ? value.p[n] : ' ';
    to[n] = '\0';
}

static void on_head(void *ctx, int status)
{
    struct turn *t = ctx;
    t->status = status;
    keep_header(t, "request-id", t->request_id);
    keep_header(t, "x-should-retry", t->should_retry);
    keep_header(t, "retry-after-ms", t->after_ms);
    keep_header(t, "retry-after", t->after);
    keep_header(t, "content-type", t->type);
    t->is_stream =
        status == 200 &&
        (t->type[0] == '\0' || strncasecmp(t->type, "text/event-stream", 17) == 0);
    t->message.message.request_id = str_of(t->request_id);
}

static void on_event(void *ctx, struct str name, struct str data)
{
    struct turn *t = ctx;
    if (t->cancelled || t->failed)
        return;
    t->failed = accumulate(&t->message, name, data, &t->why) < 0;
}

/* What of the stream is already there decides; the rest is not waited for. */
static void on_stream(struct turn *t, struct str bytes)
{
    bool ended = t->message.ended;
    t->in_callback = true;
    if (sse_feed(&t->sse, bytes, on_event, t) < 0 && !t->failed) {
        err_set(&t->why, ERR_LIMIT, "an event of the model's server is over %d MiB",
                MESSAGE_EVENT_MAX >> 20);
        t->failed = true;
    }
    t->in_callback = false;
    if (t->cancelled) {
        turn_free(t);
    } else if (t->failed) {
        http_cancel(t->call);
        t->call = NULL;
        if (t->message.again)
            repeat_or_fail(t, &t->why);
        else
            finish(t, &t->why);
    } else if (t->message.ended && !ended) {
        loop_timer_start(t->timer, GRACE_MS);
    }
}

/* An old gateway may not know the version that we speak (claude-api 6). */
static bool is_about_version(const struct turn *t)
{
    static const char name[] = "anthropic-version";
    return t->status == 400 && t->answer.n &&
           strcmp(t->model->version, MODEL_API_VERSION_OLD) != 0 &&
           memmem(t->answer.p, t->answer.n, name, sizeof name - 1);
}

/* A model that does not sum up its conversations by itself goes on without. */
static bool give_up_compaction(struct turn *t)
{
    static const char word[] = "context_management";
    struct model *m = t->model;
    if (t->status != 400 || !m->config.compaction || !t->answer.n ||
        !memmem(t->answer.p, t->answer.n, word, sizeof word - 1))
        return false;
    log_info("the model does not take compaction: without it from now on");
    m->config.compaction = false;
    struct buf old = t->body;
    size_t from = m->head.n;
    struct str messages = {old.p + from, old.n - from - 1};
    struct err ignored;
    buf_reset(&m->head, m->head.cap);
    request_head(&m->head, &m->config);
    request_body(&t->body, buf_str(&m->head), messages, &ignored); /* is shorter */
    buf_finish(&old);
    return true;
}

/* A token of a login lives for an hour or so: the next one may do. */
static bool renew_key(struct turn *t)
{
    struct model_config *config = &t->model->config;
    const struct secret *key = NULL;
    if (t->status == 401 && config->renew_key && !t->renewed)
        key = config->renew_key(config->renew_ctx);
    if (!key)
        return false;
    config->key = key;
    t->renewed = true;
    return true;
}

/* A prompt over the model's limit is told in two ways: as a reason to stop, and before
 * the stream as an error that has no code of its own. Both are the first one here. */
static bool is_context_full(const struct turn *t, struct json body)
{
    static const char words[] = "prompt is too long";
    struct str message = json_raw(json_pointer(body, "/error/message"));
    return t->status == 413 || (t->status == 400 && message.n &&
                                memmem(message.p, message.n, words, sizeof words - 1));
}

static void finish_full(struct turn *t)
{
    t->message.message.content = STR("[]");
    t->message.message.stop = STOP_CONTEXT_FULL;
    t->message.message.stop_text = STR("model_context_window_exceeded");
    finish(t, NULL);
}

static void refused(struct turn *t)
{
    struct arena a = {0};
    struct json_doc doc;
    struct json body = {0};
    struct err err, ignored;
    if (json_parse(&doc, &a, buf_str(&t->answer), &ignored) == 0)
        body = json_root(&doc);
    if (t->status >= 300 || json_type(json_get(body, STR("error"))) == JSON_OBJECT) {
        api_error(&err, t->status, body, str_of(t->request_id),
                  t->model->config.key_source);
    } else {
        err_set(&err, ERR_PROTOCOL,
                "the model's server answers %d with %s, not with a "
                "stream of events",
                t->status, t->type[0] ? t->type : "nothing");
        err_remedy(&err, "is %.100s a server that speaks the Messages API?",
                   buf_cstr(&t->model->url));
    }
    bool is_full = is_context_full(t, body);
    arena_finish(&a);
    if (is_full) {
        finish_full(t);
        return;
    }
    if (is_about_version(t)) {
        log_info("the server does not take anthropic-version %s: %s from now on",
                 t->model->version, MODEL_API_VERSION_OLD);
        t->model->version = MODEL_API_VERSION_OLD;
        again(t, &err, 0);
        return;
    }
    if (give_up_compaction(t) || renew_key(t))
        again(t, &err, 0);
    else
        retry_or_fail(t, &err);
}

static void on_body(void *ctx, struct str bytes)
{
    struct turn *t = ctx;
    if (t->is_stream) {
        on_stream(t, bytes);
        return;
    }
    size_t room = ANSWER_MAX - t->answer.n;
    buf_add(&t->answer, bytes.p, bytes.n < room ? bytes.n : room);
    if (t->answer.n < ANSWER_MAX)
        return;
    http_cancel(t->call); /* it may go on for ever */
    t->call = NULL;
    refused(t);
}

static void on_done(void *ctx, const struct err *failed, enum http_reach reach)
{
    struct turn *t = ctx;
    struct err err;
    t->call = NULL;
    if (t->message.ended) {
        finish(t, NULL);
        return;
    }
    if (failed) {
        err = *failed;
        err_prefix(&err, "the model's server%s%s", t->request_id[0] ? ", request " : "",
                   t->request_id);
    } else if (t->is_stream) {
        err_set(&err, ERR_IO, "the model's server ended its answer in the middle%s%s",
                t->request_id[0] ? ", request " : "", t->request_id);
        err_remedy(&err, "try again");
    } else {
        refused(t);
        return;
    }
    if (reach == HTTP_ANSWERED || !failed)
        repeat_or_fail(t, &err);
    else
        retry_or_fail(t, &err);
}

static void on_timer(void *ctx)
{
    struct turn *t = ctx;
    if (t->message.ended)
        finish(t, NULL);
    else
        attempt(t);
}

static int start(struct turn *t, struct err *err)
{
    static const struct http_events events = {on_head, on_body, on_done};
    const struct model *m = t->model;
    struct request_headers headers;
    int rc = request_headers(&headers, &m->config, m->version, err);
    if (rc == 0) {
        struct http_request request = {
            .method = "POST",
            .url = buf_str(&m->url),
            .headers = headers.line,
            .header_count = headers.count,
            .bearer = m->config.x_api_key || headers.own_key ? NULL : m->config.key,
            .body = buf_str(&t->body),
            .repeatable = true, /* a dead kept connection: nothing was generated */
            .head_timeout_ms = m->config.stall_ms,
            .idle_timeout_ms = m->config.stall_ms,
        };
        t->call = http_start(m->http, &request, &events, t);
    }
    request_headers_finish(&headers);
    return rc;
}

static void attempt(struct turn *t)
{
    struct err err;
    t->status = 0;
    t->is_stream = t->failed = false;
    t->request_id[0] = t->should_retry[0] = t->after_ms[0] = t->after[0] = '\0';
    sse_init(&t->sse, MESSAGE_EVENT_MAX);
    accumulator_init(&t->message, &t->events.shown, t->ctx);
    buf_init(&t->answer, ANSWER_MAX);
    if (start(t, &err) < 0)
        finish(t, &err);
}

static void on_later(void *ctx)
{
    struct turn *t = ctx;
    if (t->failed)
        finish(t, &t->why);
    else
        attempt(t);
}

struct turn *model_turn(struct model *model, struct str messages,
                        const struct turn_events *events, void *ctx)
{
    struct turn *t = mem_new(struct turn);
    *t = (struct turn){
        .model = model,
        .next = model->turns,
        .at = &model->turns,
        .events = *events,
        .ctx = ctx,
    };
    if (t->next)
        t->next->at = &t->next;
    model->turns = t;
    t->timer = loop_timer_new(model->loop, on_timer, t);
    t->later = loop_later_new(model->loop, on_later, t);
    t->failed = request_body(&t->body, buf_str(&model->head), messages, &t->why) < 0;
    loop_later_ask(t->later);
    return t;
}
