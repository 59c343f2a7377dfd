/* Private to the client side of mcp/: what client*.c share. */
#pragma once
#include "mcp/client.h"
#include "mcp/jsonrpc.h"
#include "mcp/protocol.h"

/* A request in flight. */
struct pending {
    struct pending *next;
    uint64_t number; /* the caller's */
    uint64_t id;     /* on the wire, and its progress token: another one each round */
    client_result_fn *fn;
    void (*on_progress)(void *ctx, double progress, double total, struct str message);
    void *ctx;
    bool progress;
    /* Modern, if the server may ask: what it takes to send it again. */
    char *method;
    struct buf params;
    unsigned rounds, open_questions;
    struct buf round; /* the answers, a JSON object without its end, and the state */
    char *state;      /* raw JSON, or NULL */
};

/* What a server asks and nobody has answered yet. */
struct question {
    struct question *next;
    uint64_t number;
    char *id;         /* legacy: of its request, raw JSON */
    uint64_t request; /* modern: the pending request that it is part of */
    char *key;        /* modern: raw JSON */
};

struct client {
    struct client_config config;
    enum mcp_era era;
    struct buf out;
    struct arena arena;
    struct pending *pending;
    struct question *questions;
    uint64_t last_number, last_question;
    client_result_fn *open_fn;
    void *open_ctx;
    bool receiving, woken, closing;
};

/* client.c: -1: the message did not fit and is taken back. */
int client_end_message(struct client *c, size_t start);
struct pending *client_pending(struct client *c, uint64_t number);
/* Sends it (again), with a new id. */
void client_resend(struct client *c, struct pending *p);
/* It ends with this error. */
void client_fail(struct client *c, uint64_t number, const struct err *err);

/* client_asked.c: the capabilities, as JSON. */
void client_write_capabilities(const struct client *c, struct json_writer *w);
bool client_can_be_asked(const struct client *c);
/* A legacy request of the server. */
void client_asked(struct client *c, const struct rpc *rpc);
/* The legacy server has withdrawn its request. */
void client_withdrawn(struct client *c, struct str id);
/* A modern result that asks. */
void client_input_required(struct client *c, struct pending *p, struct json result);
/* The request's questions (0: all) are nobody's any more. */
void client_forget_questions(struct client *c, uint64_t request);
