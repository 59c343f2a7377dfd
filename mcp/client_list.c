/* Lists of a server, page after page. */
#include "base/mem.h"
#include "mcp/client_internal.h"

enum { PAGES_MAX = 10000 };

struct listing {
    struct client *client;
    char *method;
    const char *key;
    unsigned pages;
    client_page_fn *fn;
    void *ctx;
};

static void ask_page(struct listing *l, struct str raw_cursor);

static void end(struct listing *l, const struct err *err)
{
    client_page_fn *fn = l->fn;
    void *ctx = l->ctx;
    mem_free(l->method);
    mem_free(l);
    fn(ctx, (struct json){0}, err);
}

static void on_page(void *ctx, struct json result, const struct err *err)
{
    struct listing *l = ctx;
    struct json items = json_get(result, str_of(l->key));
    struct json next = json_get(result, STR("nextCursor"));
    struct err problem;
    if (!err && json_type(items) != JSON_ARRAY) {
        err_set(&problem, ERR_PROTOCOL, "the answer to %s has no %s", l->method,
                l->key);
        err = &problem;
    } else if (!err && ++l->pages > PAGES_MAX) {
        err_set(&problem, ERR_LIMIT, "%s has no end", l->method);
        err = &problem;
    }
    if (err) {
        end(l, err);
        return;
    }
    l->fn(l->ctx, items, NULL);
    if (json_type(next) == JSON_STRING)
        ask_page(l, json_raw(next));
    else
        end(l, NULL);
}

static void ask_page(struct listing *l, struct str raw_cursor)
{
    struct buf params;
    buf_init(&params, raw_cursor.n + 64);
    if (raw_cursor.n) {
        buf_addz(&params, "{\"cursor\":");
        buf_adds(&params, raw_cursor);
        buf_addc(&params, '}');
    }
    client_send(l->client, &(struct client_request){.method = l->method,
                                                    .params = buf_str(&params),
                                                    .fn = on_page,
                                                    .ctx = l});
    buf_finish(&params);
}

void client_list(struct client *c, const char *method, const char *key,
                 client_page_fn *fn, void *ctx)
{
    struct listing *l = mem_new(struct listing);
    l->client = c;
    l->method = mem_strndup(method, str_of(method).n);
    l->key = key;
    l->fn = fn;
    l->ctx = ctx;
    ask_page(l, (struct str){0});
}
