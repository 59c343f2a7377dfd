#include "sandbox/vercel/stream.h"

void vercel_stream_init(struct vercel_stream *s,
                        const struct vercel_stream_events *events, void *ctx)
{
    *s = (struct vercel_stream){.events = events, .ctx = ctx};
    buf_init(&s->line, VERCEL_LINE_MAX);
}

void vercel_stream_finish(struct vercel_stream *s)
{
    buf_finish(&s->line);
    arena_finish(&s->arena);
}

void vercel_stream_stop(struct vercel_stream *s)
{
    s->stopped = true;
}

static int not_of_this_form(struct err *err)
{
    return err_set(err, ERR_PROTOCOL,
                   "the output's stream has a line that is neither output nor command");
}

static int take_output(struct vercel_stream *s, struct json root, struct err *err)
{
    struct json stream = json_get(root, STR("stream"));
    struct json data = json_get(root, STR("data"));
    if (json_str_is(stream, STR("error"))) {
        s->events->failed(s->ctx, json_str(json_get(data, STR("code")), &s->arena),
                          json_str(json_get(data, STR("message")), &s->arena));
        return 0;
    }
    bool out = json_str_is(stream, STR("stdout"));
    if ((!out && !json_str_is(stream, STR("stderr"))) || json_type(data) != JSON_STRING)
        return not_of_this_form(err);
    struct str bytes = json_str(data, &s->arena);
    if (bytes.n)
        s->events->output(s->ctx, out ? COMMAND_STDOUT : COMMAND_STDERR, bytes);
    return 0;
}

static int take_line(struct vercel_stream *s, struct str line, struct err *err)
{
    struct json_doc doc;
    while (line.n && strchr(" \t\r", line.p[line.n - 1]))
        line.n--;
    if (line.n == 0)
        return 0; /* keeps the connection alive */
    arena_reset(&s->arena);
    if (json_parse(&doc, &s->arena, line, err) < 0) {
        err->kind = ERR_PROTOCOL;
        return err_prefix(err, "the output's stream");
    }
    struct json root = json_root(&doc), command = json_get(root, STR("command"));
    if (!json_present(command))
        return take_output(s, root, err);
    struct vercel_command c;
    if (vercel_read_command(command, &s->arena, &c, err) < 0)
        return -1;
    s->events->command(s->ctx, &c);
    return 0;
}

/* The first line of `bytes` ends at `n`; its beginning may have come before. */
static int finish_line(struct vercel_stream *s, struct str bytes, struct err *err)
{
    if (s->line.n == 0)
        return take_line(s, bytes, err);
    buf_adds(&s->line, bytes);
    int rc = s->line.overflow
                 ? err_set(err, ERR_LIMIT, "a line of the output's stream is too long")
                 : take_line(s, buf_str(&s->line), err);
    buf_reset(&s->line, 64 * 1024);
    return rc;
}

int vercel_stream_feed(struct vercel_stream *s, struct str bytes, struct err *err)
{
    while (bytes.n && !s->stopped) {
        ptrdiff_t end = str_find(bytes, '\n');
        if (end < 0) {
            buf_adds(&s->line, bytes);
            if (s->line.overflow)
                return err_set(err, ERR_LIMIT,
                               "a line of the output's stream is over %d MiB",
                               VERCEL_LINE_MAX / (1024 * 1024));
            return 0;
        }
        if (finish_line(s, (struct str){bytes.p, (size_t)end}, err) < 0)
            return -1;
        bytes = str_from(bytes, (size_t)end + 1);
    }
    return 0;
}

int vercel_stream_end(struct vercel_stream *s, struct err *err)
{
    return s->stopped || s->line.n == 0 ? 0 : finish_line(s, (struct str){0}, err);
}
