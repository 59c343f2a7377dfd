#include "cli/answer.h"

static enum err_kind kind_of(struct json code)
{
    for (int k = ERR_INVALID; k <= ERR_INTERNAL; k++)
        if (json_str_is(code, str_of(err_kind_name((enum err_kind)k))))
            return (enum err_kind)k;
    return ERR_UNAVAILABLE;
}

struct json answer_content(struct json result, const struct err *failed,
                           struct arena *a, struct err *err)
{
    if (failed) {
        *err = *failed;
        return (struct json){0};
    }
    if (!json_is_true(json_get(result, STR("isError"))))
        return json_get(result, STR("structuredContent"));
    struct str text = json_str(json_pointer(result, "/content/0/text"), a);
    struct json_doc doc;
    struct err ignored;
    err_set(err, ERR_UNAVAILABLE, "%.*s", STR_FMT(text));
    if (json_parse(&doc, a, text, &ignored) == 0) {
        struct json problem = json_root(&doc);
        struct str cause = json_str(json_get(problem, STR("cause")), a);
        struct str remedy = json_str(json_get(problem, STR("remedy")), a);
        err_set(err, kind_of(json_get(problem, STR("code"))), "%.*s", STR_FMT(cause));
        if (remedy.n)
            err_remedy(err, "%.*s", STR_FMT(remedy));
    }
    return (struct json){0};
}
