/* IP addresses as values: IPv4 is kept in its IPv4-mapped form, so that one comparison
 * serves both families and ::ffff:10.0.0.1 cannot be told from 10.0.0.1. What an
 * address is good for follows the special-purpose registries of RFC 6890 and the
 * metadata services of cloud providers. */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ADDRESS_TEXT = 46 };

struct address {
    uint8_t b[16];
};

/* A dotted quad of decimals or the text of RFC 4291; no zone, brackets, octal or short
 * forms. */
bool address_parse(struct str text, struct address *ret_address);
void address_format(const struct address *a, char to[ADDRESS_TEXT]);
bool address_is_v4(const struct address *a);
bool address_eq(const struct address *a, const struct address *b);
/* The IPv4 address that an IPv6 one leads to: NAT64 (64:ff9b::/96), 6to4 (2002::/16)
 * and the deprecated ::/96. */
bool address_embedded(const struct address *a, struct address *ret_v4);

socklen_t address_to_sockaddr(const struct address *a, uint16_t port,
                              struct sockaddr_storage *ret_sockaddr);
/* false: neither IPv4 nor IPv6. ret_port may be NULL. */
bool address_from_sockaddr(const struct sockaddr *sa, struct address *ret_address,
                           uint16_t *ret_port);

enum address_class {
    ADDRESS_PUBLIC,
    ADDRESS_UNSPECIFIED,
    ADDRESS_LOOPBACK,
    ADDRESS_PRIVATE,
    ADDRESS_LINK_LOCAL,
    ADDRESS_METADATA,
    ADDRESS_MULTICAST,
    ADDRESS_RESERVED,
};
/* One that leads to an IPv4 address is of that one's class. The documentation ranges of
 * RFC 5737 and 3849 count as public: nothing private is behind them. */
enum address_class address_class(const struct address *a);
const char *address_class_name(enum address_class c); /* "a loopback address" */

struct address_range {
    struct address base;
    uint8_t bits; /* of the 128-bit form */
};
/* "10.0.0.0/8", "fd00::/8", "10.1.2.3"; bits behind the prefix are cleared. INVALID. */
int address_range_parse(struct str text, struct address_range *ret_range,
                        struct err *err);
enum { ADDRESS_RANGE_TEXT = ADDRESS_TEXT + 4 };
void address_range_format(const struct address_range *r, char to[ADDRESS_RANGE_TEXT]);
bool address_range_has(const struct address_range *r, const struct address *a);
