/* network_log: what a sandbox tried to reach. */
#include "tools/common.h"
#include "tools/job.h"
#include "tools/sandbox_info.h"
#include "tools/tools.h"

enum { LOG_BYTES = 1024 * 1024, LIMIT = 50 };

struct page {
    struct json_writer w;
    uint64_t count, skip, seen, last;
};

static void on_count(void *ctx, const struct network_attempt *attempt)
{
    struct page *page = ctx;
    page->count++;
    page->last = attempt->number;
}

static void write_attempt(void *ctx, const struct network_attempt *a)
{
    struct page *page = ctx;
    struct json_writer *w = &page->w;
    if (page->seen++ < page->skip)
        return;
    jw_object(w);
    jw_key_i64(w, "number", (int64_t)a->number);
    sandbox_info_time(w, "time", a->time_ms);
    if (a->host.n)
        jw_key_str(w, "host", a->host);
    if (a->port)
        jw_key_i64(w, "port", a->port);
    if (a->address.n)
        jw_key_str(w, "address", a->address);
    jw_key_cstr(w, "way", a->way);
    jw_key_cstr(w, "verdict", a->verdict);
    if (a->reason.n)
        jw_key_str(w, "reason", a->reason);
    jw_key_i64(w, "sentBytes", (int64_t)a->sent_bytes);
    jw_key_i64(w, "receivedBytes", (int64_t)a->received_bytes);
    if (a->open)
        jw_key_bool(w, "open", true);
    jw_end_object(w);
}

static void opened(struct tool_job *job, struct call *call)
{
    struct sandboxes *set = job->tools->sandboxes;
    uint64_t since = (uint64_t)tool_arg_i64(call, STR("since"), 0);
    uint64_t limit = (uint64_t)tool_arg_i64(call, STR("limit"), LIMIT);
    struct page page = {.last = since};
    struct buf text;
    struct err err;
    if (sandbox_network_log(set, job->sandbox, since, on_count, &page, &err) < 0) {
        job_fail(job, call, &err);
        return;
    }
    page.skip = page.count > limit ? page.count - limit : 0;
    buf_init(&text, LOG_BYTES);
    jw_init(&page.w, &text);
    jw_object(&page.w);
    jw_key_str(&page.w, "sandbox", job->sandbox_name);
    jw_key(&page.w, "attempts");
    jw_array(&page.w);
    sandbox_network_log(set, job->sandbox, since, write_attempt, &page, &err);
    jw_end_array(&page.w);
    jw_key_i64(&page.w, "last", (int64_t)page.last);
    jw_end_object(&page.w);
    job_free(job);
    call_result_structured(call, buf_str(&text));
    buf_finish(&text);
}

void tool_network_log(struct call *call)
{
    job_open(job_new(call, sizeof(struct tool_job)), call, opened);
}
