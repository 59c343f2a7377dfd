/* The stdio transport of the server (reference: MCP specification, "Transports",
 * stdio): one JSON text a line on stdin and stdout, nothing else on stdout. */
#pragma once
#include "base/err.h"
#include "mcp/server.h"
#include "net/loop.h"
#include <stdint.h>

/* Call as the very first thing in main: opens /dev/null on missing descriptors 0-2,
 * moves 0 and 1 to private CLOEXEC descriptors and puts /dev/null and stderr in their
 * place, so that a stray printf or a child never reaches the protocol. */
struct stdio_fds {
    int in, out;
};
int stdio_claim(struct stdio_fds *ret_fds, struct err *err);

/* Serves one session on in and out (taken) until EOF, a write error, SIGTERM, SIGINT,
 * SIGHUP or the death of the parent process; then calls done(ctx) once. Reading pauses
 * while more than 16 MiB of output wait. */
struct stdio;
int stdio_new(struct stdio **ret_stdio, struct loop *loop, struct mcp_server *server,
              struct stdio_fds fds, uint64_t owner, void (*done)(void *ctx), void *ctx,
              struct err *err);
void stdio_free(struct stdio *stdio); /* closes the session and both descriptors */
