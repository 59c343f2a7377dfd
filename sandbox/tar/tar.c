#include "sandbox/tar/tar.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/module.h"
#include <archive.h>
#include <archive_entry.h>

enum { PIECE = 64 * 1024, PENDING_MAX = 1024 * 1024 };

struct tar_out {
    struct archive *archive;
    struct archive_entry *entry;
    struct str content;
    struct buf pending; /* made and not yet taken */
    size_t taken;
    enum { TO_OPEN, TO_WRITE, TO_CLOSE, OVER } next;
};

static la_ssize_t on_write(struct archive *a, void *ctx, const void *p, size_t n)
{
    struct tar_out *out = ctx;
    (void)a;
    buf_add(&out->pending, p, n);
    return out->pending.overflow ? -1 : (la_ssize_t)n;
}

/* Bits of order-0 entropy are dear to compute: many different byte values in a small
 * sample mean that compressing costs time and gains nothing. */
static bool looks_compressed(struct str content)
{
    enum { SAMPLE = 4096, MANY = 240 };
    bool seen[256] = {false};
    int values = 0;
    size_t from = content.n > SAMPLE ? (content.n - SAMPLE) / 2 : 0;
    for (size_t i = from; i < content.n && i < from + SAMPLE; i++) {
        unsigned char c = (unsigned char)content.p[i];
        values += !seen[c];
        seen[c] = true;
    }
    return values >= MANY;
}

struct tar_out *tar_new(struct str path, unsigned mode, struct str content,
                        uint64_t mtime_s)
{
    struct tar_out *out = mem_new(struct tar_out);
    while (path.n && path.p[0] == '/')
        path = str_from(path, 1);
    char *name = mem_strndup(path.p, path.n);
    out->content = content;
    buf_init(&out->pending, PENDING_MAX);
    out->archive = archive_write_new();
    archive_write_set_format_pax_restricted(out->archive);
    archive_write_add_filter_gzip(out->archive);
    archive_write_set_options(out->archive,
                              looks_compressed(content)
                                  ? "gzip:compression-level=0,!timestamp"
                                  : "gzip:compression-level=1,!timestamp");
    archive_write_set_bytes_in_last_block(out->archive, 1);
    out->entry = archive_entry_new();
    archive_entry_copy_pathname(out->entry, name);
    archive_entry_set_filetype(out->entry, AE_IFREG);
    archive_entry_set_perm(out->entry, (mode_t)mode);
    archive_entry_set_size(out->entry, (la_int64_t)content.n);
    archive_entry_set_mtime(out->entry, (time_t)mtime_s, 0);
    mem_free(name);
    return out;
}

void tar_free(struct tar_out *out)
{
    if (!out)
        return;
    archive_write_fail(out->archive); /* an unfinished one is not written out */
    archive_write_free(out->archive);
    archive_entry_free(out->entry);
    buf_finish(&out->pending);
    mem_free(out);
}

/* One step; false when it went wrong. */
static bool step(struct tar_out *out)
{
    switch (out->next) {
    case TO_OPEN:
        out->next = TO_WRITE;
        return archive_write_open(out->archive, out, NULL, on_write, NULL) ==
                   ARCHIVE_OK &&
               archive_write_header(out->archive, out->entry) >= ARCHIVE_WARN;
    case TO_WRITE: {
        size_t n = out->content.n < PIECE ? out->content.n : PIECE;
        if (n == 0) {
            out->next = TO_CLOSE;
            return true;
        }
        la_ssize_t done = archive_write_data(out->archive, out->content.p, n);
        out->content = str_from(out->content, n);
        return done == (la_ssize_t)n;
    }
    default:
        out->next = OVER;
        return archive_write_close(out->archive) == ARCHIVE_OK;
    }
}

size_t tar_read(struct tar_out *out, char *to, size_t max)
{
    while (out->pending.n == out->taken && out->next != OVER) {
        buf_reset(&out->pending, PENDING_MAX);
        out->taken = 0;
        if (!step(out)) {
            log_warn("making an archive failed, giving up: %s",
                     archive_error_string(out->archive));
            out->next = OVER;
        }
    }
    struct str left = str_from(buf_str(&out->pending), out->taken);
    size_t n = left.n < max ? left.n : max;
    if (n)
        memcpy(to, left.p, n);
    out->taken += n;
    return n;
}

static const struct tar_entries entries = {tar_new, tar_free, tar_read};
MODULE_EXPORT("tar", &entries);
