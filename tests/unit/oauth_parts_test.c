/* Where an issuer is looked for, which URLs are good, and the numbers of its subjects.
 * (Tokens and keys: tests/clients/oauth.test.mjs signs real ones.) */
#include "base/fd.h"
#include "tests/unit/check.h"
#include "transport/oauth/discovery.h"
#include "transport/oauth/subjects.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void places(void **state)
{
    (void)state;
    static const struct {
        const char *issuer, *places[4];
    } rows[] = {
        {"https://a.example",
         {"https://a.example/.well-known/oauth-authorization-server",
          "https://a.example/.well-known/openid-configuration"}},
        {"https://a.example/",
         {"https://a.example/.well-known/oauth-authorization-server",
          "https://a.example/.well-known/openid-configuration"}},
        {"https://a.example:8443/t/1/",
         {"https://a.example:8443/.well-known/oauth-authorization-server/t/1",
          "https://a.example:8443/.well-known/openid-configuration/t/1",
          "https://a.example:8443/t/1/.well-known/openid-configuration"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char url[DISCOVERY_URL_MAX];
        size_t k = 0;
        for (; rows[i].places[k]; k++) {
            assert_true(discovery_place(rows[i].issuer, k, url));
            assert_string_equal(url, rows[i].places[k]);
        }
        assert_false(discovery_place(rows[i].issuer, k, url));
    }
}

static void resource_places(void **state)
{
    (void)state;
    char url[DISCOVERY_URL_MAX];
    discovery_resource_place("https://m.example/team/mcp", url);
    assert_string_equal(
        url, "https://m.example/.well-known/oauth-protected-resource/team/mcp");
    discovery_resource_place("https://m.example/", url);
    assert_string_equal(url, "https://m.example/.well-known/oauth-protected-resource");
    discovery_resource_place("https://m.example", url);
    assert_string_equal(url, "https://m.example/.well-known/oauth-protected-resource");
}

static void urls(void **state)
{
    (void)state;
    static const char *const good[] = {"https://a.example", "HTTPS://a.example/x",
                                       "http://localhost:1", "http://127.0.0.1:9/x",
                                       "http://[::1]:8/"};
    static const char *const bad[] = {"",
                                      "a.example",
                                      "https://",
                                      "https:///x",
                                      "https://:1",
                                      "https://a.example?x",
                                      "https://a.example#",
                                      "https://u:p@a.example",
                                      "https://a.example/ x",
                                      "https://a.example/\"",
                                      "http://a.example",
                                      "http://127.0.0.1.example",
                                      "ftp://a.example",
                                      "http://localhost@a.example"};
    struct err err;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(discovery_check_url(good[i], "it", &err), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(discovery_check_url(bad[i], "it", &err), -1);
    char long_url[DISCOVERY_URL_MAX + 1];
    memset(long_url, 'x', sizeof long_url);
    memcpy(long_url, "https://a/", 10);
    long_url[sizeof long_url - 1] = '\0';
    assert_int_equal(discovery_check_url(long_url, "it", &err), -1);
}

struct fixture {
    char dir[64], file[96];
    struct subjects *s;
    struct err err;
};

static void set_up(struct fixture *f)
{
    *f = (struct fixture){.dir = "/tmp/sq-subjects-XXXXXX"};
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->file, sizeof f->file, "%s/oauth-subjects", f->dir);
}

static void tear_down(struct fixture *f)
{
    subjects_free(f->s);
    unlink(f->file);
    assert_int_equal(rmdir(f->dir), 0);
}

static int open_subjects(struct fixture *f, const char *issuer, const uint32_t *taken,
                         size_t count)
{
    subjects_free(f->s);
    f->s = NULL;
    return subjects_new(&f->s, f->dir, issuer, taken, count, &f->err);
}

static uint32_t number_of(struct subjects *s, const char *subject)
{
    struct authority_subject *found;
    struct err err;
    assert_int_equal(subjects_find(s, str_of(subject), &found, &err), 0);
    assert_true(str_starts(str_of(found->name), STR("oauth:")));
    assert_string_equal(found->name + 6, subject);
    return found->number;
}

static void numbers_stay(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    assert_int_equal(open_subjects(&f, "https://a.example", NULL, 0), 0);
    uint32_t alice = number_of(f.s, "alice"), bob = number_of(f.s, "bob");
    assert_int_not_equal(alice, 0);
    assert_int_not_equal(alice, bob);
    assert_int_equal(number_of(f.s, "alice"), alice);
    assert_int_equal(open_subjects(&f, "https://b.example", NULL, 0), 0);
    uint32_t other = number_of(f.s, "alice");
    assert_true(other != alice && other != bob);
    assert_int_equal(open_subjects(&f, "https://a.example", NULL, 0), 0);
    assert_int_equal(number_of(f.s, "bob"), bob);
    assert_int_equal(number_of(f.s, "alice"), alice);
    tear_down(&f);
}

/* Two servers of one file: each finds what the other has added. */
static void shared(void **state)
{
    (void)state;
    struct fixture f;
    struct subjects *other;
    set_up(&f);
    assert_int_equal(open_subjects(&f, "https://a.example", NULL, 0), 0);
    assert_int_equal(subjects_new(&other, f.dir, "https://a.example", NULL, 0, &f.err),
                     0);
    uint32_t alice = number_of(f.s, "alice"), bob = number_of(other, "bob");
    assert_int_equal(number_of(other, "alice"), alice);
    assert_int_equal(number_of(f.s, "bob"), bob);
    subjects_free(other);
    tear_down(&f);
}

/* The number that a subject would have is a token's, or another subject's. */
static void numbers_differ(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    assert_int_equal(open_subjects(&f, "https://a.example", NULL, 0), 0);
    uint32_t wish = number_of(f.s, "alice");
    assert_int_equal(unlink(f.file), 0);
    assert_int_equal(open_subjects(&f, "https://a.example", &wish, 1), 0);
    assert_int_not_equal(number_of(f.s, "alice"), wish);
    assert_int_equal(unlink(f.file), 0);

    char line[160];
    int n = snprintf(line, sizeof line,
                     "{\"number\":%u,\"issuer\":\"x\",\"subject\":\"y\"}\n", wish);
    int fd = open(f.file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, line, (size_t)n), n);
    fd_close(&fd);
    assert_int_equal(open_subjects(&f, "https://a.example", NULL, 0), 0);
    assert_int_not_equal(number_of(f.s, "alice"), wish);
    assert_int_equal(open_subjects(&f, "https://a.example", &wish, 1), -1);
    assert_int_equal(f.err.kind, ERR_CONFLICT);
    tear_down(&f);
}

static void many(void **state)
{
    (void)state;
    struct fixture f;
    struct authority_subject *found;
    set_up(&f);
    FILE *file = fopen(f.file, "we");
    assert_non_null(file);
    for (unsigned i = 1; i <= SUBJECTS_MAX; i++)
        fprintf(
            file,
            "{\"number\":%u,\"issuer\":\"https://a.example\",\"subject\":\"s%u\"}\n", i,
            i);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(f.file, 0600), 0);
    assert_int_equal(open_subjects(&f, "https://a.example", NULL, 0), 0);
    assert_int_equal(number_of(f.s, "s777"), 777);
    assert_int_equal(subjects_find(f.s, STR("one more"), &found, &f.err), -1);
    assert_int_equal(f.err.kind, ERR_LIMIT);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places), cmocka_unit_test(resource_places),
        cmocka_unit_test(urls),   cmocka_unit_test(numbers_stay),
        cmocka_unit_test(shared), cmocka_unit_test(numbers_differ),
        cmocka_unit_test(many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
