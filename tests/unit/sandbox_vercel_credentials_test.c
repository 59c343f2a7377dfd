/* Whose Vercel account: the order in which it is looked for, what is missing and what
 * is wrong, each named with its remedy, and never the token itself. */
#include "base/base64.h"
#include "base/buf.h"
#include "sandbox/vercel_credentials.h"
#include "tests/unit/check.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NOW = 1000000 };

/* header.payload.signature, base64url. */
static const char *jwt(const char *claims, char to[1024])
{
    struct buf b;
    buf_init(&b, 1024);
    buf_addz(&b, "eyJhbGciOiJSUzI1NiJ9.");
    base64_encode(&b, str_of(claims));
    for (size_t i = 0; i < b.n; i++)
        b.p[i] = (char)(b.p[i] == '+' ? '-' : b.p[i] == '/' ? '_' : b.p[i]);
    while (b.n && b.p[b.n - 1] == '=')
        b.n--;
    buf_addz(&b, ".c2lnbmF0dXJl");
    snprintf(to, 1024, "%.*s", STR_FMT(buf_str(&b)));
    buf_finish(&b);
    return to;
}

static const char *write_file(const char *name, const char *text, char to[128])
{
    snprintf(to, 128, "/tmp/sq-credentials-%d-%s", (int)getpid(), name);
    FILE *f = fopen(to, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return to;
}

static void finds(const struct vercel_offer *offer, const char *source,
                  const char *team, const char *project)
{
    struct vercel_credentials c;
    struct err err = {0};
    int rc = vercel_credentials_find(&c, offer, NOW, &err);
    if (rc != 1)
        fail_msg("%s: %s", source, err.msg);
    assert_string_equal(c.source, source);
    assert_string_equal(c.team, team);
    assert_string_equal(c.project, project);
    assert_non_null(c.token);
    vercel_credentials_finish(&c);
}

static void refuses(const struct vercel_offer *offer, const char *why)
{
    struct vercel_credentials c;
    struct err err = {0};
    assert_int_equal(vercel_credentials_find(&c, offer, NOW, &err), -1);
    if (!strstr(err.msg, why))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, why);
    assert_true(err.remedy[0] != '\0');
    assert_null(strstr(err.msg, "secret"));
    assert_null(strstr(err.remedy, "secret"));
    assert_null(c.token);
}

static void order(void **state)
{
    (void)state;
    char token[1024], auth[128], project[128];
    struct vercel_offer o = {0};
    struct vercel_credentials c;
    struct err err;
    assert_int_equal(vercel_credentials_find(&c, &o, NOW, &err), 0);
    o.auth_file = write_file("auth.json",
                             "{\"token\":\"secret-cli\",\"expiresAt\":2000000}", auth);
    finds(&o, "the login of Vercel's CLI", "", "");
    o.project_file = write_file(
        "project.json", "{\"orgId\":\"team_f\",\"projectId\":\"prj_f\"}", project);
    finds(&o, "the login of Vercel's CLI", "team_f", "prj_f");
    o.auth_token = "secret-auth";
    finds(&o, "VERCEL_AUTH_TOKEN", "team_f", "prj_f");
    o.api_key = "secret-key";
    finds(&o, "VERCEL_SANDBOX_API_KEY", "team_f", "prj_f");
    o.token = "secret-token";
    o.team = "team_e";
    o.project = "prj_e";
    finds(&o, "VERCEL_TOKEN", "team_e", "prj_e");
    o.oidc_token = jwt(
        "{\"owner_id\":\"team_o\",\"project_id\":\"prj_o\",\"exp\":1000500}", token);
    finds(&o, "VERCEL_OIDC_TOKEN", "team_o", "prj_o");
    unlink(auth);
    unlink(project);
}

static void partial(void **state)
{
    (void)state;
    refuses(&(struct vercel_offer){.team = "team_e"}, "VERCEL_TOKEN is missing");
    refuses(&(struct vercel_offer){.project = "prj_e"}, "VERCEL_TOKEN is missing");
    refuses(&(struct vercel_offer){.token = "secret-t", .project = "prj_e"},
            "VERCEL_TEAM_ID is missing");
    finds(&(struct vercel_offer){.token = "secret-t", .team = "team_e"}, "VERCEL_TOKEN",
          "team_e", "");
    finds(&(struct vercel_offer){.token = "secret-t"}, "VERCEL_TOKEN", "", "");
}

static void wrong(void **state)
{
    (void)state;
    char token[1024], file[128];
    refuses(&(struct vercel_offer){.token = "\"secret-quoted\" "},
            "VERCEL_TOKEN holds");
    refuses(
        &(struct vercel_offer){.token = "secret-t", .team = "a/../b", .project = "p"},
        "VERCEL_TEAM_ID is not an id");
    refuses(&(struct vercel_offer){.oidc_token = "secret.opaque"}, "not a token with");
    refuses(&(struct vercel_offer){.oidc_token = "secret.!!!!.x"}, "not a token with");
    refuses(&(struct vercel_offer){.oidc_token = jwt("{\"owner_id\":\"t\"}", token)},
            "not a token with");
    refuses(&(struct vercel_offer){.oidc_token =
                                       jwt("{\"owner_id\":\"t\",\"project_id\":\"p\","
                                           "\"exp\":999400}",
                                           token)},
            "expired 10 minutes ago");
    write_file("broken.json", "{\"orgId\":", file);
    refuses(&(struct vercel_offer){.token = "secret-t", .project_file = file},
            "broken.json");
    unlink(file);
    write_file("auth2.json", "{\"token\":\"secret-old\",\"expiresAt\":5}", file);
    refuses(&(struct vercel_offer){.auth_file = file}, "has expired");
    unlink(file);
}

/* An expired one is fine where the CLI's login can make a new one. */
static void renewable(void **state)
{
    (void)state;
    char token[1024], file[128];
    write_file("auth3.json",
               "{\"token\":\"secret-old\",\"refreshToken\":\"secret-r\","
               "\"expiresAt\":5}",
               file);
    finds(&(struct vercel_offer){.auth_file = file}, "the login of Vercel's CLI", "",
          "");
    finds(
        &(struct vercel_offer){
            .auth_file = file,
            .oidc_token =
                jwt("{\"owner_id\":\"t\",\"project_id\":\"p\",\"exp\":5}", token)},
        "VERCEL_OIDC_TOKEN", "t", "p");
    unlink(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order),
        cmocka_unit_test(partial),
        cmocka_unit_test(wrong),
        cmocka_unit_test(renewable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
