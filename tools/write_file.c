/* write_file: replaces or creates a file, atomically. */
#include "base/base64.h"
#include "base/fd.h"
#include "tools/common.h"
#include "tools/job.h"
#include "tools/tools.h"
#include <errno.h>

struct write_job {
    struct tool_job job;
    struct buf decoded; /* of base64 */
    bool is_base64;
    uint64_t written_bytes;
};

static void release(struct tool_job *job)
{
    struct write_job *wj = (struct write_job *)job;
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
    jw_key_str(&w, "path", tool_absolute(call, tool_arg_str(call, STR("path"))));
    jw_key_i64(&w, "bytes", (int64_t)wj->written_bytes);
    jw_key_bool(&w, "created", !existed);
    jw_key_str(&w, "sandbox", wj->job.sandbox_name);
    if (wj->job.notice.n)
        jw_key_str(&w, "notice", wj->job.notice);
    jw_end_object(&w);
    job_free(&wj->job);
    call_result_structured(call, buf_str(&text));
    buf_finish(&text);
}

static int decode(struct write_job *wj, struct call *call, struct err *err)
{
    if (base64_decode(&wj->decoded, tool_arg_str(call, STR("content")), err) < 0) {
        err_prefix(err, "content");
        return -1;
    }
    if (wj->decoded.n > SANDBOX_FILE_WRITE_MAX) {
        err_set(err, ERR_LIMIT, "the content has more than %d MiB",
                SANDBOX_FILE_WRITE_MAX / (1024 * 1024));
        return err_remedy(err, "write it in parts and join them with execute_command");
    }
    return 0;
}

/* The file is open: text goes into it as it is unescaped, in parts that stay in the
 * cache. */
static int fill(void *ctx, int fd, struct err *err)
{
    char room[64 * 1024];
    struct write_job *wj = ctx;
    struct call *call = call_find(wj->job.server, wj->job.call);
    if (!call)
        return err_set(err, ERR_CANCELLED, "the call was cancelled");
    wj->written_bytes = wj->decoded.n;
    int rc = fd_write_all(fd, buf_str(&wj->decoded));
    buf_finish(&wj->decoded); /* whoever sends the file has a copy of its own */
    struct json_parts parts = json_parts(json_get(call_args(call), STR("content")));
    struct str part = {0};
    while (rc == 0 && !wj->is_base64 &&
           (part = json_parts_next(&parts, room, sizeof room)).n > 0) {
        rc = fd_write_all(fd, part);
        wj->written_bytes += part.n;
    }
    return rc < 0 ? err_sys(err, errno, "writing the file") : 0;
}

static void opened(struct tool_job *job, struct call *call)
{
    struct write_job *wj = (struct write_job *)job;
    struct err err;
    wj->is_base64 = str_eq(tool_arg_str(call, STR("encoding")), STR("base64"));
    if (wj->is_base64 && decode(wj, call, &err) < 0) {
        job_fail(job, call, &err);
        return;
    }
    job->awaits = true;
    file_fill(job->tools->sandboxes, job->sandbox, tool_arg_str(call, STR("path")),
              fill, on_written, job);
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
