/* JSON Schema, compiled once into a tree and checked without allocating. The first
 * violation is told in a sentence that says where, what is wanted and what came. A key
 * that appears twice in a value is checked twice. Specification: JSON Schema 2020-12,
 * validation vocabulary. */
#include "mcp/schema.h"
#include "base/buf.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>

enum { PATH_BYTES = 120, MUST_BYTES = 180, GOT_BYTES = 40 };

enum keyword {
    KEY_TYPE,
    KEY_ENUM,
    KEY_CONST,
    KEY_PROPERTIES,
    KEY_REQUIRED,
    KEY_ADDITIONAL,
    KEY_ITEMS,
    KEY_MIN_ITEMS,
    KEY_MAX_ITEMS,
    KEY_MIN_LENGTH,
    KEY_MAX_LENGTH,
    KEY_MINIMUM,
    KEY_MAXIMUM,
    KEY_EXCLUSIVE_MINIMUM,
    KEY_EXCLUSIVE_MAXIMUM,
    KEY_MIN_PROPERTIES,
    KEY_MAX_PROPERTIES,
    KEY_COUNT,
};

static const char *const keywords[KEY_COUNT] = {
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minProperties",
    "maxProperties",
};

/* Say something about the value but ask nothing of it. */
static const char *const annotations[] = {"title", "description", "default", "examples",
                                          "format"};

struct property {
    struct str name;
    struct schema *schema;
};

struct schema {
    bool never;         /* the schema `false` */
    uint32_t has;       /* bits 1 << KEY_... */
    unsigned types;     /* bits 1 << json_type; integer is a bit of its own */
    struct json values; /* enum's array */
    struct json constant;
    struct property *property;
    size_t property_count;
    struct str *required;
    size_t required_count;
    struct schema *additional, *items;
    double number[KEY_COUNT]; /* of the numeric keywords */
};

enum { TYPE_INTEGER = 1 << 16 };

static bool has(const struct schema *s, enum keyword k)
{
    return s->has >> k & 1;
}

static int compile(struct schema **ret, struct json definition, struct arena *a,
                   const char *where, struct err *err);

static const struct {
    const char *name;
    unsigned bit;
} types[] = {
    {"null", 1 << JSON_NULL},     {"boolean", 1 << JSON_BOOL},
    {"integer", TYPE_INTEGER},    {"number", 1 << JSON_NUMBER},
    {"string", 1 << JSON_STRING}, {"array", 1 << JSON_ARRAY},
    {"object", 1 << JSON_OBJECT},
};

static int type_bit(struct json v, unsigned *ret_types)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (json_str_is(v, str_of(types[i].name))) {
            *ret_types |= types[i].bit;
            return 0;
        }
    return -1;
}

/* A JSON pointer for error messages; a long one is cut. */
static void step_down(char to[PATH_BYTES], const char *where, struct str key)
{
    int n = snprintf(to, PATH_BYTES, "%s/", where);
    size_t room = n < PATH_BYTES ? (size_t)(PATH_BYTES - 1 - n) : 0;
    size_t take = key.n < room ? key.n : room;
    if (take) {
        memcpy(to + n, key.p, take);
        to[(size_t)n + take] = '\0';
    }
}

static int compile_type(struct schema *s, struct json v)
{
    if (json_type(v) == JSON_STRING)
        return type_bit(v, &s->types);
    if (json_type(v) != JSON_ARRAY || json_len(v) == 0)
        return -1;
    for (struct json t = json_first(v); json_present(t); t = json_next(t))
        if (type_bit(t, &s->types) < 0)
            return -1;
    return 0;
}

static int compile_properties(struct schema *s, struct json v, struct arena *a,
                              const char *where, struct err *err)
{
    if (json_type(v) != JSON_OBJECT)
        return err_set(err, ERR_INVALID, "%s: an object is expected", where);
    s->property = arena_zalloc(a, json_len(v) * sizeof *s->property);
    for (struct json k = json_first(v); json_present(k); k = json_next(k)) {
        struct property *p = &s->property[s->property_count++];
        char below[PATH_BYTES];
        p->name = json_str(k, a);
        step_down(below, where, p->name);
        if (compile(&p->schema, json_value(k), a, below, err) < 0)
            return -1;
    }
    return 0;
}

static int compile_required(struct schema *s, struct json v, struct arena *a)
{
    if (json_type(v) != JSON_ARRAY)
        return -1;
    s->required = arena_zalloc(a, json_len(v) * sizeof *s->required);
    for (struct json r = json_first(v); json_present(r); r = json_next(r)) {
        if (json_type(r) != JSON_STRING)
            return -1;
        s->required[s->required_count++] = json_str(r, a);
    }
    return 0;
}

static bool counts(enum keyword k)
{
    return k == KEY_MIN_ITEMS || k == KEY_MAX_ITEMS || k == KEY_MIN_LENGTH ||
           k == KEY_MAX_LENGTH || k == KEY_MIN_PROPERTIES || k == KEY_MAX_PROPERTIES;
}

/* A limit: a number; of a count, an integer from 0 on. */
static int compile_number(struct schema *s, enum keyword k, struct json v)
{
    double *to = &s->number[k];
    if (!json_f64(v, to) || !isfinite(*to))
        return -1;
    return counts(k) && (*to < 0 || *to != floor(*to)) ? -1 : 0;
}

static int compile_keyword(struct schema *s, enum keyword k, struct json v,
                           struct arena *a, const char *where, struct err *err)
{
    int rc = 0;
    s->has |= 1u << k;
    switch (k) {
    case KEY_TYPE:
        rc = compile_type(s, v);
        break;
    case KEY_ENUM:
        s->values = v;
        rc = json_type(v) == JSON_ARRAY ? 0 : -1;
        break;
    case KEY_CONST:
        s->constant = v;
        break;
    case KEY_PROPERTIES:
        return compile_properties(s, v, a, where, err);
    case KEY_REQUIRED:
        rc = compile_required(s, v, a);
        break;
    case KEY_ADDITIONAL:
        return compile(&s->additional, v, a, where, err);
    case KEY_ITEMS:
        if (json_type(v) == JSON_ARRAY) /* of older drafts */
            return err_set(err, ERR_INVALID, "%s: an array is not implemented", where);
        return compile(&s->items, v, a, where, err);
    default:
        rc = compile_number(s, k, v);
        break;
    }
    return rc < 0 ? err_set(err, ERR_INVALID, "%s: wrong kind of value", where) : 0;
}

static int compile_member(struct schema *s, struct json key, struct arena *a,
                          const char *where, struct err *err)
{
    char below[PATH_BYTES];
    struct str name = json_str(key, a);
    step_down(below, where, name);
    for (int k = 0; k < KEY_COUNT; k++)
        if (str_eq(name, str_of(keywords[k])))
            return compile_keyword(s, (enum keyword)k, json_value(key), a, below, err);
    for (size_t i = 0; i < sizeof annotations / sizeof annotations[0]; i++)
        if (str_eq(name, str_of(annotations[i])))
            return 0;
    return err_set(err, ERR_INVALID, "%s: this keyword is not implemented", below);
}

static int compile(struct schema **ret, struct json definition, struct arena *a,
                   const char *where, struct err *err)
{
    struct schema *s = arena_zalloc(a, sizeof *s);
    *ret = s;
    if (json_type(definition) == JSON_BOOL) {
        s->never = !json_is_true(definition);
        return 0;
    }
    if (json_type(definition) != JSON_OBJECT)
        return err_set(err, ERR_INVALID, "%s: a schema is an object", where);
    for (struct json k = json_first(definition); json_present(k); k = json_next(k))
        if (compile_member(s, k, a, where, err) < 0)
            return -1;
    return 0;
}

int schema_compile(struct schema **ret_schema, struct json definition, struct arena *a,
                   struct err *err)
{
    /* enum and const keep values of the document: it lives with the schema. */
    struct json kept = definition;
    if (json_present(definition)) {
        struct json_doc *doc = arena_alloc(a, sizeof *doc);
        *doc = *definition.doc;
        kept.doc = doc;
    }
    return compile(ret_schema, kept, a, "", err);
}

/* Where the check is in the value: a chain up to the root, printed only when it fails.
 */
struct place {
    const struct place *up;
    struct str key; /* of an object; else index */
    size_t index;
};

static void print_place(struct buf *b, const struct place *at)
{
    if (!at->up)
        return;
    print_place(b, at->up);
    if (at->key.p)
        buf_addf(b, "%s%.*s", b->n ? "." : "", STR_FMT(at->key));
    else
        buf_addf(b, "[%zu]", at->index);
}

/* "timeoutMs must be ... (got 5)" */
static int fails(const struct place *at, struct json v, struct err *err,
                 const char *must)
{
    struct buf where;
    buf_init(&where, PATH_BYTES * 2);
    print_place(&where, at);
    if (where.n == 0)
        buf_addz(&where, "the value");
    struct str got = json_present(v) ? json_raw(v) : STR("nothing");
    const char *dots = got.n > GOT_BYTES ? "..." : "";
    got.n = got.n > GOT_BYTES ? GOT_BYTES : got.n;
    err_set(err, ERR_INVALID, "%.*s %s (got %.*s%s)", STR_FMT(buf_str(&where)), must,
            STR_FMT(got), dots);
    buf_finish(&where);
    return -1;
}

/* The same; frees *must. */
static int fails_take(const struct place *at, struct json v, struct err *err,
                      struct buf *must)
{
    const char *text = must->n ? buf_cstr(must) : NULL;
    fails(at, v, err, text ? text : "is not allowed");
    buf_finish(must);
    return -1;
}

/* "a, b, c", as much of it as fits. */
static void add_listed(struct buf *b, struct str item, const char *before_first)
{
    const char *before = b->n ? ", " : before_first;
    if (b->max - b->n > strlen(before) + item.n)
        buf_addf(b, "%s%.*s", before, STR_FMT(item));
}

static bool is_integer(struct json v)
{
    double d;
    int64_t i;
    if (json_i64(v, &i))
        return true;
    return json_f64(v, &d) && isfinite(d) && d == floor(d);
}

static int check_type(const struct schema *s, struct json v, const struct place *at,
                      struct err *err)
{
    if (s->types >> json_type(v) & 1)
        return 0;
    if ((s->types & TYPE_INTEGER) && json_type(v) == JSON_NUMBER && is_integer(v))
        return 0;
    struct buf must;
    buf_init(&must, MUST_BYTES);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (s->types & types[i].bit)
            buf_addf(&must, "%s %s", must.n ? " or" : "must be of type", types[i].name);
    return fails_take(at, v, err, &must);
}

static int check_values(const struct schema *s, struct json v, const struct place *at,
                        struct err *err)
{
    struct buf must;
    if (has(s, KEY_CONST) && !json_equal(s->constant, v)) {
        buf_init(&must, MUST_BYTES);
        add_listed(&must, json_raw(s->constant), "must be ");
        return fails_take(at, v, err, &must);
    }
    if (!has(s, KEY_ENUM))
        return 0;
    for (struct json e = json_first(s->values); json_present(e); e = json_next(e))
        if (json_equal(e, v))
            return 0;
    buf_init(&must, MUST_BYTES);
    for (struct json e = json_first(s->values); json_present(e); e = json_next(e))
        add_listed(&must, json_raw(e), "must be one of ");
    return fails_take(at, v, err, &must);
}

static bool within(const struct schema *s, enum keyword k, double v)
{
    if (!has(s, k))
        return true;
    double limit = s->number[k];
    switch (k) {
    case KEY_MINIMUM:
    case KEY_MIN_ITEMS:
    case KEY_MIN_LENGTH:
    case KEY_MIN_PROPERTIES:
        return v >= limit;
    case KEY_EXCLUSIVE_MINIMUM:
        return v > limit;
    case KEY_EXCLUSIVE_MAXIMUM:
        return v < limit;
    default:
        return v <= limit;
    }
}

static const char *relation(enum keyword k)
{
    switch (k) {
    case KEY_MINIMUM:
        return "be at least";
    case KEY_MAXIMUM:
        return "be at most";
    case KEY_EXCLUSIVE_MINIMUM:
        return "be above";
    case KEY_EXCLUSIVE_MAXIMUM:
        return "be below";
    case KEY_MIN_ITEMS:
    case KEY_MIN_LENGTH:
    case KEY_MIN_PROPERTIES:
        return "have a length of at least";
    default:
        return "have a length of at most";
    }
}

static int check_limits(const struct schema *s, struct json v, double measure,
                        const struct place *at, struct err *err)
{
    static const enum keyword by_type[][4] = {
        [JSON_NUMBER] = {KEY_MINIMUM, KEY_MAXIMUM, KEY_EXCLUSIVE_MINIMUM,
                         KEY_EXCLUSIVE_MAXIMUM},
        [JSON_STRING] = {KEY_MIN_LENGTH, KEY_MAX_LENGTH},
        [JSON_ARRAY] = {KEY_MIN_ITEMS, KEY_MAX_ITEMS},
        [JSON_OBJECT] = {KEY_MIN_PROPERTIES, KEY_MAX_PROPERTIES},
    };
    enum json_type type = json_type(v);
    for (int i = 0; i < (type == JSON_NUMBER ? 4 : 2); i++) {
        enum keyword k = by_type[type][i];
        if (within(s, k, measure))
            continue;
        char must[PATH_BYTES];
        snprintf(must, sizeof must, "must %s %.15g", relation(k), s->number[k]);
        return fails(at, v, err, must);
    }
    return 0;
}

/* Characters of a string, counted in its raw text: an escape is one, a pair of
 * surrogate escapes too. */
static double characters(struct json v)
{
    struct str raw = json_raw(v);
    size_t n = 0;
    for (size_t i = 1; i + 1 < raw.n; i++) {
        n += ((unsigned char)raw.p[i] & 0xc0) != 0x80;
        if (raw.p[i] != '\\')
            continue;
        bool high = raw.p[i + 1] == 'u' && (raw.p[i + 2] | 0x20) == 'd' &&
                    strchr("89abAB", raw.p[i + 3]);
        i += raw.p[i + 1] != 'u' ? 1 : high ? 11 : 5;
    }
    return (double)n;
}

static int check(const struct schema *s, struct json v, const struct place *at,
                 struct err *err);

static const struct schema *property_schema(const struct schema *s, struct json key)
{
    for (size_t i = 0; i < s->property_count; i++)
        if (json_str_is(key, s->property[i].name))
            return s->property[i].schema;
    return s->additional;
}

static int unknown_key(const struct schema *s, const struct place *at, struct json key,
                       struct err *err)
{
    struct buf must;
    buf_init(&must, MUST_BYTES);
    for (size_t i = 0; i < s->property_count; i++)
        add_listed(&must, s->property[i].name, "is not known here; known: ");
    if (s->property_count == 0)
        buf_addz(&must, "is not known here; nothing is");
    return fails_take(at, key, err, &must);
}

static int check_object(const struct schema *s, struct json v, const struct place *at,
                        struct err *err)
{
    for (size_t i = 0; i < s->required_count; i++) {
        struct str name = s->required[i];
        if (json_present(json_get(v, name)))
            continue;
        struct place missing = {.up = at, .key = name};
        return fails(&missing, (struct json){0}, err, "is required");
    }
    for (struct json k = json_first(v); json_present(k); k = json_next(k)) {
        const struct schema *below = property_schema(s, k);
        if (!below)
            continue;
        struct str name = json_raw(k); /* with its quotes and escapes: for people */
        struct place place = {.up = at, .key = {name.p + 1, name.n - 2}};
        if (below->never && below == s->additional)
            return unknown_key(s, &place, k, err);
        if (check(below, json_value(k), &place, err) < 0)
            return -1;
    }
    return 0;
}

static int check_items(const struct schema *s, struct json v, const struct place *at,
                       struct err *err)
{
    struct place place = {.up = at};
    if (!s->items)
        return 0;
    for (struct json e = json_first(v); json_present(e);
         e = json_next(e), place.index++)
        if (check(s->items, e, &place, err) < 0)
            return -1;
    return 0;
}

/* Recursion is bounded by JSON_DEPTH_MAX. */
static int check(const struct schema *s, struct json v, const struct place *at,
                 struct err *err)
{
    double d = 0;
    if (s->never)
        return fails(at, v, err, "is not allowed");
    if ((has(s, KEY_TYPE) && check_type(s, v, at, err) < 0) ||
        check_values(s, v, at, err) < 0)
        return -1;
    switch (json_type(v)) {
    case JSON_NUMBER:
        json_f64(v, &d);
        return check_limits(s, v, d, at, err);
    case JSON_STRING:
        if (!has(s, KEY_MIN_LENGTH) && !has(s, KEY_MAX_LENGTH))
            return 0;
        return check_limits(s, v, characters(v), at, err);
    case JSON_ARRAY:
        if (check_limits(s, v, (double)json_len(v), at, err) < 0)
            return -1;
        return check_items(s, v, at, err);
    case JSON_OBJECT:
        if (check_limits(s, v, (double)json_len(v), at, err) < 0)
            return -1;
        return check_object(s, v, at, err);
    default:
        return 0;
    }
}

int schema_check(const struct schema *schema, struct json value, struct err *err)
{
    struct place root = {0};
    assert(json_present(value));
    return check(schema, value, &root, err);
}
