/* The client side of stdio: a server that is our child process, and a client connected
 * to it. */
#pragma once
#include "base/err.h"
#include "mcp/client.h"
#include "net/loop.h"

struct spawn;

struct spawn_config {
    const char *const
        *argv; /* argv[0] is a path or is looked up in PATH; NULL-terminated */
    const char *const *env; /* complete environment */
    int stderr_fd;          /* its stderr (borrowed); 0: ours */
    /* The server ended or closed its stdout; the client has been told with
     * client_lost(). */
    void (*lost)(void *ctx, int exit_code, int signal);
    void *ctx;
};

/* Starts the process and connects client (borrowed) to its pipes. */
int spawn_new(struct spawn **ret_spawn, struct loop *loop, struct client *client,
              const struct spawn_config *config, struct err *err);
/* To be called from the client's wake: sends its output. */
void spawn_flush(struct spawn *spawn);
/* Begins to end it: closes its stdin. For who ends several: their times to leave run at
 * the same time. */
void spawn_end(struct spawn *spawn);
/* Ends it as the specification says: close stdin, wait up to 2 s, SIGTERM, 1 s,
 * SIGKILL; blocks until it is gone (2 ms with our own server) and frees. */
void spawn_free(struct spawn *spawn);
