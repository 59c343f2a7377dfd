/* The set of sandboxes and commands over the null backend: owners, names, limits, time
 * limits, watchers, input. */
#include "base/buf.h"
#include "base/fd.h"
#include "sandbox/backend.h"
#include "tests/unit/check.h"
#include <unistd.h>

struct world {
    struct loop *loop;
    struct sandboxes *set;
    uint64_t sandbox, command;
    enum err_kind kind;
    int news;
};

static void set_up(struct world *w, const char *default_name)
{
    struct err err;
    struct sandbox_config config = {.temp_dir = "/tmp", .default_name = default_name};
    sandbox_limits_default(&config.limits);
    config.limits.sandboxes = 2;
    config.limits.commands = 2;
    *w = (struct world){0};
    assert_int_equal(loop_new(&w->loop, &err), 0);
    assert_int_equal(sandboxes_new(&w->set, w->loop, &sandbox_null, &config, &err), 0);
}

static void tear_down(struct world *w)
{
    sandboxes_free(w->set);
    loop_free(w->loop);
}

static void on_open(void *ctx, const struct sandbox_info *info, const struct err *err)
{
    struct world *w = ctx;
    w->sandbox = info ? info->id : 0;
    w->kind = err ? err->kind : ERR_NONE;
}

static uint64_t open_sandbox(struct world *w, uint64_t owner, struct str name)
{
    sandbox_open(w->set, owner, name, on_open, w);
    return w->sandbox;
}

static void on_start(void *ctx, uint64_t command, const struct err *err)
{
    struct world *w = ctx;
    w->command = command;
    w->kind = err ? err->kind : ERR_NONE;
}

static uint64_t start(struct world *w, uint64_t sandbox, const char *text,
                      uint64_t timeout_ms)
{
    struct command_spec spec = {
        .command = str_of(text), .timeout_ms = timeout_ms, .keep_stdin = true};
    command_start(w->set, sandbox, &spec, on_start, w);
    return w->command;
}

static struct command_info info_of(struct world *w, uint64_t owner, uint64_t command)
{
    struct command_info info = {0};
    struct err err;
    assert_int_equal(command_get(w->set, owner, command, &info, &err), 0);
    return info;
}

static void owners_see_their_own(void **state)
{
    (void)state;
    struct world w;
    set_up(&w, NULL);
    uint64_t mine = open_sandbox(&w, 1, STR("")), theirs = open_sandbox(&w, 2, STR(""));
    assert_true(mine && theirs && mine != theirs);
    assert_int_equal(open_sandbox(&w, 1, STR("")), mine);
    uint64_t command = start(&w, mine, "echo x", 0);
    struct command_info info;
    struct err err;
    assert_int_equal(command_get(w.set, 2, command, &info, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_int_equal(command_list(w.set, 2, NULL, 0), 0);
    assert_int_equal(command_list(w.set, 1, NULL, 0), 1);
    sandboxes_drop_owner(w.set, 1);
    assert_int_equal(command_get(w.set, 1, command, &info, &err), -1);
    tear_down(&w);
}

static void names_and_limits(void **state)
{
    (void)state;
    static const char *const bad[] = {"../x", "a/b", ".", "a b", "\xc3\xa9"};
    struct world w;
    set_up(&w, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(open_sandbox(&w, 1, str_of(bad[i])), 0);
        assert_int_equal(w.kind, ERR_INVALID);
    }
    uint64_t a = open_sandbox(&w, 1, STR("a"));
    assert_true(a && open_sandbox(&w, 1, STR("b")));
    assert_int_equal(open_sandbox(&w, 1, STR("c")), 0);
    assert_int_equal(w.kind, ERR_LIMIT);
    assert_true(start(&w, a, "forever", 0) && start(&w, a, "forever", 0));
    assert_int_equal(start(&w, a, "forever", 0), 0);
    assert_int_equal(w.kind, ERR_LIMIT);
    tear_down(&w);
}

static void a_bad_default_name_is_refused(void **state)
{
    (void)state;
    struct loop *loop;
    struct sandboxes *set;
    struct err err;
    struct sandbox_config config = {.default_name = "../x"};
    assert_int_equal(loop_new(&loop, &err), 0);
    assert_int_equal(sandboxes_new(&set, loop, &sandbox_null, &config, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    loop_free(loop);
}

static void programs_without_a_shell(void **state)
{
    (void)state;
    struct world w;
    set_up(&w, NULL);
    uint64_t sandbox = open_sandbox(&w, 1, STR(""));
    struct str argv[] = {STR("echo"), STR("a  b"), STR("$c")};
    struct command_spec spec = {.argv = argv, .argv_count = 3};
    command_start(w.set, sandbox, &spec, on_start, &w);
    assert_int_equal(w.kind, ERR_NONE);
    char out[16];
    size_t n = command_read(w.set, w.command, COMMAND_STDOUT, 0, out, sizeof out);
    assert_memory_equal(out, "a  b $c\n", n);
    assert_int_equal(n, 8);
    argv[0] = STR("no-such-program");
    command_start(w.set, sandbox, &spec, on_start, &w);
    assert_int_equal(w.kind, ERR_NOT_FOUND);
    argv[0] = STR("echo");
    argv[2] = (struct str){"a\0b", 3};
    command_start(w.set, sandbox, &spec, on_start, &w);
    assert_int_equal(w.kind, ERR_INVALID);
    argv[0] = STR("");
    command_start(w.set, sandbox, &spec, on_start, &w);
    assert_int_equal(w.kind, ERR_LIMIT);
    tear_down(&w);
}

static void on_news(void *ctx, uint64_t command)
{
    struct world *w = ctx;
    w->news++;
    if (info_of(w, 1, command).status != COMMAND_RUNNING)
        loop_stop(w->loop);
}

static void a_time_limit_ends_it(void **state)
{
    (void)state;
    struct world w;
    set_up(&w, NULL);
    uint64_t command = start(&w, open_sandbox(&w, 1, STR("")), "forever", 20);
    uint64_t watch = command_watch(w.set, command, on_news, &w);
    loop_run(w.loop);
    struct command_info info = info_of(&w, 1, command);
    assert_int_equal(info.status, COMMAND_TIMED_OUT);
    assert_int_equal(info.exit_code, 137);
    assert_int_equal(w.news, 1);
    command_unwatch(w.set, watch);
    assert_int_equal(command_watch(w.set, command + 1, on_news, &w), 0);
    tear_down(&w);
}

static void input_and_output(void **state)
{
    (void)state;
    struct world w;
    struct err err;
    size_t taken = 0;
    char got[16];
    set_up(&w, "named");
    uint64_t command = start(&w, open_sandbox(&w, 1, STR("")), "cat", 0);
    assert_int_equal(command_input(w.set, command, STR("hello"), true, &taken, &err),
                     0);
    assert_int_equal(taken, 5);
    assert_int_equal(command_read(w.set, command, COMMAND_STDOUT, 1, got, sizeof got),
                     4);
    assert_memory_equal(got, "ello", 4);
    assert_int_equal(info_of(&w, 1, command).status, COMMAND_EXITED);
    assert_true(str_eq(info_of(&w, 1, command).sandbox_name, STR("named")));
    assert_int_equal(command_input(w.set, command, STR("x"), false, &taken, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    tear_down(&w);
}

struct filled {
    bool fails, existed;
    int fills, written;
    enum err_kind kind;
    struct buf content;
};

static int fill(void *ctx, int fd, struct err *err)
{
    struct filled *f = ctx;
    f->fills++;
    assert_int_equal(f->written, 0);
    if (fd_write_all(fd, STR("in ")) < 0 || fd_write_all(fd, STR("parts")) < 0)
        return err_set(err, ERR_IO, "writing");
    return f->fails ? err_set(err, ERR_CANCELLED, "not wanted any more") : 0;
}

static void on_written(void *ctx, bool existed, const struct err *err)
{
    struct filled *f = ctx;
    f->written++;
    f->existed = existed;
    f->kind = err ? err->kind : ERR_NONE;
}

static void on_file(void *ctx, int fd, uint64_t size_bytes, const struct err *err)
{
    struct filled *f = ctx;
    assert_null(err);
    char *to = buf_reserve(&f->content, (size_t)size_bytes + 1);
    assert_int_equal(pread(fd, to, (size_t)size_bytes + 1, 0), size_bytes);
    f->content.n = (size_t)size_bytes;
}

/* Content in parts, for a backend that opens the file first and for one that wants the
 * content in one piece. */
static void a_file_in_parts(void **state)
{
    (void)state;
    struct sandbox_backend whole = sandbox_null;
    whole.fills = false;
    const struct sandbox_backend *backends[] = {&sandbox_null, &whole};
    for (size_t i = 0; i < 2; i++) {
        struct world w = {0};
        struct err err;
        struct sandbox_config config = {.temp_dir = "/tmp"};
        sandbox_limits_default(&config.limits);
        assert_int_equal(loop_new(&w.loop, &err), 0);
        assert_int_equal(sandboxes_new(&w.set, w.loop, backends[i], &config, &err), 0);
        uint64_t sandbox = open_sandbox(&w, 1, STR(""));
        struct filled f = {0};
        file_fill(w.set, sandbox, STR("/f"), fill, on_written, &f);
        assert_int_equal(f.fills + f.written, 2);
        assert_int_equal(f.kind, ERR_NONE);
        buf_init(&f.content, 100);
        file_open(w.set, sandbox, STR("/f"), on_file, &f);
        assert_true(str_eq(buf_str(&f.content), STR("in parts")));
        buf_finish(&f.content);
        f = (struct filled){.fails = true};
        file_fill(w.set, sandbox, STR("/g"), fill, on_written, &f);
        assert_int_equal(f.kind, ERR_CANCELLED);
        f = (struct filled){0};
        file_fill(w.set, sandbox + 1, STR("/g"), fill, on_written, &f);
        assert_int_equal(f.fills, 0);
        assert_int_equal(f.kind, ERR_NOT_FOUND);
        tear_down(&w);
    }
}

/* A reader that is slow loses nothing: the command waits for it. */
static void a_held_back_command(void **state)
{
    (void)state;
    enum { BYTES = 1000000, KEEP = 64 * 1024, STEP = 1500 };
    struct world w;
    struct err err;
    struct sandbox_config config = {.temp_dir = "/tmp"};
    sandbox_limits_default(&config.limits);
    config.limits.keep_command_bytes = KEEP;
    w = (struct world){0};
    assert_int_equal(loop_new(&w.loop, &err), 0);
    assert_int_equal(sandboxes_new(&w.set, w.loop, &sandbox_null, &config, &err), 0);
    struct command_spec spec = {.command = STR("flood 1000000"), .hold = true};
    command_start(w.set, open_sandbox(&w, 1, STR("")), &spec, on_start, &w);
    uint64_t next[2] = {0, 0};
    struct command_info info;
    bool waited = false;
    do {
        char got[STEP];
        info = info_of(&w, 1, w.command);
        const struct command_output *out = &info.out[0];
        if (out->dropped_bytes) /* only of what was read */
            assert_true(out->head_bytes + out->dropped_bytes <= next[0]);
        waited |= info.status == COMMAND_RUNNING;
        next[0] +=
            command_read(w.set, w.command, COMMAND_STDOUT, next[0], got, sizeof got);
        command_hold(w.set, w.command, true, next);
    } while (info.status == COMMAND_RUNNING || next[0] < info.out[0].total_bytes);
    assert_true(waited);
    assert_int_equal(next[0], BYTES);
    assert_int_equal(info_of(&w, 1, w.command).status, COMMAND_EXITED);
    tear_down(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owners_see_their_own),
        cmocka_unit_test(names_and_limits),
        cmocka_unit_test(a_bad_default_name_is_refused),
        cmocka_unit_test(programs_without_a_shell),
        cmocka_unit_test(a_time_limit_ends_it),
        cmocka_unit_test(input_and_output),
        cmocka_unit_test(a_file_in_parts),
        cmocka_unit_test(a_held_back_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
