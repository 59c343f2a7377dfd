#include "base/json.h"
#include "base/json_strict.h"
#include "base/scan.h"
#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include <jsmn.h>
#pragma GCC diagnostic pop

/* After json_parse, t.parent is the index past the token's subtree. */
struct json_token {
    jsmntok_t t;
};

static const jsmntok_t *token(struct json v)
{
    return &v.doc->token[v.i].t;
}

/* A key is a string token with its value as its one child; that value stands behind it.
 */
static bool is_key(const jsmntok_t *t)
{
    return t->type == JSMN_STRING && t->size == 1;
}

/* Backwards, so that every child knows its end before its parent asks. */
static void link_siblings(struct json_token *tokens, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        jsmntok_t *t = &tokens[i].t;
        int next = i + 1;
        if (is_key(t))
            next = tokens[next].t.parent;
        else if (t->size > 0)
            while (next < count && tokens[next].t.start < t->end)
                next = tokens[next].t.parent;
        t->parent = next;
    }
}

/* jsmn takes 1.5 ns a byte inside strings: it sees the text without long strings'
 * insides. */
static struct str without_cuts(struct str text, const struct json_shape *shape,
                               struct arena *a)
{
    if (shape->cut_count == 0)
        return text;
    size_t left = text.n;
    for (uint32_t i = 0; i < shape->cut_count; i++)
        left -= shape->cut[i].n;
    char *out = arena_alloc(a, left);
    size_t from = 0, n = 0;
    for (uint32_t i = 0; i < shape->cut_count; i++) {
        memcpy(out + n, text.p + from, shape->cut[i].at - from);
        n += shape->cut[i].at - from;
        from = shape->cut[i].at + shape->cut[i].n;
    }
    memcpy(out + n, text.p + from, text.n - from);
    return (struct str){out, left};
}

/* Token offsets back to the whole text. A cut at `at` shifts what lies behind it; an
 * empty string's end, which is `at` itself, lies behind. */
static void restore_cuts(struct json_token *tokens, uint32_t count,
                         const struct json_shape *shape)
{
    for (uint32_t i = 0; i < count; i++) {
        size_t start = (size_t)tokens[i].t.start, end = (size_t)tokens[i].t.end;
        for (uint32_t k = 0; k < shape->cut_count; k++) {
            const struct json_cut *cut = &shape->cut[k];
            start += start > cut->at ? cut->n : 0;
            end += end >= cut->at ? cut->n : 0;
        }
        tokens[i].t.start = (int)start;
        tokens[i].t.end = (int)end;
    }
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Of a checked text that makes one token. */
static bool is_primitive(struct str text)
{
    size_t i = 0;
    while (is_space(text.p[i]))
        i++;
    return !strchr("{[\"", text.p[i]);
}

/* jsmn in strict mode wants something behind a primitive: a lonely one is made by hand.
 */
static void lonely_primitive(struct json_token *to, struct str text)
{
    size_t from = 0, end = text.n;
    while (is_space(text.p[from]))
        from++;
    while (is_space(text.p[end - 1]))
        end--;
    to->t = (jsmntok_t){.type = JSMN_PRIMITIVE, .start = (int)from, .end = (int)end};
}

int json_parse(struct json_doc *doc, struct arena *a, struct str text, struct err *err)
{
    if (text.n >= INT_MAX)
        return err_set(err, ERR_LIMIT, "JSON text of %zu bytes is too long", text.n);
    struct json_shape shape;
    if (json_strict(text, &shape, err) < 0)
        return -1;
    struct json_token *tokens = arena_alloc(a, shape.tokens * sizeof *tokens);
    int made = 1;
    if (shape.tokens == 1 && is_primitive(text)) {
        lonely_primitive(tokens, text);
    } else {
        struct str seen = without_cuts(text, &shape, a);
        jsmn_parser parser;
        jsmn_init(&parser);
        made = jsmn_parse(&parser, seen.p, seen.n, &tokens[0].t, shape.tokens);
    }
    if (made < 0 || (uint32_t)made != shape.tokens)
        return err_set(err, ERR_INTERNAL, "jsmn made %d tokens of %u", made,
                       shape.tokens);
    restore_cuts(tokens, shape.tokens, &shape);
    link_siblings(tokens, made);
    *doc = (struct json_doc){.text = text, .token = tokens, .count = shape.tokens};
    return 0;
}

size_t json_token_bytes(void)
{
    return sizeof(struct json_token);
}

struct json json_root(const struct json_doc *doc)
{
    return doc->count ? (struct json){doc, 0} : (struct json){0};
}

enum json_type json_type(struct json v)
{
    if (!v.doc)
        return JSON_ABSENT;
    const jsmntok_t *t = token(v);
    switch (t->type) {
    case JSMN_OBJECT:
        return JSON_OBJECT;
    case JSMN_ARRAY:
        return JSON_ARRAY;
    case JSMN_STRING:
        return JSON_STRING;
    default:
        break;
    }
    switch (v.doc->text.p[t->start]) {
    case 'n':
        return JSON_NULL;
    case 't':
    case 'f':
        return JSON_BOOL;
    default:
        return JSON_NUMBER;
    }
}

const char *json_type_name(enum json_type type)
{
    static const char *const names[] = {"absent", "null",  "boolean", "number",
                                        "string", "array", "object"};
    return names[type];
}

struct str json_raw(struct json v)
{
    if (!v.doc)
        return (struct str){0};
    const jsmntok_t *t = token(v);
    size_t from = (size_t)t->start, to = (size_t)t->end;
    if (t->type == JSMN_STRING) {
        from--;
        to++;
    }
    return (struct str){v.doc->text.p + from, to - from};
}

struct json json_first(struct json container)
{
    enum json_type type = json_type(container);
    if ((type != JSON_ARRAY && type != JSON_OBJECT) || token(container)->size == 0)
        return (struct json){0};
    return (struct json){container.doc, container.i + 1};
}

/* The byte behind the value. */
static size_t end_of(struct json v)
{
    const jsmntok_t *t = token(v);
    return (size_t)t->end + (t->type == JSMN_STRING);
}

struct json json_next(struct json item)
{
    if (!item.doc)
        return item;
    uint32_t next = (uint32_t)token(item)->parent;
    size_t at =
        end_of(is_key(token(item)) ? (struct json){item.doc, item.i + 1} : item);
    struct str text = item.doc->text;
    while (at < text.n && is_space(text.p[at]))
        at++;
    /* The next token is a sibling if a comma leads to it, else the container closed. */
    return at < text.n && text.p[at] == ',' ? (struct json){item.doc, next}
                                            : (struct json){0};
}

struct json json_value(struct json key)
{
    if (!key.doc || !is_key(token(key)))
        return (struct json){0};
    return (struct json){key.doc, key.i + 1};
}

size_t json_len(struct json v)
{
    enum json_type type = json_type(v);
    return type == JSON_ARRAY || type == JSON_OBJECT ? (size_t)token(v)->size : 0;
}

struct json json_at(struct json arr, size_t index)
{
    if (json_type(arr) != JSON_ARRAY || index >= json_len(arr))
        return (struct json){0};
    uint32_t i = arr.i + 1;
    while (index--)
        i = (uint32_t)arr.doc->token[i].t.parent;
    return (struct json){arr.doc, i};
}

struct json json_get(struct json obj, struct str key)
{
    struct json found = {0};
    if (json_type(obj) != JSON_OBJECT)
        return found;
    uint32_t i = obj.i + 1;
    for (size_t left = json_len(obj); left > 0; left--) {
        if (json_str_is((struct json){obj.doc, i}, key))
            found = (struct json){obj.doc, i + 1};
        i = (uint32_t)obj.doc->token[i].t.parent;
    }
    return found;
}

static unsigned hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

static unsigned hex4(const char *p)
{
    return hex_value(p[0]) << 12 | hex_value(p[1]) << 8 | hex_value(p[2]) << 4 |
           hex_value(p[3]);
}

static size_t utf8_encode(unsigned c, char *to)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 63));
        to[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 63));
    to[2] = (char)(0x80 | (c >> 6 & 63));
    to[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* One escape at p (checked by the strict pass): its bytes to `to`, its length returned.
 */
static size_t unescape(const char *p, char *to, size_t *ret_n)
{
    if (p[1] != 'u') {
        *to = json_escape_letter[(unsigned char)p[1]];
        *ret_n = 1;
        return 2;
    }
    unsigned c = hex4(p + 2);
    size_t used = 6;
    if (c >= 0xd800 && c < 0xdc00) {
        c = 0x10000 + ((c - 0xd800) << 10) + (hex4(p + 8) - 0xdc00);
        used = 12;
    }
    *ret_n = utf8_encode(c, to);
    return used;
}

/* The bytes between the quotes. */
static struct str string_body(struct json v)
{
    const jsmntok_t *t = token(v);
    return (struct str){v.doc->text.p + t->start, (size_t)(t->end - t->start)};
}

enum { UNESCAPED_MAX = 4, ROOM_SPARE = SCAN_BLOCK + UNESCAPED_MAX };

/* Unescapes from the front of *body into `to` until one of both is used up; returns how
 * many bytes were made. room counts ROOM_SPARE bytes that are written but not used. */
static size_t unescape_some(struct str *body, char *to, size_t room)
{
    const char *p = body->p, *end = p + body->n;
    size_t n = 0, most = room - ROOM_SPARE;
    while (p < end && n < most) {
        size_t left = (size_t)(end - p), made = 0;
        size_t run =
            scan_copy(to + n, p, left < most - n ? left : most - n, SCAN_BACKSLASH);
        n += run;
        p += run;
        if (p < end && n < most && *p == '\\') {
            p += unescape(p, to + n, &made);
            n += made;
        }
    }
    *body = str_from(*body, (size_t)(p - body->p));
    return n;
}

struct str json_str(struct json v, struct arena *a)
{
    if (json_type(v) != JSON_STRING)
        return (struct str){0};
    struct str body = string_body(v);
    if (!memchr(body.p, '\\', body.n))
        return body;
    /* An escape is never shorter than its bytes. */
    char *out = arena_alloc(a, body.n + ROOM_SPARE + 1);
    size_t n = unescape_some(&body, out, body.n + ROOM_SPARE);
    out[n] = '\0';
    return (struct str){out, n};
}

struct json_parts json_parts(struct json v)
{
    return (struct json_parts){json_type(v) == JSON_STRING ? string_body(v)
                                                           : (struct str){0}};
}

struct str json_parts_next(struct json_parts *parts, char *room, size_t room_bytes)
{
    assert(room_bytes >= JSON_PARTS_ROOM_LEAST);
    struct str *body = &parts->rest;
    if (body->n == 0)
        return (struct str){0};
    const char *escape = memchr(body->p, '\\', body->n);
    size_t plain = escape ? (size_t)(escape - body->p) : body->n;
    if (!escape || plain >= room_bytes) {
        struct str part = {body->p, plain};
        *body = str_from(*body, plain);
        return part;
    }
    return (struct str){room, unescape_some(body, room, room_bytes)};
}

bool json_str_is(struct json v, struct str s)
{
    if (json_type(v) != JSON_STRING)
        return false;
    struct str body = string_body(v);
    if (!memchr(body.p, '\\', body.n))
        return str_eq(body, s);
    size_t at = 0;
    for (size_t i = 0; i < body.n;) {
        char bytes[4] = {body.p[i]};
        size_t n = 1;
        i += body.p[i] == '\\' ? unescape(body.p + i, bytes, &n) : 1;
        if (n > s.n - at || memcmp(bytes, s.p + at, n) != 0)
            return false;
        at += n;
    }
    return at == s.n;
}

bool json_f64(struct json v, double *ret_value)
{
    char text[64];
    if (json_type(v) != JSON_NUMBER)
        return false;
    struct str raw = json_raw(v);
    if (raw.n < sizeof text) {
        memcpy(text, raw.p, raw.n);
        text[raw.n] = '\0';
        *ret_value = strtod(text, NULL);
    } else {
        struct arena a = {0};
        *ret_value = strtod(arena_dup(&a, raw).p, NULL);
        arena_finish(&a);
    }
    return true;
}

/* Plain digits with an optional minus: the common case, exact up to the ends of int64.
 */
static bool plain_i64(struct str raw, int64_t *ret_value)
{
    bool negative = raw.n && raw.p[0] == '-';
    uint64_t v = 0, limit = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
    for (size_t i = negative; i < raw.n; i++) {
        if (raw.p[i] < '0' || raw.p[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(raw.p[i] - '0');
        if (v > (limit - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *ret_value = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool json_i64(struct json v, int64_t *ret_value)
{
    if (json_type(v) != JSON_NUMBER)
        return false;
    struct str raw = json_raw(v);
    if (plain_i64(raw, ret_value))
        return true;
    if (!memchr(raw.p, '.', raw.n) && !memchr(raw.p, 'e', raw.n) &&
        !memchr(raw.p, 'E', raw.n))
        return false;
    double d;
    /* A double holds integers exactly up to 2^53. */
    if (!json_f64(v, &d) || !(fabs(d) <= 9007199254740992.0) || d != floor(d))
        return false;
    *ret_value = (int64_t)d;
    return true;
}

bool json_is_true(struct json v)
{
    return json_type(v) == JSON_BOOL && *json_raw(v).p == 't';
}

struct json json_pointer(struct json v, const char *pointer)
{
    struct arena a = {0};
    while (*pointer == '/') {
        const char *end = strchrnul(++pointer, '/');
        char *part = arena_alloc(&a, (size_t)(end - pointer) + 1);
        size_t n = 0;
        for (; pointer < end; pointer++) {
            bool escaped = *pointer == '~' && (pointer[1] == '0' || pointer[1] == '1');
            part[n++] = !escaped ? *pointer : *++pointer == '0' ? '~' : '/';
        }
        if (json_type(v) == JSON_ARRAY) {
            size_t index = 0;
            for (size_t i = 0; i < n; i++)
                index = index * 10 + (size_t)(part[i] - '0');
            v = json_at(v, index);
        } else {
            v = json_get(v, (struct str){part, n});
        }
    }
    arena_finish(&a);
    return v;
}

static bool numbers_equal(struct json a, struct json b)
{
    int64_t x, y;
    if (json_i64(a, &x) && json_i64(b, &y))
        return x == y;
    double d = 0, e = 0;
    return str_eq(json_raw(a), json_raw(b)) ||
           (json_f64(a, &d) && json_f64(b, &e) && d == e);
}

static bool objects_equal(struct json a, struct json b)
{
    struct arena arena = {0};
    bool equal = json_len(a) == json_len(b);
    for (struct json k = json_first(a); equal && json_present(k); k = json_next(k)) {
        struct str key = json_str(k, &arena);
        equal = json_present(json_get(b, key)) &&
                json_equal(json_get(a, key), json_get(b, key));
    }
    arena_finish(&arena);
    return equal;
}

bool json_equal(struct json a, struct json b)
{
    enum json_type type = json_type(a);
    if (type != json_type(b))
        return false;
    switch (type) {
    case JSON_ABSENT:
    case JSON_NULL:
        return true;
    case JSON_BOOL:
        return json_is_true(a) == json_is_true(b);
    case JSON_NUMBER:
        return numbers_equal(a, b);
    case JSON_STRING: {
        struct arena arena = {0};
        bool equal = json_str_is(b, json_str(a, &arena));
        arena_finish(&arena);
        return equal;
    }
    case JSON_ARRAY:
        break;
    case JSON_OBJECT:
        return objects_equal(a, b);
    }
    struct json x = json_first(a), y = json_first(b);
    for (; json_present(x) && json_present(y); x = json_next(x), y = json_next(y))
        if (!json_equal(x, y))
            return false;
    return !json_present(x) && !json_present(y);
}
