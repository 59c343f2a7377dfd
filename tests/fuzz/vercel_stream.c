/* What Vercel's API answers, on arbitrary bytes. The first byte says how the rest is
 * cut into pieces: the stream of a command's output must say the same however it is
 * cut. The same bytes are read as every object of the API. */
#include "sandbox/vercel/objects.h"
#include "sandbox/vercel/stream.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct heard {
    uint64_t hash;
    size_t bytes[2], commands, failures;
};

static void mix(struct heard *h, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        h->hash = (h->hash ^ (unsigned char)s.p[i]) * 1099511628211u;
}

static void on_command(void *ctx, const struct vercel_command *c)
{
    struct heard *h = ctx;
    h->commands++;
    if (c->id.n == 0 || c->id.n > VERCEL_ID_MAX)
        abort();
    mix(h, c->id);
}

/* How the output is divided among calls may differ; what each stream has may not. */
static void on_output(void *ctx, enum command_stream stream, struct str bytes)
{
    struct heard *h = ctx;
    if (bytes.n == 0)
        abort();
    h->bytes[stream] += bytes.n;
    mix(h, bytes);
}

static void on_failed(void *ctx, struct str code, struct str message)
{
    struct heard *h = ctx;
    h->failures++;
    mix(h, code);
    mix(h, message);
}

static int feed(struct heard *h, struct str all, size_t piece)
{
    static const struct vercel_stream_events events = {on_command, on_output,
                                                       on_failed};
    struct vercel_stream s;
    struct err err;
    int rc = 0;
    *h = (struct heard){0};
    vercel_stream_init(&s, &events, h);
    for (size_t at = 0; at < all.n && rc == 0; at += piece)
        rc = vercel_stream_feed(
            &s, (struct str){all.p + at, all.n - at < piece ? all.n - at : piece},
            &err);
    if (rc == 0)
        rc = vercel_stream_end(&s, &err);
    vercel_stream_finish(&s);
    return rc;
}

static void read_objects(struct str text)
{
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    struct vercel_opened opened;
    struct vercel_snapshot snapshot;
    if (json_parse(&doc, &a, text, &err) == 0) {
        struct json root = json_root(&doc);
        if (vercel_read_opened(root, &a, &opened, &err) == 0 &&
            (opened.session.id.n == 0 || opened.route_count > VERCEL_ROUTES_MAX))
            abort();
        vercel_read_snapshot(json_get(root, STR("snapshot")), &a, &snapshot, &err);
        vercel_read_refusal(root, &a);
        vercel_next_page(root, &a);
    }
    arena_finish(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct str all = {(const char *)data + 1, size - 1};
    struct heard whole, cut;
    int rc = feed(&whole, all, all.n);
    if (feed(&cut, all, 1u + data[0]) != rc || whole.hash != cut.hash ||
        whole.commands != cut.commands || whole.failures != cut.failures)
        abort();
    read_objects(all);
    return 0;
}
