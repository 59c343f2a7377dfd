/* The queue in front of our own stdout. */
#include "base/fd.h"
#include "cli/pump.h"
#include "tests/unit/check.h"
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static void on_changed(void *ctx)
{
    (void)ctx;
}

/* A reader that takes a little and is always behind: the queue never empties, and never
 * grows past what waits. */
static void a_reader_that_is_always_behind(void **state)
{
    (void)state;
    enum { HIGH = 512 * 1024, CHUNK = 64 * 1024 };
    static char chunk[CHUNK];
    struct loop *loop;
    struct err err;
    struct pump pump;
    int fds[2];
    uint64_t given = 0, taken = 0;
    assert_int_equal(loop_new(&loop, &err), 0);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pump_init(&pump, loop, fds[1], on_changed, NULL);
    while (given < 4ull * PUMP_MAX) {
        while (pump_waiting(&pump) < HIGH) {
            for (size_t i = 0; i < CHUNK; i++)
                chunk[i] = (char)((given + i) % 251);
            buf_add(&pump.bytes, chunk, CHUNK);
            assert_false(pump.bytes.overflow);
            given += CHUNK;
            pump_flush(&pump);
        }
        ssize_t n = read(fds[0], chunk, CHUNK / 2);
        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++)
            assert_true(chunk[i] == (char)((taken + (uint64_t)i) % 251));
        taken += (uint64_t)n;
        pump_flush(&pump);
    }
    assert_true(pump.bytes.cap <= 4 * HIGH);
    pump_finish(&pump);
    fd_close(&fds[0]);
    loop_free(loop);
}

static void a_reader_that_is_gone(void **state)
{
    (void)state;
    struct loop *loop;
    struct err err;
    struct pump pump;
    int fds[2];
    assert_int_equal(loop_new(&loop, &err), 0);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pump_init(&pump, loop, fds[1], on_changed, NULL);
    fd_close(&fds[0]);
    buf_addz(&pump.bytes, "for nobody");
    pump_flush(&pump);
    assert_true(pump.gone);
    assert_int_equal(pump_waiting(&pump), 0);
    pump_finish(&pump);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_that_is_always_behind),
        cmocka_unit_test(a_reader_that_is_gone),
    };
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
