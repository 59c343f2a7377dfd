/* The body of fs/write on arbitrary bytes: no path leads outside, no limit is passed.
 */
#include "vercel_api/unpack.h"
#include <stdint.h>
#include <stdlib.h>

enum { FILE_MAX_BYTES = 64 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err;
    struct unpack_entry e;
    struct unpack *u = unpack_new((struct str){(const char *)data, size}, &err);
    while (u && unpack_next(u, FILE_MAX_BYTES, &e, &err) > 0) {
        require(e.path.n > 0 && e.path.p[0] != '/' &&
                !memchr(e.path.p, '\0', e.path.n));
        require(!str_eq(e.path, STR("..")) && !str_starts(e.path, STR("../")) &&
                !str_ends(e.path, STR("/..")) &&
                !memmem(e.path.p, e.path.n, "/../", 4));
        require(e.directory || e.content.n <= FILE_MAX_BYTES);
        require(e.mode <= 07777);
    }
    unpack_free(u);
    return 0;
}
