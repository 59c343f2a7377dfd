/* Lists in pages: sorted, and cut after a cursor that says where the page before it
 * ended, so that what is made or deleted meanwhile neither repeats nor hides a row. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stdint.h>

enum { PAGE_CURSOR_MAX = 200 };

/* Rows are in the order of (key, id). */
struct page_row {
    uint64_t key;
    const char *id;
    const void *item;
};

struct page_wish {
    bool descending;
    size_t limit;
    struct str cursor; /* p NULL: from the beginning */
};

struct page {
    size_t first, count;        /* of the rows, once sorted */
    char next[PAGE_CURSOR_MAX]; /* "": this is the last page */
};

/* Sorts the rows. INVALID: the cursor is none of ours. */
int page_cut(struct page_row *rows, size_t count, const struct page_wish *wish,
             struct page *ret_page, struct err *err);
