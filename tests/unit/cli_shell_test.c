/* sandquay shell and exec --tty on a real terminal: a pseudo-terminal of which this
 * test is the keyboard and the screen. */
#include "tests/unit/check.h"
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

enum { PATIENCE_MS = 10000, SCREEN_MAX = 256 * 1024 };

struct screen {
    pid_t pid;
    int fd;
    struct termios before;
    char text[SCREEN_MAX];
    size_t n, seen; /* seen: what an expectation has passed */
};

static void resize(struct screen *s, unsigned short cols, unsigned short rows)
{
    struct winsize size = {.ws_col = cols, .ws_row = rows};
    assert_int_equal(ioctl(s->fd, TIOCSWINSZ, &size), 0);
}

static struct screen *start(const char *const argv[])
{
    static struct screen s;
    struct winsize size = {.ws_col = 101, .ws_row = 31};
    int side;
    memset(&s, 0, sizeof s);
    assert_int_equal(openpty(&s.fd, &side, NULL, NULL, &size), 0);
    assert_int_equal(tcgetattr(side, &s.before), 0);
    s.pid = fork();
    if (s.pid == 0) {
        close(s.fd);
        login_tty(side);
        execv(SANDQUAY_PATH, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    assert_true(s.pid > 0);
    /* `side` stays open: what the terminal is set to can be asked to the end. */
    return &s;
}

static void type(struct screen *s, const char *keys)
{
    assert_int_equal(write(s->fd, keys, strlen(keys)), strlen(keys));
}

/* False when nothing more came. */
static bool read_more(struct screen *s, int patience_ms)
{
    struct pollfd p = {.fd = s->fd, .events = POLLIN};
    if (poll(&p, 1, patience_ms) <= 0 || s->n + 1 >= SCREEN_MAX)
        return false;
    ssize_t n = read(s->fd, s->text + s->n, SCREEN_MAX - 1 - s->n);
    if (n <= 0)
        return false;
    s->n += (size_t)n;
    s->text[s->n] = '\0';
    return true;
}

static void expect(struct screen *s, const char *what)
{
    const char *at;
    while (!(at = strstr(s->text + s->seen, what)))
        if (!read_more(s, PATIENCE_MS))
            fail_msg("waited in vain for \"%s\" in: %s", what, s->text + s->seen);
    s->seen = (size_t)(at - s->text) + strlen(what);
}

static int finish(struct screen *s)
{
    int status;
    struct termios after;
    pid_t pid;
    for (int waited = 0; (pid = waitpid(s->pid, &status, WNOHANG)) == 0; waited += 10) {
        read_more(s, 10);
        if (waited >= PATIENCE_MS)
            fail_msg("it does not end: %s", s->text + s->seen);
    }
    assert_int_equal(tcgetattr(s->fd, &after), 0);
    assert_int_equal(after.c_lflag, s->before.c_lflag);
    assert_int_equal(after.c_iflag, s->before.c_iflag);
    assert_int_equal(after.c_oflag, s->before.c_oflag);
    close(s->fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static const char *const shell[] = {"sandquay", "shell", NULL};

static void has_a_controlling_terminal_of_our_size(void **state)
{
    (void)state;
    struct screen *s = start(shell);
    expect(s, "# ");
    type(s, "tty; stty size; echo TERM=$TERM; test -t 2 && echo err=tty\r");
    expect(s, "/dev/pts/");
    expect(s, "31 101");
    expect(s, "TERM=xterm-256color");
    expect(s, "err=tty");
    type(s, "(: > /dev/tty) && echo controlling=$?\r");
    expect(s, "controlling=0");
    type(s, "exit 7\r");
    assert_int_equal(finish(s), 7);
}

/* A program that has the terminal once it answers: only the foreground may read. What
 * is typed before it is ready may still be taken by the shell's line editor. */
static void run_in_foreground(struct screen *s)
{
    type(s, "sh -c 'echo re\"\"ady; exec sed -u s/ask/answer/'\r");
    expect(s, "ready");
    type(s, "ask\r");
    expect(s, "answer\r\n");
}

static void keys_go_through(void **state)
{
    (void)state;
    struct screen *s = start(shell);
    expect(s, "# ");
    run_in_foreground(s);
    type(s, "\x03");
    expect(s, "^C");
    expect(s, "# ");
    type(s, "echo rc=$?\r");
    expect(s, "rc=130");
    run_in_foreground(s);
    type(s, "\x1a");
    expect(s, "Stopped");
    expect(s, "# ");
    type(s, "fg\r");
    expect(s, "exec sed");
    expect(s, "\n");
    type(s, "ask\r");
    expect(s, "answer\r\n");
    type(s, "\x03");
    expect(s, "# ");
    type(s, "exit 0\r");
    assert_int_equal(finish(s), 0);
}

static void a_new_size_arrives(void **state)
{
    (void)state;
    struct screen *s = start(shell);
    expect(s, "# ");
    type(s, "sh -c 'trap \"stty size; exit\" WINCH; echo re\"\"ady; "
            "while :; do sleep 0.05; done'\r");
    expect(s, "ready");
    resize(s, 120, 40);
    expect(s, "40 120");
    type(s, "exit\r");
    assert_int_equal(finish(s), 0);
}

static void a_way_out_and_a_signal_restore_the_terminal(void **state)
{
    (void)state;
    struct screen *s = start(shell);
    expect(s, "# ");
    type(s, "sleep 1000\r");
    type(s, "\r~.");
    expect(s, "left");
    assert_int_equal(finish(s), 128 + SIGHUP);
    s = start(shell);
    expect(s, "# ");
    kill(s->pid, SIGTERM);
    assert_int_equal(finish(s), 128 + SIGTERM);
}

static void exec_with_a_terminal(void **state)
{
    (void)state;
    const char *const argv[] = {"sandquay", "exec", "--tty",
                                "test -t 0 && stty size && exit 5", NULL};
    struct screen *s = start(argv);
    expect(s, "31 101");
    assert_int_equal(finish(s), 5);
}

/* Without a terminal of ours, one inside is fed from a pipe, and its end is Ctrl-D. */
static void fed_from_a_pipe(void **state)
{
    (void)state;
    char line[256] = "";
    FILE *f =
        popen("echo 'a line' | " SANDQUAY_PATH " exec --tty 'cat; tty' 2>&1", "r");
    assert_non_null(f);
    bool copied = false, named = false;
    while (fgets(line, sizeof line, f)) {
        copied |= strncmp(line, "a line", 6) == 0;
        named |= strncmp(line, "/dev/pts/", 9) == 0;
    }
    assert_int_equal(pclose(f), 0);
    assert_true(copied && named);
}

static void refused_where_it_makes_no_sense(void **state)
{
    (void)state;
    const char *const argv[] = {"sandquay", "shell", "a", "b", NULL};
    struct screen *s = start(argv);
    expect(s, "one name of a sandbox at most");
    assert_int_equal(finish(s), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_a_controlling_terminal_of_our_size),
        cmocka_unit_test(keys_go_through),
        cmocka_unit_test(a_new_size_arrives),
        cmocka_unit_test(a_way_out_and_a_signal_restore_the_terminal),
        cmocka_unit_test(exec_with_a_terminal),
        cmocka_unit_test(fed_from_a_pipe),
        cmocka_unit_test(refused_where_it_makes_no_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
