/* Memory that is freed all at once: one arena per call or message. Allocations are
 * 16-byte aligned and never move. */
#pragma once
#include "base/str.h"
#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *head;
};

void arena_init(struct arena *a);   /* the same as all-zero */
void arena_finish(struct arena *a); /* frees everything; accepts all-zero */
/* Empties it and keeps one block of at most 64 KiB for the next use. */
void arena_reset(struct arena *a);

void *arena_alloc(struct arena *a, size_t size_bytes);  /* uninitialised */
void *arena_zalloc(struct arena *a, size_t size_bytes); /* all zero */
struct str arena_dup(struct arena *a, struct str s);    /* a NUL follows the copy */
