/* DNS for programs inside (RFC 1035): the bytes of a question and its answer, and the
 * table of addresses that stand for names. Pure; the questions are an attacker's. */
#pragma once
#include "net/address.h"
#include "sandbox/network_policy.h"

enum {
    DNS_MESSAGE_MAX = 512,
    DNS_TYPE_A = 1,
    DNS_NO_ERROR = 0,
    DNS_FORMAT_ERROR = 1,
    DNS_SERVER_FAILURE = 2,
    DNS_NO_SUCH_NAME = 3,
    DNS_NOT_IMPLEMENTED = 4,
};

struct dns_question {
    char name[NETWORK_HOST_MAX + 1]; /* lower case; "" if it is no host name */
    uint16_t type;
    uint8_t rcode;     /* what it must be answered with if it cannot be served */
    size_t head_bytes; /* of the message, with its one question */
};

/* false: not a question at all, to be ignored. */
bool dns_parse(struct str message, struct dns_question *ret_question);
/* The answer to it; a: the address of the name, or NULL. Returns its length. */
size_t dns_answer(struct str message, const struct dns_question *q, uint8_t rcode,
                  const struct address *a, uint32_t ttl_s, uint8_t to[DNS_MESSAGE_MAX]);

/* Names that have an address of the pool 198.18.0.0/15. Of NAMES_MAX the oldest is
 * forgotten; its address stands for nothing then, and is used again only after all
 * others. */
enum { DNS_NAMES_MAX = 4096 };

struct dns_names {
    struct dns_name *entry;
    uint16_t *bucket;
    size_t count, room;
    uint32_t next;
};

void dns_names_finish(struct dns_names *n); /* accepts all-zero */
struct address dns_names_give(struct dns_names *n, const char *name);
/* NULL: an address that stands for no name. */
const char *dns_names_find(const struct dns_names *n, const struct address *a);
