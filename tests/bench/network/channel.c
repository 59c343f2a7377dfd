#include "tests/bench/network/channel.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GOT_MAX = 64 * 1024 * 1024, READ_BYTES = 1024 * 1024, MASK_BYTES = 4 };

_Noreturn static void fail(const char *what)
{
    perror(what);
    exit(1);
}

void channel_open(struct channel *c, enum channel_kind kind, int in, int out)
{
    *c = (struct channel){.kind = kind, .in = in, .out = out};
    buf_init(&c->got, GOT_MAX);
}

void channel_close(struct channel *c)
{
    close(c->in);
    if (c->out != c->in)
        close(c->out);
    buf_finish(&c->got);
}

static void write_all(int fd, struct str bytes)
{
    while (bytes.n) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0)
            fail("write");
        bytes = str_from(bytes, (size_t)n);
    }
}

/* A masked text frame; the mask is zero. Texts are short. */
static void add_frame(struct buf *b, struct str text)
{
    static const char mask[MASK_BYTES];
    buf_addc(b, (char)0x81);
    if (text.n < 126) {
        buf_addc(b, (char)(0x80 | text.n));
    } else {
        buf_addc(b, (char)(0x80 | 126));
        buf_addc(b, (char)(text.n >> 8));
        buf_addc(b, (char)text.n);
    }
    buf_add(b, mask, sizeof mask);
    buf_adds(b, text);
}

void channel_send(struct channel *c, struct str text)
{
    struct buf b;
    buf_init(&b, GOT_MAX);
    if (c->kind == CHANNEL_HTTP)
        buf_addf(&b,
                 "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                 "application/json\r\nAccept: application/json, text/event-stream\r\n"
                 "%sContent-Length: %zu\r\n\r\n",
                 c->session, text.n);
    if (c->kind == CHANNEL_WEBSOCKET)
        add_frame(&b, text);
    else
        buf_adds(&b, text);
    if (c->kind == CHANNEL_STDIO)
        buf_addc(&b, '\n');
    write_all(c->out, buf_str(&b));
    buf_finish(&b);
}

static void more(struct channel *c)
{
    char *to = buf_reserve(&c->got, READ_BYTES);
    ssize_t n = to ? read(c->in, to, READ_BYTES) : -1;
    if (n <= 0)
        fail("read");
    c->got.n += (size_t)n;
}

static void need(struct channel *c, size_t n)
{
    while (c->got.n < n)
        more(c);
}

/* Where the text begins in `got`, and how long it is. */
static size_t receive_http(struct channel *c, size_t *ret_n)
{
    const char *end;
    while (!(end = memmem(c->got.p, c->got.n, "\r\n\r\n", 4)))
        more(c);
    size_t head = (size_t)(end - c->got.p) + 4;
    char *text = strndup(c->got.p, head);
    const char *length = text ? strcasestr(text, "\r\ncontent-length:") : NULL;
    const char *session = text ? strcasestr(text, "\r\nmcp-session-id:") : NULL;
    if (!length)
        fail("an answer without a length");
    *ret_n = strtoul(length + strlen("\r\ncontent-length:"), NULL, 10);
    if (session)
        snprintf(c->session, sizeof c->session, "%.*s\r\n",
                 (int)strcspn(session + 2, "\r"), session + 2);
    free(text);
    return head;
}

static size_t receive_frame(struct channel *c, size_t *ret_n)
{
    need(c, 10); /* no answer is shorter */
    const unsigned char *b = (const unsigned char *)c->got.p;
    *ret_n = b[1];
    if (b[1] < 126)
        return 2;
    *ret_n = (size_t)b[2] << 8 | b[3];
    if (b[1] == 126)
        return 4;
    *ret_n = 0;
    for (int i = 2; i < 10; i++)
        *ret_n = *ret_n << 8 | b[i];
    return 10;
}

static size_t receive_line(struct channel *c, size_t *ret_n)
{
    size_t seen = 0;
    const char *end = NULL;
    while (!end) {
        end = seen < c->got.n ? memchr(c->got.p + seen, '\n', c->got.n - seen) : NULL;
        seen = c->got.n;
        if (!end)
            more(c);
    }
    *ret_n = (size_t)(end - c->got.p);
    return 0;
}

struct str channel_receive(struct channel *c)
{
    for (;;) {
        size_t n = 0;
        buf_reset(&c->got, GOT_MAX);
        size_t from = c->kind == CHANNEL_HTTP        ? receive_http(c, &n)
                      : c->kind == CHANNEL_WEBSOCKET ? receive_frame(c, &n)
                                                     : receive_line(c, &n);
        need(c, from + n);
        struct str text = {c->got.p + from, n};
        size_t look = n < 128 ? n : 128;
        if (!memmem(text.p, look, "\"method\"", 8))
            return text;
    }
}
