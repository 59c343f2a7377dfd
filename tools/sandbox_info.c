#include "tools/sandbox_info.h"
#include "sandbox/network_policy.h"
#include "tools/common.h"

enum { MIB = 1024 * 1024, RESULT_BYTES = 64 * 1024 };

void sandbox_info_time(struct json_writer *w, const char *key, uint64_t unix_ms)
{
    if (unix_ms)
        jw_key_time(w, key, unix_ms);
}

static void write_str(struct json_writer *w, const char *key, struct str s)
{
    if (s.n)
        jw_key_str(w, key, s);
}

static void write_limits(struct json_writer *w, const struct sandbox_info *info)
{
    const struct sandbox_spec *s = info->spec;
    jw_key(w, "limits");
    jw_object(w);
    if (s->memory_bytes)
        jw_key_i64(w, "memoryMb", (int64_t)(s->memory_bytes / MIB));
    if (s->disk_bytes)
        jw_key_i64(w, "diskMb", (int64_t)(s->disk_bytes / MIB));
    if (s->cpu_millis) {
        jw_key(w, "cpus");
        jw_f64(w, (double)s->cpu_millis / 1000);
    }
    if (s->pids)
        jw_key_i64(w, "pids", s->pids);
    write_str(w, "enforcedBy", info->limited_by);
    jw_end_object(w);
}

void sandbox_info_write(struct json_writer *w, const struct sandbox_info *info)
{
    jw_key_str(w, "sandbox", info->name);
    jw_key_cstr(w, "status", sandbox_status_name(info->status));
    jw_key_cstr(w, "backend", info->backend);
    jw_key_bool(w, "filesKept", info->kept);
    if (info->id && info->level)
        jw_key_i64(w, "isolationLevel", info->level);
    sandbox_info_time(w, "createdAt", info->created_ms);
    sandbox_info_time(w, "expiresAt", info->expires_ms);
    if (info->held_by)
        jw_key_i64(w, "heldByPid", info->held_by);
    if (info->id) {
        jw_key_i64(w, "runningCommands", info->running);
        write_str(w, "os", info->os);
        write_str(w, "user", info->user);
        write_str(w, "home", info->home);
        write_str(w, "cwd", info->cwd);
        write_str(w, "workspaceOnHost", info->workspace);
    }
    if (info->spec) {
        write_limits(w, info);
        jw_key_list(w, "tags", info->spec->tags, info->spec->tag_count);
        if (info->spec->network) {
            jw_key(w, "networkPolicy");
            network_policy_write(info->spec->network, w);
        }
    }
}

void sandbox_info_result(struct call *call, const struct sandbox_info *info)
{
    struct buf text;
    struct json_writer w;
    buf_init(&text, RESULT_BYTES);
    jw_init(&w, &text);
    jw_object(&w);
    sandbox_info_write(&w, info);
    write_str(&w, "notice", info->first_notice);
    jw_end_object(&w);
    call_result_structured(call, buf_str(&text));
    buf_finish(&text);
}

static uint64_t mebibytes(struct call *call, struct str key)
{
    enum { MOST = 1 << 30 };
    int64_t value = tool_arg_i64(call, key, 0);
    return (uint64_t)(value > MOST ? MOST : value) * MIB;
}

int sandbox_spec_read(struct call *call, struct sandbox_spec *ret_spec, struct err *err)
{
    double cpus = 0;
    int64_t pids = tool_arg_i64(call, STR("pids"), 0);
    json_f64(json_get(call_args(call), STR("cpus")), &cpus);
    struct str name = tool_arg_str(call, STR("name"));
    *ret_spec = (struct sandbox_spec){
        .name = name,
        .ephemeral = name.n == 0,
        .memory_bytes = mebibytes(call, STR("memoryMb")),
        .disk_bytes = mebibytes(call, STR("diskMb")),
        .cpu_millis = cpus > 1e6 ? 1000000000 : (uint64_t)(cpus * 1000),
        .pids = (uint32_t)(pids > INT32_MAX ? INT32_MAX : pids),
        .timeout_ms = (uint64_t)tool_arg_i64(call, STR("timeoutMs"), 0),
        .snapshot = tool_arg_str(call, STR("snapshot")),
    };
    return tool_env(call, &ret_spec->env, &ret_spec->env_count, err);
}
