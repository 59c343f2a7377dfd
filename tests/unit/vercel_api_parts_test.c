/* The parts of the API's server that need no network: routes, pages, lines, archives.
 */
#include "tests/unit/check.h"
#include "vercel_api/ndjson.h"
#include "vercel_api/page.h"
#include "vercel_api/route.h"
#include "vercel_api/unpack.h"
#include <archive.h>
#include <archive_entry.h>

static void routes(void **state)
{
    (void)state;
    static const struct {
        enum http_method method;
        const char *path;
        int endpoint, status; /* -1 */
        const char *first, *second;
    } rows[] = {
        {HTTP_POST, "/api/v3/sandboxes", SANDBOX_MAKE, 0, "", ""},
        {HTTP_POST, "/v2/sandboxes", SANDBOX_MAKE, 0, "", ""},
        {HTTP_POST, "/v4/sandboxes", SANDBOX_MAKE, 0, "", ""},
        {HTTP_GET, "/api/v2/sandboxes", SANDBOX_LIST, 0, "", ""},
        {HTTP_GET, "/api/v2/sandboxes/demo", SANDBOX_GET, 0, "demo", ""},
        {HTTP_PATCH, "/api/v2/sandboxes/demo", SANDBOX_UPDATE, 0, "demo", ""},
        {HTTP_DELETE, "/api/v2/sandboxes/demo", SANDBOX_DELETE, 0, "demo", ""},
        {HTTP_POST, "/api/v2/sandboxes/demo/fork", SANDBOX_FORK, 0, "demo", ""},
        {HTTP_GET, "/api/v2/sandboxes/sessions", SESSION_LIST, 0, "", ""},
        {HTTP_GET, "/api/v2/sandboxes/sessions/s", SESSION_GET, 0, "s", ""},
        {HTTP_POST, "/api/v2/sandboxes/sessions/s/cmd", COMMAND_RUN, 0, "s", ""},
        {HTTP_GET, "/api/v2/sandboxes/sessions/s/cmd/c", COMMAND_GET, 0, "s", "c"},
        {HTTP_GET, "/api/v2/sandboxes/sessions/s/cmd/c/logs", COMMAND_LOGS, 0, "s",
         "c"},
        {HTTP_POST, "/api/v2/sandboxes/sessions/s/cmd/c/kill", COMMAND_KILL, 0, "s",
         "c"},
        {HTTP_POST, "/api/v2/sandboxes/sessions/s/fs/write", FILE_WRITE, 0, "s", ""},
        {HTTP_GET, "/api/v2/sandboxes/snapshots/tree", SNAPSHOT_TREE, 0, "", ""},
        {HTTP_GET, "/api/v2/sandboxes/snapshots/x", SNAPSHOT_GET, 0, "x", ""},
        {HTTP_POST, "/api/v2/sandboxes/drives/d", DRIVE_MAKE, 0, "d", ""},
        {HTTP_PUT, "/api/v2/sandboxes/demo", -1, HTTP_METHOD_NOT_ALLOWED, "", ""},
        {HTTP_POST, "/api/v2/sandboxes/sessions", -1, HTTP_METHOD_NOT_ALLOWED, "", ""},
        {HTTP_GET, "/api/v2/sandboxes/", -1, HTTP_NOT_FOUND, "", ""},
        {HTTP_GET, "/api/v2/sandboxes/a/b", -1, HTTP_NOT_FOUND, "", ""},
        {HTTP_GET, "/api/v2/sandboxes//fork", -1, HTTP_NOT_FOUND, "", ""},
        {HTTP_GET, "/api/v5/sandboxes", -1, HTTP_NOT_FOUND, "", ""},
        {HTTP_GET, "/api", -1, HTTP_NOT_FOUND, "", ""},
        {HTTP_GET, "/", -1, HTTP_NOT_FOUND, "", ""},
        {HTTP_GET, "", -1, HTTP_NOT_FOUND, "", ""},
        {HTTP_GET, "*", -1, HTTP_NOT_FOUND, "", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct route route = {0};
        struct http_refusal refusal = {0};
        int rc = route_find(rows[i].method, str_of(rows[i].path), &route, &refusal);
        if (rows[i].endpoint < 0) {
            assert_int_equal(rc, -1);
            assert_int_equal(refusal.status, rows[i].status);
            continue;
        }
        assert_int_equal(rc, 0);
        assert_int_equal((int)route.endpoint, rows[i].endpoint);
        assert_true(str_eq(route.ids[0], str_of(rows[i].first)));
        assert_true(str_eq(route.ids[1], str_of(rows[i].second)));
    }
}

/* All ids of a list, page by page, joined. */
static void walk(const struct page_row *all, size_t count, bool descending,
                 size_t limit, char *to)
{
    struct page_row rows[8];
    struct page page = {0};
    struct page_wish wish = {.descending = descending, .limit = limit};
    struct err err;
    do {
        memcpy(rows, all, count * sizeof rows[0]);
        char cursor[PAGE_CURSOR_MAX];
        memcpy(cursor, page.next, sizeof cursor);
        if (cursor[0])
            wish.cursor = str_of(cursor);
        assert_int_equal(page_cut(rows, count, &wish, &page, &err), 0);
        assert_true(page.count <= limit);
        for (size_t i = 0; i < page.count; i++) {
            strncat(to, rows[page.first + i].id, 8);
            strncat(to, " ", 2);
        }
    } while (page.next[0]);
}

static void pages(void **state)
{
    (void)state;
    static const struct page_row rows[] = {
        {.key = 2, .id = "b"}, {.key = 1, .id = "z"},          {.key = 2, .id = "a"},
        {.key = 0, .id = "q"}, {.key = UINT64_MAX, .id = "m"},
    };
    for (size_t limit = 1; limit <= 6; limit++) {
        char up[64] = "", down[64] = "";
        walk(rows, 5, false, limit, up);
        walk(rows, 5, true, limit, down);
        assert_string_equal(up, "q z a b m ");
        assert_string_equal(down, "m b a z q ");
    }
    /* A row that the cursor names may be gone. */
    struct page_row left[] = {{.key = 1, .id = "z"}, {.key = 3, .id = "c"}};
    struct page page;
    struct err err;
    struct page_wish wish = {.limit = 5, .cursor = STR("0000000000000002.b")};
    assert_int_equal(page_cut(left, 2, &wish, &page, &err), 0);
    assert_int_equal(page.count, 1);
    assert_string_equal(left[page.first].id, "c");
    assert_string_equal(page.next, "");
    static const char *const bad[] = {"x", "0000000000000002", "000000000000000g.b",
                                      "0000000000000002-b", "-000000000000001.b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        wish.cursor = str_of(bad[i]);
        assert_int_equal(page_cut(left, 2, &wish, &page, &err), -1);
        assert_int_equal(err.kind, ERR_INVALID);
    }
    wish.cursor = (struct str){0};
    assert_int_equal(page_cut(NULL, 0, &wish, &page, &err), 0);
    assert_int_equal(page.count, 0);
}

static void lines(void **state)
{
    (void)state;
    static const struct {
        struct str bytes;
        const char *line;
    } rows[] = {
        {STR_INIT("out\n"), "{\"data\":\"out\\n\",\"stream\":\"stdout\"}\n"},
        {STR_INIT("\"\\\0"), "{\"data\":\"\\\"\\\\\\u0000\",\"stream\":\"stdout\"}\n"},
        {STR_INIT("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"),
         "{\"data\":\"\\u00e4\\u20ac\\ud83d\\ude00\",\"stream\":\"stdout\"}\n"},
        {STR_INIT("a\xff"), "{\"data\":\"a\\ufffd\",\"stream\":\"stdout\"}\n"},
    };
    struct buf b;
    buf_init(&b, 4096);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        buf_reset(&b, 4096);
        ndjson_output(&b, COMMAND_STDOUT, rows[i].bytes);
        assert_string_equal(buf_cstr(&b), rows[i].line);
    }
    buf_reset(&b, 4096);
    ndjson_error(&b, "sandbox_stream_closed", "why");
    assert_string_equal(buf_cstr(&b),
                        "{\"stream\":\"error\",\"data\":{\"code\":"
                        "\"sandbox_stream_closed\",\"message\":\"why\"}}\n");
    buf_finish(&b);
}

struct made {
    const char *path;
    unsigned type, mode;
    const char *content;
};

static size_t make_archive(const struct made *entries, size_t count, char *to,
                           size_t room)
{
    size_t used = 0;
    struct archive *a = archive_write_new();
    archive_write_set_format_pax_restricted(a);
    archive_write_add_filter_gzip(a);
    archive_write_set_options(a, "hdrcharset=BINARY");
    assert_int_equal(archive_write_open_memory(a, to, room, &used), ARCHIVE_OK);
    for (size_t i = 0; i < count; i++) {
        struct archive_entry *e = archive_entry_new();
        archive_entry_copy_pathname(e, entries[i].path);
        archive_entry_set_filetype(e, entries[i].type);
        archive_entry_set_perm(e, entries[i].mode);
        if (entries[i].type == AE_IFLNK)
            archive_entry_copy_symlink(e, entries[i].content);
        else
            archive_entry_set_size(e, (la_int64_t)strlen(entries[i].content));
        assert_true(archive_write_header(a, e) >= ARCHIVE_WARN);
        if (entries[i].type == AE_IFREG)
            archive_write_data(a, entries[i].content, strlen(entries[i].content));
        archive_entry_free(e);
    }
    archive_write_free(a);
    return used;
}

static void archives(void **state)
{
    (void)state;
    char long_name[300], bytes[64 * 1024];
    memset(long_name, 'n', sizeof long_name);
    memcpy(long_name, "vercel/d/", 9);
    long_name[sizeof long_name - 1] = '\0';
    const struct made good[] = {
        {"vercel/hello.txt", AE_IFREG, 0644, "hello"},
        {"/tmp/x.sh", AE_IFREG, 0755, "#!/bin/sh\n"},
        {long_name, AE_IFREG, 0600, ""},
        {"\xc3\xbc/\xe2\x82\xac", AE_IFREG, 0644, "u"},
        {"dir/", AE_IFDIR, 0700, ""},
    };
    size_t n = make_archive(good, 5, bytes, sizeof bytes);
    struct err err;
    struct unpack *u = unpack_new((struct str){bytes, n}, &err);
    struct unpack_entry e;
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(unpack_next(u, 100, &e, &err), 1);
        struct str path = str_of(good[i].path + (good[i].path[0] == '/'));
        path.n -= path.p[path.n - 1] == '/';
        assert_true(str_eq(e.path, path));
        assert_int_equal(e.mode, good[i].mode);
        assert_int_equal(e.directory, good[i].type == AE_IFDIR);
        if (!e.directory)
            assert_true(str_eq(e.content, str_of(good[i].content)));
    }
    assert_int_equal(unpack_next(u, 100, &e, &err), 0);
    unpack_free(u);
    static const struct {
        struct made entry;
        enum err_kind kind;
    } bad[] = {
        {{"a/../../etc/passwd", AE_IFREG, 0644, "x"}, ERR_INVALID},
        {{"..", AE_IFREG, 0644, "x"}, ERR_INVALID},
        {{"link", AE_IFLNK, 0777, "/etc/passwd"}, ERR_INVALID},
        {{"fifo", AE_IFIFO, 0644, ""}, ERR_INVALID},
        {{"large", AE_IFREG, 0644, "more than ten bytes"}, ERR_LIMIT},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        n = make_archive(&bad[i].entry, 1, bytes, sizeof bytes);
        u = unpack_new((struct str){bytes, n}, &err);
        assert_int_equal(unpack_next(u, 10, &e, &err), -1);
        assert_int_equal(err.kind, bad[i].kind);
        unpack_free(u);
    }
    n = make_archive(good, 5, bytes, sizeof bytes);
    for (size_t cut = 1; cut < n; cut += 7) { /* never more than there is */
        u = unpack_new((struct str){bytes, cut}, &err);
        while (u && unpack_next(u, 100, &e, &err) > 0)
            ;
        unpack_free(u);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes),
        cmocka_unit_test(pages),
        cmocka_unit_test(lines),
        cmocka_unit_test(archives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
