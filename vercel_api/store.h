/* JSON files in the state directory: one object each, replaced atomically. A reader
 * ignores what it does not know; a newer `version` is refused. */
#pragma once
#include "base/json.h"
#include "base/json_write.h"

enum { STORE_VERSION = 1, STORE_BYTES_MAX = 4 * 1024 * 1024 };

/* A directory of them, made if need be. */
int store_dir(int at, const char *path, int *ret_fd, struct err *err);
/* A file that is written: an object, up to STORE_BYTES_MAX, that has its version. What
 * cannot be written or removed is logged. */
struct store_out {
    struct buf text;
    struct json_writer w; /* inside the object */
};
void store_begin(struct store_out *out);
void store_end(struct store_out *out, int dir, const char *id);
void store_remove(int dir, const char *id);
typedef void store_fn(void *ctx, const char *id, struct json v, struct arena *a);
void store_each(int dir, store_fn *fn, void *ctx);

/* Members that may be absent. */
void store_key_text(struct json_writer *w, const char *key, const char *text);
void store_key_json(struct json_writer *w, const char *key, const char *json);
uint64_t store_number(struct json v, const char *key);
void store_text(char *to, size_t room, struct json v, const char *key, struct arena *a);
#define STORE_TEXT(to, v, key, a) store_text(to, sizeof(to), v, key, a)
