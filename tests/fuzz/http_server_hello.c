/* A ClientHello on arbitrary bytes: a host lies within them, and what a beginning says
 * stays true of the whole. */
#include "net/http_server/hello.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = {(const char *)data, size}, host = {0};
    enum hello_verdict whole = hello_read(bytes, &host);
    if (whole == HELLO_HOST &&
        (host.n == 0 || host.p < bytes.p || host.p + host.n > bytes.p + bytes.n))
        abort();
    for (size_t n = 0; n < size; n += 1 + n / 8) {
        enum hello_verdict part =
            hello_read((struct str){(const char *)data, n}, &(struct str){0});
        if (part != HELLO_MORE && part != whole)
            abort();
    }
    return 0;
}
