/* read_file: a file or a page of it as content blocks: text, an image, or a blob.
 *
 * The first bytes say what it is. A page is chosen by bytes (offset, maxBytes) or by
 * lines (startLine, lines); it never splits a UTF-8 character, and when it is not the
 * whole file a second block says what was shown and how to go on. */
#include "base/utf8.h"
#include "tools/common.h"
#include "tools/filetype.h"
#include "tools/job.h"
#include "tools/tools.h"
#include <errno.h>

enum {
    PAGE_BYTES = 64 * 1024,
    PAGE_LINES = 2000,
    BLOB_MAX = 1024 * 1024,
    IMAGE_MAX = 5 * 1024 * 1024,
    HEAD_BYTES = 512, /* what is needed to recognise a type */
    SCAN_BYTES = 64 * 1024,
    SCAN_MAX = 256 * 1024 * 1024, /* searched for a line before we say no */
};

/* A file in hand and what was asked of it. */
struct page {
    int fd;
    struct call *call;
    const struct tool_job *job;
    struct str path;     /* as told to the model */
    uint64_t size_bytes; /* 0 also for files of /proc, which have content */
    bool by_bytes;       /* offset or maxBytes were given */
    uint64_t offset, max_bytes;
    uint64_t first_line, line_count; /* line_count 0: no limit */
    struct str bytes;                /* what was read at offset */
    bool at_end;                     /* there is nothing behind it */
};

/* page->bytes = up to max bytes at page->offset. */
static int load(struct page *page, size_t max, struct err *err)
{
    size_t room = max;
    if (page->size_bytes > 0) { /* no more memory than the file has */
        uint64_t rest =
            page->size_bytes > page->offset ? page->size_bytes - page->offset : 0;
        room = rest < max ? (size_t)rest : max;
    }
    char *to = arena_alloc(call_arena(page->call), room + 1);
    ssize_t n = tool_read_at(page->fd, to, room + 1, page->offset);
    if (n < 0)
        return err_sys(err, errno, "reading %.*s", STR_FMT(page->path));
    page->at_end = (size_t)n <= room;
    page->bytes = (struct str){to, (size_t)n <= room ? (size_t)n : room};
    return 0;
}

/* page->offset = where line page->first_line starts. */
static int find_line(struct page *page, struct err *err)
{
    char chunk[SCAN_BYTES];
    uint64_t line = 1, at = 0;
    bool in_line = false; /* the last line so far has no end yet */
    while (line < page->first_line) {
        ssize_t n = tool_read_at(page->fd, chunk, sizeof chunk, at);
        if (n < 0)
            return err_sys(err, errno, "reading %.*s", STR_FMT(page->path));
        if (n == 0 || at > SCAN_MAX)
            break;
        const char *from = chunk, *end = chunk + n, *lf = NULL;
        while (line < page->first_line &&
               (lf = memchr(from, '\n', (size_t)(end - from)))) {
            line++;
            from = lf + 1;
        }
        at += lf ? (uint64_t)(from - chunk) : (uint64_t)n;
        in_line = chunk[n - 1] != '\n';
    }
    page->offset = at;
    char first; /* a line that has a byte is there; sizes of /proc tell nothing */
    if (line == page->first_line &&
        (line == 1 || tool_read_at(page->fd, &first, 1, at) == 1))
        return 0;
    if (at > SCAN_MAX) {
        err_set(err, ERR_LIMIT, "line %llu is more than %d MiB into the file",
                (unsigned long long)page->first_line, SCAN_MAX / (1024 * 1024));
        return err_remedy(err, "use offset, or execute_command: sed -n '%llup'",
                          (unsigned long long)page->first_line);
    }
    uint64_t lines = in_line ? line : line - 1;
    err_set(err, ERR_INVALID, "startLine %llu: the file has %llu lines",
            (unsigned long long)page->first_line, (unsigned long long)lines);
    return err_remedy(err, "use a startLine within the file");
}

/* The bytes without a character that is cut at either side. */
static void whole_characters(struct page *page)
{
    struct str s = page->bytes;
    for (int i = 0;
         page->offset > 0 && i < 3 && s.n && ((unsigned char)s.p[0] & 0xc0) == 0x80;
         i++) {
        s = str_from(s, 1);
        page->offset++;
    }
    size_t tail = page->at_end ? 0 : utf8_incomplete_tail(s);
    if (tail < s.n)
        s.n -= tail;
    page->bytes = s;
}

/* Cuts the text behind the last wanted line; returns how many lines are left in it. */
static uint64_t whole_lines(struct page *page)
{
    struct str s = page->bytes;
    const char *at = s.p, *end = s.p + s.n, *last = NULL;
    uint64_t lines = 0;
    while (at < end && (page->line_count == 0 || lines < page->line_count)) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        if (!lf)
            break;
        lines++;
        at = last = lf + 1;
    }
    if (last && lines == page->line_count) {
        page->at_end = page->at_end && last == end;
        page->bytes.n = (size_t)(last - s.p);
        return lines;
    }
    if (last && !page->at_end) /* the page ends in the middle of a line: leave it out */
        page->bytes.n = (size_t)(last - s.p);
    return lines + (at < end && (page->at_end || !last));
}

/* " of 84 bytes"; nothing where the size is not known: files of /proc have none. */
static void total(const struct page *page, struct buf *note)
{
    uint64_t size_bytes = page->size_bytes ? page->size_bytes
                          : page->at_end   ? page->offset + page->bytes.n
                                           : 0;
    if (size_bytes)
        buf_addf(note, " of %s%llu bytes", page->by_bytes ? "" : "a file of ",
                 (unsigned long long)size_bytes);
}

static void note_text(struct page *page, uint64_t lines, struct buf *note)
{
    uint64_t end = page->offset + page->bytes.n;
    bool ends_line = page->bytes.n && page->bytes.p[page->bytes.n - 1] == '\n';
    if (page->bytes.n == 0 && page->offset == 0 && page->at_end) {
        buf_addz(note, "(the file is empty)");
        return;
    }
    if (page->at_end && page->offset == 0)
        return;
    if (page->by_bytes)
        buf_addf(note, "(bytes %llu to %llu", (unsigned long long)page->offset,
                 (unsigned long long)end);
    else
        buf_addf(note, "(lines %llu to %llu", (unsigned long long)page->first_line,
                 (unsigned long long)(page->first_line + lines - (lines > 0)));
    total(page, note);
    if (page->at_end)
        buf_addz(note, ", the end)");
    else if (page->by_bytes || !ends_line)
        buf_addf(note, "; go on with offset %llu)", (unsigned long long)end);
    else
        buf_addf(note, "; go on with startLine %llu)",
                 (unsigned long long)(page->first_line + lines));
}

static void end_content(struct page *page, struct json_writer *w, struct buf *note)
{
    if (note->n)
        call_content_text(w, buf_str(note));
    if (page->job->notice.n)
        call_content_text(w, page->job->notice);
    call_content_end(page->call);
    buf_finish(note);
}

static void answer_text(struct page *page)
{
    uint64_t lines = page->by_bytes ? 0 : whole_lines(page);
    struct buf note;
    buf_init(&note, 1024);
    note_text(page, lines, &note);
    struct json_writer *w = call_content_begin(page->call);
    call_content_text(w, page->bytes);
    end_content(page, w, &note);
}

static void answer_image(struct page *page)
{
    struct buf note;
    buf_init(&note, 1024);
    struct json_writer *w = call_content_begin(page->call);
    call_content_image(w, str_of(filetype_mime(page->bytes)), page->bytes);
    end_content(page, w, &note);
}

static void answer_blob(struct page *page, const char *mime)
{
    struct buf note, uri;
    buf_init(&note, 1024);
    buf_init(&uri, 4 * SANDBOX_PATH_MAX);
    tool_write_uri(&uri, page->job->sandbox_name, page->path);
    if (!page->at_end || page->offset > 0)
        note_text(page, 0, &note);
    struct json_writer *w = call_content_begin(page->call);
    call_content_blob(w, buf_str(&uri), str_of(mime), page->bytes);
    end_content(page, w, &note);
    buf_finish(&uri);
}

static int too_large(struct page *page, const char *mime, size_t max, struct err *err)
{
    err_set(err, ERR_LIMIT, "%.*s has %llu bytes of %s; one answer takes %zu",
            (int)(page->path.n < 100 ? page->path.n : 100), page->path.p,
            (unsigned long long)page->size_bytes, mime, max);
    return err_remedy(err,
                      "make it smaller or look at it with execute_command, or read "
                      "it in parts with offset and maxBytes (at most %d)",
                      BLOB_MAX);
}

/* What is not text: whole, or the part that was asked for. */
static int answer_other(struct page *page, const char *mime, struct err *err)
{
    if (!page->by_bytes) {
        if (page->size_bytes > BLOB_MAX)
            return too_large(page, mime, BLOB_MAX, err);
        page->offset = 0;
        if (load(page, BLOB_MAX, err) < 0)
            return -1;
    }
    page->by_bytes = true;
    answer_blob(page, mime);
    return 0;
}

/* An image is shown whole, unless a part of it was asked for. */
static int answer_if_image(struct page *page, struct str head, struct err *err)
{
    if (!filetype_is_image(head) || tool_arg_given(page->call, STR("offset")) ||
        (tool_arg_given(page->call, STR("maxBytes")) &&
         page->max_bytes < page->size_bytes))
        return 0;
    if (page->size_bytes > IMAGE_MAX)
        return too_large(page, filetype_mime(head), IMAGE_MAX, err);
    page->offset = 0;
    if (load(page, IMAGE_MAX, err) < 0)
        return -1;
    answer_image(page);
    return 1;
}

/* Ends the call, or -1. */
static int answer(struct page *page, struct err *err)
{
    char head_bytes[HEAD_BYTES];
    ssize_t n = tool_read_at(page->fd, head_bytes, sizeof head_bytes, 0);
    if (n < 0)
        return err_sys(err, errno, "reading %.*s", STR_FMT(page->path));
    struct str head = {head_bytes, (size_t)n};
    int done = answer_if_image(page, head, err);
    if (done != 0)
        return done < 0 ? -1 : 0;
    if (!page->by_bytes && page->first_line > 1 && find_line(page, err) < 0)
        return -1;
    if (load(page, (size_t)page->max_bytes, err) < 0)
        return -1;
    struct page text = *page;
    whole_characters(&text);
    if (!utf8_valid(text.bytes))
        return answer_other(page, filetype_mime(head), err);
    answer_text(&text);
    return 0;
}

static void read_arguments(struct page *page)
{
    struct call *call = page->call;
    page->path = tool_absolute(call, tool_arg_str(call, STR("path")));
    bool lines =
        tool_arg_given(call, STR("startLine")) || tool_arg_given(call, STR("lines"));
    bool bytes = tool_arg_given(call, STR("maxBytes"));
    page->by_bytes = tool_arg_given(call, STR("offset")) || (bytes && !lines);
    page->offset = (uint64_t)tool_arg_i64(call, STR("offset"), 0);
    page->max_bytes = (uint64_t)tool_arg_i64(call, STR("maxBytes"), PAGE_BYTES);
    page->first_line = (uint64_t)tool_arg_i64(call, STR("startLine"), 1);
    page->line_count = (uint64_t)tool_arg_i64(call, STR("lines"), PAGE_LINES);
}

static void on_file(void *ctx, int fd, uint64_t size_bytes, const struct err *err)
{
    struct tool_job *job = ctx;
    struct call *call = job_resume(job);
    struct err problem;
    if (!call) {
        job_free(job);
        return;
    }
    if (err) {
        problem = *err;
        job_fail(job, call, &problem);
        return;
    }
    struct page page = {.fd = fd, .call = call, .job = job, .size_bytes = size_bytes};
    read_arguments(&page);
    if (answer(&page, &problem) < 0)
        job_fail(job, call, &problem);
    else
        job_free(job);
}

static void opened(struct tool_job *job, struct call *call)
{
    struct str path = tool_arg_str(call, STR("path"));
    job->awaits = true;
    file_open(job->tools->sandboxes, job->sandbox, path, on_file, job);
}

void tool_read_file(struct call *call)
{
    struct err err;
    if (tool_check_nul("path", tool_arg_str(call, STR("path")), &err) < 0) {
        tool_fail(call, &err);
        return;
    }
    if (tool_arg_given(call, STR("offset")) &&
        (tool_arg_given(call, STR("startLine")) ||
         tool_arg_given(call, STR("lines")))) {
        err_set(&err, ERR_INVALID, "offset and startLine/lines exclude each other");
        err_remedy(&err, "give a range in bytes or in lines");
        tool_fail(call, &err);
        return;
    }
    struct tool_job *job = job_new(call, sizeof *job);
    job_open(job, call, opened);
}
