/* A request to the API on arbitrary bytes: the first line is a method's number and a
 * path, the rest a body. Routes are found or refused; a body that passes the check of
 * what create, fork and update say can be taken, and what it says is in its limits. A
 * cursor is refused or is one, and output is one line of ASCII. */
#include "base/json.h"
#include "vercel_api/ndjson.h"
#include "vercel_api/pty.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_route(struct str line)
{
    struct route route;
    struct http_refusal refusal = {0};
    enum http_method method = line.n ? (unsigned char)line.p[0] % HTTP_OTHER : HTTP_GET;
    if (route_find(method, str_from(line, 1), &route, &refusal) == 0)
        require(route.endpoint < ENDPOINTS);
    else
        require(refusal.status == HTTP_NOT_FOUND ||
                refusal.status == HTTP_METHOD_NOT_ALLOWED);
}

static void check_cursor(struct str line)
{
    struct page_row rows[] = {{.key = 1, .id = "a"}, {.key = 1, .id = "b"}};
    struct page_wish wish = {.limit = 1, .cursor = line};
    struct page page;
    struct err err;
    if (page_cut(rows, 2, &wish, &page, &err) == 0)
        require(page.first + page.count <= 2);
}

static void check_line(struct str bytes)
{
    struct buf b;
    buf_init(&b, 1 << 24);
    ndjson_output(&b, COMMAND_STDERR, bytes);
    for (size_t i = 0; i + 1 < b.n; i++)
        require((unsigned char)b.p[i] >= ' ' && (unsigned char)b.p[i] < 0x80);
    require(b.n > 0 && b.p[b.n - 1] == '\n');
    buf_finish(&b);
}

static void check_settings(struct str body, struct arena *a)
{
    static const enum settings_of kinds[] = {SETTINGS_CREATE, SETTINGS_FORK,
                                             SETTINGS_UPDATE};
    struct vercel_api api = {.finishing = true};
    struct json_doc doc;
    struct err err;
    if (json_parse(&doc, a, body, &err) < 0 ||
        json_type(json_root(&doc)) != JSON_OBJECT)
        return;
    for (size_t i = 0; i < 3; i++) {
        if (settings_check(json_root(&doc), kinds[i], a, &err) < 0) {
            require(err.msg[0]);
            continue;
        }
        struct record *rec = record_new(&api);
        settings_take(rec, json_root(&doc), a);
        require(rec->timeout_ms >= 1000 && rec->vcpus >= 1 && rec->vcpus <= 32 &&
                rec->route_count <= API_PORTS_MAX);
        record_free(rec);
    }
}

/* A terminal's text messages. */
static void check_terminal(struct str body, struct arena *a)
{
    struct pty_start start;
    struct pty_size size;
    struct json_doc doc;
    struct err err;
    if (json_parse(&doc, a, body, &err) < 0)
        return;
    if (pty_read_start(json_root(&doc), a, &start) == 0)
        require(start.argc >= 1 && start.argc <= PTY_ARGS_MAX && start.argv[0].n > 0 &&
                start.env_count <= PTY_ARGS_MAX && start.cols && start.rows);
    if (pty_read_resize(json_root(&doc), &size) == 0)
        require(size.cols && size.rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str all = {(const char *)data, size};
    ptrdiff_t end = str_find(all, '\n');
    struct str line = {all.p, end < 0 ? size : (size_t)end};
    struct str body = end < 0 ? (struct str){0} : str_from(all, (size_t)end + 1);
    struct arena a = {0};
    check_route(line);
    check_cursor(line);
    check_line(body);
    check_settings(body, &a);
    check_terminal(body, &a);
    arena_finish(&a);
    return 0;
}
