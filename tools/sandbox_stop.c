/* sandbox_stop: ends a sandbox's processes, and with `delete` its files. */
#include "tools/common.h"
#include "tools/job.h"
#include "tools/tools.h"

struct stop_job {
    struct tool_job job;
    struct str name; /* in the call's arena */
    bool deletes;
};

static void on_stopped(void *ctx, const struct err *err)
{
    struct stop_job *s = ctx;
    struct call *call = job_resume(&s->job);
    struct buf text;
    struct json_writer w;
    if (!call || err) {
        job_end(&s->job, call, err);
        return;
    }
    buf_init(&text, 1024);
    jw_init(&w, &text);
    jw_object(&w);
    jw_key_str(&w, "sandbox", s->name.n ? s->name : STR("default"));
    jw_key_cstr(&w, "status", s->deletes ? "deleted" : "stopped");
    jw_end_object(&w);
    job_free(&s->job);
    call_result_structured(call, buf_str(&text));
    buf_finish(&text);
}

void tool_sandbox_stop(struct call *call)
{
    struct stop_job *s = job_new(call, sizeof *s);
    s->name = tool_arg_str(call, STR("sandbox"));
    s->deletes = tool_arg_bool(call, STR("delete"));
    s->job.awaits = true;
    sandbox_stop(s->job.tools->sandboxes, s->job.owner, s->name,
                 s->deletes ? SANDBOX_STOP_DELETE : SANDBOX_STOP_KEEP, on_stopped, s);
}
