/* Schemas: the public json-schema-test-suite, what does not compile, and the sentences
 * that a model reads. */
#include "base/json_write.h"
#include "mcp/schema.h"
#include "tests/unit/check.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SUITE "/usr/share/json-schema-test-suite/tests/"

static struct json parse(struct arena *a, struct str text)
{
    struct json_doc *doc = arena_alloc(a, sizeof *doc);
    struct err err;
    if (json_parse(doc, a, text, &err) < 0)
        fail_msg("%s in %.*s", err.msg, STR_FMT(text));
    return json_root(doc);
}

/* JSON written with ' for ". */
static struct json parse_quoted(struct arena *a, const char *text)
{
    struct str s = str_of(text);
    char *p = arena_alloc(a, s.n + 1);
    for (size_t i = 0; i < s.n; i++)
        p[i] = s.p[i] == '\'' ? '"' : s.p[i];
    return parse(a, (struct str){p, s.n});
}

static bool read_file(struct arena *a, const char *path, struct str *ret_text)
{
    enum { MAX = 1 << 20 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    char *text = arena_alloc(a, MAX);
    ssize_t n = read(fd, text, MAX);
    close(fd);
    assert_true(n > 0 && n < MAX);
    *ret_text = (struct str){text, (size_t)n};
    return true;
}

/* The suite names its dialect in each schema; schemas of ours do not. */
static struct json without_dialect(struct arena *a, struct json schema)
{
    if (!json_present(json_get(schema, STR("$schema"))))
        return schema;
    struct buf b;
    struct json_writer w;
    buf_init(&b, 1 << 20);
    jw_init(&w, &b);
    jw_object(&w);
    for (struct json k = json_first(schema); json_present(k); k = json_next(k))
        if (!json_str_is(k, STR("$schema"))) {
            jw_key(&w, arena_dup(a, json_str(k, a)).p);
            jw_json(&w, json_value(k));
        }
    jw_end_object(&w);
    struct json v = parse(a, arena_dup(a, buf_str(&b)));
    buf_finish(&b);
    return v;
}

struct tally {
    int groups, skipped, cases;
};

static void run_group(struct arena *a, const char *file, struct json group,
                      struct tally *tally)
{
    struct schema *schema;
    struct err err;
    struct str name = json_str(json_get(group, STR("description")), a);
    struct json definition = without_dialect(a, json_get(group, STR("schema")));
    tally->groups++;
    if (schema_compile(&schema, definition, a, &err) < 0) {
        if (!strstr(err.msg, "not implemented"))
            fail_msg("%s, %.*s: %s", file, STR_FMT(name), err.msg);
        tally->skipped++;
        return;
    }
    struct json tests = json_get(group, STR("tests"));
    for (struct json t = json_first(tests); json_present(t); t = json_next(t)) {
        struct str what = json_str(json_get(t, STR("description")), a);
        bool want = json_is_true(json_get(t, STR("valid")));
        bool got = schema_check(schema, json_get(t, STR("data")), &err) == 0;
        tally->cases++;
        if (want != got)
            fail_msg("%s, %.*s, %.*s: must be %s", file, STR_FMT(name), STR_FMT(what),
                     want ? "valid" : "invalid");
    }
}

/* Files of the keywords that are implemented, each with the number of its groups whose
 * schemas need others too (newer drafts have more of them). */
static const struct {
    const char *file;
    int may_skip;
} suite_files[] = {
    {"type", 0},
    {"enum", 0},
    {"const", 2},
    {"properties", 1},
    {"required", 0},
    {"additionalProperties", 5},
    {"items", 5},
    {"minItems", 0},
    {"maxItems", 0},
    {"minLength", 0},
    {"maxLength", 0},
    {"minimum", 0},
    {"maximum", 0},
    {"exclusiveMinimum", 0},
    {"exclusiveMaximum", 0},
    {"minProperties", 0},
    {"maxProperties", 0},
    {"boolean_schema", 0},
    {"default", 0},
};

static void run_file(const char *draft, const char *name, int may_skip,
                     struct tally *all)
{
    char path[300];
    struct arena a = {0};
    struct str text;
    struct tally tally = {0};
    snprintf(path, sizeof path, SUITE "%s/%s.json", draft, name);
    if (!read_file(&a, path, &text))
        fail_msg("%s is absent", path);
    struct json groups = parse(&a, text);
    for (struct json g = json_first(groups); json_present(g); g = json_next(g))
        run_group(&a, name, g, &tally);
    print_message("%-22s %3d groups, %d skipped, %3d cases\n", name, tally.groups,
                  tally.skipped, tally.cases);
    if (tally.skipped > may_skip)
        fail_msg("%s: %d groups skipped, %d may be", name, tally.skipped, may_skip);
    all->groups += tally.groups;
    all->skipped += tally.skipped;
    all->cases += tally.cases;
    arena_finish(&a);
}

/* The newest draft that the package has. Debian 12's ends with draft 7, in which all of
 * these keywords mean the same as in 2020-12, whose files pass, too. */
static void public_suite(void **state)
{
    (void)state;
    static const char *const drafts[] = {"draft2020-12", "draft2019-09", "draft7"};
    const char *draft = NULL;
    for (size_t i = 0; i < sizeof drafts / sizeof drafts[0] && !draft; i++) {
        char path[200];
        snprintf(path, sizeof path, SUITE "%s", drafts[i]);
        if (access(path, R_OK) == 0)
            draft = drafts[i];
    }
    if (!draft) {
        const char *ci = getenv("CI");
        if (ci && strcmp(ci, "true") == 0)
            fail_msg(SUITE " is absent: apt install json-schema-test-suite");
        print_message("skipped: " SUITE " is absent (json-schema-test-suite)\n");
        skip();
    }
    struct tally all = {0};
    for (size_t i = 0; i < sizeof suite_files / sizeof suite_files[0]; i++)
        run_file(draft, suite_files[i].file, suite_files[i].may_skip, &all);
    print_message("%s: %d groups, %d skipped, %d cases\n", draft, all.groups,
                  all.skipped, all.cases);
    assert_true(all.groups - all.skipped >= 38);
    assert_true(all.cases >= 175);
}

static void what_does_not_compile(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{'pattern':'x'}", "/pattern: this keyword is not implemented"},
        {"{'$ref':'#'}", "/$ref: this keyword is not implemented"},
        {"{'properties':{'a':{'items':{'anyOf':[]}}}}",
         "/properties/a/items/anyOf: this keyword is not implemented"},
        {"{'type':'text'}", "/type: wrong kind of value"},
        {"{'type':[]}", "/type: wrong kind of value"},
        {"{'type':5}", "/type: wrong kind of value"},
        {"{'enum':{}}", "/enum: wrong kind of value"},
        {"{'required':'a'}", "/required: wrong kind of value"},
        {"{'required':[1]}", "/required: wrong kind of value"},
        {"{'minimum':'1'}", "/minimum: wrong kind of value"},
        {"{'minLength':-1}", "/minLength: wrong kind of value"},
        {"{'maxItems':1.5}", "/maxItems: wrong kind of value"},
        {"{'properties':[]}", "/properties: an object is expected"},
        {"{'items':[{}]}", "/items: an array is not implemented"},
        {"{'additionalProperties':5}", "/additionalProperties: a schema is an object"},
        {"[]", ": a schema is an object"},
        {"5", ": a schema is an object"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = {0};
        struct schema *schema;
        struct err err = {0};
        assert_int_equal(
            schema_compile(&schema, parse_quoted(&a, rows[i][0]), &a, &err), -1);
        assert_string_equal(err.msg, rows[i][1]);
        assert_int_equal(err.kind, ERR_INVALID);
        arena_finish(&a);
    }
}

static void sentences(void **state)
{
    (void)state;
    static const char tool[] =
        "{'type':'object','properties':{"
        "'path':{'type':'string','minLength':1,'maxLength':3},"
        "'timeoutMs':{'type':'integer','minimum':100,'maximum':1e3},"
        "'ratio':{'exclusiveMinimum':0,'exclusiveMaximum':1},"
        "'mode':{'enum':['text','base64',null]},'kind':{'const':'x'},"
        "'list':{'type':'array','minItems':1,'maxItems':2,'items':{'type':['string',"
        "'null']}},'map':{'type':'object','maxProperties':1,'additionalProperties':{"
        "'type':'boolean'}},'never':false,'none':{'enum':[]}},"
        "'required':['path'],'additionalProperties':false}";
    static const char *const rows[][2] = {
        {"{'path':'a','none':1}", "none is not allowed (got 1)"},
        {"{'path':'a'}", ""},
        {"{'path':'\\u00e9\\ud83d\\ude00\\n'}", ""}, /* three characters */
        {"{'path':'\xc3\xa9\xf0\x9f\x98\x80x'}", ""},
        {"{'path':'\\ud83d\\ude00\\\\x\\''}",
         "path must have a length of at most 3 (got '\\ud83d\\ude00\\\\x\\'')"},
        {"{'path':'a','timeoutMs':100.0}", ""},
        {"{'path':'a','timeoutMs':1e2}", ""},
        {"{}", "path is required (got nothing)"},
        {"[]", "the value must be of type object (got [])"},
        {"{'path':''}", "path must have a length of at least 1 (got '')"},
        {"{'path':5}", "path must be of type string (got 5)"},
        {"{'path':'a','timeoutMs':5}", "timeoutMs must be at least 100 (got 5)"},
        {"{'path':'a','timeoutMs':1001}", "timeoutMs must be at most 1000 (got 1001)"},
        {"{'path':'a','timeoutMs':100.5}",
         "timeoutMs must be of type integer (got 100.5)"},
        {"{'path':'a','timeoutMs':'100'}",
         "timeoutMs must be of type integer (got '100')"},
        {"{'path':'a','ratio':0}", "ratio must be above 0 (got 0)"},
        {"{'path':'a','ratio':1.0}", "ratio must be below 1 (got 1.0)"},
        {"{'path':'a','mode':'hex'}",
         "mode must be one of 'text', 'base64', null (got 'hex')"},
        {"{'path':'a','kind':'y'}", "kind must be 'x' (got 'y')"},
        {"{'path':'a','list':[]}", "list must have a length of at least 1 (got [])"},
        {"{'path':'a','list':['b',null,'c']}",
         "list must have a length of at most 2 (got ['b',null,'c'])"},
        {"{'path':'a','list':['b',7]}",
         "list[1] must be of type null or string (got 7)"},
        {"{'path':'a','map':{'k':1}}", "map.k must be of type boolean (got 1)"},
        {"{'path':'a','never':1}", "never is not allowed (got 1)"},
        {"{'path':'a','tiemout':1}",
         "tiemout is not known here; known: path, timeoutMs, ratio, mode, kind, list, "
         "map, never, none (got 'tiemout')"},
        {"{'path':'a','mode':'0123456789012345678901234567890123456789'}",
         "mode must be one of 'text', 'base64', null (got "
         "'012345678901234567890123456789012345678...)"},
        /* every value of a key that comes twice */
        {"{'path':5,'path':'a'}", "path must be of type string (got 5)"},
    };
    struct arena a = {0};
    struct schema *schema;
    struct err err;
    assert_int_equal(schema_compile(&schema, parse_quoted(&a, tool), &a, &err), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err got = {0};
        char want[300];
        size_t n = strlen(rows[i][1]);
        for (size_t k = 0; k <= n; k++)
            want[k] = rows[i][1][k] == '\'' ? '"' : rows[i][1][k];
        int rc = schema_check(schema, parse_quoted(&a, rows[i][0]), &got);
        assert_string_equal(got.msg, want);
        assert_int_equal(rc, n ? -1 : 0);
    }
    arena_finish(&a);
}

static void long_lists_are_cut(void **state)
{
    (void)state;
    struct arena a = {0};
    struct schema *schema;
    struct err err;
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_addz(&b, "{\"enum\":[");
    for (int i = 0; i < 300; i++)
        buf_addf(&b, "%s\"%0200d\",\"%d\"", i ? "," : "", i, i);
    buf_addz(&b, "],\"properties\":{");
    for (int i = 0; i < 300; i++)
        buf_addf(&b, "%s\"%0200d\":{},\"%d\":{}", i ? "," : "", i, i);
    buf_addz(&b, "},\"additionalProperties\":false}");
    assert_int_equal(schema_compile(&schema, parse(&a, buf_str(&b)), &a, &err), 0);
    assert_int_equal(schema_check(schema, parse_quoted(&a, "'x'"), &err), -1);
    assert_non_null(strstr(err.msg, "must be one of \"0\", \"1\", \"2\""));
    assert_non_null(strstr(err.msg, "(got \"x\")"));
    buf_finish(&b);
    arena_finish(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_suite),
        cmocka_unit_test(what_does_not_compile),
        cmocka_unit_test(sentences),
        cmocka_unit_test(long_lists_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
