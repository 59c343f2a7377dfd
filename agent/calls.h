/* The calls of one turn: approved one after the other, then run at the same time; their
 * results keep the calls' order, and every call has one, whatever happens. */
#pragma once
#include "agent/approval.h"
#include "agent/servers.h"

struct calls;

enum { CALLS_SILENCE_MS = 10 * 60 * 1000 };

struct calls_config { /* borrowed */
    struct loop *loop;
    struct servers *servers;
    const struct server_spec *specs;
    const struct catalog *catalog;
    struct approval *approval;
    struct view *view;
    uint64_t silence_ms;     /* without an answer or progress: then a call has failed */
    void (*done)(void *ctx); /* all have results; never before calls_new() returns */
    void *ctx;
};

/* The tool_use blocks of the message, which is copied. */
struct calls *calls_new(const struct calls_config *config,
                        const struct message *message);
/* Those without a result get "cancelled by the user"; servers are told. No callback
 * after that. */
void calls_cancel(struct calls *c);
void calls_free(struct calls *c); /* accepts NULL */

/* A JSON array of tool_result blocks; once all are done. */
struct str calls_results(struct calls *c);
/* The same with an error for each call instead of what it gave. */
struct str calls_results_without(struct calls *c, const char *why);
/* No call reached a server: each one's is lost. */
bool calls_all_lost(const struct calls *c);

/* "not run" results for the tool_use blocks of a message whose calls are not made, as a
 * JSON array; nothing when it has none. */
void calls_refuse(struct buf *to, const struct message *message, const char *why);
