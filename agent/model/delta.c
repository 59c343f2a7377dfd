#include "agent/model/delta.h"

enum { INDEX_DIGITS_MAX = 6 };

static bool skip(struct str *s, struct str what)
{
    if (!str_starts(*s, what))
        return false;
    *s = str_from(*s, what.n);
    return true;
}

static bool read_index(struct str *s, int64_t *ret_index)
{
    size_t n = 0;
    int64_t index = 0;
    for (; n < s->n && n < INDEX_DIGITS_MAX && s->p[n] >= '0' && s->p[n] <= '9'; n++)
        index = index * 10 + (s->p[n] - '0');
    if (n == 0 || (n > 1 && s->p[0] == '0'))
        return false;
    *s = str_from(*s, n);
    *ret_index = index;
    return true;
}

bool delta_read(struct str data, struct delta *ret_delta)
{
    static const struct {
        struct str type, rest;
    } kinds[] = {
        {STR_INIT("text_delta"), STR_INIT("text_delta\",\"text\":\"")},
        {STR_INIT("input_json_delta"),
         STR_INIT("input_json_delta\",\"partial_json\":\"")},
        {STR_INIT("thinking_delta"), STR_INIT("thinking_delta\",\"thinking\":\"")},
    };
    struct str rest = data;
    if (!str_ends(data, STR("\"}}")) ||
        !skip(&rest, STR("{\"type\":\"content_block_delta\",\"index\":")) ||
        !read_index(&rest, &ret_delta->index) ||
        !skip(&rest, STR(",\"delta\":{\"type\":\"")))
        return false;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (skip(&rest, kinds[i].rest)) {
            ret_delta->type = kinds[i].type;
            /* with the quote before rest, without "}}" behind it */
            ret_delta->piece = (struct str){rest.p - 1, rest.n - 1};
            return rest.n >= 3;
        }
    return false;
}
