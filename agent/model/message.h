/* A message of the model's, and how it grows out of the events of a stream
 * (claude-api 3; sans I/O).
 *
 * Blocks are kept as the API gave them: `content` goes back into the history unchanged,
 * thinking, signatures and blocks of unknown types included. Blocks are told apart by
 * their index, never by "the current one": some servers interleave them and end them
 * all at the end. */
#pragma once
#include "agent/model/usage.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include <stdbool.h>

enum stop_reason {
    STOP_UNKNOWN, /* none, or one that this list does not have: see stop_text */
    STOP_END_TURN,
    STOP_TOOL_USE,
    STOP_MAX_TOKENS,
    STOP_SEQUENCE,
    STOP_PAUSE_TURN,
    STOP_REFUSAL,
    STOP_CONTEXT_FULL, /* model_context_window_exceeded */
    STOP_COMPACTION,
};

enum block_type {
    BLOCK_OTHER,
    BLOCK_TEXT,
    BLOCK_THINKING,
    BLOCK_TOOL_USE,
    BLOCK_COMPACTION, /* stands for all that came before it */
};

struct message_block {
    enum block_type type;
    struct str id, name; /* of a tool_use */
    /* Of a tool_use: the text of a JSON object on one line. When what the model wrote
     * is none, input_invalid, and this is what it wrote: the tool must not run. */
    struct str input;
    bool input_invalid;
    struct str text; /* of text, thinking and compaction */
};

/* Borrowed from its accumulator. */
struct message {
    struct str content; /* a JSON array on one line, to be replayed unchanged */
    const struct message_block *blocks;
    size_t block_count;
    enum stop_reason stop;
    struct str stop_text;     /* the API's word for it; empty: it gave none */
    struct str stop_sequence; /* the one that was met */
    struct str stop_details;  /* JSON; of a refusal */
    struct usage usage;
    struct str id, model;
    struct str request_id; /* for support; empty: the server has none */
};

/* What can be shown while it comes. None may be NULL. */
struct message_events {
    void (*text)(void *ctx, struct str delta);
    void (*thinking)(void *ctx, struct str delta);
    void (*tool)(void *ctx, struct str name); /* the model began to write a call */
};

enum {
    MESSAGE_MAX = 64 * 1024 * 1024, /* bytes of all events of one message */
    MESSAGE_EVENT_MAX = 32 * 1024 * 1024,
    MESSAGE_BLOCKS_MAX = 4096,
};

struct block;

struct accumulator {
    const struct message_events *events;
    void *ctx;
    struct block **blocks; /* by index */
    size_t block_count, block_room;
    size_t bytes;
    bool started, ended;
    bool again;                 /* it failed in a way that a repetition may mend */
    struct arena scratch, kept; /* of one event; of the message */
    struct buf mended, cleaned, content;
    struct usage counted, compactions;
    struct message message;
};

/* events and ctx: borrowed for its life. */
void accumulator_init(struct accumulator *a, const struct message_events *events,
                      void *ctx);
void accumulator_finish(struct accumulator *a); /* accepts all-zero */

/* One event of the stream. -1: the stream cannot be used; a->again tells whether the
 * same request may go better. When a->ended, a->message is complete. PROTOCOL, LIMIT,
 * or what the API's error event says. */
int accumulate(struct accumulator *a, struct str name, struct str data,
               struct err *err);
