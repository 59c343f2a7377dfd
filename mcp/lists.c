/* The lists: tables whose rows carry their entry, a page at a time. A cursor holds all
 * that is needed to go on (nothing is kept for it, any replica takes it): where, and a
 * digest of the list, so that a list that has changed meanwhile refuses it.
 * Specification: "Pagination" and (2026-07-28) "Caching". */
#include "mcp/session.h"
#include <stdio.h>

enum {
    PAGE_SIZE = 1000,
    PAGE_BYTES = MCP_MESSAGE_OUT_MAX / 2,
    CURSOR_SIZE = 48,
};

void lists_write_caching(struct json_writer *w, enum mcp_era era, uint32_t ttl_ms)
{
    if (era != MCP_MODERN)
        return;
    jw_key_i64(w, "ttlMs", ttl_ms);
    jw_key_cstr(w, "cacheScope", "private");
}

static struct str definition(const struct list *list, size_t i)
{
    struct str s;
    memcpy(&s, (const char *)list->rows + i * list->stride + list->definition,
           sizeof s);
    return s;
}

/* FNV-1a over the entries. */
static uint64_t digest(const struct list *list)
{
    uint64_t h = 0xcbf29ce484222325;
    for (size_t i = 0; i < list->count; i++) {
        struct str s = definition(list, i);
        for (size_t k = 0; k < s.n; k++)
            h = (h ^ (unsigned char)s.p[k]) * 0x100000001b3;
    }
    return h;
}

static size_t write_cursor(const struct list *list, size_t at, char *to)
{
    return (size_t)snprintf(to, CURSOR_SIZE, "%zu-%016llx", at,
                            (unsigned long long)digest(list));
}

/* Where the request wants to go on, or -1: a cursor that was not given out here. */
static int read_cursor(struct request *r, const struct list *list, size_t *ret_at)
{
    struct json cursor = json_get(r->params, STR("cursor"));
    char want[CURSOR_SIZE];
    size_t at = 0;
    *ret_at = 0;
    if (!json_present(cursor))
        return 0;
    struct str text = json_str(cursor, &r->session->arena);
    for (size_t i = 0; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++)
        if (at < list->count)
            at = 10 * at + (size_t)(text.p[i] - '0');
    if (at == 0 || at >= list->count)
        return -1;
    *ret_at = at;
    return str_eq(text, (struct str){want, write_cursor(list, at, want)}) ? 0 : -1;
}

/* Returns where the next page starts; count behind the last one. */
static size_t write_page(const struct list *list, size_t at, size_t page_size,
                         struct json_writer *w)
{
    size_t start = w->b->n, end = at + page_size;
    jw_key(w, list->key);
    jw_array(w);
    for (; at < list->count && at < end; at++) {
        struct str entry = definition(list, at);
        if (w->b->n - start + entry.n > PAGE_BYTES && w->b->n > start + PAGE_BYTES / 2)
            break;
        jw_raw(w, entry);
    }
    jw_end_array(w);
    return at;
}

void lists_answer(struct request *r, const struct list *list)
{
    struct session *s = r->session;
    size_t page_size = s->server->config.page_size;
    size_t at;
    if (read_cursor(r, list, &at) < 0) {
        request_refuse(r, "unknown cursor, or the list has changed: start again");
        return;
    }
    struct json_writer w;
    size_t start = session_begin_result(s, &w, r->id, r->era);
    at = write_page(list, at, page_size ? page_size : PAGE_SIZE, &w);
    if (at < list->count) {
        char cursor[CURSOR_SIZE];
        jw_key_str(&w, "nextCursor",
                   (struct str){cursor, write_cursor(list, at, cursor)});
    }
    lists_write_caching(&w, r->era, 0);
    session_end_result(s, &w, start, NULL);
}
