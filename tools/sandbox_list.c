/* sandbox_list: all that the caller may use. */
#include "tools/common.h"
#include "tools/job.h"
#include "tools/sandbox_info.h"
#include "tools/tools.h"

static void on_list(void *ctx, const struct sandbox_info *infos, size_t count,
                    const struct err *err)
{
    struct job_answer a;
    if (!job_answer_begin(&a, ctx, err))
        return;
    struct json_writer *w = &a.w;
    jw_key_cstr(w, "backend", sandboxes_backend(a.job->tools->sandboxes));
    jw_key(w, "sandboxes");
    jw_array(w);
    for (size_t i = 0; i < count; i++) {
        jw_object(w);
        sandbox_info_write(w, &infos[i]);
        jw_end_object(w);
    }
    jw_end_array(w);
    job_answer_end(&a);
}

void tool_sandbox_list(struct call *call)
{
    struct tool_job *job = job_new(call, sizeof *job);
    job->awaits = true;
    sandbox_list(job->tools->sandboxes, job->owner, on_list, job);
}
