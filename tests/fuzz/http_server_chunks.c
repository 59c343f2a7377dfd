/* A body in chunks on arbitrary bytes: it says the same however it is cut. The first
 * byte is the size of the pieces. */
#include "net/http_server/chunks.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int feed(struct str text, size_t step, struct buf *b)
{
    struct chunks c = {0};
    int rc = 0;
    while (text.n && rc == 0) {
        size_t n = text.n < step ? text.n : step;
        rc = chunks_feed(&c, (struct str){text.p, n}, b);
        text = str_from(text, n);
    }
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct str text = {(const char *)data + 1, size - 1};
    struct buf whole, pieces;
    buf_init(&whole, 1 << 20);
    buf_init(&pieces, 1 << 20);
    int one = feed(text, text.n, &whole), many = feed(text, 1 + data[0] % 16, &pieces);
    if (one != many || (one >= 0 && !str_eq(buf_str(&whole), buf_str(&pieces))))
        abort();
    buf_finish(&whole);
    buf_finish(&pieces);
    return 0;
}
