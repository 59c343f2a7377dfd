/* The module "tar" (base/module.h), for the Vercel backend: libarchive and what it
 * links cost megabytes, and only who writes a file needs them.
 *
 * One file as a gzipped tar, made piece by piece as a request's body takes it: pax
 * where the name needs it, paths relative to "/", owner 0, no directory entries. */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include <stdint.h>

struct tar_out;

/* The module's table. */
struct tar_entries {
    struct tar_out *(*begin)(struct str path, unsigned mode, struct str content,
                             uint64_t mtime_s);
    void (*finish)(struct tar_out *out); /* accepts NULL */
    size_t (*read)(struct tar_out *out, char *to, size_t max);
};

/* path: absolute and ASCII (libarchive's idea of others depends on the locale).
 * content: borrowed until tar_free(). */
struct tar_out *tar_new(struct str path, unsigned mode, struct str content,
                        uint64_t mtime_s);
void tar_free(struct tar_out *out); /* accepts NULL */
/* Up to max bytes of the archive; 0 at its end, or when it cannot be made. */
size_t tar_read(struct tar_out *out, char *to, size_t max);
