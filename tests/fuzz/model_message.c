/* A stream of the Messages API, in one piece, and cut where its first byte says with
 * each event parsed as a whole: both make the same message, which is JSON that can go
 * back into a history. */
#include "agent/model/message.h"
#include "base/json.h"
#include "base/mem.h"
#include "net/http/sse.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reader {
    struct accumulator message;
    struct buf shown; /* all that was, with marks between the kinds */
    bool failed, slow;
    struct err err;
};

static void on_text(void *ctx, struct str delta)
{
    buf_addc(&((struct reader *)ctx)->shown, 't');
    buf_adds(&((struct reader *)ctx)->shown, delta);
}

static void on_thinking(void *ctx, struct str delta)
{
    buf_addc(&((struct reader *)ctx)->shown, 'h');
    buf_adds(&((struct reader *)ctx)->shown, delta);
}

static void on_tool(void *ctx, struct str name)
{
    buf_addc(&((struct reader *)ctx)->shown, 'c');
    buf_adds(&((struct reader *)ctx)->shown, name);
}

static const struct message_events events = {on_text, on_thinking, on_tool};

static void on_event(void *ctx, struct str name, struct str data)
{
    struct reader *r = ctx;
    struct buf spaced; /* by which no delta is recognised without parsing (delta.h) */
    buf_init(&spaced, data.n + 1);
    buf_adds(&spaced, data);
    buf_addc(&spaced, ' ');
    if (!r->failed)
        r->failed = accumulate(&r->message, name, r->slow ? buf_str(&spaced) : data,
                               &r->err) < 0;
    buf_finish(&spaced);
}

static void feed(struct reader *r, struct str all, size_t piece, bool slow)
{
    struct sse sse;
    *r = (struct reader){.slow = slow};
    sse_init(&sse, 1 << 16);
    accumulator_init(&r->message, &events, r);
    buf_init(&r->shown, 1 << 20);
    for (struct str rest = all; rest.n; rest = str_from(rest, piece)) {
        size_t n = rest.n < piece ? rest.n : piece;
        char *copy = mem_strndup(rest.p, n); /* gone after the call */
        int rc = sse_feed(&sse, (struct str){copy, n}, on_event, r);
        mem_free(copy);
        if (rc < 0)
            break;
    }
    sse_finish(&sse);
}

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_message(const struct message *m)
{
    struct arena a = {0};
    struct json_doc doc, input;
    struct err err;
    check(!memchr(m->content.p, '\n', m->content.n));
    check(json_parse(&doc, &a, m->content, &err) == 0);
    check(json_type(json_root(&doc)) == JSON_ARRAY);
    check(json_len(json_root(&doc)) == m->block_count);
    struct json v = json_first(json_root(&doc));
    for (size_t i = 0; i < m->block_count; i++, v = json_next(v)) {
        const struct message_block *b = &m->blocks[i];
        check(json_type(v) == JSON_OBJECT);
        if (b->type != BLOCK_TOOL_USE)
            continue;
        check(json_type(json_get(v, STR("input"))) == JSON_OBJECT);
        if (!b->input_invalid)
            check(json_parse(&input, &a, b->input, &err) == 0 &&
                  json_equal(json_root(&input), json_get(v, STR("input"))));
    }
    arena_finish(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str all = {(const char *)data, size};
    struct reader one, two;
    feed(&one, all, size ? size : 1, false);
    feed(&two, all, size ? data[0] % 16 + 1u : 1, true);
    check(one.failed == two.failed);
    check(one.message.ended == two.message.ended);
    check(str_eq(buf_str(&one.shown), buf_str(&two.shown)));
    if (one.message.ended) {
        check(str_eq(one.message.message.content, two.message.message.content));
        check_message(&one.message.message);
    }
    accumulator_finish(&one.message);
    accumulator_finish(&two.message);
    buf_finish(&one.shown);
    buf_finish(&two.shown);
    return 0;
}
