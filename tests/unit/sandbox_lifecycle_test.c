/* What happens to sandboxes after they are made, over the null backend: create, list,
 * stop, resume, delete, time, idleness, tenants, snapshots, forks. */
#include "sandbox/backend.h"
#include "tests/unit/check.h"
#include <stdio.h>
#include <unistd.h>

enum { NAMES = 8 };

struct world {
    struct loop *loop;
    struct sandboxes *set;
    int answers;
    uint64_t sandbox, expires_ms;
    bool resumed;
    char notice[400], name[200], names[NAMES][200], snapshot[200], text[64];
    enum sandbox_status status[NAMES];
    size_t count;
    uint64_t memory_bytes;
    enum err_kind kind;
};

static const uint64_t principal = 7ULL << 32, connection = (7ULL << 32) + 1,
                      second = (7ULL << 32) + 2, stranger = (8ULL << 32) + 1;

static void set_up_with(struct world *w, const struct sandbox_backend *backend,
                        struct sandbox_config config)
{
    struct err err;
    config.temp_dir = "/tmp";
    sandbox_limits_default(&config.limits);
    config.limits.sandboxes = 4;
    *w = (struct world){0};
    assert_int_equal(loop_new(&w->loop, &err), 0);
    assert_int_equal(sandboxes_new(&w->set, w->loop, backend, &config, &err), 0);
}

static void set_up(struct world *w)
{
    set_up_with(w, &sandbox_null, (struct sandbox_config){0});
}

static void tear_down(struct world *w)
{
    sandboxes_free(w->set);
    loop_free(w->loop);
}

static void copy(char *to, size_t room, struct str s)
{
    snprintf(to, room, "%.*s", STR_FMT(s));
}

static void on_open(void *ctx, const struct sandbox_info *info, const struct err *err)
{
    struct world *w = ctx;
    w->answers++;
    w->kind = err ? err->kind : ERR_NONE;
    w->sandbox = info ? info->id : 0;
    w->name[0] = w->notice[0] = '\0';
    if (!info)
        return;
    w->resumed = info->resumed;
    w->expires_ms = info->expires_ms;
    w->memory_bytes = info->spec->memory_bytes;
    copy(w->name, sizeof w->name, info->name);
    copy(w->notice, sizeof w->notice, info->first_notice);
}

static void on_done(void *ctx, const struct err *err)
{
    struct world *w = ctx;
    w->answers++;
    w->kind = err ? err->kind : ERR_NONE;
}

static void on_list(void *ctx, const struct sandbox_info *infos, size_t count,
                    const struct err *err)
{
    struct world *w = ctx;
    w->answers++;
    w->kind = err ? err->kind : ERR_NONE;
    w->count = count;
    for (size_t i = 0; i < count && i < NAMES; i++) {
        copy(w->names[i], sizeof w->names[i], infos[i].name);
        w->status[i] = infos[i].status;
    }
}

static void on_snapshot(void *ctx, const struct snapshot_info *snapshot,
                        const struct err *err)
{
    struct world *w = ctx;
    w->answers++;
    w->kind = err ? err->kind : ERR_NONE;
    if (snapshot)
        copy(w->snapshot, sizeof w->snapshot, snapshot->id);
}

static void on_snapshots(void *ctx, const struct snapshot_info *snapshots, size_t count,
                         const struct err *err)
{
    struct world *w = ctx;
    (void)snapshots;
    w->answers++;
    w->kind = err ? err->kind : ERR_NONE;
    w->count = count;
}

static void on_written(void *ctx, bool existed, const struct err *err)
{
    (void)ctx;
    (void)existed;
    assert_null(err);
}

static void on_file(void *ctx, int fd, uint64_t size, const struct err *err)
{
    struct world *w = ctx;
    w->kind = err ? err->kind : ERR_NONE;
    ssize_t n = err ? 0 : pread(fd, w->text, sizeof w->text - 1, 0);
    w->text[n > 0 ? n : 0] = '\0';
    if (!err)
        assert_int_equal(size, n);
}

static uint64_t open_one(struct world *w, uint64_t owner, const char *name)
{
    sandbox_open(w->set, owner, str_of(name), on_open, w);
    return w->sandbox;
}

static uint64_t make(struct world *w, uint64_t owner, const char *name, bool ephemeral)
{
    struct sandbox_spec spec = {.name = str_of(name), .ephemeral = ephemeral};
    sandbox_create(w->set, owner, &spec, on_open, w);
    return w->sandbox;
}

static enum err_kind stop(struct world *w, uint64_t owner, const char *name,
                          enum sandbox_stop_mode mode)
{
    sandbox_stop(w->set, owner, str_of(name), mode, on_done, w);
    return w->kind;
}

static size_t list(struct world *w, uint64_t owner)
{
    sandbox_list(w->set, owner, on_list, w);
    return w->count;
}

static void put(struct world *w, uint64_t sandbox, const char *text)
{
    file_write(w->set, sandbox, STR("/f"), str_of(text), on_written, w);
}

static const char *get(struct world *w, uint64_t sandbox)
{
    file_open(w->set, sandbox, STR("/f"), on_file, w);
    return w->text;
}

static void names_are_new_once(void **state)
{
    (void)state;
    struct world w;
    set_up(&w);
    assert_true(make(&w, 1, "dev", false));
    assert_int_equal(make(&w, 1, "dev", false), 0);
    assert_int_equal(w.kind, ERR_CONFLICT);
    assert_int_equal(stop(&w, 1, "dev", SANDBOX_STOP_KEEP), ERR_NONE);
    assert_int_equal(make(&w, 1, "dev", false), 0);
    assert_int_equal(w.kind, ERR_CONFLICT);
    assert_int_equal(make(&w, 1, "default", false), 0);
    assert_int_equal(w.kind, ERR_INVALID);
    char long_name[SANDBOX_NAME_MAX + 2];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_int_equal(make(&w, 1, long_name, false), 0);
    assert_int_equal(w.kind, ERR_INVALID);
    assert_true(make(&w, 1, long_name + 1, false));
    assert_true(make(&w, 1, "", true));
    assert_int_equal(strlen(w.name), strlen("sb-") + 8);
    tear_down(&w);
}

static void stopped_files_stay(void **state)
{
    (void)state;
    struct world w;
    set_up(&w);
    put(&w, make(&w, 1, "dev", false), "kept");
    assert_int_equal(stop(&w, 1, "dev", SANDBOX_STOP_KEEP), ERR_NONE);
    assert_int_equal(stop(&w, 1, "dev", SANDBOX_STOP_KEEP), ERR_NONE);
    assert_int_equal(list(&w, 1), 1);
    assert_int_equal(w.status[0], SANDBOX_STOPPED);
    assert_string_equal(get(&w, open_one(&w, 1, "dev")), "kept");
    assert_true(w.resumed);
    assert_non_null(strstr(w.notice, "Resumed"));
    open_one(&w, 1, "dev");
    assert_false(w.resumed);
    assert_string_equal(w.notice, "");
    assert_int_equal(stop(&w, 1, "dev", SANDBOX_STOP_DELETE), ERR_NONE);
    assert_int_equal(list(&w, 1), 0);
    assert_int_equal(stop(&w, 1, "dev", SANDBOX_STOP_DELETE), ERR_NOT_FOUND);
    assert_int_equal(stop(&w, 1, "dev", SANDBOX_STOP_KEEP), ERR_NOT_FOUND);
    get(&w, open_one(&w, 1, "dev"));
    assert_int_equal(w.kind, ERR_NOT_FOUND);
    tear_down(&w);
}

static void a_default_one_stops_in_place(void **state)
{
    (void)state;
    struct world w;
    set_up(&w);
    assert_int_equal(stop(&w, 1, "", SANDBOX_STOP_KEEP), ERR_NOT_FOUND);
    uint64_t id = open_one(&w, 1, "");
    put(&w, id, "text");
    assert_int_equal(open_one(&w, 1, "default"), id);
    assert_int_equal(stop(&w, 1, "default", SANDBOX_STOP_KEEP), ERR_NONE);
    list(&w, 1);
    assert_string_equal(w.names[0], "default");
    assert_int_equal(w.status[0], SANDBOX_STOPPED);
    assert_int_equal(open_one(&w, 1, ""), id);
    assert_true(w.resumed);
    assert_string_equal(get(&w, id), "text");
    assert_int_equal(stop(&w, 1, "", SANDBOX_STOP_DELETE), ERR_NONE);
    assert_int_not_equal(open_one(&w, 1, ""), id);
    tear_down(&w);
}

static void commands_end_with_it(void **state)
{
    (void)state;
    struct world w;
    struct command_info info;
    struct err err;
    uint64_t ids[1];
    set_up(&w);
    struct command_spec spec = {.command = STR("forever")};
    command_start(w.set, open_one(&w, 1, "dev"), &spec, NULL, NULL);
    assert_int_equal(command_list(w.set, 1, ids, 1), 1);
    stop(&w, 1, "dev", SANDBOX_STOP_KEEP);
    assert_int_equal(command_get(w.set, 1, ids[0], &info, &err), 0);
    assert_int_equal(info.status, COMMAND_KILLED);
    assert_non_null(strstr(info.warning.p, "it was stopped"));
    tear_down(&w);
}

static void tenants_share_names(void **state)
{
    (void)state;
    struct world w;
    set_up(&w);
    uint64_t id = open_one(&w, connection, "dev");
    assert_int_equal(open_one(&w, second, "dev"), id);
    assert_int_not_equal(open_one(&w, stranger, "dev"), id);
    assert_int_not_equal(open_one(&w, second, ""), open_one(&w, connection, ""));
    assert_int_equal(list(&w, second), 2);
    sandboxes_drop_owner(w.set, connection);
    assert_int_equal(open_one(&w, second, "dev"), id);
    sandboxes_drop_owner(w.set, second);
    assert_int_equal(list(&w, principal), 1);
    assert_int_equal(w.status[0], SANDBOX_STOPPED);
    tear_down(&w);
}

static void stop_loop(void *ctx)
{
    loop_stop(ctx);
}

static void run_for(struct world *w, uint64_t ms)
{
    struct loop_timer *timer = loop_timer_new(w->loop, stop_loop, w->loop);
    loop_timer_start(timer, ms);
    loop_run(w->loop);
    loop_timer_free(timer);
}

static void its_time_ends(void **state)
{
    (void)state;
    struct world w;
    set_up(&w);
    struct sandbox_spec spec = {.name = STR("dev"), .timeout_ms = 20};
    sandbox_create(w.set, 1, &spec, on_open, &w);
    uint64_t before = w.expires_ms;
    assert_int_not_equal(before, 0);
    sandbox_extend(w.set, w.sandbox, 20, on_open, &w);
    assert_int_equal(w.expires_ms, before + 20);
    do
        run_for(&w, 5);
    while (list(&w, 1) == 1 && w.status[0] == SANDBOX_RUNNING);
    assert_int_equal(w.status[0], SANDBOX_STOPPED);
    assert_true(sandbox_unix_ms() >= before + 20);
    open_one(&w, 1, "dev");
    assert_true(w.resumed && w.expires_ms > before);
    make(&w, 1, "endless", false);
    sandbox_extend(w.set, w.sandbox, 20, on_open, &w);
    assert_int_equal(w.kind, ERR_INVALID);
    sandbox_extend(w.set, 99, 20, on_open, &w);
    assert_int_equal(w.kind, ERR_NOT_FOUND);
    tear_down(&w);
}

static void idle_principals(void **state)
{
    (void)state;
    struct world w;
    set_up_with(&w, &sandbox_null,
                (struct sandbox_config){.idle_stop_ms = 5, .idle_delete_ms = 10});
    uint64_t mine = open_one(&w, connection, "");
    uint64_t id = open_one(&w, principal, "");
    struct command_spec spec = {.command = STR("forever")};
    uint64_t command = 0;
    command_start(w.set, id, &spec, NULL, NULL);
    run_for(&w, 15);
    list(&w, principal);
    assert_int_equal(w.status[0], SANDBOX_RUNNING); /* a command runs in it */
    assert_int_equal(command_list(w.set, principal, &command, 1), 1);
    command_kill(w.set, command, COMMAND_KILLED);
    do
        run_for(&w, 2);
    while (list(&w, principal) == 1 && w.status[0] == SANDBOX_RUNNING);
    do
        run_for(&w, 2);
    while (list(&w, principal) == 1);
    assert_int_equal(w.count, 0);
    assert_int_equal(open_one(&w, connection, ""), mine);
    tear_down(&w);
}

static void snapshots_and_forks(void **state)
{
    (void)state;
    struct world w;
    set_up(&w);
    put(&w, open_one(&w, 1, "dev"), "one");
    sandbox_snapshot(w.set, 1, STR("dev"), on_snapshot, &w);
    assert_int_equal(w.kind, ERR_NONE);
    put(&w, open_one(&w, 1, "dev"), "two");
    struct sandbox_spec spec = {.name = STR("old"), .snapshot = str_of(w.snapshot)};
    sandbox_create(w.set, 1, &spec, on_open, &w);
    assert_string_equal(get(&w, w.sandbox), "one");
    spec = (struct sandbox_spec){.name = STR("new"), .memory_bytes = 1 << 30};
    sandbox_fork(w.set, 1, STR("dev"), &spec, on_open, &w);
    assert_string_equal(get(&w, w.sandbox), "two");
    assert_int_equal(w.memory_bytes, 1 << 30);
    sandbox_fork(w.set, 1, STR("nobody"), &spec, on_open, &w);
    assert_int_equal(w.kind, ERR_CONFLICT);
    spec.name = STR("x");
    sandbox_fork(w.set, 1, STR("nobody"), &spec, on_open, &w);
    assert_int_equal(w.kind, ERR_NOT_FOUND);
    sandbox_fork(w.set, 1, STR(""), &spec, on_open, &w);
    assert_int_equal(w.kind, ERR_INVALID);
    snapshot_list(w.set, 1, on_snapshots, &w);
    assert_int_equal(w.count, 1);
    snapshot_delete(w.set, 1, str_of(w.snapshot), on_done, &w);
    assert_int_equal(w.kind, ERR_NONE);
    snapshot_delete(w.set, 1, str_of(w.snapshot), on_done, &w);
    assert_int_equal(w.kind, ERR_NOT_FOUND);
    tear_down(&w);
}

static void settings_change(void **state)
{
    (void)state;
    struct world w;
    set_up(&w);
    make(&w, 1, "dev", false);
    struct sandbox_spec spec = {.memory_bytes = 99 << 20};
    sandbox_update(w.set, 1, STR("dev"), &spec, on_open, &w);
    assert_int_equal(w.memory_bytes, 99 << 20);
    stop(&w, 1, "dev", SANDBOX_STOP_KEEP);
    spec.memory_bytes = 98 << 20;
    sandbox_update(w.set, 1, STR("dev"), &spec, on_open, &w);
    assert_int_equal(w.kind, ERR_NONE);
    open_one(&w, 1, "dev");
    assert_int_equal(w.memory_bytes, 98 << 20);
    sandbox_update(w.set, 1, STR("nobody"), &spec, on_open, &w);
    assert_int_equal(w.kind, ERR_NOT_FOUND);
    tear_down(&w);
}

/* A backend that answers a stop later. */
static struct sandbox_op *held;
static void hold(void *self, struct sandbox_op *op)
{
    (void)self;
    held = op;
}

static void opened_while_it_stops(void **state)
{
    (void)state;
    struct world w;
    struct sandbox_backend slow = sandbox_null;
    slow.stop = hold;
    set_up_with(&w, &slow, (struct sandbox_config){0});
    put(&w, open_one(&w, 1, "dev"), "kept");
    stop(&w, 1, "dev", SANDBOX_STOP_KEEP);
    int answers = w.answers;
    open_one(&w, 1, "dev");
    assert_int_equal(w.answers, answers); /* it waits */
    assert_int_equal(list(&w, 1), 1);
    assert_int_equal(w.status[0], SANDBOX_STOPPING);
    assert_int_equal(stop(&w, 1, "dev", SANDBOX_STOP_KEEP), ERR_CONFLICT);
    answers = w.answers;
    sandbox_null.stop(w.set->impl, held);
    assert_int_equal(w.answers, answers + 2);
    assert_true(w.resumed);
    assert_string_equal(get(&w, w.sandbox), "kept");
    stop(&w, 1, "dev", SANDBOX_STOP_KEEP); /* and the set ends in the middle */
    tear_down(&w);
}

static void what_a_backend_lacks(void **state)
{
    (void)state;
    struct world w;
    struct sandbox_backend bare = sandbox_null;
    bare.list = bare.stop = bare.update = bare.snapshot = bare.snapshots = NULL;
    bare.snapshot_delete = NULL;
    bare.forks = false;
    set_up_with(&w, &bare, (struct sandbox_config){0});
    open_one(&w, 1, "dev");
    assert_int_equal(list(&w, 1), 1);
    assert_int_equal(stop(&w, 1, "dev", SANDBOX_STOP_KEEP), ERR_UNAVAILABLE);
    sandbox_snapshot(w.set, 1, STR("dev"), on_snapshot, &w);
    assert_int_equal(w.kind, ERR_UNAVAILABLE);
    snapshot_delete(w.set, 1, STR("x"), on_done, &w);
    assert_int_equal(w.kind, ERR_UNAVAILABLE);
    snapshot_list(w.set, 1, on_snapshots, &w);
    assert_int_equal(w.count, 0);
    struct sandbox_spec spec = {.name = STR("x")};
    sandbox_fork(w.set, 1, STR("dev"), &spec, on_open, &w);
    assert_int_equal(w.kind, ERR_UNAVAILABLE);
    sandbox_update(w.set, 1, STR("dev"), &spec, on_open, &w);
    assert_int_equal(w.kind, ERR_UNAVAILABLE);
    dir_make(w.set, w.sandbox, STR("/d"), true, on_done, &w);
    assert_int_equal(w.kind, ERR_UNAVAILABLE);
    tear_down(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_new_once),
        cmocka_unit_test(stopped_files_stay),
        cmocka_unit_test(a_default_one_stops_in_place),
        cmocka_unit_test(commands_end_with_it),
        cmocka_unit_test(tenants_share_names),
        cmocka_unit_test(its_time_ends),
        cmocka_unit_test(idle_principals),
        cmocka_unit_test(snapshots_and_forks),
        cmocka_unit_test(settings_change),
        cmocka_unit_test(opened_while_it_stops),
        cmocka_unit_test(what_a_backend_lacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
