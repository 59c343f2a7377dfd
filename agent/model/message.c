#include "agent/model/message.h"
#include "agent/model/api_error.h"
#include "agent/model/block.h"
#include "agent/model/delta.h"
#include "agent/model/surrogates.h"
#include "base/json_strict.h"
#include "base/mem.h"
#include "base/utf8.h"

enum { KEEP_BYTES = 64 * 1024 };

void accumulator_init(struct accumulator *a, const struct message_events *events,
                      void *ctx)
{
    *a = (struct accumulator){.events = events, .ctx = ctx};
    buf_init(&a->mended, 3 * (size_t)MESSAGE_EVENT_MAX);
    buf_init(&a->cleaned, 3 * (size_t)MESSAGE_EVENT_MAX);
    buf_init(&a->content, 2 * (size_t)MESSAGE_MAX);
}

void accumulator_finish(struct accumulator *a)
{
    for (size_t i = 0; i < a->block_count; i++)
        block_free(a->blocks[i]);
    mem_free(a->blocks);
    arena_finish(&a->scratch);
    arena_finish(&a->kept);
    buf_finish(&a->mended);
    buf_finish(&a->cleaned);
    buf_finish(&a->content);
    *a = (struct accumulator){0};
}

static int broken(struct err *err, const char *what)
{
    err_set(err, ERR_PROTOCOL, "the model's server sends a stream that is none: %s",
            what);
    return err_remedy(err, "is this the base URL of a server that speaks the Messages "
                           "API?");
}

/* The block of this index, or where it belongs: *ret_at. */
static struct block *find_block(const struct accumulator *a, int64_t index,
                                size_t *ret_at)
{
    size_t at = a->block_count; /* nearly always the last one */
    while (at > 0 && a->blocks[at - 1]->index > index)
        at--;
    *ret_at = at;
    return at > 0 && a->blocks[at - 1]->index == index ? a->blocks[at - 1] : NULL;
}

static void insert_block(struct accumulator *a, size_t at, struct block *b)
{
    if (a->block_count == a->block_room) {
        a->block_room = a->block_room ? 2 * a->block_room : 8;
        a->blocks = mem_realloc(a->blocks, a->block_room * sizeof a->blocks[0]);
    }
    memmove(a->blocks + at + 1, a->blocks + at,
            (a->block_count - at) * sizeof a->blocks[0]);
    a->blocks[at] = b;
    a->block_count++;
}

/* Counts are cumulative: what is there, and not null, is the whole number. */
static void take_count(struct json usage, struct str name, int64_t *to)
{
    int64_t n;
    if (json_i64(json_get(usage, name), &n) && n >= 0)
        *to = n;
}

static void read_usage(struct json from, struct usage *u)
{
    take_count(from, STR("input_tokens"), &u->input);
    take_count(from, STR("output_tokens"), &u->output);
    take_count(from, STR("cache_creation_input_tokens"), &u->cache_write);
    take_count(from, STR("cache_read_input_tokens"), &u->cache_read);
    take_count(json_get(from, STR("cache_creation")), STR("ephemeral_1h_input_tokens"),
               &u->cache_write_1h);
    take_count(json_get(from, STR("output_tokens_details")), STR("thinking_tokens"),
               &u->thinking);
}

/* What the API's own summaries cost is not in the counts above. */
static void read_compactions(struct accumulator *a, struct json usage)
{
    struct json iterations = json_get(usage, STR("iterations"));
    if (json_type(iterations) != JSON_ARRAY)
        return;
    a->compactions = (struct usage){0};
    for (struct json v = json_first(iterations); json_present(v); v = json_next(v))
        if (json_str_is(json_get(v, STR("type")), STR("compaction"))) {
            struct usage one = {0};
            read_usage(v, &one);
            usage_add(&a->compactions, &one);
        }
}

static void take_usage(struct accumulator *a, struct json usage)
{
    read_usage(usage, &a->counted);
    read_compactions(a, usage);
}

static int on_start(struct accumulator *a, struct json event, struct err *err)
{
    struct json message = json_get(event, STR("message"));
    if (a->started)
        return broken(err, "a second message_start");
    if (json_type(message) != JSON_OBJECT)
        return broken(err, "message_start without a message");
    a->started = true;
    a->message.id =
        arena_dup(&a->kept, json_str(json_get(message, STR("id")), &a->scratch));
    a->message.model =
        arena_dup(&a->kept, json_str(json_get(message, STR("model")), &a->scratch));
    take_usage(a, json_get(message, STR("usage")));
    return 0;
}

static int on_block_start(struct accumulator *a, struct json event, struct err *err)
{
    struct json start = json_get(event, STR("content_block"));
    int64_t index;
    size_t at;
    if (!json_i64(json_get(event, STR("index")), &index) || index < 0 ||
        json_type(start) != JSON_OBJECT)
        return broken(err, "content_block_start without a block");
    if (find_block(a, index, &at))
        return broken(err, "two blocks with one index");
    if (a->block_count == MESSAGE_BLOCKS_MAX)
        return err_set(err, ERR_LIMIT, "the model's message has over %d blocks",
                       MESSAGE_BLOCKS_MAX);
    struct block *b = block_new(index, start);
    insert_block(a, at, b);
    if (b->kind->type == BLOCK_TOOL_USE)
        a->events->tool(a->ctx, json_str(json_get(start, STR("name")), &a->scratch));
    return 0;
}

static void show(struct accumulator *a, const struct block *b, struct str text)
{
    if (text.n == 0 || b->kind->is_input)
        return;
    if (b->kind->type == BLOCK_TEXT)
        a->events->text(a->ctx, text);
    else
        a->events->thinking(a->ctx, text);
}

/* A delta that is recognised by its bytes; false: it must be looked at as a whole. */
static bool on_quick_delta(struct accumulator *a, struct str data)
{
    struct delta delta;
    struct json_shape shape;
    struct json_doc doc;
    struct err err;
    size_t at;
    if (!a->started || a->ended || !delta_read(data, &delta) ||
        json_strict(delta.piece, &shape, &err) < 0 || shape.tokens != 1)
        return false;
    struct block *b = find_block(a, delta.index, &at);
    if (!b || !b->kind->member || !str_eq(delta.type, b->kind->delta))
        return false;
    struct str text = {delta.piece.p + 1, delta.piece.n - 2};
    block_grow_by(b, delta.piece);
    if (!b->kind->is_input && str_find(text, '\\') >= 0)
        text = json_parse(&doc, &a->scratch, delta.piece, &err) == 0
                   ? json_str(json_root(&doc), &a->scratch)
                   : (struct str){0};
    show(a, b, text);
    return true;
}

static int on_delta(struct accumulator *a, struct json event, struct str original,
                    struct err *err)
{
    struct json delta = json_get(event, STR("delta"));
    int64_t index;
    size_t at;
    struct block *b = NULL;
    if (json_i64(json_get(event, STR("index")), &index))
        b = find_block(a, index, &at);
    if (!b)
        return broken(err, "a delta of a block that has not begun");
    block_grow(b, delta, original);
    if (b->kind->member && json_str_is(json_get(delta, STR("type")), b->kind->delta))
        show(a, b, json_str(json_get(delta, b->kind->piece), &a->scratch));
    return 0;
}

static enum stop_reason stop_of(struct str text)
{
    static const struct {
        struct str text;
        enum stop_reason stop;
    } rows[] = {
        {STR_INIT("end_turn"), STOP_END_TURN},
        {STR_INIT("tool_use"), STOP_TOOL_USE},
        {STR_INIT("max_tokens"), STOP_MAX_TOKENS},
        {STR_INIT("stop_sequence"), STOP_SEQUENCE},
        {STR_INIT("pause_turn"), STOP_PAUSE_TURN},
        {STR_INIT("refusal"), STOP_REFUSAL},
        {STR_INIT("model_context_window_exceeded"), STOP_CONTEXT_FULL},
        {STR_INIT("compaction"), STOP_COMPACTION},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (str_eq(text, rows[i].text))
            return rows[i].stop;
    return STOP_UNKNOWN;
}

static void on_message_delta(struct accumulator *a, struct json event)
{
    struct json delta = json_get(event, STR("delta")), v;
    struct message *m = &a->message;
    if (json_type(v = json_get(delta, STR("stop_reason"))) == JSON_STRING) {
        m->stop_text = arena_dup(&a->kept, json_str(v, &a->scratch));
        m->stop = stop_of(m->stop_text);
    }
    if (json_type(v = json_get(delta, STR("stop_sequence"))) == JSON_STRING)
        m->stop_sequence = arena_dup(&a->kept, json_str(v, &a->scratch));
    if (json_type(v = json_get(delta, STR("stop_details"))) == JSON_OBJECT)
        m->stop_details = block_one_line(v, &a->kept);
    take_usage(a, json_get(event, STR("usage")));
}

static int on_stop(struct accumulator *a, struct err *err)
{
    struct json_writer w;
    size_t count = a->block_count;
    struct message_block *blocks = arena_zalloc(&a->kept, (count + 1) * sizeof *blocks);
    jw_init(&w, &a->content);
    jw_array(&w);
    for (size_t i = 0; i < count; i++)
        block_end(a->blocks[i], &w, &blocks[i], a->message.id, &a->kept);
    jw_end_array(&w);
    if (a->content.overflow)
        return err_set(err, ERR_LIMIT, "the model's message is over %d MiB",
                       MESSAGE_MAX >> 20);
    a->message.content = buf_str(&a->content);
    a->message.blocks = blocks;
    a->message.block_count = count;
    a->message.usage = a->counted;
    usage_add(&a->message.usage, &a->compactions);
    a->ended = true;
    return 0;
}

static int on_error(struct accumulator *a, struct json event, struct err *err)
{
    struct json error = json_get(event, STR("error"));
    struct json type = json_get(json_present(error) ? error : event, STR("type"));
    a->again = api_error_is_passing(json_str(type, &a->scratch), 0);
    return api_error(err, 0, event, a->message.request_id, NULL);
}

/* Parses an event's data, mended where a surrogate pair was cut in two. */
static int parse(struct accumulator *a, struct str data, struct json_doc *doc,
                 struct err *err)
{
    if (json_parse(doc, &a->scratch, data, err) == 0)
        return 0;
    buf_reset(&a->mended, KEEP_BYTES);
    buf_adds(&a->mended, data);
    if (a->mended.overflow || !surrogates_mend(a->mended.p, a->mended.n))
        return -1;
    return json_parse(doc, &a->scratch, buf_str(&a->mended), err);
}

/* Servers of small models cut characters, too: what is no UTF-8 becomes U+FFFD, as the
 * official SDK has it. */
static struct str clean(struct accumulator *a, struct str data)
{
    buf_reset(&a->cleaned, KEEP_BYTES);
    while (data.n) {
        size_t n = utf8_valid_prefix(data);
        buf_add(&a->cleaned, data.p, n);
        data = str_from(data, n);
        if (data.n)
            buf_addz(&a->cleaned, "\xef\xbf\xbd");
        data = str_from(data, 1);
    }
    return buf_str(&a->cleaned);
}

/* Events without a name are of servers that leave it out, or no events of the API's
 * ("[DONE]"). Those with an unknown one may hold anything. */
static bool is_ours(struct str name)
{
    return name.n == 0 || str_starts(name, STR("message_")) ||
           str_starts(name, STR("content_block_")) || str_eq(name, STR("error"));
}

static int dispatch(struct accumulator *a, struct str name, struct json event,
                    struct str data, struct err *err)
{
    struct json type = json_get(event, STR("type"));
    if (json_str_is(type, STR("message_start")))
        return on_start(a, event, err);
    if (a->ended)
        return 0;
    if (str_eq(name, STR("error")) || json_str_is(type, STR("error")))
        return on_error(a, event, err);
    if (json_str_is(type, STR("ping")))
        return 0;
    if (!a->started)
        return name.n ? broken(err, "no message_start before other events") : 0;
    if (json_str_is(type, STR("content_block_delta")))
        return on_delta(a, event, data, err);
    if (json_str_is(type, STR("content_block_start")))
        return on_block_start(a, event, err);
    if (json_str_is(type, STR("message_delta")))
        on_message_delta(a, event);
    else if (json_str_is(type, STR("message_stop")))
        return on_stop(a, err);
    return 0; /* content_block_stop: blocks end with the message */
}

int accumulate(struct accumulator *a, struct str name, struct str data, struct err *err)
{
    struct json_doc doc;
    struct err why;
    if (!is_ours(name))
        return 0;
    a->bytes += data.n;
    if (a->bytes > MESSAGE_MAX)
        return err_set(err, ERR_LIMIT, "the model's message is over %d MiB",
                       MESSAGE_MAX >> 20);
    arena_reset(&a->scratch);
    if (on_quick_delta(a, data))
        return 0;
    if (parse(a, data, &doc, &why) < 0 &&
        (utf8_valid(data) || parse(a, data = clean(a, data), &doc, &why) < 0))
        return name.n ? broken(err, why.msg) : 0;
    return dispatch(a, name, json_root(&doc), data, err);
}
