/* bench_model [MIB]: a stream of the Messages API through the decoder and into a
 * message, in pieces as a socket gives them; prints MB/s for each kind of stream, the
 * best of several. */
#include "agent/model/message.h"
#include "net/http/sse.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { RUNS = 5, PIECE = 16 * 1024, EVENTS_A_BLOCK = 2000 };

static double clock_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void show(void *ctx, struct str text)
{
    *(size_t *)ctx += text.n;
}

struct reader {
    struct accumulator message;
    struct err err;
    bool failed;
};

static void on_event(void *ctx, struct str name, struct str data)
{
    struct reader *r = ctx;
    if (!r->failed && accumulate(&r->message, name, data, &r->err) < 0)
        r->failed = true;
}

static void event(struct buf *to, const char *name, const char *rest)
{
    buf_addf(to, "event: %s\ndata: {\"type\":\"%s\"%s}\n\n", name, name, rest);
}

/* piece: what each delta carries, as JSON. */
static void make(struct buf *to, size_t bytes, const char *block, const char *delta)
{
    char rest[4096];
    buf_init(to, bytes + (1 << 20));
    event(to, "message_start",
          ",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\","
          "\"model\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":1}}");
    for (int i = 0; to->n < bytes; i++) {
        snprintf(rest, sizeof rest, ",\"index\":%d,\"content_block\":%s", i, block);
        event(to, "content_block_start", rest);
        snprintf(rest, sizeof rest, ",\"index\":%d,\"delta\":%s", i, delta);
        for (int k = 0; k < EVENTS_A_BLOCK && to->n < bytes; k++)
            event(to, "content_block_delta", rest);
        snprintf(rest, sizeof rest, ",\"index\":%d", i);
        event(to, "content_block_stop", rest);
    }
    event(to, "message_delta",
          ",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{}");
    event(to, "message_stop", "");
}

static double decode(struct str stream)
{
    static const struct message_events events = {show, show, show};
    struct reader r = {0};
    struct sse sse;
    size_t shown = 0;
    double start = clock_s();
    sse_init(&sse, MESSAGE_EVENT_MAX);
    accumulator_init(&r.message, &events, &shown);
    for (struct str rest = stream; rest.n; rest = str_from(rest, PIECE)) {
        struct str piece = {rest.p, rest.n < PIECE ? rest.n : PIECE};
        if (sse_feed(&sse, piece, on_event, &r) < 0)
            r.failed = true;
    }
    double end = clock_s();
    if (r.failed || !r.message.ended) {
        fprintf(stderr, "bench_model: %s\n", r.failed ? r.err.msg : "no end");
        exit(1);
    }
    sse_finish(&sse);
    accumulator_finish(&r.message);
    return (double)stream.n / (end - start) / 1e6;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name, *block, *delta;
    } kinds[] = {
        {"text, a word an event", "{\"type\":\"text\",\"text\":\"\"}",
         "{\"type\":\"text_delta\",\"text\":\" sandbox\"}"},
        {"text, a line an event", "{\"type\":\"text\",\"text\":\"\"}",
         "{\"type\":\"text_delta\",\"text\":\"    The quick brown fox jumps over the "
         "lazy "
         "dog, and then once more over the same dog.\\n\"}"},
        {"input of tools, cut off",
         "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"write_file\",\"input\":{}}",
         "{\"type\":\"input_json_delta\",\"partial_json\":\"def f(x): return "
         "x\\\\n\"}"},
    };
    size_t mib = argc > 1 ? strtoul(argv[1], NULL, 10) : 32;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct buf stream;
        double best = 0;
        make(&stream, mib << 20, kinds[i].block, kinds[i].delta);
        for (int run = 0; run < RUNS; run++) {
            double now = decode(buf_str(&stream));
            best = now > best ? now : best;
        }
        printf("%-24s %6.0f MB/s\n", kinds[i].name, best);
        buf_finish(&stream);
    }
    return 0;
}
