/* The agent's parts without a server or a model: names of tools, results, text for
 * terminals, the conversation, the file of servers, sessions. */
#include "agent/approval.h"
#include "agent/catalog.h"
#include "agent/conversation.h"
#include "agent/instructions.h"
#include "agent/journal.h"
#include "agent/mcp_config.h"
#include "agent/result.h"
#include "agent/shown.h"
#include "base/sha256.h"
#include "tests/unit/check.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void same(struct buf *b, const char *expected)
{
    assert_string_equal(buf_cstr(b), expected);
}

static int add_tool(struct catalog *c, size_t server, const char *prefix,
                    const char *json)
{
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    assert_int_equal(json_parse(&doc, &a, str_of(json), &err), 0);
    int rc = catalog_add(c, server, prefix, json_root(&doc), &err);
    arena_finish(&a);
    return rc;
}

static void names_of_tools(void **state)
{
    (void)state;
    static const struct {
        const char *prefix, *tool, *name, *telling;
    } rows[] = {
        {NULL, "{\"name\":\"run\"}", "run", NULL},
        {NULL,
         "{\"name\":\"write\",\"inputSchema\":{\"type\":\"object\",\"properties\":{"
         "\"n\":{\"type\":\"integer\"},\"content\":{\"type\":\"string\"},\"path\":{"
         "\"type\":\"string\"}},\"required\":[\"n\",\"path\"]}}",
         "write", "path"},
        {"srv", "{\"name\":\"run\"}", "srv__run", NULL},
        {"a b", "{\"name\":\"c.d/e\"}", "a_b__c_d_e", NULL},
        {NULL, "{\"name\":\"\xc3\xbc\"}", "__", NULL},
    };
    struct catalog c;
    catalog_init(&c);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(add_tool(&c, 0, rows[i].prefix, rows[i].tool), 0);
        assert_string_equal(c.tools[i].name, rows[i].name);
        if (rows[i].telling)
            assert_string_equal(c.tools[i].telling, rows[i].telling);
        else
            assert_null(c.tools[i].telling);
    }
    catalog_finish(&c);
}

/* What would be the same, or is too long, gets a hash: the same one each time. */
static void names_that_collide(void **state)
{
    (void)state;
    char first[3][CATALOG_NAME_MAX + 1] = {"", "", ""};
    for (int round = 0; round < 2; round++) {
        struct catalog c;
        catalog_init(&c);
        assert_int_equal(add_tool(&c, 0, NULL, "{\"name\":\"a.b\"}"), 0);
        assert_int_equal(add_tool(&c, 0, NULL, "{\"name\":\"a/b\"}"), 0);
        assert_int_equal(
            add_tool(&c, 1, NULL,
                     "{\"name\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                     "aaaaaaaaaaaaaaaaaaaaaaaaaaa\"}"),
            0);
        for (size_t i = 0; i < 3; i++) {
            size_t n = strlen(c.tools[i].name);
            assert_true(n > 0 && n <= CATALOG_NAME_MAX);
            if (round == 0)
                memcpy(first[i], c.tools[i].name, n + 1);
            assert_string_equal(first[i], c.tools[i].name);
            assert_ptr_equal(catalog_find(&c, str_of(first[i])), &c.tools[i]);
        }
        assert_string_not_equal(first[0], first[1]);
        assert_string_equal(c.tools[1].mcp_name, "a/b");
        assert_null(catalog_find(&c, STR("a/b")));
        catalog_finish(&c);
    }
}

static void tools_for_the_model(void **state)
{
    (void)state;
    struct catalog c;
    struct buf json;
    catalog_init(&c);
    buf_init(&json, 4096);
    assert_int_equal(add_tool(&c, 0, NULL,
                              "{\"name\":\"x\",\"description\":\"d\",\"inputSchema\":{"
                              "\"properties\":{\"a\":{\"anyOf\":[{}]}},\"anyOf\":[{}],"
                              "\"additionalProperties\":false}}"),
                     0);
    assert_int_equal(add_tool(&c, 0, NULL, "{\"name\":\"y\",\"inputSchema\":7}"), 0);
    assert_int_equal(add_tool(&c, 0, NULL, "{\"title\":\"no name\"}"), -1);
    catalog_write(&c, &json);
    same(&json,
         "[{\"name\":\"x\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\","
         "\"properties\":{\"a\":{\"anyOf\":[{}]}},\"additionalProperties\":false}},"
         "{\"name\":\"y\",\"input_schema\":{\"type\":\"object\",\"properties\":{}}}]");
    buf_reset(&json, 0);
    catalog_use(&c, STR("[{\"name\":\"earlier\"}]"));
    catalog_write(&c, &json);
    same(&json, "[{\"name\":\"earlier\"}]");
    buf_finish(&json);
    catalog_finish(&c);
}

static void write_result(struct buf *to, const char *json, struct result_facts *facts)
{
    struct arena a = {0};
    struct json_doc doc;
    struct json_writer w;
    struct err err;
    buf_reset(to, 0);
    jw_init(&w, to);
    assert_int_equal(json_parse(&doc, &a, str_of(json), &err), 0);
    result_write(&w, STR("id"), json_root(&doc), facts);
    arena_finish(&a);
}

#define BLOCK(content) "{\"type\":\"tool_result\",\"tool_use_id\":\"id\"," content "}"
#define TEXT(text) "{\"type\":\"text\",\"text\":\"" text "\"}"

static void results(void **state)
{
    (void)state;
    static const struct {
        const char *result, *block;
    } rows[] = {
        {"{\"content\":[" TEXT("a") "," TEXT("b") "]}",
         BLOCK("\"content\":[" TEXT("a") "," TEXT("b") "]")},
        {"{\"content\":[]}", BLOCK("\"content\":[" TEXT("(no output)") "]")},
        {"{\"content\":[" TEXT(" \\n") "]}",
         BLOCK("\"content\":[" TEXT("(no output)") "]")},
        {"{}", BLOCK("\"content\":[" TEXT("(no output)") "]")},
        {"{\"content\":[],\"structuredContent\":{\"n\":1}}",
         BLOCK("\"content\":[" TEXT("{\\\"n\\\":1}") "]")},
        {"{\"isError\":true,\"content\":[" TEXT("no") "]}",
         BLOCK("\"is_error\":true,\"content\":[" TEXT("Error: no") "]")},
        {"{\"isError\":true,\"content\":[{\"type\":\"image\",\"mimeType\":\"image/"
         "png\","
         "\"data\":\"AAAA\"}]}",
         BLOCK("\"is_error\":true,\"content\":[" TEXT(
             "Error: [left out of an error: image/png]") "]")},
        {"{\"content\":[{\"type\":\"image\",\"mimeType\":\"image/png\",\"data\":\"AA\\n"
         "AA\"}]}",
         BLOCK("\"content\":[" TEXT("[not base64: image/png]") "]")},
        {"{\"content\":[{\"type\":\"hologram\"}]}",
         BLOCK("\"content\":[" TEXT("[content of an unknown type: hologram]") "]")},
        {"{\"content\":\"text\"}", BLOCK("\"content\":[" TEXT("(no output)") "]")},
    };
    struct result_facts facts;
    struct buf b;
    buf_init(&b, 1024 * 1024);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_result(&b, rows[i].result, &facts);
        same(&b, rows[i].block);
    }
    write_result(&b, "{\"content\":[],\"structuredContent\":{\"exitCode\":3}}", &facts);
    assert_true(facts.has_exit && facts.exit_code == 3 && !facts.failed);
    write_result(&b, "{\"content\":[],\"structuredContent\":{\"exitCode\":null}}",
                 &facts);
    assert_false(facts.has_exit);
    buf_finish(&b);
}

/* The middle is left out, between characters, and the sum is right. */
static void results_that_are_long(void **state)
{
    (void)state;
    enum { CHARS = 150000 };
    struct buf json, b;
    struct result_facts facts;
    buf_init(&json, 4 * CHARS);
    buf_init(&b, 4 * CHARS);
    buf_addz(&json, "{\"content\":[{\"type\":\"text\",\"text\":\"<");
    for (int i = 0; i < CHARS; i++)
        buf_addz(&json, "\xc3\xbc");
    buf_addz(&json, ">\"}]}");
    write_result(&b, buf_cstr(&json), &facts);
    assert_int_equal(facts.bytes, 2 * CHARS + 2);
    assert_true(b.n < RESULT_TEXT_MAX + 300 && b.n > RESULT_TEXT_MAX - 300);
    const char *cut = strstr(buf_cstr(&b), "[... ");
    assert_non_null(cut);
    size_t out = strtoul(cut + 5, NULL, 10);
    size_t letters = 0;
    for (size_t i = 0; i < b.n; i++)
        letters += b.p[i] == '\xc3' || b.p[i] == '\xbc';
    assert_int_equal(letters + out, 2 * CHARS);
    buf_finish(&json);
    buf_finish(&b);
}

static void text_for_terminals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *all, *line;
    } rows[] = {
        {"plain", "plain", "plain"},
        {"a\nb\tc", "a\nb\tc", "a b c"},
        {"a\r\nb", "a\nb", "a b"},
        {"\x1b[31mred", "\xe2\x90\x9b[31mred", "\xe2\x90\x9b[31mred"},
        {"\x07\x7f", "\xe2\x90\x87\xe2\x90\xa1", "\xe2\x90\x87\xe2\x90\xa1"},
        {"\xc2\x9b"
         "31m",
         "\xef\xbf\xbd"
         "31m",
         "\xef\xbf\xbd"
         "31m"},
        {"\xe2\x80\xaex", "\xef\xbf\xbdx", "\xef\xbf\xbdx"},
        {"\xff\xc3", "\xef\xbf\xbd\xef\xbf\xbd", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"123456789012", "123456789012", "1234567..."},
        {"\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2",
         "\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2",
         "\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2"},
        {"\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2!",
         "\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2!",
         "\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2..."},
    };
    struct buf b;
    buf_init(&b, 4096);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        buf_reset(&b, 0);
        shown_add(&b, str_of(rows[i].text));
        same(&b, rows[i].all);
        buf_reset(&b, 0);
        size_t cells = shown_add_line(&b, str_of(rows[i].text), 10);
        same(&b, rows[i].line);
        assert_true(cells <= 10);
        assert_int_equal(cells, shown_cells(buf_str(&b)));
    }
    buf_finish(&b);
}

static void patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool yes;
    } rows[] = {
        {"a", "a", true},           {"a", "b", false},
        {"a", "ab", false},         {"*", "", true},
        {"*", "abc", true},         {"a*", "abc", true},
        {"a*c", "abc", true},       {"a*c", "abd", false},
        {"a*b*c", "aXbYbZc", true}, {"*__read", "x__read", true},
        {"**", "x", true},          {"", "", true},
        {"", "x", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(
            approval_matches(str_of(rows[i].pattern), str_of(rows[i].name)),
            rows[i].yes);
}

static void conversation(void **state)
{
    (void)state;
    struct conversation c;
    struct err err;
    conversation_init(&c);
    assert_true(str_eq(conversation_json(&c), STR("[]")));
    assert_int_equal(conversation_add_user(&c, STR("[]"), &err), 0);
    assert_int_equal(c.count, 0);
    assert_int_equal(conversation_add_user(&c, STR("[{\"a\":1}]"), &err), 0);
    struct conversation_mark mark = conversation_mark(&c);
    assert_int_equal(conversation_add_user(&c, STR(" [ {\"b\":2} ] "), &err), 0);
    assert_true(
        str_eq(conversation_json(&c),
               STR("[{\"role\":\"user\",\"content\":[{\"a\":1},{\"b\":2} ]}]")));
    assert_int_equal(conversation_add_assistant(&c, STR("[{\"c\":3}]"), &err), 0);
    assert_int_equal(c.count, 2);
    conversation_rewind(&c, mark);
    assert_true(str_eq(conversation_json(&c),
                       STR("[{\"role\":\"user\",\"content\":[{\"a\":1}]}]")));
    assert_int_equal(conversation_add_user(&c, STR("[{\"d\":4}]"), &err), 0);
    assert_true(str_eq(conversation_json(&c),
                       STR("[{\"role\":\"user\",\"content\":[{\"a\":1},{\"d\":4}]}]")));
    conversation_finish(&c);
}

/* Caches and sessions hold for exactly these bytes: who changes them does it on
 * purpose. */
static void the_default_instructions(void **state)
{
    (void)state;
    struct sha256 h;
    unsigned char digest[SHA256_SIZE];
    char hex[2 * SHA256_SIZE + 1];
    sha256_init(&h);
    sha256_add(&h, str_of(instructions_default));
    sha256_end(&h, digest);
    for (size_t i = 0; i < SHA256_SIZE; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(
        hex, "66f3a82de793cd772f4ff4e28183024c33382e33859905bb28b5be6f9793ec46");
}

static const char *variable(void *ctx, const char *name)
{
    (void)ctx;
    return strcmp(name, "HOME") == 0 ? "/home/me"
           : strcmp(name, "T") == 0  ? "tok"
                                     : NULL;
}

static void files_of_servers(void **state)
{
    (void)state;
    static const char text[] =
        "{\"mcpServers\":{\"a\":{\"command\":\"${HOME}/x\",\"args\":[\"-y\",\"$T ${T} "
        "${U:-else} ${\"],\"env\":{\"HOME\":\"/other\",\"K\":\"v\"}},\"b\":{\"url\":"
        "\"https://h/mcp\",\"headers\":{\"Authorization\":\"Bearer "
        "${T}\",\"X\":\"y\"}},"
        "\"c\":{\"command\":\"x\",\"disabled\":true}}}";
    struct mcp_config c = {0};
    struct err err;
    assert_int_equal(mcp_config_parse(&c, "f", str_of(text), variable, NULL, &err), 0);
    assert_int_equal(c.count, 2);
    assert_string_equal(c.specs[0].argv[0], "/home/me/x");
    assert_string_equal(c.specs[0].argv[2], "$T tok else ${");
    assert_null(c.specs[0].argv[3]);
    assert_string_equal(c.specs[0].env[0], "HOME=/other");
    assert_string_equal(c.specs[0].env[1], "K=v");
    assert_null(c.specs[0].env[2]);
    assert_true(secret_equals(c.specs[1].token, STR("tok")));
    assert_int_equal(c.specs[1].header_count, 1);
    assert_true(str_eq(c.specs[1].headers[0], STR("X: y")));
    mcp_config_finish(&c);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fputs(text, f) >= 0 && fclose(f) == 0, 1);
}

static void sessions(void **state)
{
    (void)state;
    char directory[] = "/tmp/sandquay-test-XXXXXX", path[200];
    struct journal_head head = {.directory = STR("/d"),
                                .model = STR("m"),
                                .system = STR("s\n"),
                                .tools = STR("[{\"name\":\"t\"}]"),
                                .kept = STR("k")},
                        recalled;
    struct usage usage = {.input = 1, .output = 2};
    struct conversation c;
    struct journal *j, *second;
    char id[JOURNAL_ID_MAX];
    struct err err;
    assert_non_null(mkdtemp(directory));
    assert_int_equal(journal_create(&j, directory, "one", &head, &err), 0);
    journal_user(j, STR("[{\"type\":\"text\",\"text\":\"hi\"}]"));
    journal_assistant(j, STR("[{\"type\":\"tool_use\",\"id\":\"x\"}]"), STR("m"),
                      &usage);
    assert_int_equal(journal_count(j), 2);
    conversation_init(&c);
    assert_int_equal(
        journal_resume(&second, directory, "one", NULL, &c, &recalled, &err), -1);
    assert_int_equal(err.kind, ERR_CONFLICT);
    journal_close(j);
    assert_int_equal(journal_resume(&j, directory, "one", NULL, &c, &recalled, &err),
                     0);
    assert_true(str_eq(recalled.system, head.system) &&
                str_eq(recalled.tools, head.tools) && str_eq(recalled.kept, head.kept));
    assert_int_equal(c.count, 3); /* the call has a result now */
    journal_rewind(j, 0);
    journal_close(j);
    conversation_finish(&c);
    conversation_init(&c);
    assert_int_equal(journal_resume(&j, directory, "one", "two", &c, &recalled, &err),
                     0);
    assert_int_equal(c.count, 0);
    assert_string_equal(journal_id(j), "two");
    journal_close(j);
    assert_int_equal(journal_latest(directory, STR("/d"), id, &err), 0);
    assert_int_equal(journal_latest(directory, STR("/e"), id, &err), -1);
    static const char *const bad[] = {
        "",
        "\n",
        "x\n",
        "{}\n",
        "{\"type\":\"session\",\"version\":2}\n",
        "{\"type\":\"session\",\"version\":1}\n{\"type\":\"message\"}\n",
        "{\"type\":\"session\",\"version\":1}\nnot json\n{}\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(path, sizeof path, "%s/sessions/bad.jsonl", directory);
        write_file(path, bad[i]);
        assert_int_equal(
            journal_resume(&j, directory, "bad", NULL, &c, &recalled, &err), -1);
    }
    assert_int_equal(journal_resume(&j, directory, "../one", NULL, &c, &recalled, &err),
                     -1);
    static const char *const names[] = {"one", "two", "bad"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/sessions/%s.jsonl", directory, names[i]);
        assert_int_equal(unlink(path), 0);
    }
    snprintf(path, sizeof path, "%s/sessions", directory);
    assert_int_equal(rmdir(path) | rmdir(directory), 0);
    conversation_finish(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_tools),
        cmocka_unit_test(names_that_collide),
        cmocka_unit_test(tools_for_the_model),
        cmocka_unit_test(results),
        cmocka_unit_test(results_that_are_long),
        cmocka_unit_test(text_for_terminals),
        cmocka_unit_test(patterns),
        cmocka_unit_test(conversation),
        cmocka_unit_test(the_default_instructions),
        cmocka_unit_test(files_of_servers),
        cmocka_unit_test(sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
