#include "mcp/template.h"

/* The next piece of a template: literal text, then (if name.p) a variable. */
struct piece {
    struct str literal, name;
    bool reserved; /* {+name} */
};

static struct piece next_piece(struct str *rest)
{
    struct piece piece = {.literal = *rest};
    ptrdiff_t open = str_find(*rest, '{');
    ptrdiff_t close = open < 0 ? -1 : str_find(str_from(*rest, (size_t)open), '}');
    if (close < 0) {
        *rest = str_from(*rest, rest->n);
        return piece;
    }
    piece.literal.n = (size_t)open;
    piece.name = (struct str){rest->p + open + 1, (size_t)close - 1};
    piece.reserved = piece.name.n && piece.name.p[0] == '+';
    if (piece.reserved)
        piece.name = str_from(piece.name, 1);
    *rest = str_from(*rest, (size_t)(open + close + 1));
    return piece;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Every % begins two hex digits. */
static bool decodes(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '%' &&
            (i + 2 >= s.n || hex(s.p[i + 1]) < 0 || hex(s.p[i + 2]) < 0))
            return false;
    return true;
}

static struct str decode(struct str s, struct arena *a)
{
    char *to = arena_alloc(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '%') {
            to[n++] = (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]));
            i += 2;
        } else {
            to[n++] = s.p[i];
        }
    return (struct str){to, n};
}

/* How far a variable reaches in s: to the literal behind it, or to the end. */
static size_t reach(struct str s, const struct piece *piece, struct str behind)
{
    size_t i = 0;
    for (; i < s.n; i++) {
        if (!piece->reserved && strchr("/?#", s.p[i]))
            return i;
        if (behind.n && i > 0 && str_starts(str_from(s, i), behind))
            return i;
    }
    return i;
}

/* Walks both; calls of wanted (if not NULL) give its raw value. */
static bool match(struct str template, struct str uri, const struct str *wanted,
                  struct str *ret_raw)
{
    for (;;) {
        struct piece piece = next_piece(&template);
        if (!str_starts(uri, piece.literal))
            return false;
        uri = str_from(uri, piece.literal.n);
        if (!piece.name.p)
            return uri.n == 0;
        struct str rest = template;
        struct str behind = next_piece(&rest).literal;
        struct str value = {uri.p, reach(uri, &piece, behind)};
        if (value.n == 0 || !decodes(value))
            return false;
        if (wanted && str_eq(piece.name, *wanted))
            *ret_raw = value;
        uri = str_from(uri, value.n);
    }
}

bool template_matches(struct str template, struct str uri)
{
    return match(template, uri, NULL, NULL);
}

bool template_var(struct str template, struct str uri, struct str name, struct arena *a,
                  struct str *ret_value)
{
    struct str raw = {0};
    if (!match(template, uri, &name, &raw) || !raw.p)
        return false;
    *ret_value = decode(raw, a);
    return true;
}

bool template_has(struct str template, struct str name)
{
    for (;;) {
        struct piece piece = next_piece(&template);
        if (!piece.name.p)
            return false;
        if (str_eq(piece.name, name))
            return true;
    }
}
