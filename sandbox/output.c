#include "sandbox/output.h"
#include "base/fd.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SPILL_BYTES = 256 * 1024 };

void output_init(struct output *o, uint64_t limit_bytes, const char *temp_dir)
{
    *o = (struct output){
        .temp_dir = temp_dir, .limit = limit_bytes & ~(uint64_t)1, .fd = -1};
    buf_init(&o->memory, limit_bytes < SPILL_BYTES ? (size_t)limit_bytes : SPILL_BYTES);
}

void output_finish(struct output *o)
{
    buf_finish(&o->memory);
    fd_close(&o->fd);
}

static uint64_t half(const struct output *o)
{
    return o->limit / 2;
}

static int unnamed_file(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (fd >= 0)
        return fd;
    struct buf path;
    buf_init(&path, 4096);
    buf_addf(&path, "%s/sandquay-XXXXXX", dir);
    char *name = (char *)(uintptr_t)buf_cstr(&path);
    fd = name ? mkostemp(name, O_CLOEXEC) : -1;
    if (fd >= 0)
        unlink(name);
    buf_finish(&path);
    return fd;
}

static bool write_at(struct output *o, uint64_t at, struct str bytes)
{
    while (bytes.n) {
        ssize_t n = pwrite(o->fd, bytes.p, bytes.n, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += (uint64_t)n;
        bytes = str_from(bytes, (size_t)n);
    }
    return true;
}

/* The tail region of the file: a ring behind the head region. */
static bool add_to_ring(struct output *o, uint64_t offset, struct str bytes)
{
    uint64_t size = half(o);
    if (bytes.n > size) {
        offset += bytes.n - size;
        bytes = str_from(bytes, bytes.n - (size_t)size);
    }
    uint64_t at = (offset - half(o)) % size;
    size_t first = bytes.n < size - at ? bytes.n : (size_t)(size - at);
    return write_at(o, size + at, (struct str){bytes.p, first}) &&
           write_at(o, size, str_from(bytes, first));
}

static bool add_to_file(struct output *o, struct str bytes)
{
    uint64_t offset = o->total;
    if (o->head < half(o)) {
        size_t n = bytes.n < half(o) - o->head ? bytes.n : (size_t)(half(o) - o->head);
        if (!write_at(o, o->head, (struct str){bytes.p, n}))
            return false;
        o->head += n;
        offset += n;
        bytes = str_from(bytes, n);
    }
    return bytes.n == 0 || add_to_ring(o, offset, bytes);
}

static bool spill(struct output *o)
{
    o->fd = unnamed_file(o->temp_dir);
    struct str held = buf_str(&o->memory);
    o->total = o->head = 0;
    if (o->fd < 0 || !add_to_file(o, held))
        return false;
    o->total = held.n;
    buf_finish(&o->memory);
    return true;
}

void output_add(struct output *o, struct str bytes)
{
    if (o->lost) {
        o->total += bytes.n;
        return;
    }
    if (o->fd < 0 && o->memory.n + bytes.n <= o->memory.max) {
        buf_adds(&o->memory, bytes);
        o->total = o->head = o->memory.n;
        return;
    }
    uint64_t before = o->total;
    bool ok = (o->fd >= 0 || spill(o)) && add_to_file(o, bytes);
    o->total = before + bytes.n;
    if (!ok) {
        log_warn(
            "giving up output of a command: the temporary directory is full or not "
            "writable (%s)",
            o->temp_dir);
        output_evict(o);
    }
}

void output_evict(struct output *o)
{
    buf_finish(&o->memory);
    fd_close(&o->fd);
    o->head = 0;
    o->lost = true;
}

static uint64_t tail_start(const struct output *o)
{
    if (o->lost)
        return o->total;
    if (o->fd < 0 || o->total <= o->limit)
        return o->head;
    return o->total - half(o);
}

uint64_t output_kept(const struct output *o)
{
    return o->head + (o->total - tail_start(o));
}

struct command_output output_counts(const struct output *o)
{
    return (struct command_output){.total_bytes = o->total,
                                   .head_bytes = o->head,
                                   .dropped_bytes = tail_start(o) - o->head};
}

static size_t read_at(const struct output *o, uint64_t at, char *to, size_t n)
{
    size_t got = 0;
    while (got < n) {
        ssize_t k = pread(o->fd, to + got, n - got, (off_t)(at + got));
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            break;
        got += (size_t)k;
    }
    return got;
}

size_t output_read(const struct output *o, uint64_t offset, char *to, size_t max)
{
    if (offset >= o->total || max == 0 || o->lost)
        return 0;
    if (offset < o->head) {
        size_t n = max < o->head - offset ? max : (size_t)(o->head - offset);
        if (o->fd >= 0)
            return read_at(o, offset, to, n);
        memcpy(to, o->memory.p + offset, n);
        return n;
    }
    if (offset < tail_start(o))
        return 0;
    uint64_t at = (offset - half(o)) % half(o);
    size_t n = max < o->total - offset ? max : (size_t)(o->total - offset);
    if (n > half(o) - at)
        n = (size_t)(half(o) - at);
    return read_at(o, half(o) + at, to, n);
}
