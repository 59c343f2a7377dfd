/* /fs: files of a session. */
#include "base/fd.h"
#include "base/mem.h"
#include "vercel_api/commands.h"
#include "vercel_api/unpack.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { PIECE = 256 * 1024, HEADER_MAX = 512, MODE_DEFAULT = 0644 };

static void fail_file(struct request *r, const struct err *err, const char *doing)
{
    if (err->kind == ERR_NOT_FOUND || err->kind == ERR_CONFLICT ||
        err->kind == ERR_DENIED || err->kind == ERR_IO || err->kind == ERR_LIMIT ||
        err->kind == ERR_INVALID)
        api_fail(r, HTTP_BAD_REQUEST, "file_error", "error %s: %s", doing, err->msg);
    else
        api_fail_err(r, err);
}

/* A file that is being sent. */
struct sending {
    int fd;
};

static void sending_free(struct request *r)
{
    struct sending *sending = r->work;
    r->work = NULL;
    r->drained = r->gone = NULL;
    fd_close(&sending->fd);
    mem_free(sending);
}

static void send_more(struct request *r)
{
    struct sending *sending = r->work;
    char piece[PIECE];
    ssize_t n;
    do
        n = read(sending->fd, piece, sizeof piece);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        http_stream_add(r->ex, (struct str){piece, (size_t)n});
        return;
    }
    if (n < 0)
        http_stream_cut(r->ex);
    else
        http_stream_end(r->ex);
    sending_free(r);
}

/* What a header may hold of a name. */
static void name_header(struct str path, char to[HEADER_MAX])
{
    struct buf header;
    while (str_find(path, '/') >= 0)
        path = str_from(path, (size_t)str_find(path, '/') + 1);
    if (path.n > 255)
        path = str_from(path, path.n - 255);
    buf_init(&header, HEADER_MAX - 1);
    buf_addz(&header, "Content-Disposition: attachment; filename=\"");
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];
        bool plain = c >= ' ' && c < 127 && c != '"' && c != '\\';
        buf_addc(&header, plain ? c : '_');
    }
    buf_addz(&header, "\"\r\n");
    memcpy(to, header.p, header.n);
    to[header.n] = '\0';
    buf_finish(&header);
}

static struct str path_of(struct request *r)
{
    return json_str(json_get(r->body, STR("path")), &r->arena);
}

static void on_opened(void *ctx, int fd, uint64_t size_bytes, const struct err *err)
{
    struct request *r = ctx;
    char header[HEADER_MAX];
    int copy = err ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    (void)size_bytes;
    if (err && err->kind == ERR_NOT_FOUND) {
        api_fail(r, HTTP_NOT_FOUND, "not_found", "File not found.");
    } else if (err) {
        fail_file(r, err, "reading file");
    } else if (copy < 0) {
        api_fail(r, HTTP_TOO_MANY, "rate_limited", "Too many open files.");
    } else if (!r->ex) {
        fd_close(&copy);
    } else {
        struct sending *sending = mem_new(struct sending);
        sending->fd = copy;
        r->work = sending;
        r->drained = send_more;
        r->gone = sending_free;
        name_header(path_of(r), header);
        http_stream(r->ex, HTTP_OK, "application/octet-stream", header);
        send_more(r);
    }
    request_drop(r);
}

/* -1: answered. */
static int read_path(struct request *r, const struct session *s, struct str *ret_path)
{
    struct str path = path_of(r);
    struct str cwd = json_str(json_get(r->body, STR("cwd")), &r->arena);
    if (path.n)
        return session_path(r, s, cwd, path, ret_path);
    api_fail(r, HTTP_BAD_REQUEST, "bad_request",
             "Invalid request: missing required property `path`");
    return -1;
}

void fs_read(struct request *r)
{
    struct session *s = request_session(r);
    struct str path;
    if (!s || read_path(r, s, &path) < 0)
        return;
    request_hold(r);
    file_open(r->api->set, s->sandbox, path, on_opened, r);
}

static void answer_done(struct request *r)
{
    struct reply reply;
    reply_begin(&reply);
    reply_end(&reply, r, HTTP_OK);
}

static void on_made(void *ctx, const struct err *err)
{
    struct request *r = ctx;
    if (err)
        fail_file(r, err, "creating directory");
    else
        answer_done(r);
    request_drop(r);
}

void fs_mkdir(struct request *r)
{
    struct session *s = request_session(r);
    struct str path;
    if (!s || read_path(r, s, &path) < 0)
        return;
    request_hold(r);
    dir_make(r->api->set, s->sandbox, path,
             json_is_true(json_get(r->body, STR("recursive"))), on_made, r);
}

/* An archive that is being unpacked, one file after the other. Nothing of it depends on
 * the client staying. */
struct unpacking {
    struct request *request; /* held */
    struct buf archive;
    struct unpack *unpack;
    struct loop_later *later;
    struct str base;
    uint64_t sandbox;
};

static void unpacking_free(struct unpacking *u)
{
    struct request *r = u->request;
    unpack_free(u->unpack);
    buf_finish(&u->archive);
    loop_later_free(u->later);
    mem_free(u);
    request_drop(r);
}

static void unpack_failed(struct unpacking *u, const struct err *err)
{
    if (err->kind == ERR_PROTOCOL)
        api_fail(u->request, HTTP_BAD_REQUEST, "bad_request", "Invalid request: %s",
                 err->msg);
    else
        fail_file(u->request, err, "writing files");
    unpacking_free(u);
}

/* The next one when the loop has looked at others. */
static void on_entry(struct unpacking *u, const struct err *err)
{
    if (err)
        unpack_failed(u, err);
    else
        loop_later_ask(u->later);
}

static void on_written(void *ctx, bool existed, const struct err *err)
{
    (void)existed;
    on_entry(ctx, err);
}

static void on_dir_made(void *ctx, const struct err *err)
{
    on_entry(ctx, err);
}

static void unpack_more(void *ctx)
{
    struct unpacking *u = ctx;
    struct request *r = u->request;
    struct unpack_entry entry;
    struct err err;
    int rc = unpack_next(u->unpack, SANDBOX_FILE_WRITE_MAX, &entry, &err);
    if (rc < 0) {
        unpack_failed(u, &err);
        return;
    }
    if (rc == 0) {
        answer_done(r);
        unpacking_free(u);
        return;
    }
    struct buf path;
    buf_init(&path, 2 * SANDBOX_PATH_MAX);
    buf_adds(&path, u->base);
    if (path.n == 0 || path.p[path.n - 1] != '/')
        buf_addc(&path, '/');
    buf_adds(&path, entry.path);
    if (entry.directory)
        dir_make(r->api->set, u->sandbox, buf_str(&path), true, on_dir_made, u);
    else
        file_write_mode(r->api->set, u->sandbox, buf_str(&path), entry.content,
                        entry.mode ? entry.mode : MODE_DEFAULT, on_written, u);
    buf_finish(&path);
}

void fs_write(struct request *r)
{
    struct session *s = request_session(r);
    struct str base = s ? http_header(r->ex, "x-cwd") : (struct str){0};
    struct err err;
    if (!s)
        return;
    if (!http_is_type(r->ex->head.content_type, STR("application/gzip"))) {
        api_fail(r, HTTP_UNSUPPORTED_MEDIA_TYPE, "bad_request",
                 "Invalid request: Content-Type should be application/gzip");
        return;
    }
    if (session_path(r, s, (struct str){0}, base, &base) < 0)
        return;
    struct unpacking *u = mem_new(struct unpacking);
    u->request = r;
    request_hold(r);
    u->base = base;
    u->sandbox = s->sandbox;
    u->archive = r->ex->body; /* taken over */
    r->ex->body = (struct buf){0};
    u->later = loop_later_new(r->api->loop, unpack_more, u);
    u->unpack = unpack_new(buf_str(&u->archive), &err);
    if (!u->unpack)
        unpack_failed(u, &err);
    else
        unpack_more(u);
}
