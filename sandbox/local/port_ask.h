/* The first request to a port of a sandbox that was opened on the host: does it carry
 * the port's token? As the parameter `sandquay-token` of its URL, in the cookie
 * `sandquay-PORT`, or as `Authorization: Bearer`. Pure, over foreign bytes. */
#pragma once
#include "base/buf.h"
#include "base/secret.h"
#include "sandbox/http_head.h"
#include <stdint.h>

#define PORT_TOKEN_PARAMETER "sandquay-token"

enum port_verdict {
    PORT_MORE,     /* the head is not complete */
    PORT_BAD,      /* not HTTP/1 */
    PORT_STRANGER, /* without the token */
    PORT_ADMITTED,
    PORT_ENTERS, /* a browser with the token in its URL: it gets the cookie */
};

/* port: of the host. *ret_path: with PORT_ENTERS, the URL's path without the token, to
 * be redirected to (buf_init is done here; to be finished by the caller in any case).
 */
enum port_verdict port_ask(struct str in, uint16_t port, const struct secret *token,
                           struct buf *ret_path);
