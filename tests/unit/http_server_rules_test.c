/* Every rule that each request over HTTP obeys, as a table: what is good, what is
 * refused and how. */
#include "net/http_server/rules.h"
#include "tests/unit/check.h"
#include <stdio.h>
#include <string.h>

static struct str text(const char *s)
{
    return s ? str_of(s) : (struct str){0};
}

static void framing(void **state)
{
    (void)state;
    static const struct {
        enum http_method method;
        const char *length, *encoding;
        int status; /* 0: good */
        size_t bytes;
    } rows[] = {
        {HTTP_POST, "0", NULL, 0, 0},
        {HTTP_POST, "1", NULL, 0, 1},
        {HTTP_POST, "1000", NULL, 0, 1000},
        {HTTP_POST, "0001000", NULL, 0, 1000},
        {HTTP_GET, NULL, NULL, 0, 0},
        {HTTP_GET, "0", NULL, 0, 0},
        {HTTP_POST, "1001", NULL, HTTP_TOO_LARGE, 0},
        {HTTP_POST, "999999999999999999", NULL, HTTP_TOO_LARGE, 0},
        {HTTP_POST, "18446744073709551617", NULL, HTTP_BAD_REQUEST, 0},
        {HTTP_POST, NULL, NULL, HTTP_LENGTH_REQUIRED, 0},
        {HTTP_POST, "", NULL, HTTP_BAD_REQUEST, 0},
        {HTTP_POST, "-5", NULL, HTTP_BAD_REQUEST, 0},
        {HTTP_POST, "+5", NULL, HTTP_BAD_REQUEST, 0},
        {HTTP_POST, "2abc", NULL, HTTP_BAD_REQUEST, 0},
        {HTTP_POST, "0x10", NULL, HTTP_BAD_REQUEST, 0},
        {HTTP_POST, "5,5", NULL, HTTP_BAD_REQUEST, 0},
        {HTTP_POST, "5, 6", NULL, HTTP_BAD_REQUEST, 0},
        {HTTP_POST, "1 1", NULL, HTTP_BAD_REQUEST, 0},
        {HTTP_POST, NULL, "chunked", HTTP_LENGTH_REQUIRED, 0},
        {HTTP_POST, "5", "chunked", HTTP_LENGTH_REQUIRED, 0},
        {HTTP_POST, "5", "identity", HTTP_LENGTH_REQUIRED, 0},
        {HTTP_POST, "5", "", HTTP_LENGTH_REQUIRED, 0},
        {HTTP_GET, NULL, "chunked", HTTP_LENGTH_REQUIRED, 0},
        {HTTP_GET, "5", NULL, HTTP_BAD_REQUEST, 0},
        {HTTP_DELETE, "5", NULL, HTTP_BAD_REQUEST, 0},
        {HTTP_PUT, "5", NULL, 0, 5},
        {HTTP_PATCH, "5", NULL, 0, 5},
        {HTTP_PUT, NULL, NULL, HTTP_LENGTH_REQUIRED, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_head head = {.method = rows[i].method,
                                 .content_length = text(rows[i].length),
                                 .transfer_encoding = text(rows[i].encoding)};
        struct http_refusal refusal = {0};
        struct http_framing f = {0};
        int rc = http_check_framing(&head, 1000, false, &f, &refusal);
        if (rc != (rows[i].status ? -1 : 0) || (int)refusal.status != rows[i].status)
            fail_msg("%s: %d", rows[i].length ? rows[i].length : "-", refusal.status);
        assert_int_equal(f.body_bytes, rows[i].bytes);
        assert_false(f.chunked);
        assert_int_equal(refusal.close, rows[i].status != 0);
    }
}

/* Where bodies in chunks are taken. */
static void chunked(void **state)
{
    (void)state;
    static const struct {
        enum http_method method;
        const char *length, *encoding;
        int status; /* 0: good */
    } rows[] = {
        {HTTP_POST, NULL, "chunked", 0},
        {HTTP_PUT, NULL, "Chunked", 0},
        {HTTP_POST, "5", "chunked", HTTP_LENGTH_REQUIRED},
        {HTTP_POST, NULL, "gzip, chunked", HTTP_LENGTH_REQUIRED},
        {HTTP_POST, NULL, "chunked, chunked", HTTP_LENGTH_REQUIRED},
        {HTTP_POST, NULL, "xchunked", HTTP_LENGTH_REQUIRED},
        {HTTP_POST, NULL, "hidden", HTTP_LENGTH_REQUIRED},
        {HTTP_POST, NULL, "", HTTP_LENGTH_REQUIRED},
        {HTTP_GET, NULL, "chunked", HTTP_LENGTH_REQUIRED},
        {HTTP_DELETE, NULL, "chunked", HTTP_LENGTH_REQUIRED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_head head = {.method = rows[i].method,
                                 .content_length = text(rows[i].length),
                                 .transfer_encoding = text(rows[i].encoding)};
        struct http_refusal refusal = {0};
        struct http_framing f = {0};
        int rc = http_check_framing(&head, 1000, true, &f, &refusal);
        if (rc != (rows[i].status ? -1 : 0) || (int)refusal.status != rows[i].status)
            fail_msg("row %zu: %d", i, refusal.status);
        assert_int_equal(f.chunked, rows[i].status == 0);
        assert_int_equal(refusal.close, rows[i].status != 0);
    }
}

enum where { LOOPBACK, PUBLIC, UNIX };

static void sources(void **state)
{
    (void)state;
    static const struct str hosts[] = {STR_INIT("mcp.example.com"),
                                       STR_INIT("other:8443")};
    static const struct str origins[] = {STR_INIT("https://app.example.com")};
    static const struct {
        enum where where;
        const char *host, *origin;
        int status;
    } rows[] = {
        {LOOPBACK, "localhost", NULL, 0},
        {LOOPBACK, "LOCALHOST:7777", NULL, 0},
        {LOOPBACK, "127.0.0.1:1", NULL, 0},
        {LOOPBACK, "[::1]:65535", NULL, 0},
        {LOOPBACK, "mcp.example.com", NULL, 0},
        {LOOPBACK, "Mcp.Example.com:443", NULL, 0},
        {LOOPBACK, "other:8443", NULL, 0},
        {LOOPBACK, "other:8444", NULL, HTTP_FORBIDDEN},
        {LOOPBACK, "evil.example.com", NULL, HTTP_FORBIDDEN},
        {LOOPBACK, "localhost.evil.com", NULL, HTTP_FORBIDDEN},
        {LOOPBACK, "127.0.0.1.evil.com:7777", NULL, HTTP_FORBIDDEN},
        {LOOPBACK, "localhost:123456", NULL, HTTP_FORBIDDEN},
        {LOOPBACK, "localhost:", NULL, HTTP_FORBIDDEN},
        {LOOPBACK, "localhost:80:80", NULL, HTTP_FORBIDDEN},
        {LOOPBACK, "localhost,evil.com", NULL, HTTP_FORBIDDEN},
        {LOOPBACK, "192.0.2.7:80", NULL, HTTP_FORBIDDEN},
        {LOOPBACK, "", NULL, HTTP_BAD_REQUEST},
        {LOOPBACK, NULL, NULL, HTTP_BAD_REQUEST},
        {PUBLIC, "192.0.2.7:80", NULL, 0},
        {PUBLIC, "[2001:db8::1]", NULL, 0},
        {PUBLIC, "[192.0.2.7]", NULL, HTTP_FORBIDDEN},
        {PUBLIC, "2001:db8::1", NULL, HTTP_FORBIDDEN},
        {PUBLIC, "evil.example.com", NULL, HTTP_FORBIDDEN},
        {PUBLIC, "192.0.2.7.evil.com", NULL, HTTP_FORBIDDEN},
        {UNIX, "whatever.example", NULL, 0},
        {UNIX, "", NULL, HTTP_BAD_REQUEST},
        {LOOPBACK, "localhost", "http://localhost:3000", 0},
        {LOOPBACK, "localhost", "https://127.0.0.1", 0},
        {LOOPBACK, "localhost", "http://[::1]:1", 0},
        {LOOPBACK, "localhost", "https://app.example.com", 0},
        {LOOPBACK, "localhost", "https://app.example.com:444", HTTP_FORBIDDEN},
        {LOOPBACK, "localhost", "http://app.example.com", HTTP_FORBIDDEN},
        {LOOPBACK, "localhost", "http://evil.com", HTTP_FORBIDDEN},
        {LOOPBACK, "localhost", "http://localhost.evil.com", HTTP_FORBIDDEN},
        {LOOPBACK, "localhost", "http://localhost/", HTTP_FORBIDDEN},
        {LOOPBACK, "localhost", "null", HTTP_FORBIDDEN},
        {LOOPBACK, "localhost", "", HTTP_FORBIDDEN},
        {LOOPBACK, "localhost", "file://", HTTP_FORBIDDEN},
        {PUBLIC, "192.0.2.7", "http://192.0.2.7", HTTP_FORBIDDEN},
        {UNIX, "x", "http://evil.com", HTTP_FORBIDDEN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_policy policy = {.hosts = hosts,
                                     .host_count = 2,
                                     .origins = origins,
                                     .origin_count = 1,
                                     .any_address = rows[i].where == PUBLIC,
                                     .any_host = rows[i].where == UNIX};
        struct http_head head = {.host = text(rows[i].host),
                                 .origin = text(rows[i].origin)};
        struct http_refusal refusal = {0};
        int rc = http_check_source(&head, &policy, &refusal);
        if (rc != (rows[i].status ? -1 : 0) || (int)refusal.status != rows[i].status)
            fail_msg("%s from %s: %d", rows[i].host ? rows[i].host : "-",
                     rows[i].origin ? rows[i].origin : "-", refusal.status);
    }
}

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

static void upgrades(void **state)
{
    (void)state;
    static const struct {
        const char *connection, *version, *key, *protocol;
        int status;
    } rows[] = {
        {"Upgrade", "13", KEY, "mcp", 0},
        {"keep-alive, upgrade", "13", KEY, NULL, 0},
        {"Upgrade", "13", KEY, "chat, mcp", 0},
        {"Upgrade", "13", KEY, "chat", HTTP_BAD_REQUEST},
        {"Upgrade", "13", KEY, "MCP", HTTP_BAD_REQUEST},
        {"Upgrade", "13", KEY, "mcpx", HTTP_BAD_REQUEST},
        {"Upgrade", "8", KEY, "mcp", HTTP_UPGRADE_REQUIRED},
        {"Upgrade", NULL, KEY, "mcp", HTTP_UPGRADE_REQUIRED},
        {"Upgrade", "13, 8", KEY, "mcp", HTTP_UPGRADE_REQUIRED},
        {"keep-alive", "13", KEY, "mcp", HTTP_BAD_REQUEST},
        {NULL, "13", KEY, "mcp", HTTP_BAD_REQUEST},
        {"Upgrade", "13", "short==", "mcp", HTTP_BAD_REQUEST},
        {"Upgrade", "13", "dGhlIHNhbXBsZSBub25jZQ===", "mcp", HTTP_BAD_REQUEST},
        {"Upgrade", "13", "dGhlIHNhbXBsZS!ub25jZQ==", "mcp", HTTP_BAD_REQUEST},
        {"Upgrade", "13", NULL, "mcp", HTTP_BAD_REQUEST},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_head head = {.method = HTTP_GET,
                                 .keep_alive = true,
                                 .connection = text(rows[i].connection),
                                 .ws_version = text(rows[i].version),
                                 .ws_key = text(rows[i].key),
                                 .ws_protocol = text(rows[i].protocol)};
        struct http_refusal refusal = {0};
        int rc = http_check_upgrade(&head, STR("mcp"), &refusal);
        if (rc != (rows[i].status ? -1 : 0) || (int)refusal.status != rows[i].status)
            fail_msg("row %zu: %d", i, refusal.status);
    }
}

static void tokens(void **state)
{
    (void)state;
    static const struct {
        const char *header, *token; /* NULL: none */
    } rows[] = {
        {"Bearer abc", "abc"}, {"bearer  abc ", "abc"}, {"Bearer", NULL},
        {"Bearer ", NULL},     {"Basic abc", NULL},     {"Bearerabc", NULL},
        {NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_head head = {.authorization = text(rows[i].header)};
        struct str token = http_bearer(&head);
        assert_true(rows[i].token ? str_eq(token, str_of(rows[i].token))
                                  : token.n == 0);
    }
}

static void traces(void **state)
{
    (void)state;
#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
    static const struct {
        const char *header;
        bool good;
    } rows[] = {
        {"00-" ID "-00f067aa0ba902b7-01", true},
        {"cc-" ID "-00f067aa0ba902b7-01-what-the-future-adds", true},
        {"ff-" ID "-00f067aa0ba902b7-01", false},
        {"00-" ID "-00f067aa0ba902b7-0", false},
        {"00-" ID "-00f067aa0ba902b7-0X", false},
        {"00-00000000000000000000000000000000-00f067aa0ba902b7-01", false},
        {"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false},
        {"00_" ID "-00f067aa0ba902b7-01", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct str id = http_trace_id(str_of(rows[i].header));
        assert_true(rows[i].good ? str_eq(id, STR(ID)) : id.n == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(framing), cmocka_unit_test(chunked),
        cmocka_unit_test(sources), cmocka_unit_test(upgrades),
        cmocka_unit_test(tokens),  cmocka_unit_test(traces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
