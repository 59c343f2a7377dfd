/* The body of fs/write: a gzipped tar, taken apart one entry a call. The peer is not
 * trusted: entries, their sizes and their paths are limited, and nothing of it touches
 * a file system here. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

enum {
    UNPACK_ENTRIES_MAX = 100000,
    UNPACK_TOTAL_MAX = 1024 * 1024 * 1024, /* unpacked */
};

struct unpack;

/* archive: borrowed until unpack_free(). PROTOCOL when it is no archive. */
struct unpack *unpack_new(struct str archive, struct err *err);
void unpack_free(struct unpack *u); /* accepts NULL */

struct unpack_entry {
    struct str path;    /* without the slashes that it begins with; no "..", no NUL */
    struct str content; /* of a file */
    unsigned mode;      /* permissions */
    bool directory;
};
/* 1: *ret_entry, valid until the next call; 0: that was all; -1 with INVALID, LIMIT or
 * PROTOCOL. file_max: bytes of one file. */
int unpack_next(struct unpack *u, size_t file_max, struct unpack_entry *ret_entry,
                struct err *err);
