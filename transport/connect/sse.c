#include "transport/connect/sse.h"

enum { KEEP_BYTES = 64 * 1024 };

void sse_init(struct sse *s, size_t data_max)
{
    *s = (struct sse){0};
    buf_init(&s->line, data_max + 16);
    buf_init(&s->data, data_max + 1);
}

void sse_finish(struct sse *s)
{
    buf_finish(&s->line);
    buf_finish(&s->data);
}

static void take_line(struct sse *s, struct str line)
{
    static const struct str name = STR_INIT("data");
    if (!str_starts(line, name) || (line.n > name.n && line.p[name.n] != ':'))
        return; /* a comment, an id, an event's type: of no interest to MCP */
    line = str_from(line, name.n + 1);
    if (line.n && line.p[0] == ' ')
        line = str_from(line, 1);
    buf_adds(&s->data, line);
    buf_addc(&s->data, '\n');
}

static void end_line(struct sse *s, sse_event_fn *fn, void *ctx)
{
    static const struct str mark = STR_INIT("\xef\xbb\xbf");
    struct str line = buf_str(&s->line);
    if (!s->started && str_starts(line, mark))
        line = str_from(line, mark.n);
    s->started = true;
    if (line.n > 0) {
        take_line(s, line);
    } else if (s->data.n > 1 && !s->data.overflow) {
        fn(ctx, (struct str){s->data.p, s->data.n - 1});
        buf_reset(&s->data, KEEP_BYTES);
    } else if (!s->data.overflow) {
        buf_reset(&s->data, KEEP_BYTES); /* a priming event: no data */
    }
    buf_reset(&s->line, KEEP_BYTES);
}

/* Lines end in LF, CR or CRLF. */
int sse_feed(struct sse *s, struct str bytes, sse_event_fn *fn, void *ctx)
{
    while (bytes.n && !s->line.overflow && !s->data.overflow) {
        if (s->after_cr && bytes.p[0] == '\n')
            bytes = str_from(bytes, 1);
        s->after_cr = false;
        size_t n = 0;
        while (n < bytes.n && bytes.p[n] != '\n' && bytes.p[n] != '\r')
            n++;
        buf_add(&s->line, bytes.p, n);
        if (n == bytes.n || s->line.overflow)
            break;
        s->after_cr = bytes.p[n] == '\r';
        bytes = str_from(bytes, n + 1);
        end_line(s, fn, ctx);
    }
    return s->line.overflow || s->data.overflow ? -1 : 0;
}
