/* The token, which may expire and be renewed, and whose sandboxes it opens.
 *
 * Renewal: the login of Vercel's CLI has a refresh token (OAuth 2.0, RFC 6749 section
 * 6), which changes with each use, so the new one is kept in the CLI's own file; an
 * OIDC token is made anew by that login. */
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/vercel/private.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    EARLY_S = 300, /* renewed so long before its end */
    LATE_S = 3600, /* its end is told so long before, where it cannot be renewed */
    ANSWER_MAX_BYTES = 64 * 1024,
    RENEWAL_MS = 20 * 1000,
    FILE_MAX_BYTES = 64 * 1024,
};

static const char cli_client[] = "cl_HYyOPBNtFMfHhaUn9L4QPfTZz6TP47bp"; /* public */
static const char default_project[] = "vercel-sandbox-default-project";

void waiting_add(struct waiting **list, void (*fn)(void *ctx, const struct err *err),
                 void *ctx)
{
    struct waiting *w = mem_new(struct waiting);
    *w = (struct waiting){.next = *list, .fn = fn, .ctx = ctx};
    *list = w;
}

void waiting_remove(struct waiting **list, const void *ctx)
{
    for (struct waiting **at = list; *at;) {
        struct waiting *w = *at;
        if (w->ctx == ctx) {
            *at = w->next;
            mem_free(w);
        } else {
            at = &w->next;
        }
    }
}

static struct waiting *take_oldest_due(struct waiting **list)
{
    struct waiting **found = NULL;
    for (struct waiting **at = list; *at; at = &(*at)->next)
        if ((*at)->due)
            found = at; /* newer ones stand in front */
    struct waiting *w = found ? *found : NULL;
    if (w)
        *found = w->next;
    return w;
}

/* One after the other: a callback may remove others, or wait again, which is a wait of
 * its own. */
void waiting_tell(struct waiting **list, const struct err *err)
{
    for (struct waiting *w = *list; w; w = w->next)
        w->due = true;
    for (struct waiting *w; (w = take_oldest_due(list));) {
        w->fn(w->ctx, err);
        mem_free(w);
    }
}

static int64_t now_s(void)
{
    return (int64_t)(sandbox_unix_ms() / 1000);
}

void account_init(struct vercel *v)
{
    const struct vercel_credentials *c = v->config->credentials;
    struct account *a = &v->account;
    a->token = secret_dup(c->token);
    a->cli_token = secret_dup(c->cli_token);
    a->refresh_token = secret_dup(c->refresh_token);
    a->expires_s = c->expires_s;
    a->cli_expires_s = c->cli_expires_s;
    memcpy(a->team, c->team, sizeof a->team);
    memcpy(a->project, c->project, sizeof a->project);
    buf_init(&a->answer, ANSWER_MAX_BYTES);
    buf_init(&a->form, ANSWER_MAX_BYTES);
}

static void forget_all(struct waiting **list)
{
    while (*list) {
        struct waiting *next = (*list)->next;
        mem_free(*list);
        *list = next;
    }
}

static void wipe(struct buf *b)
{
    if (b->p)
        secret_wipe(b->p, b->n);
    b->n = 0;
}

void account_finish(struct vercel *v)
{
    struct account *a = &v->account;
    http_cancel(a->renewing);
    exchange_cancel(a->asking);
    secret_free(a->token);
    secret_free(a->cli_token);
    secret_free(a->refresh_token);
    forget_all(&a->for_scope);
    forget_all(&a->for_token);
    wipe(&a->answer);
    wipe(&a->form);
    buf_finish(&a->answer);
    buf_finish(&a->form);
}

void account_forget(struct vercel *v, const void *ctx)
{
    waiting_remove(&v->account.for_scope, ctx);
    waiting_remove(&v->account.for_token, ctx);
}

struct vercel_scope vercel_scope_of(const struct vercel *v)
{
    return (struct vercel_scope){str_of(v->account.team), str_of(v->account.project)};
}

/* Renewing */

static void renew(struct vercel *v);

static void renewed(struct vercel *v, bool ok)
{
    struct account *a = &v->account;
    wipe(&a->answer);
    wipe(&a->form);
    if (!ok && !a->renewal_failed)
        log_warn("vercel: the token could not be renewed (HTTP %d), giving up",
                 a->renewal_status);
    a->renewal_failed = !ok;
    waiting_tell(&a->for_token, NULL); /* who meets a refusal now says so */
}

static void replace(struct secret **to, struct str s)
{
    struct secret *fresh = secret_new(s);
    secret_free(*to);
    *to = fresh;
}

/* Writes the members of a login over those in the CLI's file, which keeps the rest. */
static void write_login(struct json_writer *w, struct json old, const struct account *a)
{
    struct arena scratch = {0};
    jw_object(w);
    for (struct json k = json_first(old); json_present(k); k = json_next(k)) {
        if (json_str_is(k, STR("token")) || json_str_is(k, STR("refreshToken")) ||
            json_str_is(k, STR("expiresAt")))
            continue;
        jw_key_any(w, json_str(k, &scratch));
        jw_json(w, json_value(k));
    }
    jw_key_str(w, "token", secret_reveal(a->cli_token));
    if (a->refresh_token)
        jw_key_str(w, "refreshToken", secret_reveal(a->refresh_token));
    jw_key_i64(w, "expiresAt", a->cli_expires_s);
    jw_end_object(w);
    arena_finish(&scratch);
}

static int replace_file(const char *path, struct str text)
{
    char temporary[PATH_MAX];
    int n = snprintf(temporary, sizeof temporary, "%s.sandquay", path);
    if (n < 0 || (size_t)n >= sizeof temporary)
        return -1;
    int fd =
        open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -1;
    bool ok = fchmod(fd, 0600) == 0 && write(fd, text.p, text.n) == (ssize_t)text.n;
    fd_close(&fd);
    if (ok && rename(temporary, path) == 0)
        return 0;
    unlink(temporary);
    return -1;
}

static void keep_login(struct vercel *v)
{
    const char *path = v->config->credentials->auth_file;
    struct arena a = {0};
    struct json_doc doc;
    struct buf text, fresh;
    struct json_writer w;
    struct err err;
    buf_init(&text, FILE_MAX_BYTES);
    buf_init(&fresh, FILE_MAX_BYTES);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *room = buf_reserve(&text, FILE_MAX_BYTES);
    ssize_t n = fd < 0 ? -1 : read(fd, room, FILE_MAX_BYTES);
    fd_close(&fd);
    bool ok = n > 0 && json_parse(&doc, &a, (struct str){room, (size_t)n}, &err) == 0 &&
              json_type(json_root(&doc)) == JSON_OBJECT;
    if (ok) {
        jw_init(&w, &fresh);
        write_login(&w, json_root(&doc), &v->account);
        ok = !fresh.overflow && replace_file(path, buf_str(&fresh)) == 0;
    }
    if (!ok)
        log_warn("vercel: the renewed login could not be kept in %s, ignoring; "
                 "`vercel login` may be needed",
                 path);
    text.n = n > 0 ? (size_t)n : 0;
    wipe(&text);
    wipe(&fresh);
    buf_finish(&text);
    buf_finish(&fresh);
    arena_finish(&a);
}

/* {"access_token", "refresh_token", "expires_in"} */
static bool take_login(struct vercel *v, struct json root, struct arena *scratch)
{
    struct account *a = &v->account;
    struct str token = json_str(json_get(root, STR("access_token")), scratch);
    struct str refresh = json_str(json_get(root, STR("refresh_token")), scratch);
    int64_t lasts_s = 3600;
    if (token.n == 0)
        return false;
    json_i64(json_get(root, STR("expires_in")), &lasts_s);
    replace(&a->cli_token, token);
    if (refresh.n)
        replace(&a->refresh_token, refresh);
    a->cli_expires_s = now_s() + lasts_s;
    if (!v->config->credentials->oidc) {
        replace(&a->token, token);
        a->expires_s = a->cli_expires_s;
    }
    keep_login(v);
    return true;
}

/* {"token": "<jwt>"} */
static bool take_oidc(struct vercel *v, struct json root, struct arena *scratch)
{
    struct account *a = &v->account;
    char team[VERCEL_SCOPE_MAX], project[VERCEL_SCOPE_MAX];
    int64_t expires_s;
    struct err err;
    struct str token = json_str(json_get(root, STR("token")), scratch);
    if (vercel_oidc_claims(token, team, project, &expires_s, &err) < 0)
        return false;
    replace(&a->token, token);
    a->expires_s = expires_s;
    return true;
}

static void on_renewal_head(void *ctx, int status)
{
    struct vercel *v = ctx;
    v->account.renewal_status = status;
}

static void on_renewal_body(void *ctx, struct str bytes)
{
    struct vercel *v = ctx;
    buf_adds(&v->account.answer, bytes);
}

static void on_renewal_done(void *ctx, const struct err *err, enum http_reach reach)
{
    struct vercel *v = ctx;
    struct account *a = &v->account;
    struct arena scratch = {0};
    struct json_doc doc;
    struct err ignored;
    (void)reach;
    a->renewing = NULL;
    bool ok = !err && a->renewal_status >= 200 && a->renewal_status < 300 &&
              !a->answer.overflow &&
              json_parse(&doc, &scratch, buf_str(&a->answer), &ignored) == 0;
    if (ok)
        ok = a->renewing_cli ? take_login(v, json_root(&doc), &scratch)
                             : take_oidc(v, json_root(&doc), &scratch);
    arena_finish(&scratch);
    if (ok && a->renewing_cli && v->config->credentials->oidc)
        renew(v); /* now the OIDC token, by the fresh login */
    else
        renewed(v, ok);
}

/* Sends one renewal: of the login if that is what is old, else of the OIDC token. */
static void renew(struct vercel *v)
{
    static const struct http_events events = {on_renewal_head, on_renewal_body,
                                              on_renewal_done};
    static const struct str form =
        STR_INIT("content-type: application/x-www-form-urlencoded");
    struct account *a = &v->account;
    struct buf url;
    bool oidc = v->config->credentials->oidc;
    a->renewing_cli = !oidc || (a->cli_expires_s && a->cli_expires_s <= now_s() + 60 &&
                                a->refresh_token);
    buf_init(&url, 4096);
    wipe(&a->answer);
    wipe(&a->form);
    a->renewal_status = 0;
    buf_addz(&url, v->config->account_url);
    if (a->renewing_cli) {
        buf_addz(&url, "/login/oauth/token");
        buf_addf(&a->form,
                 "grant_type=refresh_token&client_id=%s&refresh_token=", cli_client);
        vercel_escape(&a->form, secret_reveal(a->refresh_token));
    } else {
        buf_addf(&url, "/v1/projects/%s/token?source=vercel-oidc-refresh&teamId=%s",
                 a->project, a->team);
    }
    struct http_request request = {
        .method = "POST",
        .url = buf_str(&url),
        .headers = &form,
        .header_count = a->renewing_cli ? 1 : 0,
        .bearer = a->renewing_cli ? NULL : a->cli_token,
        .body = buf_str(&a->form),
        .head_timeout_ms = RENEWAL_MS,
        .idle_timeout_ms = RENEWAL_MS,
    };
    a->renewing = http_start(v->http, &request, &events, v);
    buf_finish(&url);
}

static bool can_renew(const struct vercel *v)
{
    const struct account *a = &v->account;
    if (a->renewal_failed)
        return false;
    return v->config->credentials->oidc ? a->cli_token != NULL
                                        : a->refresh_token != NULL;
}

static void wait_for_token(struct vercel *v,
                           void (*fn)(void *ctx, const struct err *err), void *ctx)
{
    waiting_add(&v->account.for_token, fn, ctx);
    if (!v->account.renewing)
        renew(v);
}

bool account_fresh(struct vercel *v, void (*fn)(void *ctx, const struct err *err),
                   void *ctx)
{
    const struct account *a = &v->account;
    if (!a->expires_s || now_s() + EARLY_S < a->expires_s || !can_renew(v))
        return true;
    wait_for_token(v, fn, ctx);
    return false;
}

bool account_renew(struct vercel *v, void (*fn)(void *ctx, const struct err *err),
                   void *ctx)
{
    if (!can_renew(v))
        return false;
    wait_for_token(v, fn, ctx);
    return true;
}

int account_minutes_left(const struct vercel *v)
{
    int64_t left_s = v->account.expires_s - now_s();
    if (!v->account.expires_s || can_renew(v) || left_s > LATE_S)
        return -1;
    return left_s > 0 ? (int)(left_s / 60) : 0;
}

int account_refused(const struct vercel *v, int status, struct str message,
                    struct err *err)
{
    const struct vercel_credentials *c = v->config->credentials;
    bool old = v->account.expires_s && v->account.expires_s <= now_s();
    if (message.n > 100)
        message.n = 100;
    err_set(err, ERR_DENIED, "Vercel refused %s%s: %.*s (HTTP %d)", c->source,
            old ? ", which has expired" : "", STR_FMT(message), status);
    if (c->oidc)
        return err_remedy(err, "`vercel env pull` gets a new one");
    if (status == 403)
        return err_remedy(err,
                          "is the token for team %.40s and project %.40s? Check "
                          "VERCEL_TEAM_ID and VERCEL_PROJECT_ID",
                          v->account.team, v->account.project);
    return err_remedy(err, "make a new one (vercel.com/account/tokens) or `vercel "
                           "login`");
}

/* The scope */

static void scope_known(struct vercel *v, const struct err *err)
{
    if (!err)
        log_info("vercel: team %s, project %s", v->account.team, v->account.project);
    waiting_tell(&v->account.for_scope, err);
}

static bool take_text(char to[VERCEL_SCOPE_MAX], struct str s)
{
    if (s.n == 0 || s.n >= VERCEL_SCOPE_MAX)
        return false;
    memcpy(to, s.p, s.n);
    to[s.n] = '\0';
    return true;
}

static void no_scope(struct vercel *v, const char *what)
{
    struct err err;
    err_set(&err, ERR_INVALID, "%s is not known: the account does not tell it", what);
    err_remedy(&err, "set VERCEL_TEAM_ID and VERCEL_PROJECT_ID, or `vercel link`");
    scope_known(v, &err);
}

static void ask(struct vercel *v, struct vercel_request request, exchange_fn *done)
{
    v->account.asking = exchange_start(
        v, &(struct exchange_spec){.request = request, .done = done, .ctx = v});
}

static void on_project(void *ctx, const struct exchange_result *r)
{
    struct vercel *v = ctx;
    v->account.asking = NULL;
    if (r->err && r->status == 404) {
        ask(v, vercel_project_new(str_of(v->account.team), STR(default_project)),
            on_project);
    } else if (r->err && r->status != 409) {
        scope_known(v, r->err);
    } else {
        memcpy(v->account.project, default_project, sizeof default_project);
        scope_known(v, NULL);
    }
}

static void on_user(void *ctx, const struct exchange_result *r)
{
    struct vercel *v = ctx;
    v->account.asking = NULL;
    if (r->err) {
        scope_known(v, r->err);
        return;
    }
    struct json user = json_get(r->root, STR("user"));
    if (!take_text(v->account.team,
                   json_str(json_get(user, STR("defaultTeamId")), r->arena)))
        no_scope(v, "VERCEL_TEAM_ID");
    else
        ask(v, vercel_project(str_of(v->account.team), STR(default_project)),
            on_project);
}

void account_prepare(struct vercel *v, void (*fn)(void *ctx, const struct err *err),
                     void *ctx)
{
    struct account *a = &v->account;
    if (a->project[0]) {
        fn(ctx, NULL);
        return;
    }
    waiting_add(&a->for_scope, fn, ctx);
    if (a->asking)
        return;
    if (a->team[0])
        ask(v, vercel_project(str_of(a->team), STR(default_project)), on_project);
    else
        ask(v, vercel_user(), on_user);
}
