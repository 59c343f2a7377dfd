/* A datagram to the resolver: what is answered can be read back, and asks the same. */
#include "sandbox/egress/dns.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = {(const char *)data, size};
    struct dns_question q, again;
    uint8_t out[DNS_MESSAGE_MAX];
    struct dns_names names = {0};
    if (!dns_parse(in, &q))
        return 0;
    require(q.head_bytes <= size && q.head_bytes <= DNS_MESSAGE_MAX);
    require(q.rcode || network_is_name(str_of(q.name)));
    struct address a = dns_names_give(&names, q.name);
    require(strcmp(dns_names_find(&names, &a), q.name) == 0);
    size_t n = dns_answer(in, &q, q.rcode, q.rcode ? NULL : &a, 60, out);
    require(n <= sizeof out && n >= 12 && out[2] & 0x80);
    require(memcmp(out, data, 2) == 0);
    if (!q.rcode) {
        out[2] &= 0x7f;
        require(dns_parse((struct str){(const char *)out, n}, &again));
        require(strcmp(again.name, q.name) == 0 && again.type == q.type);
    }
    dns_names_finish(&names);
    return 0;
}
