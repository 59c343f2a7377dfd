/* workspace_changes: lists, commits or discards what differs from the host's directory.
 */
#include "tools/common.h"
#include "tools/job.h"
#include "tools/tools.h"

enum { ANSWER_BYTES = 200 * 1024 };

static void on_changes(void *ctx, const struct workspace_change *changes, size_t count,
                       uint64_t total, const struct err *err)
{
    struct job_answer a;
    if (!job_answer_begin(&a, ctx, err))
        return;
    struct json_writer *w = &a.w;
    size_t shown = 0;
    jw_key(w, "changes");
    jw_array(w);
    for (; shown < count && a.text.n < ANSWER_BYTES; shown++) {
        char kind[2] = {changes[shown].kind, '\0'};
        jw_object(w);
        jw_key_cstr(w, "kind", kind);
        jw_key_str(w, "path", changes[shown].path);
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_key_i64(w, "total", (int64_t)total);
    if (shown < total)
        jw_key_bool(w, "truncated", true);
    jw_key_str(w, "sandbox", a.job->sandbox_name);
    job_answer_end(&a);
}

static void opened(struct tool_job *job, struct call *call)
{
    struct str action = tool_arg_str(call, STR("action"));
    job->awaits = true;
    workspace_changes(job->tools->sandboxes, job->sandbox,
                      str_eq(action, STR("commit"))    ? WORKSPACE_COMMIT
                      : str_eq(action, STR("discard")) ? WORKSPACE_DISCARD
                                                       : WORKSPACE_LIST,
                      on_changes, job);
}

void tool_workspace_changes(struct call *call)
{
    job_open(job_new(call, sizeof(struct tool_job)), call, opened);
}
