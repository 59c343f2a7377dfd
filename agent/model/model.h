/* The Messages API (POST {base}/v1/messages, streamed) as one object: asks a model for
 * its next message. The whole history goes along every time; what is repeated, and
 * when, follows the official SDK (claude-api 4).
 *
 * The bytes of a request are those of the one before, with more messages: that is what
 * prompt caching and the binding of thinking blocks need. */
#pragma once
#include "agent/model/message.h"
#include "base/err.h"
#include "base/secret.h"
#include "net/loop.h"

#define MODEL_API_VERSION "2026-10-21"
#define MODEL_API_VERSION_OLD "2023-06-01"

enum thinking_display {
    THINKING_DEFAULT, /* nothing is said about it: right for every model and server */
    THINKING_SHOWN,   /* summarized */
    THINKING_HIDDEN,
};

/* All borrowed for the model's life. */
struct model_config {
    struct str base_url;      /* as base_url_check() gives it */
    const struct secret *key; /* or NULL */
    bool x_api_key;           /* the key goes there, not into Authorization: Bearer */
    const char *key_source;   /* "ANTHROPIC_API_KEY": for messages; or NULL */
    /* A key instead of one that has been refused, borrowed until the next; NULL: there
     * is no other. Once a turn. May be NULL. */
    const struct secret *(*renew_key)(void *ctx);
    void *renew_ctx;
    const char *version;       /* anthropic-version */
    const struct str *headers; /* "Name: value", more of them; they win over ours */
    size_t header_count;
    const char *ca_file; /* as in struct http_config */

    struct str model;
    int64_t max_tokens;
    struct str system; /* text; may be empty */
    struct str tools;  /* a JSON array; may be empty */
    struct str effort; /* low, medium, high, xhigh, max; empty: the model's own */
    struct str schema; /* JSON Schema of the final answer; may be empty */
    enum thinking_display thinking;
    bool compaction; /* the server sums up a conversation that grows too long (beta) */

    unsigned retries;     /* of a request that failed before its answer began */
    unsigned repeats;     /* of a turn whose stream broke */
    uint64_t wait_max_ms; /* a server that wants a longer wait gets none */
    uint32_t stall_ms;    /* without a byte: the connection is dead */
};

enum {
    MODEL_MAX_TOKENS = 16000,
    MODEL_RETRIES = 2,
    MODEL_WAIT_MAX_MS = 300 * 1000,
    MODEL_STALL_MS = 600 * 1000,
    MODEL_REQUEST_MAX = 32 * 1024 * 1024, /* what the API takes */
};

/* The defaults; base_url, key and model are the caller's. */
void model_config_init(struct model_config *config);

struct model;

/* INVALID, DENIED (a key over plain http). */
int model_new(struct model **ret_model, struct loop *loop,
              const struct model_config *config, struct err *err);
/* Cancels what is under way. Accepts NULL. Not from inside a callback. */
void model_free(struct model *model);

/* None is called before model_turn() returns; none may be NULL. */
struct turn_events {
    struct message_events shown;
    /* What was shown of this turn is void: it failed (why: one line, with the request's
     * id) and is asked for again after the wait. */
    void (*again)(void *ctx, const char *why, uint64_t wait_ms);
    /* Once, last, unless cancelled: the message, borrowed for the call; or NULL and the
     * error. The turn is gone. */
    void (*done)(void *ctx, const struct message *message, const struct err *err);
};

struct turn;

/* messages: a JSON array, the whole history, copied. */
struct turn *model_turn(struct model *model, struct str messages,
                        const struct turn_events *events, void *ctx);
/* No callback after that; also from inside one, except done(). Accepts NULL. */
void turn_cancel(struct turn *turn);
