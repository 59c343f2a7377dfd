/* A conversation with a session, for the tests of mcp/. JSON is written with ' for "
 * here; what is given back lives in the talk's arena. */
#pragma once
#include "base/arena.h"
#include "mcp/server.h"
#include "tests/unit/check.h"

#define VERSION "'io.modelcontextprotocol/protocolVersion':'2026-07-28'"
#define CAPS "'io.modelcontextprotocol/clientCapabilities':{}"
#define META "'_meta':{" VERSION "," CAPS "}"
#define REQ(id, method, params)                                                        \
    "{'jsonrpc':'2.0','id':" id ",'method':'" method "','params':{" params "}}"
#define NOTE(method, params)                                                           \
    "{'jsonrpc':'2.0','method':'" method "','params':{" params "}}"
#define MODERN(id, method, params) REQ(id, method, META params)
#define CALL(id, tool, args)                                                           \
    REQ(id, "tools/call", "'name':'" tool "','arguments':{" args "}")
#define INIT(version)                                                                  \
    REQ("'i'", "initialize",                                                           \
        "'protocolVersion':'" version "','capabilities':{},'clientInfo':{'name':'c',"  \
        "'version':'1'}")

struct talk {
    struct arena arena;
    struct mcp_server *server;
    struct session *session;
    int wakes;
};

/* A host whose clock the tests move: 1000 ms after its start, at
 * 2026-07-28T00:00:00.123Z, once talk_reset_host() was called. */
extern const struct mcp_host talk_host;
extern uint64_t talk_now_ms, talk_unix_ms, talk_due_ms;
void talk_reset_host(void);
/* A schema that everything satisfies; lives as long as the talk. */
struct schema *talk_any(struct talk *f);

/* Closes the session and opens another one (owner 7). */
void talk_restart(struct talk *f);
void talk_finish(struct talk *f); /* of the caller's storage; the server too */

struct str talk_quoted(struct talk *f, const char *text);
/* Takes the output away: its lines, checked against the message records. */
struct str talk_take(struct talk *f);
/* Says one message (at 1000 ms) and takes what is answered. */
struct str talk_ask(struct talk *f, const char *text);
struct str talk_ask_at(struct talk *f, const char *text, uint64_t now_ms);

/* The member at a JSON pointer of a message; "" for the message itself. */
struct str talk_part(struct talk *f, struct str line, const char *pointer);
void talk_same(struct str got, const char *want, const char *context);
void talk_has(struct talk *f, struct str line, const char *pointer, const char *want);
int talk_lines(struct str s);

struct talk_row {
    const char *in;
    const char *id;      /* of the answer; "" none; NULL: no answer at all */
    const char *pointer; /* into the answer */
    const char *want;    /* "" absent */
};

/* Each in turn. */
void talk_rows(struct talk *f, const struct talk_row *rows, size_t count);
#define TALK_ROWS(f, rows) talk_rows(f, rows, sizeof rows / sizeof rows[0])

#define INVALID "-32600"
#define NO_METHOD "-32601"
#define PARAMS "-32602"
#define CODE "/error/code"
