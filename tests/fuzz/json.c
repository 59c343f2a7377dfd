/* The JSON layer on arbitrary bytes: whatever parses is walked, written and parsed
 * again, and must be equal; strings, UTF-8 and base64 take the raw bytes. */
#include "base/base64.h"
#include "base/json_write.h"
#include "base/utf8.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void walk(struct json v, struct arena *a)
{
    enum json_type type = json_type(v);
    int64_t i;
    double d;
    json_i64(v, &i);
    json_f64(v, &d);
    struct str whole = json_str(v, a);
    require(utf8_valid(whole));
    char room[JSON_PARTS_ROOM_LEAST];
    struct json_parts parts = json_parts(v);
    for (struct str part; (part = json_parts_next(&parts, room, sizeof room)).n;) {
        require(str_starts(whole, part));
        whole = str_from(whole, part.n);
    }
    require(whole.n == 0);
    size_t n = 0;
    for (struct json k = json_first(v); json_present(k); k = json_next(k), n++) {
        if (type == JSON_OBJECT) {
            require(json_present(json_get(v, json_str(k, a))));
            walk(json_value(k), a);
        } else {
            walk(k, a);
        }
    }
    require(n == json_len(v));
}

static void check_text(struct str text, struct arena *a)
{
    struct json_doc doc, again;
    struct err err;
    if (json_parse(&doc, a, text, &err) < 0)
        return;
    walk(json_root(&doc), a);
    struct buf out;
    buf_init(&out, text.n * 8 + 64);
    struct json_writer w;
    jw_init(&w, &out);
    jw_json(&w, json_root(&doc));
    require(!memchr(out.p, '\n', out.n));
    require(json_parse(&again, a, buf_str(&out), &err) == 0);
    require(json_equal(json_root(&doc), json_root(&again)));
    buf_finish(&out);
}

static void check_string(struct str bytes, struct arena *a)
{
    struct buf out;
    buf_init(&out, bytes.n * 6 + 64);
    struct json_writer w;
    jw_init(&w, &out);
    jw_str(&w, bytes);
    require(json_escaped_len(bytes) + 2 == out.n);
    struct json_doc doc;
    struct err err;
    require(json_parse(&doc, a, buf_str(&out), &err) == 0);
    if (utf8_valid(bytes))
        require(str_eq(json_str(json_root(&doc), a), bytes));
    buf_finish(&out);
}

static void check_base64(struct str bytes)
{
    struct buf text, back;
    struct err err;
    buf_init(&text, bytes.n * 2 + 64);
    buf_init(&back, bytes.n * 2 + 64);
    base64_encode(&text, bytes);
    require(base64_decode(&back, buf_str(&text), &err) == 0);
    require(str_eq(buf_str(&back), bytes));
    base64_decode(&back, bytes, &err);
    buf_finish(&back);
    buf_finish(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = {(const char *)data, size};
    struct arena a = {0};
    check_text(bytes, &a);
    check_string(bytes, &a);
    check_base64(bytes);
    size_t tail = utf8_incomplete_tail(bytes);
    require(tail <= 3 && tail <= size);
    arena_finish(&a);
    return 0;
}
