/* Images: root directories of other systems, for sandboxes to lie upon. Those of our
 * own are <state>/images/NAME/root; NAME/source says where it is from, NAME/lock is
 * held by every server that uses it. What is in an archive comes from anywhere, so it
 * is unpacked inside a sandbox. */
#pragma once
#include "cli/places.h"
#include <stdbool.h>
#include <stdint.h>

/* The directory that `given` stands for: a directory itself; an archive (tar, or tar
 * with gzip, xz, bzip2, zstd; squashfs), unpacked on first use; the name of an image.
 * It stays held until the process ends. Errors say what was wrong and what to do. */
int images_find(const struct places *places, const char *given, char ret_path[PATH_MAX],
                struct err *err);

/* Unpacks the archive as the
 * image `name`. source: what is noted about it. CONFLICT when there is one. */
int images_add(const struct places *places, const char *name, const char *archive,
               const char *source, struct err *err);

struct image_row {
    const char *name, *path, *source;
    int64_t made_s; /* Unix time */
};
/* -1 when the directory cannot be read. */
int images_each(const struct places *places,
                void (*row)(void *ctx, const struct image_row *row), void *ctx,
                struct err *err);
/* NOT_FOUND, CONFLICT (a server uses it). */
int images_remove(const struct places *places, const char *name, struct err *err);
