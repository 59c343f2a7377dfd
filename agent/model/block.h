/* One content block while it grows: private to the accumulator.
 *
 * A string that comes in pieces is kept as JSON, from its opening quote on: pieces are
 * put together without decoding them, and whatever the server escaped stays so. */
#pragma once
#include "agent/model/message.h"
#include "base/json.h"
#include "base/json_write.h"

enum { BLOCK_SET_MAX = 2, BLOCK_INPUT_DEPTH_MAX = 100 };

/* What the API calls a kind of block, and how it grows. */
struct block_kind {
    struct str name; /* its "type" */
    enum block_type type;
    const char *member;             /* that grows; NULL: none does */
    struct str delta, piece;        /* the type of the deltas, their member */
    bool is_input;                  /* the pieces make JSON, not a string */
    struct str set_delta;           /* the type of the deltas that set members */
    const char *set[BLOCK_SET_MAX]; /* these, by members of the same name */
};

struct block {
    int64_t index;
    const struct block_kind *kind;
    struct buf start; /* the block as it began: a JSON object on one line */
    struct buf grown; /* "... of the member that grows; empty: nothing came */
    struct buf set[BLOCK_SET_MAX]; /* JSON; empty: as it began */
    struct buf citations;          /* of a text: JSON values, each after a comma */
};

/* start: the object of content_block_start. */
struct block *block_new(int64_t index, struct json start);
void block_free(struct block *b); /* accepts NULL */

/* Takes in the "delta" of an event; types that do not belong to the block are ignored.
 * original: the event's text, of which the parsed one may be a mended copy
 * (surrogates.h). */
void block_grow(struct block *b, struct json delta, struct str original);

/* The same for a piece of the member that grows: a JSON string. */
void block_grow_by(struct block *b, struct str piece);

/* Writes the whole block to w and tells what is in it, borrowed from *kept and b. Once.
 * message_id: for ids that the server left out.
 */
void block_end(struct block *b, struct json_writer *w, struct message_block *ret_block,
               struct str message_id, struct arena *kept);

/* A value's text on one line, so that histories can be kept as lines; in *kept. */
struct str block_one_line(struct json v, struct arena *kept);
