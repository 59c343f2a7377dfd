/* JSON: the public suite, lookups, numbers, the writer. */
#include "base/json_write.h"
#include "tests/unit/check.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SUITE_FILES = 318 };

static bool parses(struct str text)
{
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    bool ok = json_parse(&doc, &a, text, &err) == 0;
    arena_finish(&a);
    return ok;
}

static bool file_parses(const char *dir, const char *name)
{
    char path[1024];
    static char text[512 * 1024];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, text, sizeof text);
    assert_true(n >= 0 && (size_t)n < sizeof text);
    close(fd);
    return parses((struct str){text, (size_t)n});
}

static void public_suite(void **state)
{
    (void)state;
    const char *shared = getenv("SANDQUAY_SHARED");
    char path[512];
    snprintf(path, sizeof path, "%s/data/json-test-suite/test_parsing",
             shared ? shared : SANDQUAY_SOURCE_DIR "/../shared");
    DIR *dir = opendir(path);
    if (!dir) {
        const char *ci = getenv("CI");
        if (ci && strcmp(ci, "true") == 0)
            fail_msg("%s is absent", path);
        print_message("skipped: %s is absent\n", path);
        skip();
    }
    int files = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        files++;
        bool ok = file_parses(path, e->d_name);
        if (e->d_name[0] == 'y' && !ok)
            fail_msg("%s must be accepted", e->d_name);
        if (e->d_name[0] == 'n' && ok)
            fail_msg("%s must be rejected", e->d_name);
    }
    closedir(dir);
    assert_int_equal(files, SUITE_FILES);
}

static void refusals_say_where(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"[1 2]", "a comma or ] expected at byte 3"},
        {"{\"a\" 1}", "a colon expected at byte 5"},
        {"", "JSON ends at byte 0 where a value was expected"},
        {"[1] x", "the end of the text expected at byte 4"},
        {"\"\\ud800\"", "both halves of a surrogate pair"},
        {"\"a\nb\"", "an escape instead of a control character"},
        {"\"\xff\"", "valid UTF-8"},
        {"\xef\xbb\xbf{}", "a value expected at byte 0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = {0};
        struct json_doc doc;
        struct err err;
        assert_int_equal(json_parse(&doc, &a, str_of(rows[i].text), &err), -1);
        assert_int_equal(err.kind, ERR_INVALID);
        if (!strstr(err.msg, rows[i].says))
            fail_msg("%s: says \"%s\"", rows[i].text, err.msg);
        arena_finish(&a);
    }
}

static void depth_is_bounded(void **state)
{
    (void)state;
    char text[2 * JSON_DEPTH_MAX + 4];
    for (size_t depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(parses((struct str){text, 2 * depth}),
                         depth == JSON_DEPTH_MAX);
    }
}

static void lookups(void **state)
{
    (void)state;
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    struct str text = STR(
        "{\"a\":[1,{\"b\":\"x\\ny\"},[] ,\"\"], \"\\u0061b\":true,\"d\":1,\"d\":2}");
    assert_int_equal(json_parse(&doc, &a, text, &err), 0);
    struct json root = json_root(&doc);
    assert_int_equal(json_len(root), 4);
    struct json list = json_get(root, STR("a"));
    assert_int_equal(json_len(list), 4);
    assert_true(str_eq(json_str(json_pointer(root, "/a/1/b"), &a), STR("x\ny")));
    assert_true(json_str_is(json_pointer(root, "/a/1/b"), STR("x\ny")));
    assert_false(json_str_is(json_pointer(root, "/a/1/b"), STR("x\nyz")));
    assert_true(json_is_true(json_get(root, STR("ab"))));
    int64_t d = 0;
    assert_true(json_i64(json_get(root, STR("d")), &d));
    assert_int_equal(d, 2);
    assert_false(json_present(json_get(json_at(list, 0), STR("no"))));
    assert_false(json_present(json_at(list, 4)));
    assert_int_equal(json_type(json_at(list, 3)), JSON_STRING);
    size_t n = 0;
    for (struct json v = json_first(list); json_present(v); v = json_next(v))
        n++;
    assert_int_equal(n, 4);
    arena_finish(&a);
}

static void long_strings(void **state)
{
    (void)state;
    enum { N = 40, LEN = 5000 }; /* more than are cut out, some short ones between */
    struct buf b;
    buf_init(&b, 1 << 20);
    struct json_writer w;
    jw_init(&w, &b);
    jw_array(&w);
    char body[LEN];
    for (int i = 0; i < N; i++) {
        memset(body, 'a' + i % 26, LEN);
        jw_str(&w, (struct str){body, LEN});
        jw_str(&w, STR(""));
        jw_i64(&w, i);
    }
    jw_end_array(&w);
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    assert_int_equal(json_parse(&doc, &a, buf_str(&b), &err), 0);
    struct json v = json_first(json_root(&doc));
    for (int i = 0; i < N; i++) {
        memset(body, 'a' + i % 26, LEN);
        assert_true(str_eq(json_str(v, &a), (struct str){body, LEN}));
        v = json_next(v);
        assert_int_equal(json_raw(v).n, 2);
        v = json_next(v);
        int64_t k = -1;
        assert_true(json_i64(v, &k));
        assert_int_equal(k, i);
        v = json_next(v);
    }
    assert_false(json_present(v));
    arena_finish(&a);
    buf_finish(&b);
}

static void assert_parts(struct json v, struct str value)
{
    char room[JSON_PARTS_ROOM_LEAST];
    struct buf all;
    buf_init(&all, value.n + 1);
    struct json_parts parts = json_parts(v);
    for (struct str part; (part = json_parts_next(&parts, room, sizeof room)).n;)
        buf_adds(&all, part);
    assert_true(str_eq(buf_str(&all), value));
    buf_finish(&all);
}

static void check_string(const char *text, const char *value, size_t before,
                         size_t behind)
{
    char source[200], right[200];
    int n = snprintf(source, sizeof source, "\"%.*s%s%.*s\"", (int)before,
                     "................................................", text,
                     (int)behind, "--------------------------------");
    struct str given = {source, (size_t)n};
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    int rc = json_parse(&doc, &a, given, &err);
    if ((rc == 0) != (value != NULL))
        fail_msg("%s: %s", source, rc == 0 ? "accepted" : err.msg);
    if (value) {
        n = snprintf(right, sizeof right, "%.*s%s%.*s", (int)before,
                     "................................................", value,
                     (int)behind, "--------------------------------");
        struct str expected = {right, (size_t)n};
        struct buf written;
        struct json_writer w;
        assert_true(str_eq(json_str(json_root(&doc), &a), expected));
        assert_parts(json_root(&doc), expected);
        buf_init(&written, 2048);
        jw_init(&w, &written);
        jw_str(&w, expected);
        assert_int_equal(json_parse(&doc, &a, buf_str(&written), &err), 0);
        assert_true(json_str_is(json_root(&doc), expected));
        buf_finish(&written);
    }
    arena_finish(&a);
}

/* Parts of a string longer than the room: borrowed and made ones. */
static void parts_of_a_long_string(void **state)
{
    (void)state;
    struct buf value, text;
    struct json_writer w;
    buf_init(&value, 1 << 20);
    buf_init(&text, 1 << 21);
    for (int i = 0; i < 3000; i++) {
        buf_addf(
            &value, "%.*s", i % 700 == 0 ? 600 : i % 7, /* now and then plain */
            "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvw"
            "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvw"
            "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvw"
            "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvw");
        buf_addz(&value, i % 3 ? "\n" : "\xe2\x82\xac\x01");
    }
    jw_init(&w, &text);
    jw_str(&w, buf_str(&value));
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    assert_int_equal(json_parse(&doc, &a, buf_str(&text), &err), 0);
    assert_true(str_eq(json_str(json_root(&doc), &a), buf_str(&value)));
    assert_parts(json_root(&doc), buf_str(&value));
    struct json_parts none = json_parts((struct json){0});
    char room[JSON_PARTS_ROOM_LEAST];
    assert_int_equal(json_parts_next(&none, room, sizeof room).n, 0);
    arena_finish(&a);
    buf_finish(&text);
    buf_finish(&value);
}

/* What a string may and may not hold, at every place relative to the blocks that are
 * looked at together; read whole and in parts, and written again. */
static void strings_across_blocks(void **state)
{
    (void)state;
    static const struct {
        const char *text, *value; /* value NULL: refused */
    } rows[] = {
        {"\\n", "\n"},
        {"\\\"", "\""},
        {"\\\\", "\\"},
        {"\\/", "/"},
        {"\\u00e9", "\xc3\xa9"},
        {"\\uD83D\\uDE00", "\xf0\x9f\x98\x80"},
        {"\\u0001", "\x01"},
        {"\xc3\xa9", "\xc3\xa9"},
        {"\xe2\x82\xac\\t\xf0\x9f\x98\x80", "\xe2\x82\xac\t\xf0\x9f\x98\x80"},
        {"\\\\\\\\\\n\\\"", "\\\\\n\""},
        {"\\x", NULL},
        {"\\u00g0", NULL},
        {"\\ud83d", NULL},
        {"\\ud83d\\u0041", NULL},
        {"\x1f", NULL},
        {"\xc3", NULL},
        {"\xc3\"", NULL},
        {"\xed\xa0\x80", NULL},
        {"\xe2\x82\\n", NULL},
        {"\"", NULL},
    };
    enum { BEFORE = 36, BEHIND = 20, ROWS = sizeof rows / sizeof rows[0] };
    for (size_t r = 0; r < ROWS; r++)
        for (size_t before = 0; before < BEFORE; before++)
            for (size_t behind = 0; behind < BEHIND; behind++)
                check_string(rows[r].text, rows[r].value, before, behind);
}

static void integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } rows[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"99999999999999999999999", false, 0},
        {"1.0", true, 1},
        {"1e2", true, 100},
        {"-25e-1", false, 0},
        {"1.5", false, 0},
        {"1e400", false, 0},
        {"\"1\"", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = {0};
        struct json_doc doc;
        struct err err;
        assert_int_equal(json_parse(&doc, &a, str_of(rows[i].text), &err), 0);
        int64_t v = 0;
        if (json_i64(json_root(&doc), &v) != rows[i].ok || v != rows[i].value)
            fail_msg("%s: %lld", rows[i].text, (long long)v);
        arena_finish(&a);
    }
}

static void writes(void **state)
{
    (void)state;
    static const char bad[] = "a\xff\xe2\x82z\xf0\x9f\x98\x80\x01\"\\\n";
    struct buf b;
    buf_init(&b, 4096);
    struct json_writer w;
    jw_init(&w, &b);
    jw_object(&w);
    jw_key_str(&w, "s", (struct str){bad, sizeof bad - 1});
    jw_key(&w, "list");
    jw_array(&w);
    jw_f64(&w, 0.1);
    jw_i64(&w, INT64_MIN);
    jw_u64(&w, UINT64_MAX);
    jw_null(&w);
    jw_base64(&w, STR("hi"));
    jw_end_array(&w);
    jw_key_bool(&w, "b", false);
    jw_end_object(&w);
    assert_string_equal(
        buf_cstr(&b),
        "{\"s\":\"a\xef\xbf\xbd\xef\xbf\xbdz\xf0\x9f\x98\x80\\u0001\\\"\\\\\\n\","
        "\"list\":[0.1,-9223372036854775808,18446744073709551615,null,"
        "\"aGk=\"],\"b\":false}");
    buf_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_suite),
        cmocka_unit_test(refusals_say_where),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(lookups),
        cmocka_unit_test(long_strings),
        cmocka_unit_test(strings_across_blocks),
        cmocka_unit_test(parts_of_a_long_string),
        cmocka_unit_test(integers),
        cmocka_unit_test(writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
