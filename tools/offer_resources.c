/* Sandboxes and their files as resources. */
#include "base/utf8.h"
#include "tools/common.h"
#include "tools/filetype.h"
#include "tools/job.h"
#include "tools/offer.h"
#include "tools/sandbox_info.h"
#include <errno.h>

enum {
    FILE_MAX = 4 * 1024 * 1024, /* as base64 it still fits a message */
    INFO_BYTES = 64 * 1024,
    COMPLETED_MAX = 1000,
};

/* --- The list --- */

static void write_entry(struct json_writer *w, const struct sandbox_info *info)
{
    struct buf text;
    buf_init(&text, INFO_BYTES);
    jw_object(w);
    tool_write_uri(&text, info->name, (struct str){0});
    jw_key_str(w, "uri", buf_str(&text));
    jw_key_str(w, "name", info->name);
    buf_reset(&text, INFO_BYTES);
    buf_addf(&text, "Sandbox, %s%s, %s", sandbox_status_name(info->status),
             info->is_default ? ", the default one" : "", info->backend);
    jw_key_str(w, "description", buf_str(&text));
    jw_key_cstr(w, "mimeType", "application/json");
    jw_end_object(w);
    buf_finish(&text);
}

static void on_list(void *ctx, const struct sandbox_info *infos, size_t count,
                    const struct err *err)
{
    struct call *call = job_finish(ctx, err);
    if (!call)
        return;
    struct json_writer *w = call_resources_begin(call);
    for (size_t i = 0; i < count; i++)
        write_entry(w, &infos[i]);
    call_resources_end(call, (struct str){0});
}

static void list(struct call *call, sandbox_list_fn *fn)
{
    struct tool_job *job = job_new(call, sizeof *job);
    job->awaits = true;
    sandbox_list(job->tools->sandboxes, job->owner, fn, job);
}

void offer_list_sandboxes(struct call *call)
{
    list(call, on_list);
}

/* --- One sandbox --- */

static const struct sandbox_info *find(const struct sandbox_info *infos, size_t count,
                                       struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(infos[i].name, name))
            return &infos[i];
    return NULL;
}

/* The sandbox of the call's URI among these. NULL: the call has failed. */
static const struct sandbox_info *wanted(struct tool_job *job, struct call *call,
                                         const struct sandbox_info *infos, size_t count)
{
    struct str name = call_var(call, STR("sandbox"));
    const struct sandbox_info *info = find(infos, count, name);
    if (info)
        return info;
    struct err err;
    err_set(&err, ERR_NOT_FOUND, "there is no sandbox \"%.*s\"",
            name.n < SANDBOX_NAME_MAX ? (int)name.n : SANDBOX_NAME_MAX, name.p);
    job_fail(job, call, &err);
    return NULL;
}

static void on_info(void *ctx, const struct sandbox_info *infos, size_t count,
                    const struct err *err)
{
    struct tool_job *job = ctx;
    struct call *call = job_resume(job);
    if (!call || err) {
        job_end(job, call, err);
        return;
    }
    const struct sandbox_info *info = wanted(job, call, infos, count);
    if (!info)
        return;
    struct buf text;
    struct json_writer w;
    buf_init(&text, INFO_BYTES);
    jw_init(&w, &text);
    jw_object(&w);
    sandbox_info_write(&w, info);
    jw_end_object(&w);
    job_free(job);
    call_contents_text(call_contents_begin(call), call_uri(call),
                       STR("application/json"), buf_str(&text));
    call_contents_end(call);
    buf_finish(&text);
}

void offer_read_sandbox(struct call *call)
{
    list(call, on_info);
}

/* --- A file --- */

static int answer_file(struct call *call, int fd, uint64_t size_bytes, struct err *err)
{
    /* Files of /proc have no size, and content. */
    size_t room = size_bytes && size_bytes < FILE_MAX ? (size_t)size_bytes : FILE_MAX;
    char *bytes = arena_alloc(call_arena(call), room + 1);
    ssize_t n = tool_read_at(fd, bytes, room + 1, 0);
    if (n < 0)
        return err_sys(err, errno, "reading");
    if (n > FILE_MAX) {
        err_set(err, ERR_LIMIT, "the file is over %d MiB", FILE_MAX >> 20);
        return err_remedy(err, "read it in parts with read_file");
    }
    struct str content = {bytes, (size_t)n};
    struct str head = {bytes, content.n < 512 ? content.n : 512};
    struct json_writer *w = call_contents_begin(call);
    if (utf8_valid(content) && str_find(content, '\0') < 0)
        call_contents_text(w, call_uri(call), STR("text/plain"), content);
    else
        call_contents_blob(w, call_uri(call), str_of(filetype_mime(head)), content);
    call_contents_end(call);
    return 0;
}

static void on_file(void *ctx, int fd, uint64_t size_bytes, const struct err *err)
{
    struct call *call = job_finish(ctx, err);
    struct err problem;
    if (!call)
        return;
    if (answer_file(call, fd, size_bytes, &problem) < 0)
        tool_fail(call, &problem);
}

static void opened(struct tool_job *job, struct call *call)
{
    struct str path = call_var(call, STR("path"));
    char *absolute = arena_alloc(call_arena(call), path.n + 1);
    absolute[0] = '/';
    memcpy(absolute + 1, path.p, path.n);
    job->awaits = true;
    file_open(job->tools->sandboxes, job->sandbox, (struct str){absolute, path.n + 1},
              on_file, job);
}

static void on_found(void *ctx, const struct sandbox_info *infos, size_t count,
                     const struct err *err)
{
    struct tool_job *job = ctx;
    struct call *call = job_resume(job);
    if (!call || err) {
        job_end(job, call, err);
        return;
    }
    const struct sandbox_info *info = wanted(job, call, infos, count);
    if (info)
        job_open_named(job, info->is_default ? (struct str){0} : info->name, opened);
}

void offer_read_file(struct call *call)
{
    struct err err;
    if (tool_check_nul("path", call_var(call, STR("path")), &err) < 0)
        tool_fail(call, &err);
    else
        list(call, on_found);
}

/* --- Completion --- */

static void on_names(void *ctx, const struct sandbox_info *infos, size_t count,
                     const struct err *err)
{
    struct call *call = job_finish(ctx, err);
    if (!call)
        return;
    struct str names[COMPLETED_MAX];
    size_t found = 0;
    for (size_t i = 0; i < count && found < COMPLETED_MAX; i++)
        if (str_starts(infos[i].name, call_argument_value(call)))
            names[found++] = infos[i].name;
    call_complete(call, names, found);
}

/* Paths are not completed: that would start the sandbox at a key stroke. */
void offer_complete_sandbox(struct call *call)
{
    if (str_eq(call_argument_name(call), STR("sandbox")))
        list(call, on_names);
    else
        call_complete(call, NULL, 0);
}
