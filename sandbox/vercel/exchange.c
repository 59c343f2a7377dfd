/* One request to the API, with what may be done about its failure:
 *   no connection        again, any request
 *   lost, 5xx            again, but only what is repeatable; else "unknown"
 *   429                  again after Retry-After, if that is short
 *   401, 403             again with a renewed token, if there is one
 *   410, 422 (stopping),
 *   404 of the session   again in a resumed session, once
 * Waits grow and vary, so that many clients do not come back at the same time. */
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/vercel/private.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
    ATTEMPTS = 4,
    BACKOFF_MS = 400,
    RETRY_AFTER_MOST_S = 30,
    IDLE_MS = 60 * 1000, /* between two pieces of a JSON answer or a file */
    JSON_MAX_BYTES = 16 * 1024 * 1024,
};

struct exchange {
    struct exchange *next, **at;
    struct vercel *vercel;
    struct exchange_spec spec;
    struct http_call *call;
    struct loop_timer *timer;
    struct tar_out *tar;
    struct buf url, answer;
    int attempts, status;
    bool resumed, renewed, paused;
    uint64_t retry_after_s;
};

static void submit(struct exchange *x);

static void detach(struct exchange *x)
{
    if (!x->at)
        return;
    http_cancel(x->call);
    x->call = NULL;
    loop_timer_free(x->timer);
    x->timer = NULL;
    account_forget(x->vercel, x);
    if (x->spec.machine)
        waiting_remove(&x->spec.machine->for_resume, x);
    *x->at = x->next;
    if (x->next)
        x->next->at = x->at;
    x->at = NULL;
}

static void exchange_free(struct exchange *x)
{
    detach(x);
    if (x->tar)
        x->vercel->tar->finish(x->tar);
    buf_finish(&x->url);
    buf_finish(&x->answer);
    vercel_request_finish(&x->spec.request);
    mem_free(x);
}

void exchange_cancel(struct exchange *x)
{
    if (x)
        exchange_free(x);
}

static void finish(struct exchange *x, const struct exchange_result *result)
{
    detach(x);
    x->spec.done(x->spec.ctx, result);
    exchange_free(x);
}

static void fail(struct exchange *x, const struct err *err, bool unknown)
{
    struct err copy = *err;
    finish(x, &(struct exchange_result){
                  .err = &copy, .status = x->status, .unknown = unknown});
}

void exchange_fail_all(struct machine *m, const struct err *err)
{
    bool again = true;
    while (again) { /* a callback may end others */
        again = false;
        for (struct exchange *x = m->vercel->exchanges; x && !again; x = x->next)
            if (x->spec.machine == m) {
                fail(x, err, true);
                again = true;
            }
    }
}

static uint32_t jitter(uint32_t ms)
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        random = (uint32_t)sandbox_unix_ms();
    return ms + random % (ms + 1);
}

static void on_timer(void *ctx)
{
    submit(ctx);
}

static void again_after(struct exchange *x, uint64_t ms)
{
    if (!x->timer)
        x->timer = loop_timer_new(x->vercel->loop, on_timer, x);
    loop_timer_start(x->timer, ms);
}

static bool again(struct exchange *x)
{
    if (x->spec.once || x->attempts >= ATTEMPTS)
        return false;
    again_after(x, jitter((uint32_t)BACKOFF_MS << (x->attempts - 1)));
    return true;
}

static void on_waited(void *ctx, const struct err *err)
{
    struct exchange *x = ctx;
    if (err)
        fail(x, err, false);
    else
        submit(x);
}

static enum err_kind kind_of(int status)
{
    switch (status) {
    case 401:
    case 403:
        return ERR_DENIED;
    case 402:
    case 413:
    case 429:
        return ERR_LIMIT;
    case 404:
    case 410:
        return ERR_NOT_FOUND;
    case 409:
        return ERR_CONFLICT;
    case 408:
    case 504:
        return ERR_TIMEOUT;
    default:
        return status >= 500 ? ERR_UNAVAILABLE : ERR_INVALID;
    }
}

static const char *remedy_of(int status)
{
    switch (status) {
    case 402:
        return "the account's plan does not include this: see vercel.com/account";
    case 404:
    case 410:
        return "check the name, and that nobody has deleted it";
    case 409:
        return "use another name, or wait until it is free";
    case 429:
        return "wait, then call again; or stop sandboxes that are not needed";
    default:
        return status >= 500 ? "Vercel has trouble (www.vercel-status.com): try again"
                             : "correct the arguments and call again";
    }
}

static void explain(struct exchange *x, struct vercel_refusal why, struct err *err)
{
    if (x->status == 401 || x->status == 403) {
        account_refused(x->vercel, x->status, why.message, err);
    } else {
        struct str text = why.message;
        if (text.n > 150)
            text.n = 150;
        err_set(err, kind_of(x->status), "Vercel: %s: %.*s%s%d%s",
                x->spec.request.doing, STR_FMT(text), text.n ? " (" : "HTTP ",
                x->status, text.n ? ")" : "");
        if (x->status == 429 && x->retry_after_s)
            err_remedy(err, "Vercel asks to wait %llu s; then call again",
                       (unsigned long long)x->retry_after_s);
        else
            err_remedy(err, "%s", remedy_of(x->status));
    }
}

/* A 404 may also be of a file or command: it is of the session if it names that. */
static bool names_session(const struct exchange *x, struct str message)
{
    const struct machine *m = x->spec.machine;
    return m && m->session[0] && message.n &&
           memmem(message.p, message.n, m->session, strlen(m->session));
}

static bool is_stopped(const struct exchange *x, const struct vercel_refusal *why)
{
    return x->status == 410 || (x->status == 404 && names_session(x, why->message)) ||
           (x->status == 422 && (str_eq(why->code, STR("sandbox_stopping")) ||
                                 str_eq(why->code, STR("sandbox_snapshotting"))));
}

/* true: it goes on. */
static bool handle_limit(struct exchange *x)
{
    if (x->spec.once || x->attempts >= ATTEMPTS ||
        x->retry_after_s > RETRY_AFTER_MOST_S)
        return false;
    if (x->retry_after_s && x->spec.machine && x->spec.machine->sandbox)
        sandbox_doing(x->spec.machine->sandbox,
                      "%s: Vercel asks to wait %llu s (too many requests)",
                      x->spec.request.doing, (unsigned long long)x->retry_after_s);
    again_after(x, x->retry_after_s * 1000 +
                       jitter((uint32_t)BACKOFF_MS << (x->attempts - 1)));
    return true;
}

/* An answer that is not 2xx. */
static void refused(struct exchange *x)
{
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    struct vercel_refusal why = {0};
    if (json_parse(&doc, &a, buf_str(&x->answer), &err) == 0)
        why = vercel_read_refusal(json_root(&doc), &a);
    int status = x->status;
    bool handled = false;
    if (status == 429)
        handled = handle_limit(x);
    else if (status >= 500 && x->spec.request.repeatable)
        handled = again(x);
    else if ((status == 401 || status == 403) && !x->renewed)
        handled = x->renewed = account_renew(x->vercel, on_waited, x);
    else if (is_stopped(x, &why) && x->spec.resumes && !x->resumed) {
        x->resumed = handled = true;
        machine_resume(x->spec.machine, on_waited, x);
    }
    if (!handled) {
        explain(x, why, &err);
        bool unknown = status >= 500 && !x->spec.request.repeatable;
        finish(x, &(struct exchange_result){.err = &err,
                                            .status = status,
                                            .code = why.code,
                                            .unknown = unknown});
    }
    arena_finish(&a);
}

static void not_json(struct exchange *x, struct err *err)
{
    err_set(err, ERR_PROTOCOL, "Vercel: %s: the answer is not JSON",
            x->spec.request.doing);
    err_remedy(err, "check the proxy on the way and VERCEL_SANDBOX_API_URL");
}

static void answered(struct exchange *x)
{
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    struct exchange_result result = {.status = x->status, .arena = &a};
    /* No body is as good as {}. */
    struct str text = x->answer.n ? buf_str(&x->answer) : STR("{}");
    if (x->answer.overflow) {
        err_set(&err, ERR_LIMIT, "Vercel: %s: the answer is over %d MiB",
                x->spec.request.doing, JSON_MAX_BYTES / (1024 * 1024));
        result.err = &err;
    } else if (!x->spec.body && json_parse(&doc, &a, text, &err) < 0) {
        not_json(x, &err);
        result.err = &err;
        result.unknown = true;
    } else if (!x->spec.body) {
        result.root = json_root(&doc);
    }
    finish(x, &result);
    arena_finish(&a);
}

static bool is_good(const struct exchange *x)
{
    return x->status >= 200 && x->status < 300;
}

static void on_head(void *ctx, int status)
{
    struct exchange *x = ctx;
    x->status = status;
    struct str after = http_header(x->call, "retry-after");
    char text[16] = "";
    if (after.n < sizeof text)
        memcpy(text, after.p ? after.p : "", after.n);
    x->retry_after_s = strtoul(text, NULL, 10); /* a date counts as none */
}

static void on_body(void *ctx, struct str bytes)
{
    struct exchange *x = ctx;
    if (is_good(x) && x->spec.body)
        x->spec.body(x->spec.ctx, bytes);
    else
        buf_adds(&x->answer, bytes);
}

/* Each attempt is one. */
static void count(const struct exchange *x, const struct err *err)
{
    static const char *const classes[] = {"other", "1xx", "2xx", "3xx", "4xx", "5xx"};
    unsigned class = (unsigned)x->status / 100;
    const char *outcome = err                ? "broken"
                          : x->status == 429 ? "429"
                          : class < 6        ? classes[class]
                                             : classes[0];
    backend_called(x->vercel->set, x->spec.request.method, outcome);
}

static void on_done(void *ctx, const struct err *err, enum http_reach reach)
{
    struct exchange *x = ctx;
    x->call = NULL;
    count(x, err);
    if (!err) {
        if (is_good(x))
            answered(x);
        else
            refused(x);
        return;
    }
    bool streamed = reach == HTTP_ANSWERED && is_good(x) && x->spec.body;
    bool harmless = reach == HTTP_NOT_SENT || x->spec.request.repeatable;
    if (!streamed && harmless && again(x)) {
        log_info("vercel: %s: %s: trying again", x->spec.request.doing, err->msg);
        return;
    }
    struct err copy = *err;
    err_prefix(&copy, "Vercel: %s", x->spec.request.doing);
    fail(x, &copy, reach != HTTP_NOT_SENT);
}

static size_t read_tar(void *ctx, char *to, size_t max)
{
    struct exchange *x = ctx;
    return x->vercel->tar->read(x->tar, to, max);
}

static void submit(struct exchange *x)
{
    static const struct http_events events = {on_head, on_body, on_done};
    static const struct str json = STR_INIT("content-type: application/json"),
                            gzip[] = {STR_INIT("content-type: application/gzip"),
                                      STR_INIT("x-cwd: /")};
    struct vercel *v = x->vercel;
    const struct vercel_request *r = &x->spec.request;
    if (!account_fresh(v, on_waited, x))
        return;
    buf_reset(&x->url, 8192);
    buf_reset(&x->answer, 8192);
    buf_addz(&x->url, v->config->api_url);
    vercel_request_path(r,
                        str_of(x->spec.session   ? x->spec.session
                               : x->spec.machine ? x->spec.machine->session
                                                 : NULL),
                        &x->url);
    struct http_request request = {
        .method = r->method,
        .url = buf_str(&x->url),
        .headers = r->gzip ? gzip : &json,
        .header_count = r->gzip ? 2 : 1,
        .bearer = v->account.token,
        .body = buf_str(&r->body),
        .repeatable = r->repeatable,
        .head_timeout_ms = r->head_ms,
        /* A stream of output may be silent for hours. */
        .idle_timeout_ms = x->spec.body && !x->spec.idle_limit ? 0 : IDLE_MS,
    };
    if (r->gzip) {
        if (x->tar)
            v->tar->finish(x->tar);
        x->tar = v->tar->begin(x->spec.tar_path, x->spec.tar_mode, x->spec.tar_content,
                               sandbox_unix_ms() / 1000);
        request.read_body = read_tar;
    }
    x->attempts++;
    x->status = 0;
    x->retry_after_s = 0;
    x->call = http_start(v->http, &request, &events, x);
    if (x->paused)
        http_pause(x->call, true);
}

struct exchange *exchange_start(struct vercel *v, const struct exchange_spec *spec)
{
    struct exchange *x = mem_new(struct exchange);
    x->vercel = v;
    x->spec = *spec;
    x->next = v->exchanges;
    x->at = &v->exchanges;
    if (x->next)
        x->next->at = &x->next;
    v->exchanges = x;
    buf_init(&x->url, 16 * 1024);
    buf_init(&x->answer, JSON_MAX_BYTES);
    submit(x);
    return x;
}

bool exchange_answering(const struct exchange *x)
{
    return x->call && is_good(x);
}

static void on_stopped(void *ctx)
{
    struct exchange *x = ctx;
    struct err err;
    err_set(&err, ERR_CANCELLED, "Vercel: %s: given up", x->spec.request.doing);
    fail(x, &err, true);
}

void exchange_stop(struct exchange *x)
{
    http_cancel(x->call);
    x->call = NULL;
    loop_timer_free(x->timer);
    x->timer = loop_timer_new(x->vercel->loop, on_stopped, x);
    loop_timer_start(x->timer, 0);
}

void exchange_pause(struct exchange *x, bool pause)
{
    x->paused = pause;
    if (x->call)
        http_pause(x->call, pause);
}
