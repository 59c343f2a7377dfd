/* A server under measurement: a child process with its stdin and stdout on pipes, as a
 * client starts it. One line a message, blocking reads and writes, so that the client
 * costs as little as a client can. A hang is ended by the row's watchdog (client.c).
 *
 * Also: bare children, the floor of everything that runs a command. */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct peer {
    pid_t pid;   /* 0: none */
    int in, out; /* its stdin, its stdout; -1 when closed */
    char *buf;   /* bytes [start, n) were read and not yet taken */
    size_t start, n;
};

/* argv[0] is a path. verbose: its stderr is ours, else /dev/null. */
int peer_spawn(struct peer *p, const char *const argv[], bool verbose, struct err *err);
/* Closes its stdin, waits for its end and for whatever it left behind to be reaped.
 * Accepts all-zero and half-built ones. */
void peer_finish(struct peer *p);

int peer_send(struct peer *p, struct str text, struct err *err);
/* Bytes as they come, at least one; borrowed until the next read. All of them are
 * taken. */
int peer_read(struct peer *p, struct str *ret_bytes, struct err *err);
/* The next line (without its newline), borrowed until the next read. */
int peer_line(struct peer *p, struct str *ret_line, struct err *err);
/* The next line that is a response; notifications are dropped. */
int peer_response(struct peer *p, struct str *ret_line, struct err *err);

/* Is the line a success that holds `want` (may be empty)? Not for timed stretches. */
int response_check(struct str line, struct str want, struct err *err);

/* initialize and notifications/initialized; false: the floor program, nothing is
 * checked. */
int peer_initialize(struct peer *p, bool real, struct err *err);
/* The text of the initialize request, with its newline. */
struct str initialize_text(void);

/* A bare child: `bash -c command`, stdin /dev/null, stdout and stderr on pipes. */
struct bare {
    pid_t pid;
    int out, err;
};
int bare_start(struct bare *b, const char *command, struct err *err);
/* Reads both pipes to their end and reaps it; its exit status must be 0. */
int bare_wait(struct bare *b, struct err *err);
