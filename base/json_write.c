#include "base/json_write.h"
#include "base/base64.h"
#include "base/scan.h"
#include "base/utf8.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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

void jw_key_any(struct json_writer *w, struct str key)
{
    assert(w->depth > 0 && !w->after_key);
    jw_str(w, key);
    buf_addc(w->b, ':');
    w->after_key = true;
}

/* The letter that stands for a character in an escape of two bytes, or 0. */
static const char short_escape[256] = {
    ['"'] = '"',  ['\\'] = '\\', ['\n'] = 'n', ['\r'] = 'r',
    ['\t'] = 't', ['\b'] = 'b',  ['\f'] = 'f',
};

/* How many bytes of invalid UTF-8 one U+FFFD stands for: the maximal part of a
 * character. */
static size_t bad_bytes(struct str s)
{
    size_t n = 1;
    while (n < s.n && n < 3 && utf8_incomplete_tail((struct str){s.p, n + 1}) == n + 1)
        n++;
    return n;
}

/* Bytes above 0x7f, of which some are no UTF-8: a valid run, or U+FFFD for what is not.
 */
static char *replace_bad(char *to, const char **p, const char *end)
{
    const char *high = *p;
    while (high < end && (unsigned char)*high >= 0x80)
        high++;
    struct str run = {*p, (size_t)(high - *p)};
    size_t good = utf8_valid_prefix(run);
    if (good) {
        memcpy(to, run.p, good);
        *p += good;
        return to + good;
    }
    memcpy(to, "\xef\xbf\xbd", 3);
    *p += bad_bytes(run);
    return to + 3;
}

/* The character at *p that cannot stand as it is, to `to` (6 bytes of room a byte of
 * input). Moves *p behind it and returns the new end of the output. */
static char *escape_one(char *to, const char **p, const char *end)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char c = (unsigned char)**p;
    if (c >= 0x80)
        return replace_bad(to, p, end);
    ++*p;
    *to++ = '\\';
    if (short_escape[c]) {
        *to++ = short_escape[c];
        return to;
    }
    memcpy(to, "u00", 3);
    to[3] = hex[c >> 4];
    to[4] = hex[c & 15];
    return to + 5;
}

/* Room for 6 bytes a byte of input, and SCAN_BLOCK more. */
static char *escape_block(char *to, const char *p, const char *end)
{
    bool valid = utf8_valid((struct str){p, (size_t)(end - p)});
    while (p < end) {
        size_t left = (size_t)(end - p);
        size_t run = valid ? scan_copy(to, p, left, SCAN_STRING)
                           : scan_copy(to, p, left, SCAN_STRING | SCAN_HIGH);
        to += run;
        p += run;
        if (p < end)
            to = escape_one(to, &p, end);
    }
    return to;
}

enum { BLOCK = 8192 };

/* A block ends between characters, so that none is taken for two broken halves. */
static size_t block_length(struct str s)
{
    size_t n = s.n < BLOCK ? s.n : BLOCK;
    return n == s.n ? n : n - utf8_incomplete_tail((struct str){s.p, n});
}

/* Near the buffer's maximum: only what is really needed is asked for. */
static void escape_exactly(struct buf *b, struct str s)
{
    char room[6 * 256 + SCAN_BLOCK];
    b->overflow = false;
    while (s.n && !b->overflow) {
        size_t n = s.n < 256 ? s.n : 256;
        if (n < s.n)
            n -= utf8_incomplete_tail((struct str){s.p, n});
        buf_add(b, room, (size_t)(escape_block(room, s.p, s.p + n) - room));
        s = str_from(s, n);
    }
}

void json_escape(struct buf *b, struct str s)
{
    if (b->overflow)
        return;
    size_t likely = s.n + s.n / 8; /* grow once, not by doubling */
    if (s.n > BLOCK && likely <= b->max - b->n)
        buf_reserve(b, likely);
    while (s.n) {
        size_t n = block_length(s);
        char *to = buf_reserve(b, 6 * n + SCAN_BLOCK);
        if (!to) {
            escape_exactly(b, s);
            return;
        }
        b->n += (size_t)(escape_block(to, s.p, s.p + n) - to);
        s = str_from(s, n);
    }
}

size_t json_escaped_len(struct str s)
{
    char room[6 * 256 + SCAN_BLOCK];
    size_t total = 0;
    while (s.n) {
        size_t n = s.n < 256 ? s.n : 256;
        if (n < s.n)
            n -= utf8_incomplete_tail((struct str){s.p, n});
        total += (size_t)(escape_block(room, s.p, s.p + n) - room);
        s = str_from(s, n);
    }
    return total;
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
            while ((i = scan(raw.p, i, raw.n, SCAN_STRING)) < raw.n && raw.p[i] == '\\')
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

void jw_key_time(struct json_writer *w, const char *key, uint64_t unix_ms)
{
    char day[40], text[64];
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm t = {0};
    gmtime_r(&seconds, &t);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(text, sizeof text, "%s.%03uZ", day, (unsigned)(unix_ms % 1000));
    jw_key_cstr(w, key, text);
}

void jw_key_list(struct json_writer *w, const char *key, const struct str *list,
                 size_t count)
{
    if (!count)
        return;
    jw_key(w, key);
    jw_array(w);
    for (size_t i = 0; i < count; i++)
        jw_str(w, list[i]);
    jw_end_array(w);
}
