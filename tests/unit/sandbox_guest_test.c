/* What the server makes of a guest that lies: the requests that it sends, right
 * answers, wrong ones, and none. After each the server goes on, everybody who asked is
 * answered once, and no descriptor is left. */
#include "base/fd.h"
#include "tests/common/false_guest.h"
#include "tests/unit/check.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct world {
    struct false_guest f;
    uint64_t sandbox, command;
    int opened, started, files, written, filled; /* callbacks */
    bool existed;
    uint64_t size_bytes;
    struct err err; /* of the last callback; kind 0: it was a success */
    int fds;        /* open ones before */
};

static int open_descriptors(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void note(struct world *w, const struct err *err)
{
    w->err = err ? *err : (struct err){0};
}

static void on_open(void *ctx, const struct sandbox_info *info, const struct err *err)
{
    struct world *w = ctx;
    w->opened++;
    w->sandbox = info ? info->id : 0;
    note(w, err);
}

static void on_start(void *ctx, uint64_t command, const struct err *err)
{
    struct world *w = ctx;
    w->started++;
    w->command = command;
    note(w, err);
}

static void on_file(void *ctx, int fd, uint64_t size_bytes, const struct err *err)
{
    struct world *w = ctx;
    (void)fd;
    w->files++;
    w->size_bytes = size_bytes;
    note(w, err);
}

static void on_written(void *ctx, bool existed, const struct err *err)
{
    struct world *w = ctx;
    w->written++;
    w->existed = existed;
    note(w, err);
}

static int set_up(void **state)
{
    static struct world w;
    w = (struct world){.fds = open_descriptors()};
    false_guest_init(&w.f);
    sandbox_open(w.f.set, 1, STR(""), on_open, &w);
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    false_guest_finish(&w->f);
    assert_int_equal(open_descriptors(), w->fds);
    return 0;
}

/* What libuv opens once for all loops is no leak. */
static int first_loop(void **state)
{
    struct loop *loop;
    struct err err;
    (void)state;
    if (loop_new(&loop, &err) < 0)
        return -1;
    loop_free(loop);
    return 0;
}

static struct world *ready(void **state)
{
    struct world *w = *state;
    assert_true(false_guest_ready(&w->f));
    assert_int_equal(w->opened, 1);
    assert_int_not_equal(w->sandbox, 0);
    return w;
}

/* The next request, which must be of this type. */
static struct wire_message hear(struct world *w, uint32_t type)
{
    struct wire_message m;
    assert_true(false_guest_hear(&w->f, &m));
    assert_int_equal(m.type, type);
    return m;
}

static void say(struct world *w, uint32_t type, uint32_t id, const void *body, size_t n,
                int fd)
{
    assert_int_equal(false_guest_say(&w->f, &(struct wire_out){.type = type,
                                                               .id = id,
                                                               .body = body,
                                                               .body_bytes = n,
                                                               .fds = &fd,
                                                               .fd_count = fd >= 0}),
                     0);
}

static void tell(struct world *w, uint32_t type, uint32_t id, const void *body,
                 size_t n, int fd)
{
    say(w, type, id, body, n, fd);
    false_guest_turn(&w->f);
}

#define TELL(w, type, id, body) tell(w, type, id, &(body), sizeof(body), -1)

static const struct guest_started started = {.pid = 7};
static const struct guest_exited exited = {.exit_code = 3};
static const struct guest_failed failed = {.sys = EACCES};

/* A command that the guest has been asked for; its id. The pipes are closed. */
static uint32_t begin_command(struct world *w)
{
    struct command_spec spec = {.command = STR("anything"), .keep_stdin = true};
    w->started = 0;
    command_start(w->f.set, w->sandbox, &spec, on_start, w);
    struct wire_message m = hear(w, GUEST_EXEC);
    assert_int_equal(m.fd_count, 3);
    wire_close_fds(&m);
    return m.id;
}

static struct command_info info_of(struct world *w)
{
    struct command_info info;
    struct err err;
    assert_int_equal(command_get(w->f.set, 1, w->command, &info, &err), 0);
    return info;
}

/* The sandbox was given up, which says so; another one can be had. */
static void assert_given_up(struct world *w)
{
    struct command_spec spec = {.command = STR("anything")};
    false_guest_turn(&w->f);
    command_start(w->f.set, w->sandbox, &spec, on_start, w);
    assert_int_equal(w->err.kind, ERR_NOT_FOUND);
    w->opened = 0;
    sandbox_open(w->f.set, 1, STR(""), on_open, w);
    assert_true(false_guest_ready(&w->f));
    assert_int_equal(w->opened, 1);
    assert_int_equal(w->err.kind, ERR_NONE);
}

static void a_command(void **state)
{
    struct world *w = ready(state);
    struct command_spec spec = {.command = STR("cat"),
                                .cwd = STR("/tmp"),
                                .env = &STR("A=b c"),
                                .env_count = 1,
                                .keep_stdin = true};
    struct guest_exec request;
    char got[16];
    size_t taken;
    command_start(w->f.set, w->sandbox, &spec, on_start, w);
    struct wire_message m = hear(w, GUEST_EXEC);
    assert_int_equal(m.fd_count, 3);
    assert_int_equal(m.body_bytes, sizeof request);
    memcpy(&request, m.body, sizeof request);
    assert_int_equal(request.argc, 3);
    assert_memory_equal(m.tail.p, "/bin/bash\0-c\0cat\0", 17);
    assert_true(str_ends(m.tail, STR("\0A=b c\0/tmp\0")));
    assert_int_equal(w->started, 0);
    TELL(w, GUEST_STARTED, m.id, started);
    assert_int_equal(w->started, 1);
    assert_int_equal(
        command_input(w->f.set, w->command, STR("hello"), false, &taken, &w->err), 0);
    assert_int_equal(read(m.fds[0], got, sizeof got), 5);
    assert_int_equal(write(m.fds[1], got, 5), 5);
    assert_int_equal(write(m.fds[2], "oops", 4), 4);
    TELL(w, GUEST_EXITED, m.id, exited); /* what is in the pipes is not lost */
    struct command_info info = info_of(w);
    assert_int_equal(info.status, COMMAND_EXITED);
    assert_int_equal(info.exit_code, 3);
    assert_int_equal(info.out[0].total_bytes, 5);
    assert_int_equal(info.out[1].total_bytes, 4);
    wire_close_fds(&m);
}

static void the_end_before_the_start(void **state)
{
    struct world *w = ready(state);
    uint32_t id = begin_command(w);
    TELL(w, GUEST_EXITED, id, exited);
    assert_int_equal(w->started, 1);
    assert_int_equal(info_of(w).status, COMMAND_EXITED);
}

static void starts_and_ends_twice(void **state)
{
    struct world *w = ready(state);
    struct guest_exited other = {.exit_code = 9, .oom_killed = 1};
    uint32_t id = begin_command(w);
    TELL(w, GUEST_STARTED, id, started);
    TELL(w, GUEST_STARTED, id, started);
    assert_int_equal(w->started, 1);
    TELL(w, GUEST_EXITED, id, exited);
    TELL(w, GUEST_EXITED, id, other);
    TELL(w, GUEST_STARTED, id, started);
    TELL(w, GUEST_FAILED, id, failed);
    assert_int_equal(w->started, 1);
    assert_int_equal(info_of(w).exit_code, 3);
    assert_false(info_of(w).oom_killed);
}

static void a_failure_after_the_start(void **state)
{
    struct world *w = ready(state);
    uint32_t id = begin_command(w);
    TELL(w, GUEST_STARTED, id, started);
    TELL(w, GUEST_FAILED, id, failed);
    assert_int_equal(w->started, 1);
    assert_int_equal(info_of(w).status, COMMAND_UNKNOWN);
}

static void numbers_out_of_range(void **state)
{
    struct world *w = ready(state);
    static const struct guest_exited ends[] = {
        {.exit_code = -5},
        {.exit_code = INT32_MAX},
        {.exit_code = 0, .signal = 0x7fffffff, .left_behind = 77},
        {.exit_code = 0, .signal = INT32_MIN},
    };
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        uint32_t id = begin_command(w);
        TELL(w, GUEST_EXITED, id, ends[i]);
        struct command_info info = info_of(w);
        assert_in_range(info.exit_code, 0, 255);
        assert_in_range(info.signal, 0, 127);
    }
    struct guest_failed odd = {.sys = 123456, .what = 999};
    uint32_t id = begin_command(w);
    TELL(w, GUEST_FAILED, id, odd);
    assert_int_equal(w->err.kind, ERR_IO);
}

static void kinds_of_failure(void **state)
{
    struct world *w = ready(state);
    static const struct {
        struct guest_failed failed;
        enum err_kind kind;
    } rows[] = {
        {{.sys = ENOENT, .what = GUEST_WHAT_BAD_CWD}, ERR_INVALID},
        {{.sys = EAGAIN}, ERR_LIMIT},
        {{.sys = ENOMEM}, ERR_IO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t id = begin_command(w);
        TELL(w, GUEST_FAILED, id, rows[i].failed);
        assert_int_equal(w->started, 1);
        assert_int_equal(w->err.kind, rows[i].kind);
    }
}

static void ids_that_nobody_asked_for(void **state)
{
    struct world *w = ready(state);
    struct guest_opened opened = {0};
    uint32_t id = begin_command(w);
    TELL(w, GUEST_EXITED, id + 1, exited);
    TELL(w, GUEST_FAILED, 0, failed);
    tell(w, GUEST_OPENED, id + 100, &opened, sizeof opened, w->f.zygote);
    tell(w, 4711, UINT32_MAX, "x", 1, w->f.zygote);
    TELL(w, GUEST_EXITED, id, exited); /* the sandbox is still there */
    assert_int_equal(info_of(w).status, COMMAND_EXITED);
}

/* Answers that are none to what was asked: of another kind, of a wrong size, with too
 * many descriptors or too few. */
static void answers_of_the_wrong_kind(void **state)
{
    struct world *w = ready(state);
    struct guest_opened opened = {0};
    static const struct {
        uint32_t type;
        size_t body_bytes;
        bool fd;
    } rows[] = {
        {GUEST_EXITED, sizeof exited - 1, false},
        {GUEST_EXITED, sizeof exited, true},
        {GUEST_EXITED, 0, false},
        {GUEST_STARTED, sizeof started, true},
        {GUEST_FAILED, 3, false},
        {GUEST_OPENED, sizeof opened, true},
        {GUEST_DONE, 0, false},
        {GUEST_CONNECTED, 0, true},
        {GUEST_NETWORK, 1, false},
        {GUEST_NETWORK, sizeof(struct guest_network), true}, /* that is no TCP socket */
        {GUEST_READY, sizeof(struct guest_ready), true},
        {GUEST_EXEC, sizeof(struct guest_exec), false},
        {ZYGOTE_CREATED, sizeof(struct zygote_created), true},
        {0, 0, false},
    };
    char zero[64] = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t id = begin_command(w);
        say(w, rows[i].type, id, zero, rows[i].body_bytes,
            rows[i].fd ? w->f.zygote : -1);
        false_guest_turn(&w->f);
        assert_int_equal(w->started, 1);
        assert_int_equal(w->err.kind, ERR_UNAVAILABLE);
        assert_given_up(w);
    }
}

static void datagrams_that_are_no_messages(void **state)
{
    struct world *w = ready(state);
    static char large[GUEST_MESSAGE_MAX + 1];
    struct guest_header head = {.type = GUEST_DONE, .tail_bytes = 1};
    int fds[GUEST_FDS_MAX + 1];
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        fds[i] = w->f.zygote;
    const struct {
        const void *bytes;
        size_t n;
        int fd_count;
    } rows[] = {
        {"x", 1, 0},
        {&head, sizeof head - 1, 0},
        {&head, sizeof head, 0}, /* the tail is not there */
        {large, sizeof large, 0},
        {large, sizeof head, GUEST_FDS_MAX + 1},
        {"x", 1, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin_command(w);
        assert_int_equal(
            false_guest_say_raw(&w->f, rows[i].bytes, rows[i].n, fds, rows[i].fd_count),
            0);
        false_guest_turn(&w->f);
        assert_int_equal(w->started, 1);
        assert_int_equal(w->err.kind, ERR_UNAVAILABLE);
        assert_given_up(w);
    }
}

static uint32_t begin_file(struct world *w)
{
    w->files = 0;
    file_open(w->f.set, w->sandbox, STR("/workspace/f"), on_file, w);
    struct wire_message m = hear(w, GUEST_OPEN);
    assert_true(str_eq(m.tail, STR("/workspace/f")));
    return m.id;
}

static void a_file_is_what_it_is(void **state)
{
    struct world *w = ready(state);
    struct guest_opened opened = {.size_bytes = UINT64_MAX}; /* is not believed */
    int file = memfd_create("file", MFD_CLOEXEC), pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(write(file, "12345", 5), 5);
    uint32_t id = begin_file(w);
    tell(w, GUEST_OPENED, id, &opened, sizeof opened, file);
    assert_int_equal(w->files, 1);
    assert_int_equal(w->err.kind, ERR_NONE);
    assert_int_equal(w->size_bytes, 5);
    int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int others[] = {pipes[0], dir, w->f.zygote};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        id = begin_file(w);
        tell(w, GUEST_OPENED, id, &opened, sizeof opened, others[i]);
        assert_int_equal(w->files, 1);
        assert_int_equal(w->err.kind, ERR_INVALID);
    }
    id = begin_file(w);
    TELL(w, GUEST_FAILED, id, failed);
    assert_int_equal(w->err.kind, ERR_DENIED);
    fd_close(&file);
    fd_close(&dir);
    fd_close(&pipes[0]);
    fd_close(&pipes[1]);
}

static uint32_t begin_write(struct world *w)
{
    w->written = 0;
    file_write(w->f.set, w->sandbox, STR("f"), STR("content"), on_written, w);
    struct wire_message m = hear(w, GUEST_OPEN);
    return m.id;
}

/* The guest is told to keep what was written, or not to. */
static uint32_t hear_commit(struct world *w, uint32_t token, bool keep)
{
    struct guest_commit commit;
    struct wire_message m = hear(w, GUEST_COMMIT);
    assert_int_equal(m.body_bytes, sizeof commit);
    memcpy(&commit, m.body, sizeof commit);
    assert_int_equal(commit.token, token);
    assert_int_equal(commit.keep, keep);
    return m.id;
}

static void a_file_is_written(void **state)
{
    struct world *w = ready(state);
    struct guest_opened opened = {.token = 5, .existed = 1};
    int file = memfd_create("file", MFD_CLOEXEC);
    char got[16];
    uint32_t id = begin_write(w);
    tell(w, GUEST_OPENED, id, &opened, sizeof opened, file);
    assert_int_equal(pread(file, got, sizeof got, 0), 7);
    uint32_t commit = hear_commit(w, 5, true);
    assert_int_equal(w->written, 0);
    tell(w, GUEST_OPENED, id, &opened, sizeof opened, file); /* once is enough */
    tell(w, GUEST_DONE, commit, NULL, 0, -1);
    assert_int_equal(w->written, 1);
    assert_true(w->existed);
    tell(w, GUEST_DONE, commit, NULL, 0, -1);
    assert_int_equal(w->written, 1);
    fd_close(&file);
}

static void a_file_that_cannot_be_written(void **state)
{
    struct world *w = ready(state);
    struct guest_opened opened = {.token = 6};
    struct guest_failed full = {.sys = ENOSPC};
    int unwritable = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int file = memfd_create("file", MFD_CLOEXEC);
    uint32_t id = begin_write(w);
    tell(w, GUEST_OPENED, id, &opened, sizeof opened, unwritable);
    hear_commit(w, 6, false);
    assert_int_equal(w->written, 1);
    assert_int_equal(w->err.kind, ERR_IO);
    id = begin_write(w);
    tell(w, GUEST_OPENED, id, &opened, sizeof opened, file);
    uint32_t commit = hear_commit(w, 6, true);
    TELL(w, GUEST_FAILED, commit, full);
    assert_int_equal(w->written, 1);
    assert_int_equal(w->err.kind, ERR_LIMIT);
    fd_close(&unwritable);
    fd_close(&file);
}

/* Everybody who waits is told when the guest goes away, in whatever state it is. */
static void it_goes_away(void **state)
{
    struct world *w = ready(state);
    struct guest_opened opened = {.token = 1};
    int file = memfd_create("file", MFD_CLOEXEC);
    uint32_t write_id = begin_write(w);
    tell(w, GUEST_OPENED, write_id, &opened, sizeof opened, file);
    hear_commit(w, 1, true);
    begin_file(w);
    begin_command(w);
    fd_close(&w->f.guest);
    false_guest_turn(&w->f);
    assert_int_equal(w->written, 1);
    assert_int_equal(w->files, 1);
    assert_int_equal(w->started, 1);
    assert_int_equal(w->err.kind, ERR_UNAVAILABLE);
    fd_close(&file);
    assert_given_up(w);
}

/* Of a guest that floods us a turn takes a part. */
static void a_flood(void **state)
{
    struct world *w = ready(state);
    int queued = 0, left = 0;
    while (false_guest_say(&w->f, &(struct wire_out){.type = GUEST_DONE, .id = 99}) ==
           0)
        queued++;
    assert_true(queued > 64);
    false_guest_turn(&w->f);
    assert_int_equal(ioctl(w->f.guest, SIOCOUTQ, &left), 0);
    assert_true(left > 0);
    for (int i = 0; i < queued; i++)
        false_guest_turn(&w->f);
    assert_int_equal(ioctl(w->f.guest, SIOCOUTQ, &left), 0);
    assert_int_equal(left, 0);
    uint32_t id = begin_command(w);
    TELL(w, GUEST_EXITED, id, exited);
    assert_int_equal(info_of(w).status, COMMAND_EXITED);
}

/* Before it is ready: a step that failed, a wrong version, anything else. */
static void it_never_becomes_ready(void **state)
{
    struct world *w = *state;
    struct guest_failed step = {.sys = EPERM, .what = GUEST_WHAT_STEP};
    struct guest_ready old = {.version = GUEST_PROTOCOL_VERSION + 1};
    static const struct {
        uint32_t type;
        const char *says;
        bool fd;
    } rows[] = {
        {GUEST_FAILED, "a \x1b[31mstep", false},
        {GUEST_READY, "another version", true},
        {GUEST_READY, "broke the protocol", false},
        {GUEST_STARTED, "broke the protocol", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool fails = rows[i].type == GUEST_FAILED;
        assert_true(false_guest_create(&w->f));
        assert_int_equal(
            false_guest_say(&w->f,
                            &(struct wire_out){
                                .type = rows[i].type,
                                .body = fails ? (const void *)&step : &old,
                                .body_bytes = fails ? sizeof step : sizeof old,
                                .tail = fails ? STR("a \x1b[31mstep") : (struct str){0},
                                .fds = &w->f.zygote,
                                .fd_count = rows[i].fd}),
            0);
        w->opened = 0;
        false_guest_turn(&w->f);
        assert_int_equal(w->opened, 1);
        assert_int_equal(w->err.kind, ERR_UNAVAILABLE);
        if (!strstr(w->err.msg, rows[i].says))
            fail_msg("\"%s\" does not say %s", w->err.msg, rows[i].says);
        w->opened = 0;
        sandbox_open(w->f.set, 1, STR(""), on_open, w);
    }
    assert_true(false_guest_ready(&w->f));
    assert_int_equal(w->err.kind, ERR_NONE);
}

/* A guest that stops: whoever waits for it gets an answer. */
static void it_never_answers(void **state)
{
    struct world *w = ready(state);
    begin_file(w);
    begin_command(w);
    while (w->started == 0) {
        loop_timer_start(w->f.turn, 50);
        loop_run(w->f.loop);
    }
    assert_int_equal(w->files, 1);
    assert_int_equal(w->started, 1);
    assert_int_equal(w->err.kind, ERR_UNAVAILABLE);
    assert_non_null(strstr(w->err.msg, "ended"));
    assert_given_up(w);
}

/* Its owner goes away while the sandbox is being made, and while it runs. */
static void its_owner_goes_away(void **state)
{
    struct world *w = *state;
    sandboxes_drop_owner(w->f.set, 1);
    assert_int_equal(w->opened, 1);
    assert_int_equal(w->err.kind, ERR_CANCELLED);
    w->opened = 0;
    sandbox_open(w->f.set, 1, STR(""), on_open, w);
    ready(state);
    begin_file(w);
    begin_command(w);
    sandboxes_drop_owner(w->f.set, 1);
    assert_int_equal(w->files, 1);
    assert_int_equal(w->started, 1);
    assert_int_equal(w->err.kind, ERR_UNAVAILABLE);
}

#define WITH_GUEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_GUEST(a_command),
        WITH_GUEST(the_end_before_the_start),
        WITH_GUEST(starts_and_ends_twice),
        WITH_GUEST(a_failure_after_the_start),
        WITH_GUEST(numbers_out_of_range),
        WITH_GUEST(kinds_of_failure),
        WITH_GUEST(ids_that_nobody_asked_for),
        WITH_GUEST(answers_of_the_wrong_kind),
        WITH_GUEST(datagrams_that_are_no_messages),
        WITH_GUEST(a_file_is_what_it_is),
        WITH_GUEST(a_file_is_written),
        WITH_GUEST(a_file_that_cannot_be_written),
        WITH_GUEST(it_goes_away),
        WITH_GUEST(a_flood),
        WITH_GUEST(it_never_becomes_ready),
        WITH_GUEST(it_never_answers),
        WITH_GUEST(its_owner_goes_away),
    };
    return cmocka_run_group_tests(tests, first_loop, NULL);
}
