/* What the Vercel client says and hears, without a network: requests as the official
 * SDK sends them, the stream of a command's output cut anywhere, archives. */
#include "sandbox/tar/tar.h"
#include "sandbox/vercel/requests.h"
#include "sandbox/vercel/stream.h"
#include "tests/unit/check.h"
#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>

static const struct vercel_scope scope = {STR_INIT("team_test"), STR_INIT("prj_test")};

static void assert_request(struct vercel_request r, const char *head, const char *body)
{
    struct buf path;
    char line[1024];
    buf_init(&path, 1024);
    vercel_request_path(&r, STR("sbx_1"), &path);
    snprintf(line, sizeof line, "%s %.*s", r.method, STR_FMT(buf_str(&path)));
    assert_string_equal(line, head);
    assert_string_equal(r.body.n ? buf_cstr(&r.body) : "", body);
    buf_finish(&path);
    vercel_request_finish(&r);
}

static void requests_of_sandboxes(void **state)
{
    (void)state;
    struct str env[] = {STR("A=1")}, tags[] = {STR("env=t")};
    uint16_t ports[] = {3000, 8080};
    struct sandbox_spec spec = {.env = env,
                                .env_count = 1,
                                .tags = tags,
                                .tag_count = 1,
                                .ports = ports,
                                .port_count = 2,
                                .image = STR("vercel/sandbox/python:3.14")};
    struct sandbox_spec bare = {0};
    struct vercel_create c = {.name = STR("demo"),
                              .persistent = true,
                              .timeout_ms = 600000,
                              .vcpus = 2,
                              .spec = &spec};
    assert_request(vercel_create(&scope, &c), "POST /v3/sandboxes?teamId=team_test",
                   "{\"projectId\":\"prj_test\",\"ports\":[3000,8080],"
                   "\"image\":\"vercel/sandbox/python:3.14\",\"timeout\":600000,"
                   "\"resources\":{\"vcpus\":2},\"name\":\"demo\",\"persistent\":true,"
                   "\"env\":{\"A\":\"1\"},\"tags\":{\"env\":\"t\"}}");
    struct vercel_create fork = {.name = STR("forked"), .spec = &bare};
    assert_request(vercel_fork(&scope, STR("demo"), &fork),
                   "POST /v2/sandboxes/demo/fork?teamId=team_test&projectId=prj_test",
                   "{\"name\":\"forked\",\"persistent\":false}");
    assert_request(vercel_get(&scope, STR("demo"), true),
                   "GET /v2/sandboxes/"
                   "demo?teamId=team_test&projectId=prj_test&resume=true",
                   "");
    assert_request(vercel_list(&scope, STR("2")),
                   "GET /v2/sandboxes?teamId=team_test&project=prj_test&limit=50&"
                   "cursor=2",
                   "");
    assert_request(vercel_delete(&scope, STR("a b"), false),
                   "DELETE /v2/sandboxes/a%20b?teamId=team_test&projectId=prj_test",
                   "");
    spec = (struct sandbox_spec){.ports = ports, .port_count = 1};
    assert_request(vercel_update(&scope, &(struct vercel_create){.name = STR("demo"),
                                                                 .vcpus = 4,
                                                                 .timeout_ms = 1200000,
                                                                 .spec = &spec}),
                   "PATCH /v2/sandboxes/demo?teamId=team_test&projectId=prj_test",
                   "{\"timeout\":1200000,\"resources\":{\"vcpus\":4,\"memory\":8192},"
                   "\"ports\":[3000]}");
}

static void requests_in_a_session(void **state)
{
    (void)state;
    struct str args[] = {STR("-c"), STR("echo \"hi\""), STR("sandquay-1")};
    struct str env[] = {STR("K=v=w"), STR("E=")};
    assert_request(vercel_run(&scope, &(struct vercel_run){.args = args,
                                                           .arg_count = 3,
                                                           .cwd = STR("/tmp"),
                                                           .env = env,
                                                           .env_count = 2,
                                                           .sudo = true,
                                                           .wait = true,
                                                           .timeout_ms = 5000}),
                   "POST /v2/sandboxes/sessions/sbx_1/cmd?teamId=team_test",
                   "{\"command\":\"bash\",\"args\":[\"-c\",\"echo \\\"hi\\\"\","
                   "\"sandquay-1\"],\"cwd\":\"/tmp\",\"env\":{\"K\":\"v=w\",\"E\":\"\"}"
                   ",\"sudo\":true,\"wait\":true,\"logs\":true,\"timeout\":5000}");
    assert_request(
        vercel_run(&scope, &(struct vercel_run){.args = args, .arg_count = 1}),
        "POST /v2/sandboxes/sessions/sbx_1/cmd?teamId=team_test",
        "{\"command\":\"bash\",\"args\":[\"-c\"],\"env\":{},\"sudo\":false}");
    assert_request(vercel_command(&scope, STR("cmd_1"), true),
                   "GET /v2/sandboxes/sessions/sbx_1/cmd/"
                   "cmd_1?teamId=team_test&wait=true",
                   "");
    assert_request(vercel_logs(&scope, STR("cmd_1")),
                   "GET /v2/sandboxes/sessions/sbx_1/cmd/cmd_1/logs?teamId=team_test",
                   "");
    assert_request(vercel_kill(&scope, STR("cmd_1"), 15),
                   "POST /v2/sandboxes/sessions/sbx_1/cmd/cmd_1/kill?teamId=team_test",
                   "{\"signal\":15}");
    assert_request(vercel_extend(&scope, 60000),
                   "POST /v2/sandboxes/sessions/sbx_1/extend-timeout?teamId=team_test",
                   "{\"duration\":60000}");
    assert_request(vercel_mkdir(&scope, STR("d"), true),
                   "POST /v2/sandboxes/sessions/sbx_1/fs/mkdir?teamId=team_test",
                   "{\"path\":\"d\",\"recursive\":true}");
    assert_request(vercel_read(&scope, STR("hello.txt")),
                   "POST /v2/sandboxes/sessions/sbx_1/fs/read?teamId=team_test",
                   "{\"path\":\"hello.txt\"}");
}

/* What must not happen twice is not marked as repeatable. */
static void what_may_be_repeated(void **state)
{
    (void)state;
    struct sandbox_spec bare = {0};
    struct vercel_create c = {.name = STR("a"), .spec = &bare};
    struct vercel_request once[] = {
        vercel_create(&scope, &c), vercel_fork(&scope, STR("a"), &c),
        vercel_run(&scope, &(struct vercel_run){0}), vercel_snapshot_take(&scope),
        vercel_kill(&scope, STR("c"), 15)};
    struct vercel_request again[] = {
        vercel_get(&scope, STR("a"), true), vercel_delete(&scope, STR("a"), true),
        vercel_stop(&scope), vercel_kill(&scope, STR("c"), 9), vercel_write(&scope)};
    for (size_t i = 0; i < sizeof once / sizeof once[0]; i++) {
        assert_false(once[i].repeatable);
        assert_true(again[i].repeatable);
        vercel_request_finish(&once[i]);
        vercel_request_finish(&again[i]);
    }
}

struct heard {
    char out[2][4096];
    size_t n[2];
    int commands, exit_code;
    bool running;
    char id[64], code[64];
};

static void on_command(void *ctx, const struct vercel_command *c)
{
    struct heard *h = ctx;
    h->commands++;
    h->running = c->running;
    h->exit_code = c->exit_code;
    snprintf(h->id, sizeof h->id, "%.*s", STR_FMT(c->id));
}

static void on_output(void *ctx, enum command_stream stream, struct str bytes)
{
    struct heard *h = ctx;
    memcpy(h->out[stream] + h->n[stream], bytes.p, bytes.n);
    h->n[stream] += bytes.n;
}

static void on_failed(void *ctx, struct str code, struct str message)
{
    struct heard *h = ctx;
    (void)message;
    snprintf(h->code, sizeof h->code, "%.*s", STR_FMT(code));
}

static const struct vercel_stream_events events = {on_command, on_output, on_failed};

static const char sample[] =
    "{\"command\":{\"id\":\"cmd_1\",\"name\":\"sh\",\"exitCode\":null,\"new\":[1]}}\n"
    "\r\n"
    "{\"data\":\"err \xc3\xa9\\n\",\"stream\":\"stderr\"}\n"
    "{\"data\":\"out \\u20ac \xf0\x9f\x98\x80\\n\",\"stream\":\"stdout\"}\r\n"
    "{\"stream\":\"stdout\",\"data\":\"\"}\n"
    "{\"command\":{\"id\":\"cmd_1\",\"exitCode\":3,\"durationMs\":7}}";

static int feed_in_pieces(struct heard *h, size_t piece, struct err *err)
{
    struct vercel_stream s;
    struct str all = STR(sample);
    int rc = 0;
    memset(h, 0, sizeof *h);
    vercel_stream_init(&s, &events, h);
    for (size_t at = 0; at < all.n && rc == 0; at += piece) {
        size_t n = all.n - at < piece ? all.n - at : piece;
        rc = vercel_stream_feed(&s, (struct str){all.p + at, n}, err);
    }
    if (rc == 0)
        rc = vercel_stream_end(&s, err);
    vercel_stream_finish(&s);
    return rc;
}

/* Also in the middle of a character, and of an escape. */
static void stream_cut_anywhere(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= sizeof sample; piece++) {
        struct heard h;
        struct err err;
        assert_int_equal(feed_in_pieces(&h, piece, &err), 0);
        assert_int_equal(h.commands, 2);
        assert_false(h.running);
        assert_int_equal(h.exit_code, 3);
        assert_string_equal(h.id, "cmd_1");
        assert_string_equal(h.out[COMMAND_STDERR], "err \xc3\xa9\n");
        assert_string_equal(h.out[COMMAND_STDOUT],
                            "out \xe2\x82\xac \xf0\x9f\x98\x80\n");
    }
}

static void stream_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{\"stream\":\"third\",\"data\":\"x\"}\n",
        "{\"stream\":\"stdout\",\"data\":1}\n",
        "{\"command\":{\"id\":\"../x\"}}\n",
        "<html>\n",
        "[]\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct vercel_stream s;
        struct heard h = {0};
        struct err err;
        vercel_stream_init(&s, &events, &h);
        assert_int_equal(vercel_stream_feed(&s, str_of(bad[i]), &err), -1);
        assert_int_equal(err.kind, ERR_PROTOCOL);
        vercel_stream_finish(&s);
    }
}

static void stream_error_line(void **state)
{
    (void)state;
    struct vercel_stream s;
    struct heard h = {0};
    struct err err;
    vercel_stream_init(&s, &events, &h);
    assert_int_equal(
        vercel_stream_feed(&s,
                           STR("{\"stream\":\"error\",\"data\":{\"code\":"
                               "\"sandbox_stream_closed\",\"message\":\"m\"}}\n"),
                           &err),
        0);
    assert_string_equal(h.code, "sandbox_stream_closed");
    vercel_stream_finish(&s);
}

static void stream_line_is_bounded(void **state)
{
    (void)state;
    static char block[1024 * 1024];
    struct vercel_stream s;
    struct heard h = {0};
    struct err err;
    int rc = 0;
    memset(block, 'x', sizeof block);
    vercel_stream_init(&s, &events, &h);
    for (int i = 0; i < 20 && rc == 0; i++)
        rc = vercel_stream_feed(&s, (struct str){block, sizeof block}, &err);
    assert_int_equal(rc, -1);
    assert_int_equal(err.kind, ERR_LIMIT);
    vercel_stream_finish(&s);
}

static void read_archive(struct str path, struct str content, size_t piece)
{
    struct tar_out *out = tar_new(path, 0755, content, 1000);
    struct buf all;
    char *part = malloc(piece);
    buf_init(&all, 64 * 1024 * 1024);
    for (size_t n; (n = tar_read(out, part, piece)) > 0;)
        buf_add(&all, part, n);
    free(part);
    tar_free(out);
    struct archive *a = archive_read_new();
    struct archive_entry *e;
    archive_read_support_filter_gzip(a);
    archive_read_support_format_tar(a);
    assert_int_equal(archive_read_open_memory(a, all.p, all.n), ARCHIVE_OK);
    assert_int_equal(archive_read_next_header(a, &e), ARCHIVE_OK);
    const char *name = archive_entry_pathname(e);
    assert_non_null(name);
    assert_true(str_eq(str_of(name), str_from(path, 1)));
    assert_int_equal(archive_entry_perm(e), 0755);
    assert_int_equal(archive_entry_uid(e), 0);
    assert_int_equal(archive_entry_mtime(e), 1000);
    assert_int_equal(archive_entry_size(e), (la_int64_t)content.n);
    char *back = malloc(content.n + 1);
    assert_int_equal(archive_read_data(a, back, content.n + 1), (la_ssize_t)content.n);
    assert_memory_equal(back, content.p ? content.p : "", content.n);
    assert_int_equal(archive_read_next_header(a, &e), ARCHIVE_EOF);
    free(back);
    archive_read_free(a);
    buf_finish(&all);
}

static void archives(void **state)
{
    (void)state;
    char name[300] = "/tmp/";
    memset(name + 5, 'n', 200);
    read_archive(STR("/vercel/hello.txt"), STR("h\xc3\xa9\n"), 100);
    read_archive(STR("/empty"), STR(""), 1);
    read_archive(str_of(name), STR("long"), 4096);
    static char big[3 * 1024 * 1024 + 7];
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)((i * 2654435761u) >> 13);
    read_archive(STR("/big"), (struct str){big, sizeof big}, 64 * 1024);
    memset(big, 'x', sizeof big);
    read_archive(STR("/big"), (struct str){big, sizeof big}, 1000);
}

static void answers_with_odd_members(void **state)
{
    (void)state;
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    struct vercel_opened o;
    static const char odd[] =
        "{\"sandbox\":{\"name\":\"a\",\"persistent\":true,\"status\":\"hibernating\","
        "\"currentSnapshotId\":null,\"networkPolicy\":null,\"timeout\":\"soon\"},"
        "\"session\":{\"id\":\"s\",\"cwd\":null,\"status\":\"running\",\"timeout\":1},"
        "\"routes\":null,\"later\":{}}";
    assert_int_equal(json_parse(&doc, &a, STR(odd), &err), 0);
    assert_int_equal(vercel_read_opened(json_root(&doc), &a, &o, &err), 0);
    assert_int_equal(o.sandbox.status, SANDBOX_PENDING);
    assert_int_equal(o.sandbox.snapshot.n, 0);
    assert_int_equal(o.route_count, 0);
    assert_int_equal(o.sandbox.timeout_ms, 0);
    static const char bad[] = "{\"sandbox\":{\"name\":\"a\"},\"session\":{\"id\":\"../"
                              "..\"}}";
    assert_int_equal(json_parse(&doc, &a, STR(bad), &err), 0);
    assert_int_equal(vercel_read_opened(json_root(&doc), &a, &o, &err), -1);
    assert_int_equal(err.kind, ERR_PROTOCOL);
    arena_finish(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_of_sandboxes),
        cmocka_unit_test(requests_in_a_session),
        cmocka_unit_test(what_may_be_repeated),
        cmocka_unit_test(stream_cut_anywhere),
        cmocka_unit_test(stream_refused),
        cmocka_unit_test(stream_error_line),
        cmocka_unit_test(stream_line_is_bounded),
        cmocka_unit_test(archives),
        cmocka_unit_test(answers_with_odd_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
