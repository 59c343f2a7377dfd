#include "agent/model/credentials.h"
#include "agent/model/base_url.h"
#include "agent/model/profile.h"
#include "base/log.h"
#include <strings.h>

enum { TEXT_MAX = 64 * 1024, KEY_MAX = 16 * 1024 };

const char credentials_ways[] =
    "There is no key for a model. Any one of these will do:\n"
    "  Anthropic       export ANTHROPIC_API_KEY=sk-ant-...   (console.anthropic.com)\n"
    "                  or put it into .env, or `ant auth login`\n"
    "  Vercel          --gateway, with AI_GATEWAY_API_KEY or VERCEL_OIDC_TOKEN\n"
    "                  (`vercel link`, then `vercel env pull`)\n"
    "  Ollama          --base-url http://localhost:11434 --model NAME\n"
    "  llama.cpp       --base-url http://localhost:8080 --model NAME   (llama-server)\n"
    "  LM Studio       --base-url http://localhost:1234 --model NAME\n"
    "  vLLM            --base-url http://localhost:8000 --model NAME\n"
    "  other gateways  --base-url https://... with ANTHROPIC_AUTH_TOKEN\n";

static struct str trim(struct str s)
{
    while (s.n && strchr(" \t\r\n", s.p[0]))
        s = str_from(s, 1);
    while (s.n && strchr(" \t\r\n", s.p[s.n - 1]))
        s.n--;
    return s;
}

/* Blank is not set. */
static struct str variable(const struct credentials_offer *offer, const char *name)
{
    return trim(str_of(offer->variable(offer->ctx, name)));
}

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", s.p[i]))
            return false;
    return s.n > 0;
}

static bool is_value(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return false;
    return true;
}

static void add_header(struct credentials *c, struct str name, struct str value)
{
    struct str *h = &c->headers[c->header_count++];
    h->p = c->text.p + c->text.n; /* it has its whole room from the start */
    buf_adds(&c->text, name);
    buf_addz(&c->text, ": ");
    buf_adds(&c->text, value);
    h->n = (size_t)(c->text.p + c->text.n - h->p);
}

/* ANTHROPIC_CUSTOM_HEADERS: "Name: value" lines. The value may be a secret: it is in no
 * message. */
static int read_headers(struct credentials *c, struct str lines, struct err *err)
{
    while (lines.n) {
        ptrdiff_t end = str_find(lines, '\n');
        struct str line = trim(end < 0 ? lines : (struct str){lines.p, (size_t)end});
        lines = end < 0 ? (struct str){0} : str_from(lines, (size_t)end + 1);
        if (line.n == 0)
            continue;
        ptrdiff_t colon = str_find(line, ':');
        struct str name = {line.p, colon < 0 ? 0 : (size_t)colon};
        struct str value = trim(str_from(line, name.n + 1));
        if (!is_name(name) || !is_value(value)) {
            err_set(err, ERR_INVALID,
                    "ANTHROPIC_CUSTOM_HEADERS has a line that is no "
                    "header");
            return err_remedy(err, "one \"Name: value\" a line");
        }
        if (c->header_count >= CREDENTIALS_HEADERS_MAX - 2)
            return err_set(err, ERR_LIMIT, "ANTHROPIC_CUSTOM_HEADERS has over %d lines",
                           CREDENTIALS_HEADERS_MAX - 2);
        add_header(c, name, value);
    }
    return 0;
}

static int take_key(struct credentials *c, struct str value, const char *name,
                    struct err *err)
{
    bool ok = value.n <= KEY_MAX;
    for (size_t i = 0; i < value.n && ok; i++)
        ok = value.p[i] > ' ' && value.p[i] <= '~';
    if (!ok) {
        err_set(err, ERR_INVALID, "%s holds characters that no key has", name);
        return err_remedy(err, "copy it again, without quotes and blanks");
    }
    c->key = secret_new(value);
    c->source = name;
    return 0;
}

/* The first of the variables that is set; 0 also when none is. */
static int take_first(struct credentials *c, const struct credentials_offer *offer,
                      const char *const *names, struct err *err)
{
    for (; *names; names++) {
        struct str value = variable(offer, *names);
        if (value.n == 0)
            continue;
        if (c->key)
            log_info("ignoring %s: %s is set", *names, c->source);
        else if (take_key(c, value, *names, err) < 0)
            return -1;
    }
    return 0;
}

static int take_gateway(struct credentials *c, const struct credentials_offer *offer,
                        struct err *err)
{
    static const char *const names[] = {"AI_GATEWAY_API_KEY", "VERCEL_OIDC_TOKEN",
                                        NULL};
    if (take_first(c, offer, names, err) < 0)
        return -1;
    if (c->key)
        return 0;
    err_set(err, ERR_INVALID,
            "--gateway needs AI_GATEWAY_API_KEY or VERCEL_OIDC_TOKEN");
    return err_remedy(err, "`vercel link`, then `vercel env pull`: it writes "
                           "VERCEL_OIDC_TOKEN into .env.local");
}

/* A profile is for Anthropic: its token goes to another server only when it is asked
 * for by name. */
static int take_profile(struct credentials *c, const struct credentials_offer *offer,
                        struct str *base, struct err *err)
{
    struct profile profile = {0};
    bool named = variable(offer, "ANTHROPIC_PROFILE").n > 0;
    if (base->n && !base_url_is_anthropic(*base) && !named)
        return 0;
    int rc = profile_read(&profile, offer->variable, offer->ctx, err);
    if (rc > 0) {
        c->key = profile.token;
        profile.token = NULL;
        c->source = "the profile of ant";
        c->variable = offer->variable;
        c->variable_ctx = offer->ctx;
        if (profile.is_oauth)
            add_header(c, STR("anthropic-beta"), STR("oauth-2025-04-20"));
        if (profile.workspace[0])
            add_header(c, STR("anthropic-workspace-id"), str_of(profile.workspace));
        if (base->n == 0 && profile.base_url[0]) {
            buf_addz(&c->text, profile.base_url);
            *base = (struct str){c->text.p + c->text.n - strlen(profile.base_url),
                                 strlen(profile.base_url)};
        }
    }
    profile_finish(&profile);
    return rc < 0 ? -1 : 0;
}

/* Someone has his own way to be known. */
static bool has_own_key(const struct credentials *c)
{
    static const struct str names[] = {STR_INIT("authorization:"),
                                       STR_INIT("x-api-key:")};
    for (size_t i = 0; i < c->header_count; i++)
        for (size_t k = 0; k < 2; k++)
            if (c->headers[i].n > names[k].n &&
                strncasecmp(c->headers[i].p, names[k].p, names[k].n) == 0)
                return true;
    return false;
}

/* Where a proxy inspects TLS: its CA. */
static const char *find_ca(const struct credentials_offer *offer)
{
    const char *file = offer->variable(offer->ctx, "SSL_CERT_FILE");
    if (!file || !file[0])
        file = offer->variable(offer->ctx, "CURL_CA_BUNDLE");
    return file && file[0] ? file : NULL;
}

static int find(struct credentials *c, const struct credentials_offer *offer,
                struct err *err)
{
    static const char *const names[] = {"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN",
                                        NULL};
    struct str base = trim(str_of(offer->base_url));
    if (base.n == 0 && !offer->gateway)
        base = variable(offer, "ANTHROPIC_BASE_URL");
    if (read_headers(c, variable(offer, "ANTHROPIC_CUSTOM_HEADERS"), err) < 0)
        return -1;
    if ((offer->gateway ? take_gateway(c, offer, err)
                        : take_first(c, offer, names, err)) < 0)
        return -1;
    bool known = c->key || has_own_key(c);
    if (!known && take_profile(c, offer, &base, err) < 0)
        return -1;
    if (!known && !c->key && base.n == 0)
        return err_set(err, ERR_NOT_FOUND, "there is no key for a model");
    if (base.n == 0)
        base = offer->gateway ? STR(BASE_URL_GATEWAY) : STR(BASE_URL_ANTHROPIC);
    c->ca_file = find_ca(offer);
    c->anthropic = offer->gateway || base_url_is_anthropic(base);
    if (base_url_check(base, c->key || c->header_count, &base, err) < 0)
        return -1;
    c->base_url = (struct str){c->text.p + c->text.n, base.n};
    buf_adds(&c->text, base);
    if (c->text.overflow)
        return err_set(err, ERR_LIMIT, "base URL and headers are over %d KiB",
                       TEXT_MAX / 1024);
    return 0;
}

int credentials_find(struct credentials *ret_credentials,
                     const struct credentials_offer *offer, struct err *err)
{
    struct credentials c = {0};
    buf_init(&c.text, TEXT_MAX);
    buf_reserve(&c.text, TEXT_MAX); /* so that it never moves */
    if (find(&c, offer, err) < 0) {
        credentials_finish(&c);
        return -1;
    }
    *ret_credentials = c;
    return 0;
}

void credentials_finish(struct credentials *c)
{
    secret_free(c->key);
    if (c->text.p)
        secret_wipe(c->text.p, c->text.n);
    buf_finish(&c->text);
    *c = (struct credentials){0};
}

static const struct secret *renew_key(void *ctx)
{
    struct credentials *c = ctx;
    struct profile profile = {0};
    struct err err;
    if (profile_read(&profile, c->variable, c->variable_ctx, &err) <= 0)
        return NULL; /* the refusal is told */
    secret_free(c->key);
    c->key = profile.token;
    profile.token = NULL;
    profile_finish(&profile);
    return c->key;
}

void credentials_use(struct credentials *c, struct model_config *config)
{
    config->renew_key = c->variable ? renew_key : NULL;
    config->renew_ctx = c;
    config->base_url = c->base_url;
    config->key = c->key;
    config->ca_file = c->ca_file;
    config->key_source = c->source;
    config->headers = c->headers;
    config->header_count = c->header_count;
}
