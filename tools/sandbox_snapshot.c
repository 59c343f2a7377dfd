/* sandbox_snapshot: makes, lists and deletes snapshots. */
#include "tools/common.h"
#include "tools/job.h"
#include "tools/sandbox_info.h"
#include "tools/tools.h"

static void write_snapshot(struct json_writer *w, const struct snapshot_info *info)
{
    jw_key_str(w, "snapshot", info->id);
    jw_key_str(w, "sandbox", info->source);
    sandbox_info_time(w, "createdAt", info->created_ms);
    sandbox_info_time(w, "expiresAt", info->expires_ms);
    if (info->size_bytes)
        jw_key_i64(w, "bytes", (int64_t)info->size_bytes);
}

static void on_snapshot(void *ctx, const struct snapshot_info *info,
                        const struct err *err)
{
    struct job_answer a;
    if (!job_answer_begin(&a, ctx, err))
        return;
    struct json_writer *w = &a.w;
    write_snapshot(w, info);
    job_answer_end(&a);
}

static void on_list(void *ctx, const struct snapshot_info *infos, size_t count,
                    const struct err *err)
{
    struct job_answer a;
    if (!job_answer_begin(&a, ctx, err))
        return;
    struct json_writer *w = &a.w;
    jw_key(w, "snapshots");
    jw_array(w);
    for (size_t i = 0; i < count; i++) {
        jw_object(w);
        write_snapshot(w, &infos[i]);
        jw_end_object(w);
    }
    jw_end_array(w);
    job_answer_end(&a);
}

static void on_deleted(void *ctx, const struct err *err)
{
    struct job_answer a;
    if (!job_answer_begin(&a, ctx, err))
        return;
    struct json_writer *w = &a.w;
    jw_key_str(w, "snapshot", tool_arg_str(a.call, STR("snapshot")));
    jw_key_cstr(w, "status", "deleted");
    job_answer_end(&a);
}

static int check(struct call *call, bool deletes, bool creates, struct err *err)
{
    const char *missing = deletes && !tool_arg_given(call, STR("snapshot")) ? "snapshot"
                          : creates && !tool_arg_given(call, STR("sandbox")) ? "sandbox"
                                                                             : NULL;
    if (!missing)
        return 0;
    err_set(err, ERR_INVALID, "which %s?", missing);
    return err_remedy(err, "give %s", missing);
}

void tool_sandbox_snapshot(struct call *call)
{
    struct err err;
    struct str action = tool_arg_str(call, STR("action"));
    bool lists = str_eq(action, STR("list")), deletes = str_eq(action, STR("delete"));
    if (check(call, deletes, !lists && !deletes, &err) < 0) {
        tool_fail(call, &err);
        return;
    }
    struct tool_job *job = job_new(call, sizeof *job);
    struct sandboxes *set = job->tools->sandboxes;
    job->awaits = true;
    if (lists)
        snapshot_list(set, job->owner, on_list, job);
    else if (deletes)
        snapshot_delete(set, job->owner, tool_arg_str(call, STR("snapshot")),
                        on_deleted, job);
    else
        sandbox_snapshot(set, job->owner, tool_arg_str(call, STR("sandbox")),
                         on_snapshot, job);
}
