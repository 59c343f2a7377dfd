/* base/dirs.c on a file system. */
#include "base/dirs.h"
#include "base/fd.h"
#include "tests/unit/check.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[64], path[256];

static const char *below(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", top, name);
    return path;
}

static void made_with_those_above(void **state)
{
    (void)state;
    struct err err;
    struct stat st;
    assert_int_equal(dirs_make(below("a/b/c"), &err), 0);
    assert_int_equal(dirs_make(below("a/b/c"), &err), 0); /* is there */
    assert_int_equal(dirs_make(below("d//e/"), &err), 0);
    for (const char *const *one =
             (const char *const[]){"a", "a/b", "a/b/c", "d/e", NULL};
         *one; one++) {
        assert_int_equal(stat(below(*one), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
    }
    int fd = dirs_open(below("f/g"), &err);
    assert_true(fd >= 0);
    fd_close(&fd);
}

static void what_cannot_be_made(void **state)
{
    (void)state;
    struct err err;
    char longer[5000];
    int fd = open(below("file"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    fd_close(&fd);
    assert_int_equal(dirs_make(below("file/x"), &err), -1);
    assert_int_equal(err.sys, ENOTDIR);
    assert_int_equal(dirs_open(below("file"), &err), -1);
    assert_int_equal(err.sys, ENOTDIR);
    memset(longer, 'x', sizeof longer - 1);
    longer[0] = '/';
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(dirs_make(longer, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    assert_int_equal(dirs_make("", &err), -1);
}

static void whose_it_is(void **state)
{
    (void)state;
    struct err err;
    int fd = dirs_open(below("own"), &err);
    assert_int_equal(dirs_check_own(fd, path, &err), 0);
    static const mode_t open_to_others[] = {0770, 0707, 0722};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(fchmod(fd, open_to_others[i]), 0);
        assert_int_equal(dirs_check_own(fd, path, &err), -1);
        assert_int_equal(err.kind, ERR_DENIED);
        assert_non_null(strstr(err.remedy, "XDG_STATE_HOME"));
    }
    if (geteuid() == 0 && fchmod(fd, 0700) == 0 && fchown(fd, 1, 1) == 0)
        assert_int_equal(dirs_check_own(fd, path, &err), -1);
    fd_close(&fd);
}

static int make_top(void **state)
{
    (void)state;
    snprintf(top, sizeof top, "/tmp/sq-dirs-XXXXXX");
    umask(022);
    return mkdtemp(top) ? 0 : -1;
}

static int remove_top(void **state)
{
    static const char *const names[] = {"a/b/c", "a/b", "a", "d/e",
                                        "d",     "f/g", "f", "own"};
    (void)state;
    unlink(below("file"));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        rmdir(below(names[i]));
    return rmdir(top);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_with_those_above),
        cmocka_unit_test(what_cannot_be_made),
        cmocka_unit_test(whose_it_is),
    };
    return cmocka_run_group_tests(tests, make_top, remove_top);
}
