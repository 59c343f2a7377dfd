/* expose_port: a URL for a server in the sandbox. */
#include "tools/common.h"
#include "tools/job.h"
#include "tools/tools.h"

enum { RESULT_BYTES = 4096 };

static void answer(struct tool_job *job, struct call *call, struct str url)
{
    struct buf text;
    struct json_writer w;
    buf_init(&text, RESULT_BYTES);
    jw_init(&w, &text);
    jw_object(&w);
    jw_key_str(&w, "sandbox", job->sandbox_name);
    jw_key_i64(&w, "port", tool_arg_i64(call, STR("port"), 0));
    if (url.n)
        jw_key_str(&w, "url", url);
    else
        jw_key_bool(&w, "closed", true);
    jw_end_object(&w);
    job_free(job);
    call_result_structured(call, buf_str(&text));
    buf_finish(&text);
}

static void on_exposed(void *ctx, struct str url, const struct err *err)
{
    struct tool_job *job = ctx;
    struct call *call = job_resume(job);
    if (!call || err)
        job_end(job, call, err);
    else
        answer(job, call, url);
}

static void opened(struct tool_job *job, struct call *call)
{
    struct sandboxes *set = job->tools->sandboxes;
    uint16_t port = (uint16_t)tool_arg_i64(call, STR("port"), 0);
    struct err err;
    if (!tool_arg_bool(call, STR("close"))) {
        job->awaits = true;
        sandbox_expose(set, job->sandbox, port, on_exposed, job);
    } else if (sandbox_unexpose(set, job->sandbox, port, &err) < 0) {
        job_fail(job, call, &err);
    } else {
        answer(job, call, (struct str){0});
    }
}

void tool_expose_port(struct call *call)
{
    job_open(job_new(call, sizeof(struct tool_job)), call, opened);
}
