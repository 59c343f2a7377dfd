#include "vercel_api/private.h"
#include <stdarg.h>
#include <stdio.h>

#define JSON_TYPE "application/json; charset=utf-8"

enum { MESSAGE_MAX = 1024, PAGE_DEFAULT = 20, PAGE_MAX = 50 };

void api_write_error(struct buf *to, const char *code, struct str message)
{
    struct json_writer w;
    jw_init(&w, to);
    jw_object(&w);
    jw_key(&w, "error");
    jw_object(&w);
    jw_key_cstr(&w, "code", code);
    jw_key_str(&w, "message", message);
    jw_end_object(&w);
    jw_end_object(&w);
}

void api_answer(struct request *r, enum http_code status, struct buf *json)
{
    if (r->ex)
        http_answer(r->ex, status, JSON_TYPE, buf_str(json), NULL);
}

void api_fail(struct request *r, enum http_code status, const char *code,
              const char *fmt, ...)
{
    char message[MESSAGE_MAX];
    struct buf text;
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    buf_init(&text, 8 * MESSAGE_MAX);
    api_write_error(&text, code, str_of(message));
    api_answer(r, status, &text);
    buf_finish(&text);
}

/* The SDK sends again what is answered with 5xx: that is for our bugs alone. */
void api_fail_err(struct request *r, const struct err *err)
{
    static const struct {
        enum err_kind kind;
        enum http_code status;
        const char *code;
    } rows[] = {
        {ERR_NOT_FOUND, HTTP_NOT_FOUND, "not_found"},
        {ERR_CONFLICT, HTTP_CONFLICT, "conflict"},
        {ERR_DENIED, HTTP_FORBIDDEN, "forbidden"},
        {ERR_LIMIT, HTTP_TOO_MANY, "rate_limited"},
        {ERR_INTERNAL, HTTP_INTERNAL, "internal_server_error"},
    };
    enum http_code status = HTTP_BAD_REQUEST;
    const char *code = "bad_request";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].kind == err->kind) {
            status = rows[i].status;
            code = rows[i].code;
        }
    api_fail(r, status, code, "%s%s%s%s",
             err->kind == ERR_INVALID ? "Invalid request: " : "", err->msg,
             err->remedy[0] ? "; " : "", err->remedy);
}

void reply_begin(struct reply *reply)
{
    buf_init(&reply->text, 64 * 1024 * 1024);
    jw_init(&reply->w, &reply->text);
    jw_object(&reply->w);
}

void reply_end(struct reply *reply, struct request *r, enum http_code status)
{
    jw_end_object(&reply->w);
    api_answer(r, status, &reply->text);
    buf_finish(&reply->text);
}

static int bad_query(struct request *r, const char *what)
{
    api_fail(r, HTTP_BAD_REQUEST, "bad_request", "Invalid request: %s", what);
    return -1;
}

static int read_wish(struct request *r, bool descending, struct page_wish *ret_wish)
{
    struct str limit = request_arg(r, "limit"), order = request_arg(r, "sortOrder");
    struct page_wish wish = {.descending = descending,
                             .limit = PAGE_DEFAULT,
                             .cursor = request_arg(r, "cursor")};
    if (limit.p) {
        wish.limit = 0;
        for (size_t i = 0; i < limit.n && wish.limit <= PAGE_MAX; i++) {
            if (limit.p[i] < '0' || limit.p[i] > '9')
                return bad_query(r, "`limit` should be a number");
            wish.limit = 10 * wish.limit + (size_t)(limit.p[i] - '0');
        }
    }
    if (wish.limit < 1 || wish.limit > PAGE_MAX)
        return bad_query(r, "`limit` should be from 1 to 50");
    if (order.p && !str_eq(order, STR("asc")) && !str_eq(order, STR("desc")))
        return bad_query(r, "`sortOrder` should be asc or desc");
    if (order.p)
        wish.descending = str_eq(order, STR("desc"));
    *ret_wish = wish;
    return 0;
}

int api_page(struct request *r, struct page_row *rows, size_t count, bool descending,
             struct page *ret_page)
{
    struct page_wish wish;
    struct err err;
    if (read_wish(r, descending, &wish) < 0)
        return -1;
    if (page_cut(rows, count, &wish, ret_page, &err) == 0)
        return 0;
    return bad_query(r, err.msg);
}

void api_write_page(struct json_writer *w, const struct page *page)
{
    jw_key(w, "pagination");
    jw_object(w);
    jw_key_i64(w, "count", (int64_t)page->count);
    jw_key(w, "next");
    if (page->next[0])
        jw_cstr(w, page->next);
    else
        jw_null(w);
    jw_end_object(w);
}
