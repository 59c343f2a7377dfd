/* sandbox_create: another sandbox beside the default one. */
#include "tools/common.h"
#include "tools/job.h"
#include "tools/sandbox_info.h"
#include "tools/tools.h"

void tool_sandbox_create(struct call *call)
{
    struct sandbox_spec spec;
    struct err err;
    if (sandbox_spec_read(call, &spec, &err) < 0) {
        tool_fail(call, &err);
        return;
    }
    struct tool_job *job = job_new(call, sizeof *job);
    job->awaits = true;
    sandbox_create(job->tools->sandboxes, job->owner, &spec, job_answer_info, job);
}
