/* A policy and a host, parted by the first newline. What is read can be written and
 * read again to the same; whatever the host, private addresses stay refused unless a
 * network was named. */
#include "sandbox/network_policy.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void print(const struct network_policy *p, struct buf *b)
{
    struct json_writer w;
    buf_init(b, 1 << 24);
    jw_init(&w, b);
    network_policy_write(p, &w);
    require(!b->overflow);
}

static void check_round_trip(const struct network_policy *p, struct arena *a)
{
    struct json_doc doc;
    struct network_policy again;
    struct err err = {0};
    struct buf first, second;
    print(p, &first);
    require(json_parse(&doc, a, buf_str(&first), &err) == 0);
    require(network_policy_read(&again, json_root(&doc), &err) == 0);
    print(&again, &second);
    require(str_eq(buf_str(&first), buf_str(&second)));
    network_policy_finish(&again);
    buf_finish(&first);
    buf_finish(&second);
}

static void check_host(const struct network_policy *p, struct str host)
{
    struct address a;
    char text[400];
    if (network_is_name(host))
        network_policy_name(p, host);
    if (!address_parse(host, &a))
        return;
    enum network_verdict v = network_policy_address(p, (struct str){0}, &a, false);
    network_verdict_text(v, &a, text, sizeof text);
    if (address_class(&a) != ADDRESS_PUBLIC && p->allowed_count == 0)
        require(v != NETWORK_ALLOWED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str whole = {(const char *)data, size};
    ptrdiff_t middle = str_find(whole, '\n');
    struct str first = {whole.p, middle < 0 ? size : (size_t)middle};
    struct arena a = {0};
    struct json_doc doc;
    struct network_policy p = {0};
    struct err err = {0};
    bool given = false;
    if (json_parse(&doc, &a, first, &err) == 0) {
        if (network_policy_read(&p, json_root(&doc), &err) < 0)
            require(err.kind != ERR_NONE && err.msg[0]);
        else
            check_round_trip(&p, &a);
    } else if (network_policy_allow(&p, &given, first, &err) == 0) {
        check_round_trip(&p, &a);
    }
    check_host(&p, str_from(whole, first.n + 1));
    network_policy_finish(&p);
    arena_finish(&a);
    return 0;
}
