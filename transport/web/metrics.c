#include "transport/web/metrics.h"
#include "mcp/jsonrpc.h"

static const struct str methods[METRICS_METHODS] = {
    STR_INIT("tools/call"),
    STR_INIT("tools/list"),
    STR_INIT("ping"),
    STR_INIT("initialize"),
    STR_INIT("server/discover"),
    STR_INIT("resources/list"),
    STR_INIT("resources/templates/list"),
    STR_INIT("resources/read"),
    STR_INIT("prompts/list"),
    STR_INIT("prompts/get"),
    STR_INIT("completion/complete"),
    STR_INIT("subscriptions/listen"),
    STR_INIT("logging/setLevel"),
    STR_INIT("tasks/get"),
    STR_INIT("tasks/result"),
    STR_INIT("other"),
};

/* Seconds: from what needs no sandbox to the longest wait of one call. */
static const struct {
    uint64_t micros;
    const char *text;
} bounds[METRICS_BUCKETS] = {
    {100, "0.0001"}, {500, "0.0005"}, {1000, "0.001"},  {5000, "0.005"},
    {10000, "0.01"}, {50000, "0.05"}, {100000, "0.1"},  {500000, "0.5"},
    {1000000, "1"},  {5000000, "5"},  {15000000, "15"}, {60000000, "60"},
};

unsigned metrics_method(struct json method)
{
    for (unsigned i = 0; i < METRICS_METHODS - 1; i++)
        if (rpc_is(method, methods[i]))
            return i;
    return METRICS_METHODS - 1;
}

struct str metrics_name(unsigned method)
{
    return methods[method];
}

void metrics_request(struct metrics *m, unsigned method, enum metrics_outcome outcome,
                     uint64_t micros)
{
    unsigned bucket = 0;
    while (bucket < METRICS_BUCKETS && micros > bounds[bucket].micros)
        bucket++;
    m->requests[method][outcome]++;
    m->buckets[method][bucket]++;
    m->micros[method] += micros;
}

static void head(struct buf *to, const char *name, const char *help, const char *type)
{
    buf_addf(to, "# HELP sandquay_%s %s\n# TYPE sandquay_%s %s\n", name, help, name,
             type);
}

void metrics_gauge(struct buf *to, const char *name, const char *help, uint64_t value)
{
    head(to, name, help, "gauge");
    buf_addf(to, "sandquay_%s %llu\n", name, (unsigned long long)value);
}

static void counter(struct buf *to, const char *name, const char *help, uint64_t value)
{
    head(to, name, help, "counter");
    buf_addf(to, "sandquay_%s %llu\n", name, (unsigned long long)value);
}

static uint64_t total(const struct metrics *m, unsigned method)
{
    uint64_t sum = 0;
    for (unsigned o = 0; o < OUTCOMES; o++)
        sum += m->requests[method][o];
    return sum;
}

static void write_requests(const struct metrics *m, struct buf *to)
{
    static const char *const outcomes[OUTCOMES] = {"ok", "error", "cancelled"};
    head(to, "requests_total", "JSON-RPC requests by method and outcome.", "counter");
    for (unsigned i = 0; i < METRICS_METHODS; i++)
        for (unsigned o = 0; o < OUTCOMES; o++)
            if (m->requests[i][o])
                buf_addf(
                    to, "sandquay_requests_total{method=\"%s\",outcome=\"%s\"} %llu\n",
                    methods[i].p, outcomes[o], (unsigned long long)m->requests[i][o]);
}

static void write_histogram(const struct metrics *m, struct buf *to)
{
    static const char name[] = "request_duration_seconds";
    head(to, name, "From a request to its response.", "histogram");
    for (unsigned i = 0; i < METRICS_METHODS; i++) {
        uint64_t count = 0;
        if (total(m, i) == 0)
            continue;
        for (unsigned b = 0; b <= METRICS_BUCKETS; b++) {
            count += m->buckets[i][b];
            buf_addf(to, "sandquay_%s_bucket{method=\"%s\",le=\"%s\"} %llu\n", name,
                     methods[i].p, b < METRICS_BUCKETS ? bounds[b].text : "+Inf",
                     (unsigned long long)count);
        }
        buf_addf(to,
                 "sandquay_%s_sum{method=\"%s\"} %.6f\n"
                 "sandquay_%s_count{method=\"%s\"} %llu\n",
                 name, methods[i].p, (double)m->micros[i] / 1e6, name, methods[i].p,
                 (unsigned long long)count);
    }
}

void metrics_write(const struct metrics *m, struct buf *to)
{
    write_requests(m, to);
    write_histogram(m, to);
    head(to, "http_answers_total", "HTTP answers by class of status.", "counter");
    for (unsigned i = 1; i < 6; i++)
        buf_addf(to, "sandquay_http_answers_total{class=\"%uxx\"} %llu\n", i,
                 (unsigned long long)m->answers[i]);
    counter(to, "connections_total", "Accepted connections.", m->connections);
    counter(to, "websockets_total", "WebSockets opened.", m->websockets);
    counter(to, "sessions_total", "Sessions of legacy HTTP opened.", m->sessions);
    counter(to, "received_bytes_total", "Bytes of messages received.", m->in_bytes);
    counter(to, "sent_bytes_total", "Bytes of answers sent.", m->out_bytes);
}
