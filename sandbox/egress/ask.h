/* What a program inside asks of the proxy, out of its first bytes: HTTP (RFC 9112:
 * CONNECT and absolute-form) and SOCKS5 (RFC 1928). Pure functions over foreign bytes:
 * strict, no allocation by a size that the peer names. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "net/address.h"
#include "sandbox/http_head.h"
#include "sandbox/network_policy.h"

enum { EGRESS_HEAD_MAX = HTTP_HEAD_MAX };

/* EGRESS_TRANSPARENT: nothing was asked, the program believes to be connected. */
enum egress_kind { EGRESS_CONNECT, EGRESS_REQUEST, EGRESS_SOCKS, EGRESS_TRANSPARENT };

/* A host and a port: a name in lower case without its final dot, or an address. */
struct egress_target {
    char host[NETWORK_HOST_MAX + 1];
    bool literal; /* `address` is it */
    struct address address;
    uint16_t port;
};

struct egress_ask {
    enum egress_kind kind;
    struct egress_target target;
    size_t head_bytes; /* of the input; what follows is the program's data */
    /* EGRESS_REQUEST: */
    uint64_t body_bytes; /* that follow the head; UINT64_MAX: until it ends */
    bool upgrade;
    bool by_apt; /* it says so: hosts may have a proxy for apt alone */
};

/* "host", "host:443", "[::1]:80"; port: where none is given, 0 = it is required. */
int egress_target_parse(struct str text, uint16_t port,
                        struct egress_target *ret_target, struct err *err);
/* "example.com:443", "[2001:db8::1]:80" */
void egress_target_format(const struct egress_target *t, char *to, size_t room);

/* 1: *ret_ask; 0: more bytes are needed; -1: not a request that a proxy can serve. */
int egress_http_parse(struct str in, struct egress_ask *ret_ask, struct err *err);
/* The head of an EGRESS_REQUEST as it goes on: without what was meant for us, one
 * request a connection. extra: header lines to add, each with CRLF. absolute: to a
 * proxy (the target stays a URL), else to the server itself. */
void egress_http_rewrite(struct str head, const struct egress_ask *ask, bool absolute,
                         struct str extra, struct buf *to);

/* The greeting: 1: *ret_bytes of it, and whether "no authentication" is offered. */
int egress_socks_greeting(struct str in, size_t *ret_bytes, bool *ret_offered);
/* The request behind it: as egress_http_parse(). *ret_reply: the code to refuse with.
 */
int egress_socks_parse(struct str in, struct egress_ask *ret_ask, uint8_t *ret_reply,
                       struct err *err);
