/* What the proxy reads out of a program's first bytes. */
#include "sandbox/egress/ask.h"
#include "tests/unit/check.h"

enum { MORE, BAD, CONNECT, REQUEST };

static void http_heads(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        int what;
        const char *host;
        unsigned port;
        uint64_t body;
    } rows[] = {
        {"CONNECT a.com:443 HTTP/1.1\r\nHost: a.com\r\n\r\nrest", CONNECT, "a.com", 443,
         UINT64_MAX},
        {"CONNECT A.COM.:443 HTTP/1.0\r\n\r\n", CONNECT, "a.com", 443, UINT64_MAX},
        {"CONNECT [::1]:22 HTTP/1.1\r\n\r\n", CONNECT, "::1", 22, UINT64_MAX},
        {"CONNECT 127.0.0.1:22 HTTP/1.1\r\n\r\n", CONNECT, "127.0.0.1", 22, UINT64_MAX},
        {"CONNECT [::ffff:10.0.0.1]:22 HTTP/1.1\r\n\r\n", CONNECT, "10.0.0.1", 22,
         UINT64_MAX},
        {"GET http://a.com/x HTTP/1.1\r\nHost: b.com\r\n\r\n", REQUEST, "a.com", 80, 0},
        {"GET HTTP://a.com:8080 HTTP/1.1\r\n\r\n", REQUEST, "a.com", 8080, 0},
        {"POST http://a.com?q HTTP/1.1\r\nContent-Length: 12\r\n\r\n", REQUEST, "a.com",
         80, 12},
        {"PUT http://a.com/ HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n", REQUEST,
         "a.com", 80, UINT64_MAX},
        {"GET http://a.com/ HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: "
         "websocket\r\n\r\n",
         REQUEST, "a.com", 80, UINT64_MAX},
        {"", MORE, NULL, 0, 0},
        {"GET http://a.com/ HTTP/1.1\r\nHost: a", MORE, NULL, 0, 0},
        {"GET http://a.com/ HTTP/1.1\r\n\r", MORE, NULL, 0, 0},
        {"GET /x HTTP/1.1\r\nHost: a.com\r\n\r\n", BAD, NULL, 0, 0},
        {"GET https://a.com/ HTTP/1.1\r\n\r\n", BAD, NULL, 0, 0},
        {"GET ftp://a.com/ HTTP/1.1\r\n\r\n", BAD, NULL, 0, 0},
        {"GET http://u:p@a.com/ HTTP/1.1\r\n\r\n", BAD, NULL, 0, 0},
        {"GET http://a.com/#f HTTP/1.1\r\n\r\n", BAD, NULL, 0, 0},
        {"GET http:///x HTTP/1.1\r\n\r\n", BAD, NULL, 0, 0},
        {"GET http://a.com:0/ HTTP/1.1\r\n\r\n", BAD, NULL, 0, 0},
        {"GET http://a.com:65536/ HTTP/1.1\r\n\r\n", BAD, NULL, 0, 0},
        {"GET http://a.com:80x/ HTTP/1.1\r\n\r\n", BAD, NULL, 0, 0},
        {"GET http://127.1/ HTTP/1.1\r\n\r\n", BAD, NULL, 0, 0},
        {"GET http://0x7f000001/ HTTP/1.1\r\n\r\n", BAD, NULL, 0, 0},
        {"GET http://[127.0.0.1/ HTTP/1.1\r\n\r\n", BAD, NULL, 0, 0},
        {"GET http://[a.com]/ HTTP/1.1\r\n\r\n", BAD, NULL, 0, 0},
        {"GET http://[fe80::1%25eth0]/ HTTP/1.1\r\n\r\n", BAD, NULL, 0, 0},
        {"CONNECT a.com HTTP/1.1\r\n\r\n", BAD, NULL, 0, 0},
        {"CONNECT ::1:22 HTTP/1.1\r\n\r\n", BAD, NULL, 0, 0},
        {"CONNECT a.com:443\r\n\r\n", BAD, NULL, 0, 0},
        {"CONNECT  a.com:443 HTTP/1.1\r\n\r\n", BAD, NULL, 0, 0},
        {"CONNECT a.com:443 HTTP/2.0\r\n\r\n", BAD, NULL, 0, 0},
        {"CONNECT a\tb:443 HTTP/1.1\r\n\r\n", BAD, NULL, 0, 0},
        {"GET http://a.com/ HTTP/1.1\n\n", BAD, NULL, 0, 0},
        {"GET http://a.com/ HTTP/1.1\rX: y\r\n\r\n", BAD, NULL, 0, 0},
        {"GET http://a.com/ HTTP/1.1\r\nX : y\r\n\r\n", BAD, NULL, 0, 0},
        {"GET http://a.com/ HTTP/1.1\r\nX: y\r\n folded\r\n\r\n", BAD, NULL, 0, 0},
        {"GET http://a.com/ HTTP/1.1\r\n: y\r\n\r\n", BAD, NULL, 0, 0},
        {"GET http://a.com/ HTTP/1.1\r\nX: \x01\r\n\r\n", BAD, NULL, 0, 0},
        {"POST http://a.com/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n", BAD, NULL, 0, 0},
        {"POST http://a.com/ HTTP/1.1\r\nContent-Length: 1,1\r\n\r\n", BAD, NULL, 0, 0},
        {"POST http://a.com/ HTTP/1.1\r\nContent-Length: 1\r\ncontent-length: "
         "1\r\n\r\n",
         BAD, NULL, 0, 0},
        {"POST http://a.com/ HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
         BAD, NULL, 0, 0},
        {"POST http://a.com/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: "
         "chunked\r\n\r\n",
         BAD, NULL, 0, 0},
        {"POST http://a.com/ HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", BAD,
         NULL, 0, 0},
        {"\x16\x03\x01", BAD, NULL, 0, 0},
        {"\r\n\r\n", BAD, NULL, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct egress_ask ask;
        struct err err;
        int rc = egress_http_parse(str_of(rows[i].in), &ask, &err);
        int what = rc == 0                      ? MORE
                   : rc < 0                     ? BAD
                   : ask.kind == EGRESS_CONNECT ? CONNECT
                                                : REQUEST;
        if (what != rows[i].what)
            fail_msg("%s: %d", rows[i].in, what);
        if (rc <= 0)
            continue;
        assert_string_equal(ask.target.host, rows[i].host);
        assert_int_equal(ask.target.port, rows[i].port);
        assert_int_equal(ask.body_bytes, rows[i].body);
    }
}

static void a_head_has_a_limit(void **state)
{
    (void)state;
    struct buf b;
    struct egress_ask ask;
    struct err err;
    buf_init(&b, 2 * EGRESS_HEAD_MAX);
    buf_addz(&b, "GET http://a.com/ HTTP/1.1\r\nX: ");
    while (b.n < EGRESS_HEAD_MAX - 1)
        buf_addc(&b, 'x');
    assert_int_equal(egress_http_parse(buf_str(&b), &ask, &err), 0);
    buf_addc(&b, 'x');
    assert_int_equal(egress_http_parse(buf_str(&b), &ask, &err), -1);
    buf_finish(&b);
}

static void what_goes_on(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        bool absolute;
        const char *out;
    } rows[] = {
        {"GET http://a.com HTTP/1.1\r\nHost: evil\r\nProxy-Authorization: x\r\n"
         "Connection: keep-alive, x-hop\r\nKeep-Alive: 5\r\nX-Hop: 1\r\nA: b\r\n\r\n",
         false, "GET / HTTP/1.1\r\nHost: a.com\r\nA: b\r\nConnection: close\r\n\r\n"},
        {"POST http://a.com:81?q=1 HTTP/1.0\r\nConnection: Content-Length\r\n"
         "Content-Length: 3\r\n\r\nabc",
         false,
         "POST /?q=1 HTTP/1.0\r\nHost: a.com:81\r\nContent-Length: 3\r\nConnection: "
         "close\r\n\r\n"},
        {"GET http://a.com/ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: "
         "Upgrade\r\n\r\n",
         false,
         "GET /ws HTTP/1.1\r\nHost: a.com\r\nConnection: Upgrade\r\nUpgrade: "
         "websocket\r\n\r\n"},
        {"GET http://a.com/x HTTP/1.1\r\n\r\n", true,
         "GET http://a.com/x HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n"},
    };
    struct buf b;
    buf_init(&b, 4096);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct egress_ask ask;
        struct err err;
        struct str in = str_of(rows[i].in);
        buf_reset(&b, 4096);
        assert_int_equal(egress_http_parse(in, &ask, &err), 1);
        egress_http_rewrite(in, &ask, rows[i].absolute, (struct str){0}, &b);
        assert_string_equal(buf_cstr(&b), rows[i].out);
    }
    buf_finish(&b);
}

#define BYTES(literal) ((struct str){literal, sizeof(literal) - 1})

static void socks(void **state)
{
    (void)state;
    size_t n;
    bool offered;
    assert_int_equal(egress_socks_greeting(BYTES("\x05"), &n, &offered), 0);
    assert_int_equal(egress_socks_greeting(BYTES("\x05\x02\x02"), &n, &offered), 0);
    assert_int_equal(egress_socks_greeting(BYTES("\x05\x02\x02\x00x"), &n, &offered),
                     1);
    assert_true(offered && n == 4);
    assert_int_equal(egress_socks_greeting(BYTES("\x05\x01\x02"), &n, &offered), 1);
    assert_false(offered);
    const struct {
        struct str in;
        int rc;
        const char *host;
        unsigned port;
        uint8_t reply;
    } rows[] = {
        {BYTES("\x05\x01\x00\x03\x05"
               "A.com\x01\xbbrest"),
         1, "a.com", 443, 0},
        {BYTES("\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50"), 1, "127.0.0.1", 80, 0},
        {BYTES("\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50"), 1, "::1",
         80, 0},
        {BYTES("\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x01\x00\x50"), 1,
         "10.0.0.1", 80, 0},
        {BYTES("\x05\x01\x00\x03\x09"
               "127.0.0.1\x00\x50"),
         1, "127.0.0.1", 80, 0},
        {BYTES("\x05\x01\x00\x03\x05"
               "a.com\x01"),
         0, NULL, 0, 0},
        {BYTES("\x05\x01\x00\x01"), 0, NULL, 0, 0},
        {BYTES("\x04\x01"), -1, NULL, 0, 1},
        {BYTES("\x05\x02\x00\x01\x01\x01\x01\x01\x00\x50"), -1, NULL, 0, 7},
        {BYTES("\x05\x03\x00\x01\x01\x01\x01\x01\x00\x50"), -1, NULL, 0, 7},
        {BYTES("\x05\x01\x00\x02\x01\x01\x01\x01\x00\x50"), -1, NULL, 0, 8},
        {BYTES("\x05\x01\x00\x03\x00\x00\x50"), -1, NULL, 0, 8},
        {BYTES("\x05\x01\x00\x03\x05"
               "a\0com\x00\x50"),
         -1, NULL, 0, 1},
        {BYTES("\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x00"), -1, NULL, 0, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct egress_ask ask;
        struct err err;
        uint8_t reply = 0;
        int rc = egress_socks_parse(rows[i].in, &ask, &reply, &err);
        if (rc != rows[i].rc)
            fail_msg("row %zu: %d", i, rc);
        if (rc < 0)
            assert_int_equal(reply, rows[i].reply);
        if (rc != 1)
            continue;
        assert_string_equal(ask.target.host, rows[i].host);
        assert_int_equal(ask.target.port, rows[i].port);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_heads),
        cmocka_unit_test(a_head_has_a_limit),
        cmocka_unit_test(what_goes_on),
        cmocka_unit_test(socks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
