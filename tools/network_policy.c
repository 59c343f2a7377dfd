/* network_policy: shows or replaces what a sandbox may reach. */
#include "sandbox/network_policy.h"
#include "tools/common.h"
#include "tools/job.h"
#include "tools/tools.h"

enum { POLICY_BYTES = 1024 * 1024 };

/* The arguments without the sandbox's name, which is not a policy's. */
static int read_policy(struct call *call, struct network_policy *ret_policy,
                       struct err *err)
{
    struct json args = call_args(call);
    struct json_writer w;
    struct json_doc doc;
    struct buf text;
    buf_init(&text, POLICY_BYTES);
    jw_init(&w, &text);
    jw_object(&w);
    static const char *const keys[] = {"mode", "allow", "subnets"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct json value = json_get(args, str_of(keys[i]));
        if (!json_present(value))
            continue;
        jw_key(&w, keys[i]);
        jw_json(&w, value);
    }
    jw_end_object(&w);
    int rc = text.overflow ? err_set(err, ERR_LIMIT, "the policy is too long")
                           : json_parse(&doc, call_arena(call), buf_str(&text), err);
    if (rc == 0)
        rc = network_policy_read(ret_policy, json_root(&doc), err);
    buf_finish(&text);
    return rc;
}

static bool wants_change(struct call *call)
{
    return tool_arg_given(call, STR("mode")) || tool_arg_given(call, STR("allow")) ||
           tool_arg_given(call, STR("subnets"));
}

static void answer(struct tool_job *job, struct call *call,
                   const struct sandbox_info *info)
{
    const struct network_policy *limit = sandboxes_network(job->tools->sandboxes);
    const struct network_policy *own = info->spec ? info->spec->network : NULL;
    struct buf text;
    struct json_writer w;
    buf_init(&text, POLICY_BYTES);
    jw_init(&w, &text);
    jw_object(&w);
    jw_key_str(&w, "sandbox", info->name);
    jw_key(&w, "policy");
    network_policy_write(own ? own : limit, &w);
    if (own && limit->mode != NETWORK_ALLOW_ALL) {
        jw_key(&w, "limit");
        network_policy_write(limit, &w);
    }
    if (job->notice.n)
        jw_key_str(&w, "notice", job->notice);
    jw_end_object(&w);
    job_free(job);
    call_result_structured(call, buf_str(&text));
    buf_finish(&text);
}

static void on_changed(void *ctx, const struct sandbox_info *info,
                       const struct err *err)
{
    struct tool_job *job = ctx;
    struct call *call = job_resume(job);
    if (!call || err)
        job_end(job, call, err);
    else
        answer(job, call, info);
}

static void opened(struct tool_job *job, struct call *call)
{
    struct network_policy policy;
    struct sandbox_info info;
    struct err err;
    if (!wants_change(call)) {
        if (sandbox_get(job->tools->sandboxes, job->sandbox, &info, &err) < 0)
            job_fail(job, call, &err);
        else
            answer(job, call, &info);
        return;
    }
    if (read_policy(call, &policy, &err) < 0) {
        job_fail(job, call, &err);
        return;
    }
    job->awaits = true;
    sandbox_network(job->tools->sandboxes, job->sandbox, &policy, on_changed, job);
    network_policy_finish(&policy);
}

void tool_network_policy(struct call *call)
{
    struct network_policy policy;
    struct err err;
    if (wants_change(call)) { /* wrong ones before a sandbox is made for it */
        if (read_policy(call, &policy, &err) < 0) {
            tool_fail(call, &err);
            return;
        }
        network_policy_finish(&policy);
    }
    job_open(job_new(call, sizeof(struct tool_job)), call, opened);
}
