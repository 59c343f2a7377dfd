/* The first request to an exposed port. Without the token in it, nobody gets in; where
 * a browser is sent to begins with one slash and does not hold the token. */
#include "sandbox/local/port_ask.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str text = STR_INIT("0123456789abcdef");
    struct str in = {(const char *)data, size};
    struct secret *token = secret_new(text);
    struct buf path;
    enum port_verdict v = port_ask(in, 8080, token, &path);
    bool carries = size && memmem(in.p, in.n, text.p, text.n);
    require(carries || (v != PORT_ADMITTED && v != PORT_ENTERS));
    if (v == PORT_ENTERS) {
        require(!path.overflow && path.n > 0 && path.p[0] == '/');
        require(path.n == 1 || (path.p[1] != '/' && path.p[1] != '\\'));
        for (size_t i = 0; i < path.n; i++)
            require(path.p[i] > ' ' && path.p[i] < 0x7f);
    }
    buf_finish(&path);
    secret_free(token);
    return 0;
}
