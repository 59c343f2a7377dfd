/* The conversation as the model gets it: the array of messages of the Messages API, as
 * text. It only grows (caches and thinking blocks hold only for the same beginning);
 * rewinding is for what was refused. Texts of the user that follow each other become
 * one message: some servers want the roles to alternate. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

enum { HISTORY_MAX = 31 * 1024 * 1024 }; /* requests of over 32 MB are refused */

struct history {
    struct buf text; /* without the brackets around all of it */
    size_t count;    /* messages */
    bool last_is_user;
};

void history_init(struct history *h);
void history_finish(struct history *h);

/* blocks: content blocks, a JSON array text; nothing is added when it is empty. LIMIT:
 * it does not fit, and is not there. */
int history_add_user(struct history *h, struct str blocks, struct err *err);
int history_add_assistant(struct history *h, struct str blocks, struct err *err);
/* An array of text blocks, as JSON; empty texts are left out. */
void history_text_blocks(struct buf *to, const struct str *texts, size_t count);

struct history_mark {
    size_t bytes, count;
    bool last_is_user;
};
struct history_mark history_mark(const struct history *h);
void history_rewind(struct history *h, struct history_mark mark);

/* The JSON array, borrowed until the history is changed. */
struct str history_json(struct history *h);
