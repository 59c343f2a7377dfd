/* sandbox_extend: more time for a running sandbox. */
#include "tools/common.h"
#include "tools/job.h"
#include "tools/sandbox_info.h"
#include "tools/tools.h"

static void opened(struct tool_job *job, struct call *call)
{
    job->awaits = true;
    sandbox_extend(job->tools->sandboxes, job->sandbox,
                   (uint64_t)tool_arg_i64(call, STR("durationMs"), 0), job_answer_info,
                   job);
}

void tool_sandbox_extend(struct call *call)
{
    job_open(job_new(call, sizeof(struct tool_job)), call, opened);
}
