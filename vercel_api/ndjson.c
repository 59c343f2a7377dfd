#include "vercel_api/ndjson.h"
#include "base/json_write.h"

enum { LINE_MAX_BYTES = 1024 * 1024 };

static uint32_t decode(struct str s, size_t *ret_n)
{
    unsigned char c = (unsigned char)s.p[0];
    size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    uint32_t code = c & (n == 4 ? 7 : n == 3 ? 15 : 31);
    for (size_t i = 1; i < n; i++)
        code = code << 6 | ((unsigned char)s.p[i] & 63);
    *ret_n = n;
    return code;
}

static void add_escape(struct buf *to, uint32_t unit)
{
    buf_addf(to, "\\u%04x", unit);
}

void ndjson_ascii(struct buf *to, struct str s)
{
    while (s.n) {
        size_t plain = 0;
        while (plain < s.n && (unsigned char)s.p[plain] < 0x80)
            plain++;
        buf_add(to, s.p, plain);
        s = str_from(s, plain);
        if (s.n == 0)
            return;
        size_t n;
        uint32_t code = decode(s, &n);
        if (code >= 0x10000) {
            add_escape(to, 0xd800 + ((code - 0x10000) >> 10));
            add_escape(to, 0xdc00 + ((code - 0x10000) & 0x3ff));
        } else {
            add_escape(to, code);
        }
        s = str_from(s, n);
    }
}

void ndjson_output(struct buf *to, enum command_stream stream, struct str bytes)
{
    struct buf escaped;
    buf_init(&escaped, LINE_MAX_BYTES);
    json_escape(&escaped, bytes);
    buf_addz(to, "{\"data\":\"");
    ndjson_ascii(to, buf_str(&escaped));
    buf_addf(to, "\",\"stream\":\"%s\"}\n",
             stream == COMMAND_STDOUT ? "stdout" : "stderr");
    buf_finish(&escaped);
}

void ndjson_error(struct buf *to, const char *code, const char *message)
{
    struct json_writer w;
    jw_init(&w, to);
    jw_object(&w);
    jw_key_cstr(&w, "stream", "error");
    jw_key(&w, "data");
    jw_object(&w);
    jw_key_cstr(&w, "code", code);
    jw_key_cstr(&w, "message", message);
    jw_end_object(&w);
    jw_end_object(&w);
    buf_addc(to, '\n');
}
