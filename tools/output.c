/* Cutting: a stream that does not fit is shown as its head and its tail, with a line
 * between them that says how many bytes are missing and how to read them. */
#include "tools/output.h"
#include "base/utf8.h"
#include "tools/common.h"
#include "tools/hint.h"
#include "tools/tools.h"
#include <signal.h>
#include <stdio.h>

enum {
    MARK_BYTES = 120, /* room for the line in the middle */
    LINE_BYTES = 200,
    RESULT_MAX = 4 * 1024 * 1024,
};

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

struct str output_head(struct str s, size_t budget)
{
    if (s.n <= budget && json_escaped_len(s) <= budget)
        return s;
    size_t low = 0, high = s.n < budget ? s.n : budget; /* `low` bytes fit */
    while (low < high) {
        size_t mid = low + (high - low + 1) / 2;
        if (json_escaped_len((struct str){s.p, mid}) <= budget)
            low = mid;
        else
            high = mid - 1;
    }
    s.n = low;
    s.n -= utf8_incomplete_tail(s);
    return s;
}

struct str output_tail(struct str s, size_t budget)
{
    if (s.n <= budget && json_escaped_len(s) <= budget)
        return s;
    size_t low = 0, high = s.n < budget ? s.n : budget; /* the last `low` fit */
    while (low < high) {
        size_t mid = low + (high - low + 1) / 2;
        if (json_escaped_len(str_from(s, s.n - mid)) <= budget)
            low = mid;
        else
            high = mid - 1;
    }
    s = str_from(s, s.n - low);
    for (int i = 0; i < 3 && s.n && is_continuation(s.p[0]); i++)
        s = str_from(s, 1);
    return s;
}

/* A cut between lines reads better, if one is near. */
static struct str whole_lines_of_head(struct str s)
{
    const char *lf = s.n ? memrchr(s.p + s.n - s.n / 4, '\n', s.n / 4) : NULL;
    if (lf)
        s.n = (size_t)(lf - s.p) + 1;
    return s;
}

static struct str whole_lines_of_tail(struct str s)
{
    const char *lf = s.n / 4 ? memchr(s.p, '\n', s.n / 4) : NULL;
    return lf ? str_from(s, (size_t)(lf - s.p) + 1) : s;
}

void output_share(size_t budget, const size_t want[2], size_t ret_share[2])
{
    size_t half = budget / 2;
    if (want[0] <= half) {
        ret_share[0] = want[0];
        ret_share[1] = budget - want[0];
    } else if (want[1] <= half) {
        ret_share[1] = want[1];
        ret_share[0] = budget - want[1];
    } else {
        ret_share[0] = half;
        ret_share[1] = budget - half;
    }
}

/* What an answer could show of one stream: all of it, or a first and a last part. */
struct shown {
    struct str head, tail;
    uint64_t total;
    bool whole;
    size_t want; /* encoded */
};

static struct str fetch(struct sandboxes *set, uint64_t command,
                        enum command_stream stream, const uint64_t from_to[2],
                        struct arena *a)
{
    size_t max = (size_t)(from_to[1] - from_to[0]);
    if (max == 0)
        return (struct str){"", 0};
    char *to = arena_alloc(a, max);
    return (struct str){to, command_read(set, command, stream, from_to[0], to, max)};
}

static struct shown look(struct sandboxes *set, const struct command_info *info,
                         enum command_stream stream, size_t max, struct arena *a)
{
    const struct command_output *out = &info->out[stream];
    struct shown s = {.total = out->total_bytes};
    uint64_t first = out->dropped_bytes ? out->head_bytes : out->total_bytes;
    uint64_t range[2] = {0, first < max ? first : max};
    s.head = fetch(set, info->id, stream, range, a);
    s.whole = s.head.n == out->total_bytes;
    if (!s.whole) {
        uint64_t least =
            out->dropped_bytes ? out->head_bytes + out->dropped_bytes : s.head.n;
        uint64_t tail = out->total_bytes - least < max ? out->total_bytes - least : max;
        uint64_t last[2] = {out->total_bytes - tail, out->total_bytes};
        s.tail = fetch(set, info->id, stream, last, a);
    }
    struct str *end = s.whole ? &s.head : &s.tail;
    if (info->status == COMMAND_RUNNING) /* the rest of a character is yet to come */
        end->n -= utf8_incomplete_tail(*end);
    s.want = s.whole ? json_escaped_len(s.head) : SIZE_MAX / 2;
    return s;
}

/* Writes the stream within budget; true when something was cut. */
static bool write_shown(struct json_writer *w, struct shown *s, const char *key,
                        size_t budget)
{
    if (s->whole && s->want <= budget) {
        jw_key_str(w, key, s->head);
        return false;
    }
    size_t half = budget > MARK_BYTES ? (budget - MARK_BYTES) / 2 : 0;
    struct str last = s->whole ? s->head : s->tail;
    struct str head = whole_lines_of_head(output_head(s->head, half));
    struct str tail = whole_lines_of_tail(output_tail(last, half));
    struct buf text;
    buf_init(&text, RESULT_MAX);
    buf_adds(&text, head);
    if (head.n && head.p[head.n - 1] != '\n')
        buf_addc(&text, '\n');
    buf_addf(&text,
             "[... %llu bytes left out; read them with command_output, %sOffset %zu "
             "...]\n",
             (unsigned long long)(s->total - head.n - tail.n), key, head.n);
    buf_adds(&text, tail);
    jw_key_str(w, key, buf_str(&text));
    buf_finish(&text);
    return true;
}

struct str output_last_line(struct sandboxes *set, const struct command_info *info,
                            struct arena *a)
{
    enum { LOOK_BYTES = 1024 };
    struct str line = {0};
    for (int stream = COMMAND_STDERR; stream >= COMMAND_STDOUT && line.n == 0;
         stream--) {
        uint64_t total = info->out[stream].total_bytes;
        uint64_t range[2] = {total > LOOK_BYTES ? total - LOOK_BYTES : 0, total};
        line = fetch(set, info->id, (enum command_stream)stream, range, a);
        while (line.n && (unsigned char)line.p[line.n - 1] <= ' ')
            line.n--;
    }
    const char *lf = line.n ? memrchr(line.p, '\n', line.n) : NULL;
    if (lf)
        line = str_from(line, (size_t)(lf - line.p) + 1);
    const char *cr = line.n ? memrchr(line.p, '\r', line.n) : NULL;
    if (cr) /* a progress bar draws itself anew */
        line = str_from(line, (size_t)(cr - line.p) + 1);
    return output_head(line, LINE_BYTES);
}

static const char *status_name(enum command_status status)
{
    static const char *const names[] = {"running", "exited", "timed_out", "killed",
                                        "unknown"};
    return (unsigned)status < sizeof names / sizeof names[0] ? names[status]
                                                             : "unknown";
}

static void write_warning(struct json_writer *w, const struct command_info *info,
                          struct str extra)
{
    struct buf text;
    buf_init(&text, 64 * 1024);
    buf_adds(&text, info->warning);
    if (info->evicted)
        buf_addf(&text, "%sIts output is gone: it made room for newer commands.",
                 text.n ? " " : "");
    if (extra.n)
        buf_addf(&text, "%s%.*s", text.n ? " " : "", STR_FMT(extra));
    if (text.n)
        jw_key_str(w, "warning", buf_str(&text));
    buf_finish(&text);
}

struct str output_hint(struct call *call, const struct command_info *info)
{
    enum { LOOK_BYTES = 4096 };
    struct tools_ctx *tools = call_ctx(call);
    struct arena *a = call_arena(call);
    uint64_t total = info->out[COMMAND_STDERR].total_bytes;
    uint64_t range[2] = {total > LOOK_BYTES ? total - LOOK_BYTES : 0, total};
    if (info->status != COMMAND_EXITED || info->exit_code == 0)
        return (struct str){0};
    struct sandbox_info sandbox;
    struct err gone;
    if (sandbox_get(tools->sandboxes, info->sandbox, &sandbox, &gone) < 0)
        return (struct str){0};
    struct str said = fetch(tools->sandboxes, info->id, COMMAND_STDERR, range, a);
    return hint_failed(info, &sandbox, said, a);
}

void output_status(struct json_writer *w, const struct command_info *info,
                   struct str extra_warning)
{
    struct tool_id id = tool_command_id(info);
    jw_key(w, "exitCode");
    if (info->status != COMMAND_RUNNING && info->status != COMMAND_UNKNOWN)
        jw_i64(w, info->exit_code);
    else
        jw_null(w);
    jw_key_cstr(w, "status", status_name(info->status));
    jw_key_bool(w, "timedOut", info->status == COMMAND_TIMED_OUT);
    const char *abbreviation = info->signal > 0 ? sigabbrev_np(info->signal) : NULL;
    if (info->signal > 0) {
        char name[24];
        if (abbreviation)
            snprintf(name, sizeof name, "SIG%s", abbreviation);
        else
            snprintf(name, sizeof name, "SIG%d", info->signal);
        jw_key_cstr(w, "signal", name);
    }
    if (info->oom_killed)
        jw_key_bool(w, "oomKilled", true);
    jw_key_i64(w, "durationMs", (int64_t)info->duration_ms);
    jw_key_cstr(w, "commandId", id.text);
    jw_key_str(w, "sandbox", info->sandbox_name);
    write_warning(w, info, extra_warning);
}

void output_result(struct call *call, const struct command_info *info, size_t max_bytes,
                   struct str notice)
{
    struct tools_ctx *tools = call_ctx(call);
    struct arena *a = call_arena(call);
    struct shown shown[2];
    size_t want[2], share[2];
    for (int i = 0; i < 2; i++) {
        shown[i] = look(tools->sandboxes, info, (enum command_stream)i, max_bytes, a);
        want[i] = shown[i].want;
    }
    output_share(max_bytes, want, share);
    struct buf text;
    struct json_writer w;
    buf_init(&text, RESULT_MAX);
    jw_init(&w, &text);
    jw_object(&w);
    bool cut = write_shown(&w, &shown[0], "stdout", share[0]);
    cut |= write_shown(&w, &shown[1], "stderr", share[1]);
    output_status(&w, info, output_hint(call, info));
    if (cut) {
        jw_key(&w, "truncated");
        jw_object(&w);
        jw_key_i64(&w, "stdoutBytes", (int64_t)shown[0].total);
        jw_key_i64(&w, "stderrBytes", (int64_t)shown[1].total);
        jw_end_object(&w);
    }
    if (notice.n)
        jw_key_str(&w, "notice", notice);
    jw_end_object(&w);
    call_result_structured(call, buf_str(&text));
    buf_finish(&text);
}
