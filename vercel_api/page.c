#include "vercel_api/page.h"
#include <stdio.h>
#include <stdlib.h>

enum { KEY_DIGITS = 16 };

static int compare(const struct page_row *a, const struct page_row *b)
{
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return strcmp(a->id, b->id);
}

static int ascending(const void *a, const void *b)
{
    return compare(a, b);
}

static int descending(const void *a, const void *b)
{
    return compare(b, a);
}

/* "KEY.ID": the last row of the page before, the key in 16 hexadecimal digits. */
static int read_cursor(struct str cursor, struct page_row *ret_row,
                       char id[PAGE_CURSOR_MAX], struct err *err)
{
    uint64_t key = 0;
    bool good = cursor.n > KEY_DIGITS && cursor.n < PAGE_CURSOR_MAX &&
                cursor.p[KEY_DIGITS] == '.' && !memchr(cursor.p, '\0', cursor.n);
    for (int i = 0; i < KEY_DIGITS && good; i++) {
        char c = cursor.p[i];
        good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        key = key << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    if (!good)
        return err_set(err, ERR_INVALID, "cursor is not one of this list");
    struct str rest = str_from(cursor, KEY_DIGITS + 1);
    memcpy(id, rest.p, rest.n);
    id[rest.n] = '\0';
    *ret_row = (struct page_row){.key = key, .id = id};
    return 0;
}

int page_cut(struct page_row *rows, size_t count, const struct page_wish *wish,
             struct page *ret_page, struct err *err)
{
    struct page page = {0};
    struct page_row after = {0};
    char id[PAGE_CURSOR_MAX];
    if (wish->cursor.p && read_cursor(wish->cursor, &after, id, err) < 0)
        return -1;
    if (count)
        qsort(rows, count, sizeof rows[0], wish->descending ? descending : ascending);
    while (wish->cursor.p && page.first < count) {
        int c = compare(&rows[page.first], &after);
        if (wish->descending ? c < 0 : c > 0)
            break;
        page.first++;
    }
    page.count = count - page.first;
    if (page.count > wish->limit) {
        page.count = wish->limit;
        const struct page_row *last = &rows[page.first + page.count - 1];
        snprintf(page.next, sizeof page.next, "%016llx.%s",
                 (unsigned long long)last->key, last->id);
    }
    *ret_page = page;
    return 0;
}
