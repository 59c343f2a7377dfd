/* What an mcp_server needs of the world (struct mcp_host), from a loop: its clock and
 * one timer, the time of day, and a key of random bytes that lives as long as the
 * process. */
#pragma once
#include "mcp/server.h"
#include "net/loop.h"

struct host {
    struct mcp_host mcp; /* for mcp_server_config.host */
    struct loop *loop;
    struct loop_timer *timer; /* made when it is needed first */
    struct mcp_server *server;
};

/* Errors: IO (no random bytes). */
int host_init(struct host *host, struct loop *loop, struct err *err);
/* The server that was made with it: what is due in it is done from now on. */
void host_serve(struct host *host, struct mcp_server *server);
void host_finish(struct host *host); /* after the server; accepts all-zero */
