/* Which host a TLS connection is for, before anything of it is answered: the server
 * name of its ClientHello (RFC 8446 4.1.2, RFC 6066 3). Pure, over foreign bytes. */
#pragma once
#include "base/str.h"

/* A ClientHello that is longer has no host for us. */
enum { HELLO_MAX = 16 * 1024 };

enum hello_verdict {
    HELLO_MORE,    /* it is not all there */
    HELLO_NO_HOST, /* no ClientHello in one record, or without a name */
    HELLO_HOST,
};
/* bytes: what has come so far. *ret_host points into it. */
enum hello_verdict hello_read(struct str bytes, struct str *ret_host);
