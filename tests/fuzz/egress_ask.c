/* A program's first bytes to the proxy, as HTTP and as SOCKS5. A request that is
 * understood goes on as one that is understood the same way, without what was for the
 * proxy. */
#include "sandbox/egress/ask.h"
#include <stdlib.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_target(const struct egress_target *t)
{
    char text[NETWORK_HOST_MAX + 16];
    struct egress_target again;
    struct err err;
    require(t->port != 0);
    require(t->literal || network_is_name(str_of(t->host)));
    egress_target_format(t, text, sizeof text);
    require(egress_target_parse(str_of(text), 0, &again, &err) == 0);
    require(strcmp(again.host, t->host) == 0 && again.port == t->port);
}

static void check_rewritten(struct str in, const struct egress_ask *ask)
{
    struct egress_ask again;
    struct err err;
    struct buf b;
    buf_init(&b, 1 << 20);
    egress_http_rewrite(in, ask, true, (struct str){0}, &b);
    require(!b.overflow);
    if (b.n < EGRESS_HEAD_MAX) {
        require(egress_http_parse(buf_str(&b), &again, &err) == 1);
        require(strcmp(again.target.host, ask->target.host) == 0);
        require(again.target.port == ask->target.port);
        require(again.body_bytes == ask->body_bytes ||
                (ask->upgrade && !again.upgrade));
        require(again.head_bytes == b.n);
    }
    static const char ours[] = "\nProxy-Authorization:";
    size_t n = sizeof ours - 1;
    for (size_t i = 0; i + n <= b.n; i++)
        require(strncasecmp(b.p + i, ours, n) != 0);
    buf_finish(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = {(const char *)data, size};
    struct egress_ask ask;
    struct err err = {0};
    uint8_t reply;
    size_t n;
    bool offered;
    int rc = egress_http_parse(in, &ask, &err);
    if (rc > 0) {
        require(ask.head_bytes <= size && ask.head_bytes <= EGRESS_HEAD_MAX);
        check_target(&ask.target);
        if (ask.kind == EGRESS_REQUEST)
            check_rewritten(in, &ask);
    } else if (rc < 0) {
        require(err.msg[0]);
    }
    if (egress_socks_greeting(in, &n, &offered))
        require(n <= size);
    rc = egress_socks_parse(in, &ask, &reply, &err);
    if (rc > 0) {
        require(ask.head_bytes <= size);
        check_target(&ask.target);
    }
    return 0;
}
