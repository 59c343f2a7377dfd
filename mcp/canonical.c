#include "mcp/canonical.h"
#include "base/json_write.h"
#include <stdlib.h>

struct member {
    struct str key;
    struct json value;
};

/* Of equal keys, the one that comes last in the text comes last here. */
static int compare(const void *left, const void *right)
{
    const struct member *a = left, *b = right;
    size_t n = a->key.n < b->key.n ? a->key.n : b->key.n;
    int order = n ? memcmp(a->key.p, b->key.p, n) : 0;
    if (order)
        return order;
    if (a->key.n != b->key.n)
        return a->key.n < b->key.n ? -1 : 1;
    return a->value.i < b->value.i ? -1 : 1;
}

static void add_string(struct hmac256 *m, struct str s)
{
    struct buf escaped;
    buf_init(&escaped, 6 * s.n + 16);
    json_escape(&escaped, s);
    hmac256_add(m, STR("\""));
    hmac256_add(m, buf_str(&escaped));
    hmac256_add(m, STR("\""));
    buf_finish(&escaped);
}

static void add_object(struct hmac256 *m, struct json v, struct arena *a)
{
    size_t count = 0;
    struct member *members = arena_alloc(a, json_len(v) * sizeof *members + 1);
    for (struct json k = json_first(v); json_present(k); k = json_next(k))
        members[count++] = (struct member){json_str(k, a), json_value(k)};
    if (count > 1)
        qsort(members, count, sizeof *members, compare);
    hmac256_add(m, STR("{"));
    for (size_t i = 0; i < count; i++) {
        add_string(m, members[i].key);
        hmac256_add(m, STR(":"));
        canonical_add(m, members[i].value, a);
        hmac256_add(m, STR(","));
    }
    hmac256_add(m, STR("}"));
}

static void add_array(struct hmac256 *m, struct json v, struct arena *a)
{
    hmac256_add(m, STR("["));
    for (struct json e = json_first(v); json_present(e); e = json_next(e)) {
        canonical_add(m, e, a);
        hmac256_add(m, STR(","));
    }
    hmac256_add(m, STR("]"));
}

void canonical_add(struct hmac256 *m, struct json v, struct arena *a)
{
    switch (json_type(v)) {
    case JSON_OBJECT:
        add_object(m, v, a);
        break;
    case JSON_ARRAY:
        add_array(m, v, a);
        break;
    case JSON_STRING:
        add_string(m, json_str(v, a));
        break;
    default:
        hmac256_add(m, json_raw(v));
    }
}
