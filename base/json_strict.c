#include "base/json_strict.h"
#include "base/json.h"
#include "base/scan.h"
#include "base/utf8.h"
#include <stdbool.h>

const char json_escape_letter[256] = {
    ['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
    ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
};

/* A pushdown automaton without recursion: a bit a level says whether it is an object.
 */
struct strict {
    const char *p;
    size_t n, i;
    unsigned depth;
    uint64_t object[JSON_DEPTH_MAX / 64];
    struct json_shape *shape;
    struct err *err;
};

static int expected(struct strict *s, const char *what)
{
    if (s->i >= s->n)
        return err_set(s->err, ERR_INVALID,
                       "JSON ends at byte %zu where %s was expected", s->i, what);
    return err_set(s->err, ERR_INVALID, "JSON: %s expected at byte %zu", what, s->i);
}

static void space(struct strict *s)
{
    while (s->i < s->n && (s->p[s->i] == ' ' || s->p[s->i] == '\n' ||
                           s->p[s->i] == '\t' || s->p[s->i] == '\r'))
        s->i++;
}

/* The four digits behind \u; -1 if they are not. */
static int hex4(const struct strict *s, size_t at)
{
    if (at + 4 > s->n)
        return -1;
    int v = 0;
    for (size_t k = at; k < at + 4; k++) {
        char c = s->p[k];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    return v;
}

/* i is at the backslash. */
static int escape(struct strict *s)
{
    char c = s->i + 1 < s->n ? s->p[s->i + 1] : '\0';
    if (json_escape_letter[(unsigned char)c]) {
        s->i += 2;
        return 0;
    }
    if (c != 'u')
        return expected(s, "a valid escape");
    int unit = hex4(s, s->i + 2);
    if (unit < 0)
        return expected(s, "\\u and four hexadecimal digits");
    if (unit >= 0xdc00 && unit <= 0xdfff)
        return expected(s, "the first half of a surrogate pair");
    if (unit >= 0xd800 && unit <= 0xdbff) {
        int low = s->i + 7 < s->n && s->p[s->i + 6] == '\\' && s->p[s->i + 7] == 'u'
                      ? hex4(s, s->i + 8)
                      : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return expected(s, "both halves of a surrogate pair");
        s->i += 6;
    }
    s->i += 6;
    return 0;
}

/* Text that is not all ASCII, as far as it goes on without an escape or an end. */
static int high(struct strict *s)
{
    size_t end = scan(s->p, s->i, s->n, SCAN_STRING);
    s->i += utf8_valid_prefix((struct str){s->p + s->i, end - s->i});
    return s->i == end ? 0 : expected(s, "valid UTF-8");
}

static void note_long(struct strict *s, size_t from)
{
    struct json_shape *shape = s->shape;
    if (s->i - from >= JSON_LONG_STRING && shape->cut_count < JSON_CUTS_MAX)
        shape->cut[shape->cut_count++] = (struct json_cut){from, s->i - from};
}

static int string(struct strict *s)
{
    size_t from = ++s->i;
    for (;;) {
        s->i = scan(s->p, s->i, s->n, SCAN_STRING | SCAN_HIGH);
        if (s->i >= s->n)
            return expected(s, "the end of a string");
        unsigned char c = (unsigned char)s->p[s->i];
        if (c == '"')
            break;
        if (c == '\\' ? escape(s) < 0 : c >= 0x80 ? high(s) < 0 : true)
            return c < 0x20 ? expected(s, "an escape instead of a control character")
                            : -1;
    }
    note_long(s, from);
    s->i++;
    s->shape->tokens++;
    return 0;
}

static bool digits(struct strict *s)
{
    size_t from = s->i;
    while (s->i < s->n && s->p[s->i] >= '0' && s->p[s->i] <= '9')
        s->i++;
    return s->i > from;
}

static int number(struct strict *s)
{
    if (s->p[s->i] == '-')
        s->i++;
    if (s->i < s->n && s->p[s->i] == '0')
        s->i++;
    else if (!digits(s))
        return expected(s, "a digit");
    if (s->i < s->n && s->p[s->i] == '.') {
        s->i++;
        if (!digits(s))
            return expected(s, "a digit");
    }
    if (s->i < s->n && (s->p[s->i] == 'e' || s->p[s->i] == 'E')) {
        s->i++;
        if (s->i < s->n && (s->p[s->i] == '+' || s->p[s->i] == '-'))
            s->i++;
        if (!digits(s))
            return expected(s, "a digit");
    }
    s->shape->tokens++;
    return 0;
}

static int literal(struct strict *s, struct str word)
{
    if (s->n - s->i < word.n || memcmp(s->p + s->i, word.p, word.n) != 0)
        return expected(s, "a value");
    s->i += word.n;
    s->shape->tokens++;
    return 0;
}

static int scalar(struct strict *s)
{
    switch (s->p[s->i]) {
    case '"':
        return string(s);
    case 't':
        return literal(s, STR("true"));
    case 'f':
        return literal(s, STR("false"));
    case 'n':
        return literal(s, STR("null"));
    default:
        if (s->p[s->i] == '-' || (s->p[s->i] >= '0' && s->p[s->i] <= '9'))
            return number(s);
        return expected(s, "a value");
    }
}

static bool in_object(const struct strict *s)
{
    unsigned level = s->depth - 1;
    return s->object[level / 64] >> (level % 64) & 1;
}

static int open_container(struct strict *s, bool object)
{
    if (s->depth == JSON_DEPTH_MAX)
        return err_set(s->err, ERR_INVALID, "JSON is nested deeper than %d",
                       JSON_DEPTH_MAX);
    uint64_t bit = (uint64_t)1 << (s->depth % 64);
    if (object)
        s->object[s->depth / 64] |= bit;
    else
        s->object[s->depth / 64] &= ~bit;
    s->depth++;
    s->shape->tokens++;
    s->i++;
    space(s);
    return 0;
}

static int key(struct strict *s)
{
    if (s->i >= s->n || s->p[s->i] != '"')
        return expected(s, "a key in double quotes");
    if (string(s) < 0)
        return -1;
    space(s);
    if (s->i >= s->n || s->p[s->i] != ':')
        return expected(s, "a colon");
    s->i++;
    space(s);
    return 0;
}

/* After a value: closes what ends here, and steps over the comma to the next value.
 * 1: a value follows; 0: the whole text's value has ended. */
static int after_value(struct strict *s)
{
    for (;;) {
        space(s);
        if (s->depth == 0)
            return 0;
        char c = s->i < s->n ? s->p[s->i] : '\0';
        bool object = in_object(s);
        if (c == ',') {
            s->i++;
            space(s);
            return object && key(s) < 0 ? -1 : 1;
        }
        if (c != (object ? '}' : ']'))
            return expected(s, object ? "a comma or }" : "a comma or ]");
        s->i++;
        s->depth--;
    }
}

/* At a value. 1: another value follows; 0: all ended. */
static int value(struct strict *s)
{
    char c = s->i < s->n ? s->p[s->i] : '\0';
    if (c != '{' && c != '[') {
        if (s->i >= s->n)
            return expected(s, "a value");
        return scalar(s) < 0 ? -1 : after_value(s);
    }
    bool object = c == '{';
    if (open_container(s, object) < 0)
        return -1;
    if (s->i < s->n && s->p[s->i] == (object ? '}' : ']')) {
        s->i++;
        s->depth--;
        return after_value(s);
    }
    return object && key(s) < 0 ? -1 : 1;
}

int json_strict(struct str text, struct json_shape *ret_shape, struct err *err)
{
    struct strict s = {.p = text.p, .n = text.n, .shape = ret_shape, .err = err};
    ret_shape->tokens = 0;
    ret_shape->cut_count = 0;
    space(&s);
    int more;
    do
        more = value(&s);
    while (more > 0);
    if (more < 0)
        return -1;
    return s.i < s.n ? expected(&s, "the end of the text") : 0;
}
