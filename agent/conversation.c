#include "agent/conversation.h"
#include "base/json_write.h"

/* The text begins with "[" and the "]" stands behind it, outside of what counts. */

static const char message_end[] = "]}";
enum { MESSAGE_END = sizeof message_end - 1, SPARE = 16 };

void conversation_init(struct conversation *h)
{
    *h = (struct conversation){0};
    buf_init(&h->text, CONVERSATION_MAX + SPARE);
    buf_addc(&h->text, '[');
}

void conversation_finish(struct conversation *h)
{
    buf_finish(&h->text);
}

/* What is inside of the brackets of an array. */
static struct str inside(struct str blocks)
{
    while (blocks.n && blocks.p[0] != '[')
        blocks = str_from(blocks, 1);
    while (blocks.n && blocks.p[blocks.n - 1] != ']')
        blocks.n--;
    blocks = blocks.n >= 2 ? (struct str){blocks.p + 1, blocks.n - 2} : (struct str){0};
    while (blocks.n && strchr(" \t\r\n", blocks.p[0]))
        blocks = str_from(blocks, 1);
    return blocks;
}

static int add(struct conversation *h, bool user, struct str blocks, struct err *err)
{
    struct str within = inside(blocks);
    struct buf *b = &h->text;
    if (within.n == 0)
        return 0;
    if (b->n + within.n + 64 > CONVERSATION_MAX)
        return err_set(err, ERR_LIMIT, "the conversation is over %d MiB",
                       CONVERSATION_MAX >> 20);
    if (user && h->last_is_user) {
        b->n -= MESSAGE_END;
        buf_addc(b, ',');
    } else {
        buf_addf(b, "%s{\"role\":\"%s\",\"content\":[", h->count ? "," : "",
                 user ? "user" : "assistant");
        h->count++;
    }
    buf_adds(b, within);
    buf_addz(b, message_end);
    h->last_is_user = user;
    return 0;
}

int conversation_add_user(struct conversation *h, struct str blocks, struct err *err)
{
    return add(h, true, blocks, err);
}

int conversation_add_assistant(struct conversation *h, struct str blocks,
                               struct err *err)
{
    return add(h, false, blocks, err);
}

void conversation_text_blocks(struct buf *to, const struct str *texts, size_t count)
{
    struct json_writer w;
    jw_init(&w, to);
    jw_array(&w);
    for (size_t i = 0; i < count; i++) {
        if (texts[i].n == 0)
            continue;
        jw_object(&w);
        jw_key_cstr(&w, "type", "text");
        jw_key_str(&w, "text", texts[i]);
        jw_end_object(&w);
    }
    jw_end_array(&w);
}

struct conversation_mark conversation_mark(const struct conversation *h)
{
    return (struct conversation_mark){h->text.n, h->count, h->last_is_user};
}

void conversation_rewind(struct conversation *h, struct conversation_mark mark)
{
    if (mark.bytes > h->text.n)
        return;
    h->text.n = mark.bytes;
    /* The last message may have been continued since. */
    if (mark.count > 0)
        memcpy(h->text.p + mark.bytes - MESSAGE_END, message_end, MESSAGE_END);
    h->count = mark.count;
    h->last_is_user = mark.last_is_user;
}

struct str conversation_json(struct conversation *h)
{
    buf_addc(&h->text, ']');
    struct str all = buf_str(&h->text);
    h->text.n--;
    return all;
}
