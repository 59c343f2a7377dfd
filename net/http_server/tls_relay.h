/* Bytes between a TLS connection of a client and a plain socket, both ways, until both
 * have ended: net/relay.h with TLS on the near side. At most TLS_RELAY_BYTES wait for
 * each side. */
#pragma once
#include "base/str.h"
#include "net/loop.h"

enum { TLS_RELAY_BYTES = 64 * 1024 };

struct tls_relay;
struct tls_relay_events {
    void (*open)(void *ctx); /* the handshake is over: tls_relay_to(), now or later */
    void (*done)(void *ctx); /* the last call: tls_relay_free() */
};
/* Takes fd, a connection that has not been read from; tls_ctx is OpenSSL's SSL_CTX. A
 * handshake that takes longer than `patience_ms` ends it. */
struct tls_relay *tls_relay_new(struct loop *loop, int fd, void *tls_ctx,
                                uint32_t patience_ms,
                                const struct tls_relay_events *events, void *ctx);
/* Takes far, connected: bytes begin to pass. */
void tls_relay_to(struct tls_relay *r, int far);
/* There is no far side: the text is sent, then the connection ends. */
void tls_relay_answer(struct tls_relay *r, struct str text);
void tls_relay_free(struct tls_relay *r); /* accepts NULL */
