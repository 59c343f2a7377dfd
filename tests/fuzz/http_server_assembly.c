/* Pieces of WebSocket messages: a byte of flags, a length, so many bytes. What comes
 * out as a message is the pieces since its first one, is UTF-8 and within the limit. */
#include "base/mem.h"
#include "base/utf8.h"
#include "net/http_server/assembly.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT = 300, FIRST = 1, LAST = 2, BINARY = 4, REST = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct assembly a;
    struct buf expected;
    assembly_init(&a, LIMIT);
    buf_init(&expected, (size_t)1 << 20);
    for (size_t i = 0; i + 2 <= size;) {
        uint8_t flags = data[i];
        size_t n = data[i + 1];
        struct str text = {0};
        int code = 0;
        i += 2;
        if (n > size - i)
            n = size - i;
        char *copy = mem_strndup((const char *)data + i, n); /* gone after the call */
        struct http_piece piece = {.bytes = {copy, n},
                                   .first = flags & FIRST,
                                   .last = flags & LAST,
                                   .binary = flags & BINARY,
                                   .rest_bytes = flags & REST ? flags : 0};
        if (piece.first)
            buf_reset(&expected, 0);
        int rc = assembly_add(&a, &piece, &text, &code);
        buf_add(&expected, copy, n);
        if (rc > 0 &&
            (!utf8_valid(text) || text.n > LIMIT || !str_eq(text, buf_str(&expected))))
            abort();
        if (rc < 0 && code < 1000)
            abort();
        mem_free(copy);
        i += n;
        if (rc < 0)
            break; /* the connection closes */
    }
    buf_finish(&expected);
    assembly_finish(&a);
    return 0;
}
