/* Which command a commandId means. A number counts the commands of this process. One in
 * a named sandbox of a backend that several servers share (Vercel) is named by its
 * sandbox and the backend's own id, so that any of them, also a later one, can find it.
 */
#include "tools/common.h"
#include "tools/job.h"
#include <stdio.h>

struct adopt {
    struct tool_job job;
    struct str remote; /* in the call's arena */
    tool_command_fn *found;
};

struct tool_id tool_command_id(const struct command_info *info)
{
    struct tool_id id;
    if (info->remote.n)
        snprintf(id.text, sizeof id.text, "%.*s:%.*s", STR_FMT(info->sandbox_name),
                 STR_FMT(info->remote));
    else
        snprintf(id.text, sizeof id.text, "c%llu", (unsigned long long)info->id);
    return id;
}

/* "c" and digits as tool_command_id() writes them; 0: something else. */
static uint64_t parse_number(struct str s)
{
    if (s.n < 2 || s.p[0] != 'c' || s.p[1] == '0')
        return 0;
    uint64_t value = 0;
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return 0;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.p[i] - '0'), &value))
            return 0;
    }
    return value;
}

static void no_command(struct call *call)
{
    struct str id = tool_arg_str(call, STR("commandId"));
    struct err err;
    err_set(&err, ERR_NOT_FOUND, "there is no command \"%.*s\"",
            id.n < 40 ? (int)id.n : 40, id.p);
    err_remedy(&err, "call command_output without commandId for the list");
    tool_fail(call, &err);
}

static void go_on(struct call *call, uint64_t command, tool_command_fn *fn)
{
    struct tools_ctx *tools = call_ctx(call);
    struct str sandbox = tool_arg_str(call, STR("sandbox"));
    struct command_info info;
    struct err err;
    if (command_get(tools->sandboxes, call_owner(call), command, &info, &err) == 0 &&
        (sandbox.n == 0 || str_eq(sandbox, info.sandbox_name)))
        fn(call, &info);
    else
        no_command(call);
}

static void on_adopted(void *ctx, uint64_t command, const struct err *err)
{
    struct adopt *a = ctx;
    struct call *call = job_resume(&a->job);
    tool_command_fn *found = a->found;
    if (!call || err) {
        job_end(&a->job, call, err);
        return;
    }
    job_free(&a->job);
    go_on(call, command, found);
}

static void opened(struct tool_job *job, struct call *call)
{
    struct adopt *a = (struct adopt *)job;
    (void)call;
    job->awaits = true;
    command_adopt(job->tools->sandboxes, job->sandbox, a->remote, on_adopted, a);
}

void tool_with_command(struct call *call, tool_command_fn *fn)
{
    struct str id = tool_arg_str(call, STR("commandId"));
    struct str sandbox = tool_arg_str(call, STR("sandbox"));
    ptrdiff_t colon = str_find(id, ':');
    struct str name = {id.p, colon < 0 ? 0 : (size_t)colon};
    if (name.n == 0) {
        go_on(call, parse_number(id), fn);
    } else if (name.n > SANDBOX_NAME_MAX || (sandbox.n && !str_eq(sandbox, name))) {
        no_command(call);
    } else {
        struct adopt *a = job_new(call, sizeof *a);
        a->remote = str_from(id, name.n + 1);
        a->found = fn;
        job_open_named(&a->job, name, opened);
    }
}
