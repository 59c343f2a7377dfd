#include "transport/oauth/issuer.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http/client.h"
#include "transport/oauth/discovery.h"

struct issuer {
    struct loop *loop;
    struct http_client *client;
    char url[DISCOVERY_URL_MAX];
    void (*told)(void *ctx);
    void *ctx;

    char jwks_uri[DISCOVERY_URL_MAX]; /* empty: not known */
    uint64_t metadata_ms;             /* when it was found */
    struct key_set keys;
    uint64_t keys_ms; /* 0: there are none */
    uint64_t generation;

    /* the fetch under way, or the last one */
    struct http_call *call;
    char asked[DISCOVERY_URL_MAX];
    size_t place; /* see discovery_place() */
    bool for_keys;
    int status;
    struct buf body;
    uint64_t started_ms; /* 0: never */
    struct err why;      /* of a place that was no good */
    bool failed;         /* the last fetch; told once */
};

static uint64_t age_s(const struct issuer *is, uint64_t since_ms)
{
    return (loop_now_ms(is->loop) - since_ms) / 1000;
}

const struct key_set *issuer_keys(const struct issuer *is)
{
    return is->keys_ms && age_s(is, is->keys_ms) < KEYS_STALE_S ? &is->keys : NULL;
}

uint64_t issuer_generation(const struct issuer *is)
{
    return is->generation;
}

bool issuer_is_due(const struct issuer *is)
{
    return !is->keys_ms || age_s(is, is->keys_ms) >= KEYS_FRESH_S;
}

static void end(struct issuer *is, const struct err *err)
{
    buf_finish(&is->body);
    if (err && !is->failed)
        log_warn("the OAuth issuer's keys cannot be had: %s%s%s (%s)", err->msg,
                 err->remedy[0] ? "; " : "", err->remedy, is->asked);
    else if (!err && is->failed)
        log_warn("the OAuth issuer's keys are there again");
    if (err)
        is->jwks_uri[0] = '\0'; /* from the beginning the next time */
    is->failed = err != NULL;
    is->told(is->ctx);
}

static void on_head(void *ctx, int status)
{
    struct issuer *is = ctx;
    is->status = status;
}

static void on_body(void *ctx, struct str bytes)
{
    struct issuer *is = ctx;
    buf_adds(&is->body, bytes); /* what is too much sets overflow */
}

static void on_done(void *ctx, const struct err *err, enum http_reach reach);

static void get(struct issuer *is)
{
    static const struct str headers[] = {STR_INIT("Accept: application/json")};
    static const struct http_events events = {on_head, on_body, on_done};
    struct http_request request = {
        .method = "GET",
        .url = str_of(is->asked),
        .headers = headers,
        .header_count = 1,
        .repeatable = true,
        .head_timeout_ms = FETCH_TIMEOUT_S * 1000,
        .idle_timeout_ms = FETCH_TIMEOUT_S * 1000,
    };
    buf_finish(&is->body);
    buf_init(&is->body, is->for_keys ? KEYS_BYTES_MAX : DISCOVERY_BYTES_MAX);
    is->status = 0;
    is->call = http_start(is->client, &request, &events, is);
}

static void ask_for_keys(struct issuer *is)
{
    is->for_keys = true;
    memcpy(is->asked, is->jwks_uri, sizeof is->asked);
    get(is);
}

static void take_keys(struct issuer *is)
{
    struct key_set set;
    struct err err;
    if (key_set_parse(&set, buf_str(&is->body), &err) < 0) {
        end(is, &err);
        return;
    }
    key_set_finish(&is->keys);
    is->keys = set;
    is->keys_ms = loop_now_ms(is->loop);
    is->generation++;
    end(is, NULL);
}

/* An issuer need not be at all places: what is wrong at one matters when no other is
 * good. The first that speaks of an issuer tells most. */
static void take_metadata(struct issuer *is, const struct err *wrong)
{
    struct err err;
    if (!wrong &&
        discovery_parse(buf_str(&is->body), is->url, is->jwks_uri, &err) == 0) {
        is->metadata_ms = loop_now_ms(is->loop);
        ask_for_keys(is);
        return;
    }
    if (is->why.kind == ERR_NONE || (!wrong && err.remedy[0]))
        is->why = wrong ? *wrong : err;
    is->jwks_uri[0] = '\0';
    if (discovery_place(is->url, ++is->place, is->asked))
        get(is);
    else
        end(is, &is->why);
}

static void on_done(void *ctx, const struct err *err, enum http_reach reach)
{
    struct issuer *is = ctx;
    struct err wrong;
    (void)reach;
    is->call = NULL;
    if (err) {
        wrong = *err;
        end(is, &wrong);
        return;
    }
    bool good = is->status == 200 && !is->body.overflow;
    if (!good && is->status != 200)
        err_set(&wrong, ERR_UNAVAILABLE, "the answer is %d", is->status);
    else if (!good)
        err_set(&wrong, ERR_LIMIT, "the answer is over %zu KiB", is->body.max / 1024);
    if (!is->for_keys)
        take_metadata(is, good ? NULL : &wrong);
    else if (good)
        take_keys(is);
    else
        end(is, &wrong);
}

bool issuer_fetch(struct issuer *is)
{
    if (is->call)
        return true;
    if (is->started_ms && age_s(is, is->started_ms) < FETCH_PAUSE_S)
        return false;
    is->started_ms = loop_now_ms(is->loop);
    is->why = (struct err){0};
    if (is->jwks_uri[0] && age_s(is, is->metadata_ms) < METADATA_FRESH_S) {
        ask_for_keys(is);
        return true;
    }
    is->for_keys = false;
    is->place = 0;
    discovery_place(is->url, 0, is->asked);
    get(is);
    return true;
}

int issuer_new(struct issuer **ret_issuer, struct loop *loop, const char *url,
               const char *ca_file, void (*told)(void *ctx), void *ctx, struct err *err)
{
    struct http_config config = {.user_agent = "sandquay/" SANDQUAY_VERSION,
                                 .ca_file = ca_file,
                                 .connections = 2};
    if (discovery_check_url(url, "--oauth-issuer", err) < 0)
        return -1;
    struct issuer *is = mem_new(struct issuer);
    *is = (struct issuer){.loop = loop, .told = told, .ctx = ctx};
    memcpy(is->url, url, strlen(url) + 1);
    if (http_client_new(&is->client, loop, &config, err) < 0) {
        mem_free(is);
        return -1;
    }
    *ret_issuer = is;
    return 0;
}

void issuer_free(struct issuer *is)
{
    if (!is)
        return;
    http_cancel(is->call);
    http_client_free(is->client);
    key_set_finish(&is->keys);
    buf_finish(&is->body);
    mem_free(is);
}
