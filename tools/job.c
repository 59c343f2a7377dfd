#include "tools/job.h"
#include "base/mem.h"
#include "tools/common.h"
#include "tools/sandbox_info.h"

enum { ANSWER_MAX = 8 * 1024 * 1024 };

static void on_cancel(struct call *call)
{
    struct tool_job *job = call_state(call);
    if (job->cancelled)
        job->cancelled(job);
    if (!job->awaits)
        job_free(job);
}

void *job_new(struct call *call, size_t size_bytes)
{
    struct tool_job *job = mem_zalloc(size_bytes);
    job->tools = call_ctx(call);
    job->server = call_server(call);
    job->call = call_ref(call);
    job->owner = call_owner(call);
    job->next = job->tools->jobs;
    job->at = &job->tools->jobs;
    if (job->next)
        job->next->at = &job->next;
    job->tools->jobs = job;
    call_set_state(call, job);
    call_on_cancel(call, on_cancel);
    return job;
}

void job_free(struct tool_job *job)
{
    if (job->release)
        job->release(job);
    *job->at = job->next;
    if (job->next)
        job->next->at = job->at;
    mem_free(job);
}

struct call *job_resume(struct tool_job *job)
{
    job->awaits = false;
    return call_find(job->server, job->call);
}

void job_fail(struct tool_job *job, struct call *call, struct err *err)
{
    job_free(job);
    tool_fail(call, err);
}

void job_end(struct tool_job *job, struct call *call, const struct err *err)
{
    struct err copy;
    if (err)
        copy = *err;
    job_free(job);
    if (call)
        tool_fail(call, &copy);
}

struct call *job_finish(void *ctx, const struct err *err)
{
    struct tool_job *job = ctx;
    struct call *call = job_resume(job);
    if (!call || err) {
        job_end(job, call, err);
        return NULL;
    }
    job_free(job);
    return call;
}

bool job_answer_begin(struct job_answer *a, void *ctx, const struct err *err)
{
    struct tool_job *job = ctx;
    struct call *call = job_resume(job);
    if (!call || err) {
        job_end(job, call, err);
        return false;
    }
    a->job = job;
    a->call = call;
    buf_init(&a->text, ANSWER_MAX);
    jw_init(&a->w, &a->text);
    jw_object(&a->w);
    return true;
}

void job_answer_end(struct job_answer *a)
{
    jw_end_object(&a->w);
    job_free(a->job);
    call_result_structured(a->call, buf_str(&a->text));
    buf_finish(&a->text);
}

void job_answer_info(void *ctx, const struct sandbox_info *info, const struct err *err)
{
    struct call *call = job_finish(ctx, err);
    if (!call)
        return;
    sandbox_info_result(call, info);
}

static void on_open(void *ctx, const struct sandbox_info *info, const struct err *err)
{
    struct tool_job *job = ctx;
    struct call *call = job_resume(job);
    if (!call) {
        job_free(job);
        return;
    }
    if (err) {
        struct err copy = *err;
        job_fail(job, call, &copy);
        return;
    }
    job->sandbox = info->id;
    job->sandbox_name = arena_dup(call_arena(call), info->name);
    job->notice = arena_dup(call_arena(call), info->first_notice);
    job->opened(job, call);
}

void job_open(struct tool_job *job, struct call *call,
              void (*opened)(struct tool_job *job, struct call *call))
{
    job_open_named(job, tool_arg_str(call, STR("sandbox")), opened);
}

void job_open_named(struct tool_job *job, struct str name,
                    void (*opened)(struct tool_job *job, struct call *call))
{
    job->opened = opened;
    job->awaits = true;
    sandbox_open(job->tools->sandboxes, job->owner, name, on_open, job);
}

/* Progress has to grow: the steps of one call are counted in thousandths, below the
 * seconds that a running command counts. */
void tools_doing(void *ctx, uint64_t owner, uint64_t sandbox, struct str text)
{
    struct tools_ctx *tools = ctx;
    for (struct tool_job *job = tools->jobs; job; job = job->next) {
        bool waits = job->awaits &&
                     (job->sandbox ? job->sandbox == sandbox : job->owner == owner);
        struct call *call = waits ? call_find(job->server, job->call) : NULL;
        if (call && call_wants_progress(call))
            call_progress(call, (double)++job->steps / 1000, -1, text,
                          loop_now_ms(tools->loop));
    }
}

void tools_finish(struct tools_ctx *ctx)
{
    while (ctx->jobs)
        job_free(ctx->jobs);
}
