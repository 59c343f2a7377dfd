/* Listening sockets: addresses as users write them, and what accepts connections. */
#pragma once
#include "base/err.h"
#include "net/loop.h"
#include <stdbool.h>
#include <sys/socket.h>

enum { LISTEN_TEXT_MAX = 160 };

struct listen_address {
    struct sockaddr_storage addr;
    socklen_t length;
    bool local; /* loopback or a unix socket: only this machine can reach it */
    bool is_unix;
};

/* "127.0.0.1:7777", "[::1]:7777", "0.0.0.0:80", "localhost:7777" (127.0.0.1), ":7777"
 * (127.0.0.1 too), "unix:/absolute/path". Port 0: the kernel picks one. INVALID with
 * what is wrong; names are not looked up. */
int listen_parse(struct listen_address *ret_address, const char *text, struct err *err);

/* Accepts connections until it is freed. `accepted` takes fd: nonblocking, CLOEXEC. A
 * TCP connection is NODELAY. Where descriptors run out, accepting waits a moment. */
struct listener;
struct listener_config {
    void (*accepted)(void *ctx, int fd);
    void *ctx;
};
/* CONFLICT when the address is in use. A unix socket is for this user only (0600); a
 * dead one that is in the way is replaced. */
int listener_new(struct listener **ret_listener, struct loop *loop,
                 const struct listen_address *address,
                 const struct listener_config *config, struct err *err);
/* Connections wait in the kernel's queue while it is paused. */
void listener_pause(struct listener *listener, bool paused);
/* The address with the port that it got: "127.0.0.1:7777", "unix:/path". */
const char *listener_text(const struct listener *listener);
void listener_free(struct listener *listener); /* accepts NULL; removes its unix path */
