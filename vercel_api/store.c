/* JSON files in the state directory: one object each, replaced atomically. */
#include "vercel_api/store.h"
#include "base/fd.h"
#include "base/log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_ROOM = 64 };

static void write_file(int dir, const char *id, const struct buf *text)
{
    char name[NAME_ROOM];
    snprintf(name, sizeof name, "%s.json", id);
    int fd = openat(dir, ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && !text->overflow && fd_write_all(fd, buf_str(text)) == 0 &&
              renameat(dir, ".new", dir, name) == 0;
    if (!ok)
        log_error("%s could not be written, ignoring that: %s", name, strerror(errno));
    fd_close(&fd);
}

void store_begin(struct store_out *out)
{
    buf_init(&out->text, STORE_BYTES_MAX);
    jw_init(&out->w, &out->text);
    jw_object(&out->w);
    jw_key_i64(&out->w, "version", STORE_VERSION);
}

void store_end(struct store_out *out, int dir, const char *id)
{
    jw_end_object(&out->w);
    write_file(dir, id, &out->text);
    buf_finish(&out->text);
}

void store_remove(int dir, const char *id)
{
    char name[NAME_ROOM];
    snprintf(name, sizeof name, "%s.json", id);
    if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
        log_error("ignoring that %s could not be removed: %s", name, strerror(errno));
}

static int read_text(int dir, const char *file, struct buf *text, struct err *err)
{
    int fd = openat(dir, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0) {
        char *room = buf_reserve(text, BUFSIZ);
        n = room ? read(fd, room, BUFSIZ) : -1;
        if (n > 0)
            text->n += (size_t)n;
    }
    int rc = n < 0 ? err_sys(err, errno, "reading it") : 0;
    fd_close(&fd);
    return rc;
}

static int read_one(int dir, const char *file, store_fn *fn, void *ctx, struct err *err)
{
    struct arena arena = {0};
    struct buf text;
    struct json_doc doc;
    char id[NAME_ROOM];
    buf_init(&text, STORE_BYTES_MAX);
    int rc = read_text(dir, file, &text, err);
    if (rc == 0)
        rc = json_parse(&doc, &arena, buf_str(&text), err);
    struct json v = rc == 0 ? json_root(&doc) : (struct json){0};
    if (rc == 0 && store_number(v, "version") != STORE_VERSION)
        rc = err_set(err, ERR_UNAVAILABLE, "it is of another version of sandquay");
    snprintf(id, sizeof id, "%.*s", (int)(strlen(file) - 5), file);
    if (rc == 0)
        fn(ctx, id, v, &arena);
    arena_finish(&arena);
    buf_finish(&text);
    return rc;
}

/* What cannot be read stays where it is, and is told. */
void store_each(int dir, store_fn *fn, void *ctx)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    if (!entries) {
        fd_close(&fd);
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(entries))) {
        struct err err;
        struct str name = str_of(entry->d_name);
        if (name.p[0] != '.' && name.n < NAME_ROOM && str_ends(name, STR(".json")) &&
            read_one(dir, entry->d_name, fn, ctx, &err) < 0)
            log_warn("ignoring %s: %s", entry->d_name, err.msg);
    }
    closedir(entries);
}

int store_dir(int at, const char *path, int *ret_fd, struct err *err)
{
    if (mkdirat(at, path, 0700) < 0 && errno != EEXIST)
        return err_sys(err, errno, "%s", path);
    *ret_fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd < 0 ? err_sys(err, errno, "%s", path) : 0;
}

void store_key_text(struct json_writer *w, const char *key, const char *text)
{
    if (text && text[0])
        jw_key_cstr(w, key, text);
}

void store_key_json(struct json_writer *w, const char *key, const char *json)
{
    if (json)
        jw_key_raw(w, key, str_of(json));
}

uint64_t store_number(struct json v, const char *key)
{
    int64_t value = 0;
    json_i64(json_get(v, str_of(key)), &value);
    return value > 0 ? (uint64_t)value : 0;
}

void store_text(char *to, size_t room, struct json v, const char *key, struct arena *a)
{
    struct str s = json_str(json_get(v, str_of(key)), a);
    snprintf(to, room, "%.*s", STR_FMT(s));
}
