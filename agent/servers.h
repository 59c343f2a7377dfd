/* The MCP servers of a conversation: opened together, their tools listed, called by the
 * name that the model knows. One that dies answers its calls, those to come too, with
 * an error. */
#pragma once
#include "agent/catalog.h"
#include "base/secret.h"
#include "net/loop.h"
#include "transport/peer.h"

enum { SERVERS_MAX = 64, SERVERS_OPEN_MS = 60 * 1000 };

/* Which server, and how to reach it; borrowed for its life. */
struct server_spec {
    const char *name;
    const char *prefix; /* of its tools' names; NULL: they keep theirs */
    const char *const *argv, *const *env; /* a child, or: */
    const char *url;
    const struct secret *token;
    const struct str *headers; /* "Name: value" */
    size_t header_count;
    /* The child that is ours: its tools may be called without a question. */
    bool own;
};

struct servers;

struct servers_config { /* borrowed */
    struct loop *loop;
    const struct server_spec *specs;
    size_t count;
    int (*find)(void *ctx, bool http, const struct connector **ret_connector,
                struct err *err); /* as in peer_config */
    void *find_ctx;
    const char *ca_file; /* as in connector_config */
    uint64_t open_ms;    /* then one that has not listed its tools has failed */
    /* All are open and listed, or have failed. Once, after servers_new(). */
    void (*ready)(void *ctx);
    /* A server cannot be had, or is lost. */
    void (*lost)(void *ctx, const char *name, const struct err *err);
    /* A line that a server wrote to its stderr, or logged (untrusted text). */
    void (*said)(void *ctx, const char *name, struct str line);
    void *ctx;
};

struct servers *servers_new(const struct servers_config *config);
void servers_free(struct servers *s); /* blocks until the children are gone */

size_t servers_count(const struct servers *s);
/* NULL: it is there. */
const struct err *servers_failure(const struct servers *s, size_t number);
const char *servers_name(const struct servers *s, size_t number);
/* What it says of its use, or an empty text. */
struct str servers_instructions(const struct servers *s, size_t number);
/* Puts the tools of all servers into the catalog, in the servers' order. */
void servers_fill(struct servers *s, struct catalog *catalog);

struct servers_call {
    size_t server;
    const char *tool;     /* the server's name for it */
    struct str arguments; /* a JSON object text */
    /* The last line of output, or the like (untrusted text). */
    void (*progress)(void *ctx, struct str message);
    /* Once: the result of tools/call, or absent with err. */
    void (*done)(void *ctx, struct json result, const struct err *err);
    void *ctx;
};
/* Returns a number for servers_cancel(). `done` may come before it returns (0 then). */
uint64_t servers_send(struct servers *s, const struct servers_call *call);
/* The server is told; `done` runs now, with CANCELLED. */
void servers_cancel(struct servers *s, size_t server, uint64_t number);
