#include "agent/model/block.h"
#include "agent/model/surrogates.h"
#include "base/mem.h"
#include <ctype.h>
#include <stdio.h>

#define INPUT "input", STR_INIT("input_json_delta"), STR_INIT("partial_json"), true
static const struct block_kind kinds[] = {
    {STR_INIT("text"),
     BLOCK_TEXT,
     "text",
     STR_INIT("text_delta"),
     STR_INIT("text"),
     false,
     STR_INIT(""),
     {0}},
    {STR_INIT("thinking"),
     BLOCK_THINKING,
     "thinking",
     STR_INIT("thinking_delta"),
     STR_INIT("thinking"),
     false,
     STR_INIT("signature_delta"),
     {"signature"}},
    {STR_INIT("tool_use"), BLOCK_TOOL_USE, INPUT, STR_INIT(""), {"id"}},
    /* Tools that the API runs by itself: their calls grow in the same way. */
    {STR_INIT("server_tool_use"), BLOCK_OTHER, INPUT, STR_INIT(""), {0}},
    {STR_INIT("mcp_tool_use"), BLOCK_OTHER, INPUT, STR_INIT(""), {0}},
    {STR_INIT("compaction"),
     BLOCK_COMPACTION,
     NULL,
     STR_INIT(""),
     STR_INIT(""),
     false,
     STR_INIT("compaction_delta"),
     {"content", "encrypted_content"}},
};
#undef INPUT
static const struct block_kind unknown = {.type = BLOCK_OTHER};

static const struct block_kind *kind_of(struct json start)
{
    struct json type = json_get(start, STR("type"));
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (json_str_is(type, kinds[i].name))
            return &kinds[i];
    return &unknown;
}

struct block *block_new(int64_t index, struct json start)
{
    struct block *b = mem_new(struct block);
    struct json_writer w;
    b->index = index;
    b->kind = kind_of(start);
    buf_init(&b->start, MESSAGE_MAX);
    buf_init(&b->grown, MESSAGE_MAX);
    buf_init(&b->citations, MESSAGE_MAX);
    for (size_t i = 0; i < BLOCK_SET_MAX; i++)
        buf_init(&b->set[i], MESSAGE_MAX);
    jw_init(&w, &b->start);
    jw_json(&w, start);
    return b;
}

void block_free(struct block *b)
{
    if (!b)
        return;
    buf_finish(&b->start);
    buf_finish(&b->grown);
    buf_finish(&b->citations);
    for (size_t i = 0; i < BLOCK_SET_MAX; i++)
        buf_finish(&b->set[i]);
    mem_free(b);
}

/* The inside of a JSON string, behind what has come of it. */
static void append(struct buf *grown, struct str raw)
{
    if (grown->n == 0)
        buf_addc(grown, '"');
    buf_add(grown, raw.p + 1, raw.n - 2);
}

/* The string that the block began with comes before the pieces. */
static void append_first(struct block *b)
{
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    if (json_parse(&doc, &a, buf_str(&b->start), &err) == 0) {
        struct json first = json_get(json_root(&doc), str_of(b->kind->member));
        if (json_type(first) == JSON_STRING)
            append(&b->grown, json_raw(first));
    }
    arena_finish(&a);
}

static void grow_string(struct block *b, struct json piece, struct str original)
{
    struct str raw = json_raw(piece);
    if (json_type(piece) == JSON_STRING)
        block_grow_by(b, (struct str){original.p + (raw.p - piece.doc->text.p), raw.n});
}

void block_grow_by(struct block *b, struct str piece)
{
    if (b->grown.n == 0 && !b->kind->is_input)
        append_first(b);
    append(&b->grown, piece);
}

static void set_members(struct block *b, struct json delta)
{
    struct json_writer w;
    for (size_t i = 0; i < BLOCK_SET_MAX && b->kind->set[i]; i++) {
        struct json v = json_get(delta, str_of(b->kind->set[i]));
        if (!json_present(v))
            continue;
        buf_reset(&b->set[i], 4096);
        jw_init(&w, &b->set[i]);
        jw_json(&w, v);
    }
}

void block_grow(struct block *b, struct json delta, struct str original)
{
    struct json type = json_get(delta, STR("type"));
    struct json_writer w;
    if (b->kind->member && json_str_is(type, b->kind->delta)) {
        grow_string(b, json_get(delta, b->kind->piece), original);
    } else if (b->kind->set_delta.n && json_str_is(type, b->kind->set_delta)) {
        set_members(b, delta);
    } else if (b->kind->type == BLOCK_TEXT &&
               json_str_is(type, STR("citations_delta")) &&
               json_present(json_get(delta, STR("citation")))) {
        buf_addc(&b->citations, ',');
        jw_init(&w, &b->citations);
        jw_json(&w, json_get(delta, STR("citation")));
    }
}

/* Ends the string that grew. A half of a surrogate pair whose other half never came
 * would make the whole history invalid. */
static struct json end_string(struct block *b, struct arena *kept)
{
    struct json_doc *doc = arena_alloc(kept, sizeof *doc);
    struct err err;
    buf_addc(&b->grown, '"');
    surrogates_mend(b->grown.p, b->grown.n);
    return json_parse(doc, kept, buf_str(&b->grown), &err) == 0 ? json_root(doc)
                                                                : (struct json){0};
}

static bool is_blank(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!strchr(" \t\r\n", s.p[i]))
            return false;
    return true;
}

struct str block_one_line(struct json v, struct arena *kept)
{
    struct buf b;
    struct json_writer w;
    buf_init(&b, MESSAGE_MAX);
    jw_init(&w, &b);
    jw_json(&w, v);
    struct str line = arena_dup(kept, buf_str(&b));
    buf_finish(&b);
    return line;
}

/* Deep input would make a history that is too deep for its readers. */
static bool is_deep(struct str json)
{
    int depth = 0;
    for (size_t i = 0; i < json.n; i++) {
        char c = json.p[i];
        if (c == '{' || c == '[') {
            if (++depth > BLOCK_INPUT_DEPTH_MAX)
                return true;
        } else if (c == '}' || c == ']') {
            depth--;
        } else if (c == '"') {
            while (json.p[++i] != '"')
                i += json.p[i] == '\\';
        }
    }
    return false;
}

/* What the tool is called with: what came in pieces, else what the block began with,
 * else nothing. */
static void read_input(struct block *b, struct json first, struct message_block *to,
                       struct arena *kept)
{
    struct json_doc doc;
    struct err err;
    struct str text =
        b->grown.n ? json_str(end_string(b, kept), kept) : (struct str){0};
    to->input = STR("{}");
    if (is_blank(text)) {
        if (json_type(first) == JSON_OBJECT)
            to->input = block_one_line(first, kept);
    } else if (json_parse(&doc, kept, text, &err) == 0 &&
               json_type(json_root(&doc)) == JSON_OBJECT && !is_deep(text)) {
        to->input = block_one_line(json_root(&doc), kept);
    } else {
        to->input = text;
        to->input_invalid = true;
    }
}

static void write_input(const struct message_block *from, struct json_writer *w)
{
    if (!from->input_invalid) {
        jw_raw(w, from->input);
        return;
    }
    jw_object(w); /* a call that did not run must have an object, too */
    jw_key_str(w, "INVALID_JSON", from->input);
    jw_end_object(w);
}

static void write_citations(struct block *b, struct json first, struct json_writer *w)
{
    jw_array(w);
    for (struct json v = json_first(first); json_present(v); v = json_next(v))
        jw_json(w, v);
    /* behind the first comma, which is the writer's affair */
    jw_raw(w, str_from(buf_str(&b->citations), 1));
    jw_end_array(w);
}

/* The value of a member that is not as it began; false: it is. */
static bool write_changed(struct block *b, struct str key, struct json first,
                          const struct message_block *block, struct json_writer *w)
{
    if (b->kind->is_input && str_eq(key, str_of(b->kind->member))) {
        write_input(block, w);
        return true;
    }
    if (b->kind->member && b->grown.n && str_eq(key, str_of(b->kind->member))) {
        jw_raw(w, buf_str(&b->grown));
        return true;
    }
    for (size_t i = 0; i < BLOCK_SET_MAX; i++)
        if (b->set[i].n && str_eq(key, str_of(b->kind->set[i]))) {
            jw_raw(w, buf_str(&b->set[i]));
            return true;
        }
    if (b->citations.n && str_eq(key, STR("citations"))) {
        write_citations(b, first, w);
        return true;
    }
    return false;
}

/* Members that the block did not begin with. */
static void write_missing(struct block *b, struct json start,
                          const struct message_block *block, struct json_writer *w)
{
    const char *names[] = {b->kind->member, b->kind->set[0], b->kind->set[1],
                           "citations"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        bool came = i == 0   ? b->grown.n || b->kind->is_input
                    : i == 3 ? b->citations.n > 0
                             : b->set[i - 1].n > 0;
        if (!names[i] || !came || json_present(json_get(start, str_of(names[i]))))
            continue;
        jw_key(w, names[i]);
        write_changed(b, str_of(names[i]), (struct json){0}, block, w);
    }
}

static void write_block(struct block *b, struct json start,
                        const struct message_block *block, struct json_writer *w)
{
    struct arena a = {0};
    jw_object(w);
    for (struct json k = json_first(start); json_present(k); k = json_next(k)) {
        struct str key = json_str(k, &a);
        jw_key_any(w, key);
        if (!write_changed(b, key, json_value(k), block, w))
            jw_json(w, json_value(k));
    }
    write_missing(b, start, block, w);
    jw_end_object(w);
    arena_finish(&a);
}

/* A call without an id could not be answered (small servers leave it out). */
static struct str own_id(struct block *b, struct str message_id, struct arena *kept)
{
    enum { OF_MESSAGE = 60 };
    struct json_writer w;
    char id[OF_MESSAGE + 40] = "toolu_";
    size_t n = strlen(id);
    for (size_t i = 0; i < message_id.n && i < OF_MESSAGE; i++)
        id[n++] =
            (char)(isalnum((unsigned char)message_id.p[i]) ? message_id.p[i] : '_');
    snprintf(id + n, sizeof id - n, "_%lld", (long long)b->index);
    jw_init(&w, &b->set[0]);
    jw_cstr(&w, id);
    return arena_dup(kept, str_of(id));
}

static struct str compacted(struct block *b, struct json start, struct arena *kept)
{
    struct json_doc doc;
    struct err err;
    if (b->set[0].n && json_parse(&doc, kept, buf_str(&b->set[0]), &err) == 0)
        return json_str(json_root(&doc), kept);
    return json_str(json_get(start, STR("content")), kept);
}

void block_end(struct block *b, struct json_writer *w, struct message_block *ret_block,
               struct str message_id, struct arena *kept)
{
    struct json_doc doc;
    struct err err;
    struct json start = {0};
    if (json_parse(&doc, kept, buf_str(&b->start), &err) == 0)
        start = json_root(&doc);
    *ret_block = (struct message_block){.type = b->kind->type};
    switch (b->kind->type) {
    case BLOCK_TOOL_USE:
        ret_block->id = json_str(json_get(start, STR("id")), kept);
        if (ret_block->id.n == 0)
            ret_block->id = own_id(b, message_id, kept);
        ret_block->name = json_str(json_get(start, STR("name")), kept);
        break;
    case BLOCK_TEXT:
    case BLOCK_THINKING:
        ret_block->text = json_str(
            b->grown.n ? end_string(b, kept) : json_get(start, str_of(b->kind->member)),
            kept);
        break;
    case BLOCK_COMPACTION:
        ret_block->text = compacted(b, start, kept);
        break;
    case BLOCK_OTHER:
        break;
    }
    if (b->kind->is_input)
        read_input(b, json_get(start, STR("input")), ret_block, kept);
    write_block(b, start, ret_block, w);
}
