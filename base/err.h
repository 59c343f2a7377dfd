/* One error type, by value, for every layer.
 *
 * A function that can fail takes `struct err *err` last and returns 0, or -1 with *err
 * filled. Who returns an error does not log it; who swallows one logs it. mcp/errors.c
 * is the one place where a kind becomes a JSON-RPC code or a tool's {code, cause,
 * remedy}. */
#pragma once

enum err_kind {
    ERR_NONE,
    ERR_INVALID,     /* the caller's argument is wrong */
    ERR_NOT_FOUND,   /* the named thing does not exist */
    ERR_CONFLICT,    /* it exists, or somebody else holds it */
    ERR_DENIED,      /* not allowed */
    ERR_LIMIT,       /* a limit was reached; msg says which */
    ERR_TIMEOUT,     /* not finished in time */
    ERR_CANCELLED,   /* the asker withdrew */
    ERR_UNAVAILABLE, /* this machine or backend cannot do it */
    ERR_PROTOCOL,    /* a peer broke the protocol */
    ERR_IO,          /* the operating system said no; sys holds errno */
    ERR_INTERNAL,    /* our bug */
};

struct err {
    enum err_kind kind;
    int sys; /* errno, or 0 */
    char msg[240];
    char remedy[160];
};

/* Fills *err (msg cut to fit at a UTF-8 boundary, remedy cleared) and returns -1. */
int err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a failed system call: sys is an errno value whose text is appended as
 * ": No such file or directory". The kind is ERR_IO. */
int err_sys(struct err *err, int sys, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Says what the reader can do about it. Returns -1, to end a chain of calls. */
int err_remedy(struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Puts "context: " before the message; at most once per layer. Returns -1. */
int err_prefix(struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* "NOT_FOUND" and so on: the code that a model reads. */
const char *err_kind_name(enum err_kind kind);
