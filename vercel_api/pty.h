/* Terminals over WebSockets: a session's `interactive` gives a URL and a token that is
 * good once, for a minute. The client's first message is text and says what to run;
 * after it binary messages are the terminal's bytes, both ways, and text messages are
 * its size and, from here, the exit code. */
#pragma once
#include "vercel_api/private.h"

void session_interactive(struct request *r);

int pty_upgrade(void *ctx, struct http_conn *conn, const struct http_head *head,
                struct http_refusal *refusal);
void pty_open(void *ctx, struct http_conn *conn);
void pty_receive(void *ctx, struct http_conn *conn, const struct http_piece *piece);
void pty_writable(void *ctx, struct http_conn *conn);
void pty_release(void *ctx, struct http_conn *conn);
void pty_tickets_free(struct vercel_api *api);

/* What the first message asks for. Strings live in the document and the arena. */
enum { PTY_ARGS_MAX = 256 };
struct pty_start {
    struct str argv[PTY_ARGS_MAX], env[PTY_ARGS_MAX], cwd;
    size_t argc, env_count;
    uint16_t cols, rows;
};
/* 0, or -1: it is no {"type": "start", "command": ...}. */
int pty_read_start(struct json message, struct arena *a, struct pty_start *ret_start);
/* {"type": "resize", "cols", "rows"} */
int pty_read_resize(struct json message, struct pty_size *ret_size);
