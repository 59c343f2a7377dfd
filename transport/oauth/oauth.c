/* The module "oauth": whose a bearer token is, by the keys of an OAuth 2.1
 * authorization server. A token that was found good is remembered for a while, by its
 * digest, so that one signature is not checked for each request. */
#include "base/log.h"
#include "base/mem.h"
#include "base/module.h"
#include "base/secret.h"
#include "base/sha256.h"
#include "transport/authority.h"
#include "transport/oauth/discovery.h"
#include "transport/oauth/issuer.h"
#include "transport/oauth/subjects.h"
#include <time.h>

enum {
    SEEN_SLOTS = 1024,
    WAITING_MAX = 64, /* tokens that wait for keys */
    METADATA_MAX = 16 * 1024,
};

static const char no_keys[] = "The OAuth issuer's keys cannot be had now";

struct seen {
    unsigned char digest[SHA256_SIZE];
    struct authority_subject *subject; /* NULL: the slot is free */
    uint64_t expires_s, generation;
};

struct authority_wait {
    struct authority *authority;
    struct authority_wait *next, **at;
    authority_fn *fn;
    void *ctx;
    size_t token_n;
    char token[];
};

struct authority {
    struct issuer *issuer;
    struct subjects *subjects;
    struct token_rules rules;
    struct str audience; /* the resource, where no other is given */
    struct authority_about about;
    char metadata_url[DISCOVERY_URL_MAX];
    struct buf metadata;
    struct authority_wait *waiting;
    size_t waiting_count;
    struct seen seen[SEEN_SLOTS];
};

static void refuse(struct authority_answer *to, enum authority_says says,
                   const char *why)
{
    *to = (struct authority_answer){.says = says, .why = why};
}

static struct seen *slot_of(struct authority *a, struct str token,
                            unsigned char digest[SHA256_SIZE])
{
    struct sha256 h;
    sha256_init(&h);
    sha256_add(&h, token);
    sha256_end(&h, digest);
    return &a->seen[(digest[0] << 8 | digest[1]) % SEEN_SLOTS];
}

/* A token that its keys have signed. */
static void judge(struct authority *a, struct token *token,
                  struct authority_answer *ret_answer)
{
    struct str subject;
    struct err err;
    uint64_t expires_s;
    const char *why;
    enum token_says says =
        token_check(token, &a->rules, (uint64_t)time(NULL), &subject, &expires_s, &why);
    if (says != TOKEN_GOOD) {
        refuse(ret_answer, says == TOKEN_WRONG ? AUTHORITY_INVALID : AUTHORITY_SCOPE,
               why);
        return;
    }
    *ret_answer =
        (struct authority_answer){.says = AUTHORITY_KNOWN, .expires_s = expires_s};
    if (subjects_find(a->subjects, subject, &ret_answer->subject, &err) == 0)
        return;
    log_warn("refusing a new OAuth subject: %s", err.msg);
    if (err.kind == ERR_LIMIT)
        refuse(ret_answer, AUTHORITY_FULL, "No further subject is taken here");
    else
        refuse(ret_answer, AUTHORITY_UNAVAILABLE, "The subject cannot be stored now");
}

/* With the keys that are there; false: others are needed. */
static bool decide(struct authority *a, struct str compact,
                   struct authority_answer *ret_answer)
{
    const struct key_set *keys = issuer_keys(a->issuer);
    struct token token;
    const char *why;
    bool decided = true;
    if (token_parse(&token, compact, &why) < 0) {
        refuse(ret_answer, AUTHORITY_INVALID, why);
    } else if (!keys) {
        decided = false;
        refuse(ret_answer, AUTHORITY_UNAVAILABLE, no_keys);
    } else {
        enum key_says says = key_set_verify(keys, &token);
        decided = says != KEY_UNKNOWN;
        if (says == KEY_SIGNED)
            judge(a, &token, ret_answer);
        else
            refuse(ret_answer, AUTHORITY_INVALID,
                   decided ? "The signature of the token is wrong"
                           : "The token is signed with a key that the issuer does not "
                             "have");
    }
    token_finish(&token);
    return decided;
}

static struct authority_wait *wait_new(struct authority *a, struct str token,
                                       authority_fn *fn, void *ctx)
{
    struct authority_wait *w = mem_zalloc(sizeof *w + token.n);
    *w = (struct authority_wait){
        .authority = a, .next = a->waiting, .fn = fn, .ctx = ctx, .token_n = token.n};
    memcpy(w->token, token.p, token.n);
    w->at = &a->waiting;
    if (w->next)
        w->next->at = &w->next;
    a->waiting = w;
    a->waiting_count++;
    return w;
}

static void cancel(struct authority_wait *w)
{
    if (!w)
        return;
    *w->at = w->next;
    if (w->next)
        w->next->at = w->at;
    w->authority->waiting_count--;
    secret_wipe(w->token, w->token_n);
    mem_free(w);
}

static void check(struct authority *a, struct str token,
                  struct authority_answer *ret_answer, struct authority_wait **ret_wait,
                  authority_fn *fn, void *ctx)
{
    unsigned char digest[SHA256_SIZE];
    struct seen *seen = slot_of(a, token, digest);
    *ret_wait = NULL;
    if (issuer_is_due(a->issuer))
        issuer_fetch(a->issuer); /* what is there stands in meanwhile */
    bool same = seen->subject && memcmp(seen->digest, digest, SHA256_SIZE) == 0;
    if (same && seen->generation == issuer_generation(a->issuer) &&
        seen->expires_s > (uint64_t)time(NULL) && issuer_keys(a->issuer)) {
        *ret_answer = (struct authority_answer){.says = AUTHORITY_KNOWN,
                                                .subject = seen->subject,
                                                .expires_s = seen->expires_s};
        return;
    }
    bool decided = decide(a, token, ret_answer);
    if (ret_answer->says == AUTHORITY_KNOWN) {
        seen->subject = ret_answer->subject;
        seen->expires_s = ret_answer->expires_s;
        seen->generation = issuer_generation(a->issuer);
        memcpy(seen->digest, digest, SHA256_SIZE);
    }
    if (decided || !issuer_fetch(a->issuer))
        return;
    if (fn && a->waiting_count < WAITING_MAX) {
        *ret_wait = wait_new(a, token, fn, ctx);
        ret_answer->says = AUTHORITY_PENDING;
    } else {
        refuse(ret_answer, AUTHORITY_UNAVAILABLE, no_keys);
    }
}

/* A fetch is over: who waits for it gets an answer, whatever it is. Who asks anew from
 * its callback waits for the next one. */
static void on_fetched(void *ctx)
{
    struct authority *a = ctx;
    struct authority_wait *all = a->waiting;
    a->waiting = NULL;
    if (all)
        all->at = &all;
    while (all) {
        struct authority_wait *w = all;
        struct authority_answer answer;
        authority_fn *fn = w->fn;
        void *fn_ctx = w->ctx;
        decide(a, (struct str){w->token, w->token_n}, &answer);
        cancel(w);
        fn(fn_ctx, &answer);
    }
}

static const char *unready(struct authority *a)
{
    if (issuer_is_due(a->issuer))
        issuer_fetch(a->issuer);
    return issuer_keys(a->issuer) ? NULL : no_keys;
}

static const struct authority_about *about(const struct authority *a)
{
    return &a->about;
}

static void authority_free(struct authority *a)
{
    if (!a)
        return;
    while (a->waiting)
        cancel(a->waiting);
    issuer_free(a->issuer);
    subjects_free(a->subjects);
    buf_finish(&a->metadata);
    mem_free(a);
}

/* RFC 6749 3.3: so that it fits a header. */
static int check_scope(const char *scope, struct err *err)
{
    size_t n = 0;
    for (; scope && scope[n]; n++)
        if (scope[n] < ' ' || scope[n] >= 0x7f || strchr("\"\\", scope[n]))
            return err_set(err, ERR_INVALID, "--oauth-scope is words of ASCII letters");
    return n <= 512 ? 0 : err_set(err, ERR_INVALID, "--oauth-scope is too long");
}

static void describe(struct authority *a, const struct authority_config *config)
{
    discovery_resource_place(config->resource, a->metadata_url);
    buf_init(&a->metadata, METADATA_MAX);
    discovery_write_resource(&a->metadata, config->resource, config->issuer,
                             config->scope);
    a->about = (struct authority_about){
        .metadata_url = a->metadata_url,
        .metadata_path = str_of(discovery_path(a->metadata_url)),
        .metadata = buf_str(&a->metadata),
        .scope = config->scope,
    };
    a->audience = str_of(config->resource);
    a->rules = (struct token_rules){
        .issuer = str_of(config->issuer),
        .audiences = config->audience_count ? config->audiences : &a->audience,
        .audience_count = config->audience_count ? config->audience_count : 1,
        .scope = str_of(config->scope),
    };
}

static int authority_new(struct authority **ret_authority, struct loop *loop,
                         const struct authority_config *config, struct err *err)
{
    if (discovery_check_url(config->resource, "--oauth-resource", err) < 0 ||
        check_scope(config->scope, err) < 0)
        return -1;
    struct authority *a = mem_new(struct authority);
    if (issuer_new(&a->issuer, loop, config->issuer, config->ca_file, on_fetched, a,
                   err) < 0 ||
        subjects_new(&a->subjects, config->state_dir, config->issuer, config->taken,
                     config->taken_count, err) < 0) {
        authority_free(a);
        return -1;
    }
    describe(a, config);
    issuer_fetch(a->issuer);
    *ret_authority = a;
    return 0;
}

static const struct authority_entries entries = {
    .authority_new = authority_new,
    .authority_free = authority_free,
    .about = about,
    .check = check,
    .cancel = cancel,
    .unready = unready,
};
MODULE_EXPORT("oauth", &entries);
