/* sandbox_list: all that the caller may use. */
#include "tools/common.h"
#include "tools/job.h"
#include "tools/sandbox_info.h"
#include "tools/tools.h"

enum { LIST_BYTES = 4 * 1024 * 1024 };

static void on_list(void *ctx, const struct sandbox_info *infos, size_t count,
                    const struct err *err)
{
    struct tool_job *job = ctx;
    struct call *call = job_resume(job);
    struct buf text;
    struct json_writer w;
    if (!call || err) {
        job_end(job, call, err);
        return;
    }
    buf_init(&text, LIST_BYTES);
    jw_init(&w, &text);
    jw_object(&w);
    jw_key_cstr(&w, "backend", sandboxes_backend(job->tools->sandboxes));
    jw_key(&w, "sandboxes");
    jw_array(&w);
    for (size_t i = 0; i < count; i++) {
        jw_object(&w);
        sandbox_info_write(&w, &infos[i]);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    job_free(job);
    call_result_structured(call, buf_str(&text));
    buf_finish(&text);
}

void tool_sandbox_list(struct call *call)
{
    struct tool_job *job = job_new(call, sizeof *job);
    job->awaits = true;
    sandbox_list(job->tools->sandboxes, job->owner, on_list, job);
}
