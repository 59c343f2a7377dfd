#include "agent/result.h"
#include "base/base64.h"
#include "base/mem.h"
#include "base/utf8.h"

/* One result under way. */
struct writing {
    struct json_writer *w;
    struct arena *a;
    size_t room; /* for text that may still come */
    unsigned images;
    bool failed; /* the API wants errors to be text only */
    bool empty;
    struct result_facts *facts;
};

/* Servers of small models do not pass is_error on: the text says it, too. */
static void add_text_block(struct writing *r, struct str text)
{
    struct buf marked;
    buf_init(&marked, text.n + 16);
    if (r->failed && r->empty)
        buf_addz(&marked, "Error: ");
    buf_adds(&marked, text);
    r->empty = false;
    jw_object(r->w);
    jw_key_cstr(r->w, "type", "text");
    jw_key_str(r->w, "text", buf_str(&marked));
    jw_end_object(r->w);
    buf_finish(&marked);
}

/* The API refuses text that shows nothing. */
static bool is_blank(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!strchr(" \t\r\n\f\v", text.p[i]) || !text.p[i])
            return false;
    return true;
}

/* The end of s, from a character on. */
static struct str tail_of(struct str s, size_t bytes)
{
    struct str tail = str_from(s, s.n - bytes);
    while (tail.n && (tail.p[0] & 0xc0) == 0x80)
        tail = str_from(tail, 1);
    return tail;
}

/* What is too long loses its middle: how it began and how it ended tells most. */
static void add_text(struct writing *r, struct str text)
{
    r->facts->bytes += text.n;
    if (is_blank(text))
        return;
    if (text.n <= r->room) {
        r->room -= text.n;
        add_text_block(r, text);
        return;
    }
    struct str head = {text.p, r->room / 2};
    head.n = utf8_valid_prefix(head);
    struct str tail = tail_of(text, r->room - r->room / 2);
    struct buf cut;
    buf_init(&cut, RESULT_TEXT_MAX + 200);
    buf_adds(&cut, head);
    buf_addf(&cut, "\n[... %zu bytes left out ...]\n", text.n - head.n - tail.n);
    buf_adds(&cut, tail);
    add_text_block(r, buf_str(&cut));
    buf_finish(&cut);
    r->room = 0;
}

static void add_note(struct writing *r, const char *what, struct str of)
{
    struct buf text;
    buf_init(&text, 4096);
    buf_addf(&text, "[%s%s%.*s]", what, of.n ? " " : "", of.n > 1000 ? 1000 : (int)of.n,
             of.p ? of.p : "");
    add_text_block(r, buf_str(&text));
    buf_finish(&text);
}

static bool is_image(struct str type)
{
    return str_eq(type, STR("image/png")) || str_eq(type, STR("image/jpeg")) ||
           str_eq(type, STR("image/gif")) || str_eq(type, STR("image/webp"));
}

/* Is it base64 without line breaks, as the API wants it? */
static bool is_base64(struct str data)
{
    for (size_t i = 0; i < data.n; i++) {
        char c = data.p[i];
        bool good = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                    (c >= '0' && c <= '9') || c == '+' || c == '/' || c == '=';
        if (!good)
            return false;
    }
    return data.n > 0;
}

static void add_data(struct writing *r, const char *block, struct str type,
                     struct str data)
{
    r->facts->bytes += data.n / 4 * 3;
    if (r->failed || !is_base64(data)) {
        add_note(r, r->failed ? "left out of an error:" : "not base64:", type);
    } else if (data.n > RESULT_DATA_MAX || r->images == RESULT_IMAGES_MAX) {
        add_note(r, "left out, too much data:", type);
    } else {
        r->images++;
        r->empty = false;
        jw_object(r->w);
        jw_key_cstr(r->w, "type", block);
        jw_key(r->w, "source");
        jw_object(r->w);
        jw_key_cstr(r->w, "type", "base64");
        jw_key_str(r->w, "media_type", type);
        jw_key_str(r->w, "data", data);
        jw_end_object(r->w);
        jw_end_object(r->w);
    }
}

static void add_resource(struct writing *r, struct json resource)
{
    struct json text = json_get(resource, STR("text"));
    struct str uri = json_str(json_get(resource, STR("uri")), r->a);
    struct str type = json_str(json_get(resource, STR("mimeType")), r->a);
    struct str blob = json_str(json_get(resource, STR("blob")), r->a);
    if (json_type(text) == JSON_STRING)
        add_text(r, json_str(text, r->a));
    else if (is_image(type))
        add_data(r, "image", type, blob);
    else if (str_eq(type, STR("application/pdf")))
        add_data(r, "document", type, blob);
    else
        add_note(r, "binary resource", uri);
}

static void add_item(struct writing *r, struct json item)
{
    struct json type = json_get(item, STR("type"));
    struct str mime = json_str(json_get(item, STR("mimeType")), r->a);
    if (json_str_is(type, STR("text"))) {
        add_text(r, json_str(json_get(item, STR("text")), r->a));
    } else if (json_str_is(type, STR("image"))) {
        if (is_image(mime))
            add_data(r, "image", mime, json_str(json_get(item, STR("data")), r->a));
        else
            add_note(r, "an image that cannot be shown:", mime);
    } else if (json_str_is(type, STR("resource"))) {
        add_resource(r, json_get(item, STR("resource")));
    } else if (json_str_is(type, STR("resource_link"))) {
        add_note(r, "resource_link", json_str(json_get(item, STR("uri")), r->a));
    } else if (json_str_is(type, STR("audio"))) {
        add_note(r, "audio that cannot be heard:", mime);
    } else {
        add_note(r, "content of an unknown type:", json_str(type, r->a));
    }
}

static void begin(struct writing *r, struct str tool_use_id)
{
    r->empty = true;
    r->facts->failed = r->failed;
    jw_object(r->w);
    jw_key_cstr(r->w, "type", "tool_result");
    jw_key_str(r->w, "tool_use_id", tool_use_id);
    if (r->failed)
        jw_key_bool(r->w, "is_error", true);
    jw_key(r->w, "content");
    jw_array(r->w);
}

static void end(struct writing *r)
{
    jw_end_array(r->w);
    jw_end_object(r->w);
}

static void take_exit(struct json structured, struct result_facts *facts)
{
    int64_t code;
    facts->has_exit = json_i64(json_get(structured, STR("exitCode")), &code) &&
                      code >= 0 && code <= 255;
    if (facts->has_exit)
        facts->exit_code = (int)code;
}

void result_write(struct json_writer *w, struct str tool_use_id, struct json result,
                  struct result_facts *ret_facts)
{
    struct arena a = {0};
    struct json content = json_get(result, STR("content"));
    struct json structured = json_get(result, STR("structuredContent"));
    *ret_facts = (struct result_facts){0};
    struct writing r = {
        .w = w,
        .a = &a,
        .room = RESULT_TEXT_MAX,
        .failed = json_is_true(json_get(result, STR("isError"))),
        .facts = ret_facts,
    };
    begin(&r, tool_use_id);
    for (struct json item = json_first(content); json_present(item);
         item = json_next(item))
        add_item(&r, item);
    if (r.empty && json_type(structured) == JSON_OBJECT)
        add_text(&r, json_raw(structured));
    else if (r.empty)
        add_text_block(&r, STR("(no output)"));
    take_exit(structured, ret_facts);
    end(&r);
    arena_finish(&a);
}

void result_write_error(struct json_writer *w, struct str tool_use_id, struct str why,
                        struct result_facts *ret_facts)
{
    struct buf text;
    *ret_facts = (struct result_facts){.failed = true, .bytes = why.n};
    buf_init(&text, why.n + 16);
    buf_addz(&text, "Error: ");
    buf_adds(&text, why);
    jw_object(w);
    jw_key_cstr(w, "type", "tool_result");
    jw_key_str(w, "tool_use_id", tool_use_id);
    jw_key_bool(w, "is_error", true);
    jw_key_str(w, "content", buf_str(&text));
    jw_end_object(w);
    buf_finish(&text);
}
