/* write_file: replaces or creates a file, atomically. */
#include "base/base64.h"
#include "tools/common.h"
#include "tools/job.h"
#include "tools/tools.h"

struct write_job {
    struct tool_job job;
    struct arena arena; /* the content: it outlives a call that is cancelled */
    struct buf decoded;
    struct str path, content;
};

static void release(struct tool_job *job)
{
    struct write_job *wj = (struct write_job *)job;
    arena_finish(&wj->arena);
    buf_finish(&wj->decoded);
}

static void on_written(void *ctx, bool existed, const struct err *err)
{
    struct write_job *wj = ctx;
    struct call *call = job_resume(&wj->job);
    if (!call) {
        job_free(&wj->job);
        return;
    }
    if (err) {
        struct err copy = *err;
        job_fail(&wj->job, call, &copy);
        return;
    }
    struct buf text;
    struct json_writer w;
    buf_init(&text, 64 * 1024);
    jw_init(&w, &text);
    jw_object(&w);
    jw_key_str(&w, "path", tool_absolute(call, wj->path));
    jw_key_i64(&w, "bytes", (int64_t)wj->content.n);
    jw_key_bool(&w, "created", !existed);
    jw_key_str(&w, "sandbox", wj->job.sandbox_name);
    if (wj->job.notice.n)
        jw_key_str(&w, "notice", wj->job.notice);
    jw_end_object(&w);
    job_free(&wj->job);
    call_result_structured(call, buf_str(&text));
    buf_finish(&text);
}

/* The content in memory of the job's own. Unescaping makes a copy there by itself. */
static int read_content(struct write_job *wj, struct call *call, struct err *err)
{
    struct json content = json_get(call_args(call), STR("content"));
    struct str raw = json_raw(content);
    struct str text = json_str(content, &wj->arena);
    if (str_eq(tool_arg_str(call, STR("encoding")), STR("base64"))) {
        if (base64_decode(&wj->decoded, text, err) < 0) {
            err_prefix(err, "content");
            return -1;
        }
        text = buf_str(&wj->decoded);
    } else if (text.n && text.p >= raw.p && text.p < raw.p + raw.n) {
        text = arena_dup(&wj->arena, text);
    }
    if (text.n > SANDBOX_FILE_WRITE_MAX || wj->decoded.overflow) {
        err_set(err, ERR_LIMIT, "the content has more than %d MiB",
                SANDBOX_FILE_WRITE_MAX / (1024 * 1024));
        return err_remedy(err, "write it in parts and join them with execute_command");
    }
    wj->content = text;
    return 0;
}

static void opened(struct tool_job *job, struct call *call)
{
    struct write_job *wj = (struct write_job *)job;
    struct err err;
    if (read_content(wj, call, &err) < 0) {
        job_fail(job, call, &err);
        return;
    }
    wj->path = arena_dup(&wj->arena, tool_arg_str(call, STR("path")));
    job->awaits = true;
    file_write(job->tools->sandboxes, job->sandbox, wj->path, wj->content, on_written,
               job);
}

void tool_write_file(struct call *call)
{
    struct err err;
    if (tool_check_nul("path", tool_arg_str(call, STR("path")), &err) < 0) {
        tool_fail(call, &err);
        return;
    }
    struct write_job *wj = job_new(call, sizeof *wj);
    wj->job.release = release;
    buf_init(&wj->decoded, SANDBOX_FILE_WRITE_MAX + 4096);
    job_open(&wj->job, call, opened);
}
