#include "net/http/sse.h"
#include "base/scan.h"

enum { KEEP_BYTES = 64 * 1024, FIELD_BYTES = 16 };

void sse_init(struct sse *s, size_t data_max)
{
    *s = (struct sse){0};
    buf_init(&s->line, data_max + FIELD_BYTES);
    buf_init(&s->data, data_max);
    buf_init(&s->name, SSE_NAME_MAX);
}

void sse_finish(struct sse *s)
{
    buf_finish(&s->line);
    buf_finish(&s->data);
    buf_finish(&s->name);
}

/* The event's data is ours: the piece that it lies in goes away, or more comes. */
static void own_data(struct sse *s)
{
    buf_adds(&s->data, s->lent);
    s->lent = (struct str){0};
}

static void take_data(struct sse *s, struct str value)
{
    if (!s->has_data) {
        s->lent = value;
        s->has_data = true;
        s->failed |= value.n > s->data.max;
        return;
    }
    own_data(s);
    buf_addc(&s->data, '\n');
    buf_adds(&s->data, value);
}

/* Is it this field? Then *ret_value is what stands behind the colon and one blank. */
static bool is_field(struct str line, struct str field, struct str *ret_value)
{
    if (!str_starts(line, field) || (line.n > field.n && line.p[field.n] != ':'))
        return false;
    *ret_value = str_from(line, field.n + 1);
    if (ret_value->n && ret_value->p[0] == ' ')
        *ret_value = str_from(*ret_value, 1);
    return true;
}

static void end_event(struct sse *s, sse_event_fn *fn, void *ctx)
{
    struct str data = s->data.n ? buf_str(&s->data) : s->lent;
    if (data.n && !s->failed)
        fn(ctx, buf_str(&s->name), data);
    s->lent = (struct str){0};
    s->has_data = false;
    buf_reset(&s->data, KEEP_BYTES);
    buf_reset(&s->name, SSE_NAME_MAX);
}

static void take_line(struct sse *s, struct str line, sse_event_fn *fn, void *ctx)
{
    static const struct str mark = STR_INIT("\xef\xbb\xbf");
    struct str value;
    if (!s->started && str_starts(line, mark))
        line = str_from(line, mark.n);
    s->started = true;
    if (line.n == 0) {
        end_event(s, fn, ctx);
    } else if (is_field(line, STR("data"), &value)) {
        take_data(s, value);
    } else if (is_field(line, STR("event"), &value)) {
        buf_reset(&s->name, SSE_NAME_MAX);
        buf_adds(&s->name, value);
    } /* else a comment, an id, a time to wait: of no interest to our clients */
    s->failed |= s->data.overflow || s->name.overflow;
}

/* The line ends in these bytes, behind what was kept of it. */
static void end_line(struct sse *s, struct str rest, sse_event_fn *fn, void *ctx)
{
    if (s->line.n == 0 && rest.n <= s->line.max) {
        take_line(s, rest, fn, ctx);
        return;
    }
    buf_adds(&s->line, rest);
    s->failed |= s->line.overflow;
    if (!s->failed)
        take_line(s, buf_str(&s->line), fn, ctx);
    own_data(s); /* it lay in the line */
    buf_reset(&s->line, KEEP_BYTES);
}

/* Lines end in LF, CR or CRLF. */
static size_t line_length(struct str bytes)
{
    size_t n = 0;
    while ((n = scan(bytes.p, n, bytes.n, SCAN_CONTROL)) < bytes.n &&
           bytes.p[n] != '\n' && bytes.p[n] != '\r')
        n++;
    return n;
}

int sse_feed(struct sse *s, struct str bytes, sse_event_fn *fn, void *ctx)
{
    while (bytes.n && !s->failed) {
        if (s->after_cr && bytes.p[0] == '\n')
            bytes = str_from(bytes, 1);
        s->after_cr = false;
        struct str line = {bytes.p, line_length(bytes)};
        if (line.n == bytes.n) {
            buf_adds(&s->line, line);
            s->failed |= s->line.overflow;
            break;
        }
        s->after_cr = bytes.p[line.n] == '\r';
        bytes = str_from(bytes, line.n + 1);
        end_line(s, line, fn, ctx);
    }
    own_data(s);
    return s->failed ? -1 : 0;
}
