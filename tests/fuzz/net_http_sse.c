/* A stream of events cut where the first byte says: the same events as in one piece,
 * and nothing over the limit. */
#include "base/mem.h"
#include "net/http/sse.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT = 200 };

static void on_event(void *ctx, struct str name, struct str data)
{
    struct buf *all = ctx;
    if (data.n == 0 || data.n > LIMIT || name.n > SSE_NAME_MAX)
        abort();
    buf_adds(all, name);
    buf_addc(all, '\0');
    buf_adds(all, data);
    buf_addc(all, '\0');
}

static int feed(struct sse *s, struct str bytes, struct buf *all)
{
    char *copy = mem_strndup(bytes.p, bytes.n); /* gone after the call */
    int rc = sse_feed(s, (struct str){copy, bytes.n}, on_event, all);
    mem_free(copy);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str all = {(const char *)data, size};
    struct sse one, two;
    struct buf from_one, from_two;
    size_t piece = size ? data[0] % 16 + 1u : 1;
    int rc_one, rc_two = 0;
    sse_init(&one, LIMIT);
    sse_init(&two, LIMIT);
    buf_init(&from_one, (size_t)1 << 20);
    buf_init(&from_two, (size_t)1 << 20);
    rc_one = feed(&one, all, &from_one);
    for (struct str rest = all; rest.n && rc_two == 0; rest = str_from(rest, piece))
        rc_two = feed(&two, (struct str){rest.p, rest.n < piece ? rest.n : piece},
                      &from_two);
    if (rc_one != rc_two || !str_eq(buf_str(&from_one), buf_str(&from_two)))
        abort();
    sse_finish(&one);
    sse_finish(&two);
    buf_finish(&from_one);
    buf_finish(&from_two);
    return 0;
}
