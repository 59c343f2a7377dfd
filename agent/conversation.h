/* The conversation as the model gets it: the array of messages of the Messages API, as
 * text. It only grows (caches and thinking blocks hold only for the same beginning);
 * rewinding is for what was refused. Texts of the user that follow each other become
 * one message: some servers want the roles to alternate. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

enum { CONVERSATION_MAX = 31 * 1024 * 1024 }; /* requests of over 32 MB are refused */

struct conversation {
    struct buf text; /* without the brackets around all of it */
    size_t count;    /* messages */
    bool last_is_user;
};

void conversation_init(struct conversation *h);
void conversation_finish(struct conversation *h);

/* blocks: content blocks, a JSON array text; nothing is added when it is empty. LIMIT:
 * it does not fit, and is not there. */
int conversation_add_user(struct conversation *h, struct str blocks, struct err *err);
int conversation_add_assistant(struct conversation *h, struct str blocks,
                               struct err *err);
/* An array of text blocks, as JSON; empty texts are left out. */
void conversation_text_blocks(struct buf *to, const struct str *texts, size_t count);

struct conversation_mark {
    size_t bytes, count;
    bool last_is_user;
};
struct conversation_mark conversation_mark(const struct conversation *h);
void conversation_rewind(struct conversation *h, struct conversation_mark mark);

/* The JSON array, borrowed until it is changed. */
struct str conversation_json(struct conversation *h);
