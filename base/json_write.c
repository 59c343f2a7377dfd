#include "base/json_write.h"
#include "base/base64.h"
#include "base/json_strict.h"
#include "base/utf8.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void jw_init(struct json_writer *w, struct buf *b)
{
    *w = (struct json_writer){.b = b};
}

/* Before every value: the comma that is due. */
static void before(struct json_writer *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->need_comma[w->depth])
        buf_addc(w->b, ',');
    w->need_comma[w->depth] = true;
}

static void open_container(struct json_writer *w, char c)
{
    before(w);
    buf_addc(w->b, c);
    assert(w->depth + 1 < JSON_WRITE_DEPTH_MAX);
    w->need_comma[++w->depth] = false;
}

static void close_container(struct json_writer *w, char c)
{
    assert(w->depth > 0 && !w->after_key);
    w->depth--;
    buf_addc(w->b, c);
}

void jw_object(struct json_writer *w)
{
    open_container(w, '{');
}

void jw_end_object(struct json_writer *w)
{
    close_container(w, '}');
}

void jw_array(struct json_writer *w)
{
    open_container(w, '[');
}

void jw_end_array(struct json_writer *w)
{
    close_container(w, ']');
}

void jw_key(struct json_writer *w, const char *key)
{
    assert(w->depth > 0 && !w->after_key);
    before(w);
    buf_addc(w->b, '"');
    buf_addz(w->b, key);
    buf_add(w->b, "\":", 2);
    w->after_key = true;
}

static const char *short_escape(unsigned char c)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    default:
        return NULL;
    }
}

/* How many bytes of invalid UTF-8 one U+FFFD stands for: the maximal part of a
 * character. */
static size_t bad_bytes(struct str s)
{
    size_t n = 1;
    while (n < s.n && n < 3 && utf8_incomplete_tail((struct str){s.p, n + 1}) == n + 1)
        n++;
    return n;
}

/* The character at s.p that cannot stand as it is; returns how many bytes it took. */
static size_t escape_one(struct buf *b, struct str s)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char c = (unsigned char)*s.p;
    if (c >= 0x80) {
        size_t end = 1;
        while (end < s.n && (unsigned char)s.p[end] >= 0x80)
            end++;
        size_t good = utf8_valid_prefix((struct str){s.p, end});
        if (good) {
            buf_add(b, s.p, good);
            return good;
        }
        buf_add(b, "\xef\xbf\xbd", 3);
        return bad_bytes((struct str){s.p, end});
    }
    const char *brief = short_escape(c);
    if (brief) {
        buf_add(b, brief, 2);
    } else {
        char full[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        buf_add(b, full, sizeof full);
    }
    return 1;
}

void json_escape(struct buf *b, struct str s)
{
    size_t i = 0;
    while (i < s.n && !b->overflow) {
        size_t run = json_plain_run(s.p, i, s.n, 1);
        buf_add(b, s.p + i, run - i);
        i = run;
        if (i < s.n)
            i += escape_one(b, str_from(s, i));
    }
}

size_t json_escaped_len(struct str s)
{
    size_t n = 0, i = 0;
    char room[2048];
    while (i < s.n) {
        size_t run = json_plain_run(s.p, i, s.n, 1);
        n += run - i;
        i = run;
        if (i >= s.n)
            break;
        struct str rest = {s.p + i, s.n - i < sizeof room ? s.n - i : sizeof room};
        struct buf b = {.p = room, .cap = sizeof room, .max = sizeof room};
        i += escape_one(&b, rest);
        n += b.n;
    }
    return n;
}

void jw_str(struct json_writer *w, struct str s)
{
    before(w);
    buf_addc(w->b, '"');
    json_escape(w->b, s);
    buf_addc(w->b, '"');
}

void jw_cstr(struct json_writer *w, const char *s)
{
    jw_str(w, str_of(s));
}

void jw_u64(struct json_writer *w, uint64_t v)
{
    char text[20];
    size_t at = sizeof text;
    before(w);
    do
        text[--at] = (char)('0' + v % 10);
    while (v /= 10);
    buf_add(w->b, text + at, sizeof text - at);
}

void jw_i64(struct json_writer *w, int64_t v)
{
    if (v >= 0) {
        jw_u64(w, (uint64_t)v);
        return;
    }
    before(w);
    buf_addf(w->b, "%lld", (long long)v);
}

void jw_f64(struct json_writer *w, double v)
{
    char text[40];
    before(w);
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    buf_addz(w->b, text);
}

void jw_bool(struct json_writer *w, bool v)
{
    before(w);
    buf_addz(w->b, v ? "true" : "false");
}

void jw_null(struct json_writer *w)
{
    before(w);
    buf_add(w->b, "null", 4);
}

void jw_base64(struct json_writer *w, struct str bytes)
{
    before(w);
    buf_addc(w->b, '"');
    base64_encode(w->b, bytes);
    buf_addc(w->b, '"');
}

void jw_raw(struct json_writer *w, struct str json)
{
    before(w);
    buf_adds(w->b, json);
}

/* Tokens of a checked text, with the white space between them left out. */
void jw_json(struct json_writer *w, struct json v)
{
    struct str raw = json_raw(v);
    before(w);
    for (size_t i = 0; i < raw.n;) {
        char c = raw.p[i];
        size_t from = i++;
        if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
            continue;
        if (c == '"') {
            while ((i = json_plain_run(raw.p, i, raw.n, 0)) < raw.n && raw.p[i] == '\\')
                i += 2;
            i++;
        }
        buf_add(w->b, raw.p + from, i - from);
    }
}

void jw_key_str(struct json_writer *w, const char *key, struct str s)
{
    jw_key(w, key);
    jw_str(w, s);
}

void jw_key_cstr(struct json_writer *w, const char *key, const char *s)
{
    jw_key(w, key);
    jw_cstr(w, s);
}

void jw_key_i64(struct json_writer *w, const char *key, int64_t v)
{
    jw_key(w, key);
    jw_i64(w, v);
}

void jw_key_bool(struct json_writer *w, const char *key, bool v)
{
    jw_key(w, key);
    jw_bool(w, v);
}

void jw_key_raw(struct json_writer *w, const char *key, struct str json)
{
    jw_key(w, key);
    jw_raw(w, json);
}
