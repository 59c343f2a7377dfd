#include "net/http_server/assembly.h"
#include "base/utf8.h"

enum { KEEP_BYTES = 64 * 1024 };

void assembly_init(struct assembly *a, size_t max_bytes)
{
    a->max_bytes = max_bytes;
    a->open = false;
    buf_init(&a->bytes, max_bytes);
}

void assembly_finish(struct assembly *a)
{
    buf_finish(&a->bytes);
}

static int fail(int *ret_code, int code)
{
    *ret_code = code;
    return -1;
}

int assembly_add(struct assembly *a, const struct http_piece *piece,
                 struct str *ret_text, int *ret_code)
{
    if (piece->first)
        buf_reset(&a->bytes, KEEP_BYTES); /* the message of before was taken */
    if (!piece->first && !a->open)
        return fail(ret_code, WEBSOCKET_PROTOCOL); /* it continues nothing */
    a->open = !piece->last;
    if (piece->binary)
        return fail(ret_code, WEBSOCKET_UNSUPPORTED);
    size_t room = a->max_bytes - a->bytes.n;
    if (piece->bytes.n > room || piece->rest_bytes > room - piece->bytes.n)
        return fail(ret_code, WEBSOCKET_TOO_LARGE);
    *ret_text = piece->bytes;
    if (!(piece->first && piece->last)) {
        buf_adds(&a->bytes, piece->bytes);
        *ret_text = buf_str(&a->bytes);
    }
    if (!piece->last)
        return 0;
    return utf8_valid(*ret_text) ? 1 : fail(ret_code, WEBSOCKET_NOT_UTF8);
}
