/* sandbox_fork: a new sandbox with the files of another. */
#include "tools/common.h"
#include "tools/job.h"
#include "tools/sandbox_info.h"
#include "tools/tools.h"

void tool_sandbox_fork(struct call *call)
{
    struct sandbox_spec spec;
    struct err err;
    if (sandbox_spec_read(call, &spec, &err) < 0) {
        tool_fail(call, &err);
        return;
    }
    struct tool_job *job = job_new(call, sizeof *job);
    job->awaits = true;
    sandbox_fork(job->tools->sandboxes, job->owner, tool_arg_str(call, STR("sandbox")),
                 &spec, job_answer_info, job);
}
