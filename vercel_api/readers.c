/* Those that read a command's output while it runs or later. Each goes at its client's
 * speed; the command is paused before output is dropped that the slowest one has not
 * had. */
#include "base/mem.h"
#include "base/utf8.h"
#include "vercel_api/commands.h"
#include "vercel_api/ndjson.h"

enum {
    PIECE = 16 * 1024,         /* of output in one line */
    WAITING_HIGH = 256 * 1024, /* for the client: nothing more is read */
    LINE_MAX_BYTES = 1024 * 1024,
};

struct reader {
    struct reader *next;
    struct api_command *command;
    struct request *request;
    enum reader_kind kind;
    uint64_t at[2];
};

static bool has_output(const struct reader *reader)
{
    return reader->kind == READ_RUN || reader->kind == READ_LOGS;
}

/* What the slowest one has had. */
static void hold(struct api_command *c)
{
    uint64_t slowest[2] = {UINT64_MAX, UINT64_MAX};
    bool any = false;
    for (struct reader *reader = c->readers; reader; reader = reader->next) {
        if (!has_output(reader))
            continue;
        any = true;
        for (int i = 0; i < 2; i++)
            if (reader->at[i] < slowest[i])
                slowest[i] = reader->at[i];
    }
    if (!c->ended)
        command_hold(c->session->record->api->set, c->number, any, slowest);
}

static void reader_free(struct reader *reader)
{
    struct api_command *c = reader->command;
    struct request *r = reader->request;
    for (struct reader **at = &c->readers; *at; at = &(*at)->next)
        if (*at == reader) {
            *at = reader->next;
            break;
        }
    r->work = NULL;
    r->drained = r->gone = NULL;
    mem_free(reader);
    hold(c);
}

static void on_gone(struct request *r)
{
    reader_free(r->work);
}

static void send_command(struct reader *reader, bool running)
{
    struct buf line;
    struct json_writer w;
    buf_init(&line, API_JSON_MAX * 6);
    jw_init(&w, &line);
    jw_object(&w);
    jw_key(&w, "command");
    object_command(&w, reader->command, running);
    jw_end_object(&w);
    struct buf ascii;
    buf_init(&ascii, API_JSON_MAX * 12);
    ndjson_ascii(&ascii, buf_str(&line));
    if (reader->kind != READ_WAIT)
        buf_addc(&ascii, '\n');
    http_stream_add(reader->request->ex, buf_str(&ascii));
    buf_finish(&ascii);
    buf_finish(&line);
}

static void send_output(struct reader *reader, enum command_stream stream,
                        struct str bytes)
{
    struct buf line;
    buf_init(&line, LINE_MAX_BYTES);
    ndjson_output(&line, stream, bytes);
    http_stream_add(reader->request->ex, buf_str(&line));
    buf_finish(&line);
}

/* One line of one stream; false when there is none now. */
static bool read_line(struct reader *reader, enum command_stream stream,
                      const struct command_info *info)
{
    char piece[PIECE];
    const struct command_output *out = &info->out[stream];
    uint64_t *at = &reader->at[stream];
    if (*at >= out->head_bytes && *at < out->head_bytes + out->dropped_bytes)
        *at = out->head_bytes + out->dropped_bytes;
    size_t n = command_read(reader->request->api->set, info->id, stream, *at, piece,
                            sizeof piece);
    bool last = *at + n >= out->total_bytes && info->status != COMMAND_RUNNING;
    if (!last)
        n -= utf8_incomplete_tail((struct str){piece, n});
    if (n == 0)
        return false;
    send_output(reader, stream, (struct str){piece, n});
    *at += n;
    return true;
}

static void finish(struct reader *reader)
{
    struct http_exchange *ex = reader->request->ex;
    if (reader->kind != READ_LOGS)
        send_command(reader, false);
    http_stream_end(ex);
    reader_free(reader);
}

/* What was kept of the output is gone; how the command ended is known. */
static void finish_without(struct reader *reader)
{
    if (reader->command->ended)
        finish(reader);
}

static void pump(struct reader *reader)
{
    struct api_command *c = reader->command;
    struct command_info info;
    struct err err;
    bool more = has_output(reader);
    if (command_get(reader->request->api->set, API_OWNER, c->number, &info, &err) < 0) {
        finish_without(reader);
        return;
    }
    while (more && http_waiting(reader->request->ex) < WAITING_HIGH) {
        more = read_line(reader, COMMAND_STDOUT, &info);
        more |= read_line(reader, COMMAND_STDERR, &info);
    }
    if (!more && c->ended)
        finish(reader);
    else
        hold(c);
}

static void on_drained(struct request *r)
{
    pump(r->work);
}

void reader_new(struct api_command *c, struct request *r, enum reader_kind kind)
{
    struct reader *reader = mem_new(struct reader);
    *reader =
        (struct reader){.next = c->readers, .command = c, .request = r, .kind = kind};
    c->readers = reader;
    r->work = reader;
    r->drained = on_drained;
    r->gone = on_gone;
    http_stream(r->ex, HTTP_OK,
                kind == READ_WAIT ? "application/json; charset=utf-8"
                                  : "application/x-ndjson",
                NULL);
    if (kind == READ_RUN || kind == READ_RUN_QUIET)
        send_command(reader, true);
    pump(reader);
}

void readers_pump(struct api_command *c)
{
    for (struct reader *reader = c->readers, *next; reader; reader = next) {
        next = reader->next;
        pump(reader);
    }
}

void readers_close(struct api_command *c)
{
    while (c->readers) {
        struct reader *reader = c->readers;
        struct buf line;
        buf_init(&line, LINE_MAX_BYTES);
        if (reader->kind == READ_WAIT) {
            http_stream_cut(reader->request->ex);
        } else {
            ndjson_error(&line, "sandbox_stream_closed",
                         "The sandbox stopped before the command ended.");
            http_stream_add(reader->request->ex, buf_str(&line));
            http_stream_end(reader->request->ex);
        }
        buf_finish(&line);
        reader_free(reader);
    }
}
