#include "sandbox/vercel_credentials.h"
#include "base/base64.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 64 * 1024, TOKEN_MAX_BYTES = 16 * 1024 };

static bool given(const char *s)
{
    return s && s[0];
}

void vercel_credentials_finish(struct vercel_credentials *c)
{
    secret_free(c->token);
    secret_free(c->cli_token);
    secret_free(c->refresh_token);
    *c = (struct vercel_credentials){0};
}

/* An id of a team or project, or a project's name; it goes into queries. */
static int take_id(char to[VERCEL_SCOPE_MAX], struct str id, const char *what,
                   struct err *err)
{
    bool ok = id.n > 0 && id.n < VERCEL_SCOPE_MAX;
    for (size_t i = 0; i < id.n && ok; i++)
        ok = id.p[i] > ' ' && id.p[i] < 0x7f && !strchr("/?#&%\"\\", id.p[i]);
    if (!ok) {
        err_set(err, ERR_INVALID, "%s is not an id", what);
        return err_remedy(err, "`vercel link` writes the right ones");
    }
    memcpy(to, id.p, id.n);
    to[id.n] = '\0';
    return 0;
}

/* base64url without padding (RFC 7515). */
static int decode_segment(struct buf *to, struct str s, struct err *err)
{
    struct buf plain;
    buf_init(&plain, TOKEN_MAX_BYTES);
    for (size_t i = 0; i < s.n; i++)
        buf_addc(&plain, (char)(s.p[i] == '-' ? '+' : s.p[i] == '_' ? '/' : s.p[i]));
    while (plain.n % 4)
        buf_addc(&plain, '=');
    int rc = base64_decode(to, buf_str(&plain), err);
    buf_finish(&plain);
    return rc;
}

static int not_oidc(struct err *err)
{
    err_set(err, ERR_INVALID,
            "VERCEL_OIDC_TOKEN is not a token with owner_id and project_id");
    return err_remedy(err, "`vercel env pull` gets a new one");
}

static int read_claims(struct str json, char *team, char *project,
                       int64_t *ret_expires_s, struct err *err)
{
    struct arena a = {0};
    struct json_doc doc;
    int rc = json_parse(&doc, &a, json, err);
    if (rc == 0) {
        struct json root = json_root(&doc);
        *ret_expires_s = 0;
        json_i64(json_get(root, STR("exp")), ret_expires_s);
        rc = take_id(team, json_str(json_get(root, STR("owner_id")), &a), "owner_id",
                     err) < 0 ||
                     take_id(project, json_str(json_get(root, STR("project_id")), &a),
                             "project_id", err) < 0
                 ? -1
                 : 0;
    }
    arena_finish(&a);
    return rc;
}

int vercel_oidc_claims(struct str jwt, char team[VERCEL_SCOPE_MAX],
                       char project[VERCEL_SCOPE_MAX], int64_t *ret_expires_s,
                       struct err *err)
{
    ptrdiff_t first = str_find(jwt, '.');
    struct str rest = first < 0 ? (struct str){0} : str_from(jwt, (size_t)first + 1);
    ptrdiff_t second = str_find(rest, '.');
    struct buf payload;
    if (second < 0 || jwt.n > TOKEN_MAX_BYTES)
        return not_oidc(err);
    buf_init(&payload, TOKEN_MAX_BYTES);
    int rc = decode_segment(&payload, (struct str){rest.p, (size_t)second}, err);
    if (rc == 0)
        rc = read_claims(buf_str(&payload), team, project, ret_expires_s, err);
    buf_finish(&payload);
    return rc < 0 ? not_oidc(err) : 0;
}

/* A small file of the user's; an absent one is empty. */
static int read_file(const char *path, struct buf *to, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    ssize_t n = -1;
    char *room = buf_reserve(to, FILE_MAX_BYTES);
    if (fd >= 0)
        n = read(fd, room, FILE_MAX_BYTES);
    if (n < 0)
        err_sys(err, errno, "reading %s", path);
    else
        to->n += (size_t)n;
    fd_close(&fd);
    return n < 0 ? -1 : 0;
}

static struct secret *take_secret(struct json v, struct arena *a)
{
    struct str s = json_str(v, a);
    return s.n ? secret_new(s) : NULL;
}

/* What the CLI has kept of its login. A file that cannot be read is as good as none,
 * unless the login is what is needed: then the caller misses it. */
static void read_cli(struct vercel_credentials *c, const char *path)
{
    struct arena a = {0};
    struct json_doc doc;
    struct buf text;
    struct err err;
    buf_init(&text, FILE_MAX_BYTES);
    if (read_file(path, &text, &err) == 0 && text.n &&
        json_parse(&doc, &a, buf_str(&text), &err) == 0) {
        struct json root = json_root(&doc);
        c->cli_token = take_secret(json_get(root, STR("token")), &a);
        c->refresh_token = take_secret(json_get(root, STR("refreshToken")), &a);
        json_i64(json_get(root, STR("expiresAt")), &c->cli_expires_s);
        snprintf(c->auth_file, sizeof c->auth_file, "%s", path);
    }
    if (text.p)
        secret_wipe(text.p, text.n);
    buf_finish(&text);
    arena_finish(&a);
}

static int read_project(struct vercel_credentials *c, const char *path, struct err *err)
{
    struct arena a = {0};
    struct json_doc doc;
    struct buf text;
    buf_init(&text, FILE_MAX_BYTES);
    int rc = read_file(path, &text, err);
    if (rc == 0 && text.n) {
        rc = json_parse(&doc, &a, buf_str(&text), err);
        struct json root = rc == 0 ? json_root(&doc) : (struct json){0};
        struct str team = json_str(json_get(root, STR("orgId")), &a);
        struct str project = json_str(json_get(root, STR("projectId")), &a);
        if (rc == 0)
            rc = take_id(c->team, team, "orgId", err) < 0 ||
                         take_id(c->project, project, "projectId", err) < 0
                     ? -1
                     : 0;
        if (rc < 0) {
            err_prefix(err, "%s", path);
            err_remedy(err, "`vercel link` writes it anew");
        } else {
            c->scope_source = ".vercel/project.json";
        }
    }
    buf_finish(&text);
    arena_finish(&a);
    return rc;
}

/* Team and project for a token that does not name them. */
static int find_scope(struct vercel_credentials *c, const struct vercel_offer *offer,
                      struct err *err)
{
    if (!given(offer->team) && !given(offer->project))
        return given(offer->project_file) ? read_project(c, offer->project_file, err)
                                          : 0;
    c->scope_source = "VERCEL_TEAM_ID, VERCEL_PROJECT_ID";
    if (!given(offer->team)) {
        err_set(err, ERR_INVALID,
                "VERCEL_TEAM_ID is missing (VERCEL_PROJECT_ID is "
                "set)");
        return err_remedy(err, "set it too; `vercel link` shows it in "
                               ".vercel/project.json as orgId");
    }
    if (take_id(c->team, str_of(offer->team), "VERCEL_TEAM_ID", err) < 0)
        return -1;
    return given(offer->project)
               ? take_id(c->project, str_of(offer->project), "VERCEL_PROJECT_ID", err)
               : 0;
}

static int expired(int64_t by_s, struct err *err)
{
    err_set(err, ERR_DENIED, "VERCEL_OIDC_TOKEN expired %lld minutes ago",
            (long long)by_s / 60);
    return err_remedy(err, "`vercel env pull` gets a new one, or use --backend local");
}

static int use_oidc(struct vercel_credentials *c, const struct vercel_offer *offer,
                    int64_t now_s, struct err *err)
{
    struct str jwt = str_of(offer->oidc_token);
    if (vercel_oidc_claims(jwt, c->team, c->project, &c->expires_s, err) < 0)
        return -1;
    if (c->expires_s && c->expires_s <= now_s && !c->cli_token)
        return expired(now_s - c->expires_s, err);
    c->token = secret_new(jwt);
    c->oidc = true;
    c->source = c->scope_source = "VERCEL_OIDC_TOKEN";
    return 1;
}

static int use_token(struct vercel_credentials *c, const char *token, const char *name,
                     const struct vercel_offer *offer, struct err *err)
{
    struct str s = str_of(token);
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || s.n > TOKEN_MAX_BYTES) {
            err_set(err, ERR_INVALID, "%s holds characters that no token has", name);
            return err_remedy(err, "copy it again, without quotes and blanks");
        }
    if (find_scope(c, offer, err) < 0)
        return -1;
    c->token = secret_new(s);
    c->source = name;
    return 1;
}

static int use_cli(struct vercel_credentials *c, const struct vercel_offer *offer,
                   int64_t now_s, struct err *err)
{
    if (c->cli_expires_s && c->cli_expires_s <= now_s && !c->refresh_token) {
        err_set(err, ERR_DENIED, "the login of Vercel's CLI has expired");
        return err_remedy(err, "`vercel login`, or use --backend local");
    }
    if (find_scope(c, offer, err) < 0)
        return -1;
    c->token = secret_dup(c->cli_token);
    c->expires_s = c->cli_expires_s;
    c->source = "the login of Vercel's CLI";
    return 1;
}

static int nothing(const struct vercel_offer *offer, struct err *err)
{
    if (!given(offer->team) && !given(offer->project))
        return 0;
    err_set(err, ERR_INVALID, "VERCEL_TOKEN is missing (%s is set)",
            given(offer->team) ? "VERCEL_TEAM_ID" : "VERCEL_PROJECT_ID");
    return err_remedy(err, "set it (vercel.com/account/tokens), `vercel login`, or use "
                           "--backend local");
}

static int find(struct vercel_credentials *c, const struct vercel_offer *offer,
                int64_t now_s, struct err *err)
{
    const struct {
        const char *value, *name;
    } tokens[] = {
        {offer->token, "VERCEL_TOKEN"},
        {offer->api_key, "VERCEL_SANDBOX_API_KEY"},
        {offer->auth_token, "VERCEL_AUTH_TOKEN"},
    };
    if (given(offer->auth_file))
        read_cli(c, offer->auth_file);
    if (given(offer->oidc_token))
        return use_oidc(c, offer, now_s, err);
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++)
        if (given(tokens[i].value))
            return use_token(c, tokens[i].value, tokens[i].name, offer, err);
    if (c->cli_token)
        return use_cli(c, offer, now_s, err);
    return nothing(offer, err);
}

int vercel_credentials_find(struct vercel_credentials *ret_credentials,
                            const struct vercel_offer *offer, int64_t now_s,
                            struct err *err)
{
    struct vercel_credentials c = {0};
    int rc = find(&c, offer, now_s, err);
    if (rc <= 0)
        vercel_credentials_finish(&c);
    *ret_credentials = c;
    return rc;
}
