#include "vercel_api/unpack.h"
#include "base/mem.h"
#include <archive.h>
#include <archive_entry.h>

enum { PIECE = 1024 * 1024, PATH_MAX_BYTES = 4095 };

struct unpack {
    struct archive *archive;
    struct buf content;
    char path[PATH_MAX_BYTES + 1];
    size_t entries, total;
};

static int broken(struct unpack *u, struct err *err)
{
    const char *why = archive_error_string(u->archive);
    return err_set(err, ERR_PROTOCOL, "the archive is not a gzipped tar: %s",
                   why ? why : "it cannot be read");
}

struct unpack *unpack_new(struct str archive, struct err *err)
{
    struct unpack *u = mem_new(struct unpack);
    u->archive = archive_read_new();
    archive_read_support_filter_gzip(u->archive);
    archive_read_support_format_tar(u->archive);
    /* Names are bytes: what a locale makes of them is nobody's business. */
    archive_read_set_options(u->archive, "hdrcharset=BINARY");
    buf_init(&u->content, 0);
    if (archive_read_open_memory(u->archive, archive.p, archive.n) != ARCHIVE_OK) {
        broken(u, err);
        unpack_free(u);
        return NULL;
    }
    return u;
}

void unpack_free(struct unpack *u)
{
    if (!u)
        return;
    archive_read_free(u->archive);
    buf_finish(&u->content);
    mem_free(u);
}

static bool climbs(struct str path)
{
    while (path.n) {
        ptrdiff_t slash = str_find(path, '/');
        struct str part = {path.p, slash < 0 ? path.n : (size_t)slash};
        if (str_eq(part, STR("..")))
            return true;
        path = str_from(path, part.n + 1);
    }
    return false;
}

static int take_path(struct unpack *u, struct archive_entry *entry,
                     struct str *ret_path, struct err *err)
{
    const char *name = archive_entry_pathname(entry);
    if (!name)
        name = archive_entry_pathname_utf8(entry);
    struct str path = str_of(name);
    while (path.n && path.p[0] == '/')
        path = str_from(path, 1);
    while (path.n && path.p[path.n - 1] == '/')
        path.n--;
    if (path.n == 0 || path.n > PATH_MAX_BYTES)
        return err_set(err, ERR_INVALID,
                       "a path in the archive has no or more than %d "
                       "bytes",
                       PATH_MAX_BYTES);
    if (climbs(path))
        return err_set(err, ERR_INVALID, "a path in the archive leads outside: %.150s",
                       name);
    memcpy(u->path, path.p, path.n);
    u->path[path.n] = '\0';
    *ret_path = (struct str){u->path, path.n};
    return 0;
}

/* The size that the header says is only a promise. */
static int take_content(struct unpack *u, size_t file_max, struct err *err)
{
    buf_finish(&u->content);
    buf_init(&u->content, file_max + PIECE);
    for (;;) {
        char *room = buf_reserve(&u->content, PIECE);
        la_ssize_t n = room ? archive_read_data(u->archive, room, PIECE) : 0;
        if (n < 0)
            return broken(u, err);
        u->content.n += (size_t)n;
        u->total += (size_t)n;
        if (!room || u->content.n > file_max)
            return err_set(err, ERR_LIMIT, "the file %.150s is over %zu MiB", u->path,
                           file_max >> 20);
        if (u->total > UNPACK_TOTAL_MAX)
            return err_set(err, ERR_LIMIT, "the archive is over %d MiB when unpacked",
                           UNPACK_TOTAL_MAX >> 20);
        if (n == 0)
            return 0;
    }
}

int unpack_next(struct unpack *u, size_t file_max, struct unpack_entry *ret_entry,
                struct err *err)
{
    struct archive_entry *entry;
    struct unpack_entry found = {0};
    int rc = archive_read_next_header(u->archive, &entry);
    if (rc == ARCHIVE_EOF)
        return 0;
    if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
        return broken(u, err);
    if (++u->entries > UNPACK_ENTRIES_MAX)
        return err_set(err, ERR_LIMIT, "the archive has more than %d entries",
                       UNPACK_ENTRIES_MAX);
    if (take_path(u, entry, &found.path, err) < 0)
        return -1;
    found.mode = (unsigned)archive_entry_perm(entry) & 07777;
    found.directory = archive_entry_filetype(entry) == AE_IFDIR;
    if (!found.directory &&
        (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry)))
        return err_set(err, ERR_INVALID,
                       "%.150s in the archive is neither a file nor a directory",
                       u->path);
    if (!found.directory && take_content(u, file_max, err) < 0)
        return -1;
    found.content = buf_str(&u->content);
    *ret_entry = found;
    return 1;
}
