#include "agent/model/models.h"
#include "agent/model/base_url.h"
#include <stdio.h>
#include <string.h>

#define TO_HIGH " low medium high "
#define TO_MAX " low medium high max "
#define WITH_XHIGH " low medium high xhigh max "
#define MILLION 1000000
#define K 1000

static const struct model_info models[] = {
    {"claude-opus-5-5", MILLION, 128 * K, 4, 20, 0.20, 0, 0, WITH_XHIGH, true, true,
     NULL},
    {"claude-sonnet-5-5", MILLION, 128 * K, 2, 10, 0.10, 0, 0, WITH_XHIGH, true, true,
     NULL},
    {"claude-haiku-5-5", MILLION, 128 * K, 0.10, 0.50, 0.01, 100 * K, 5, WITH_XHIGH,
     true, true, NULL},
    {"claude-fable-5-1", MILLION, 128 * K, 10, 50, 0.25, 0, 0, WITH_XHIGH, true, true,
     NULL},
    {"claude-mythos-5-1", MILLION, 128 * K, 10, 50, 0.25, 0, 0, WITH_XHIGH, true, true,
     NULL},
    {"claude-fable-5", MILLION, 128 * K, 10, 50, 1, 0, 0, WITH_XHIGH, true, true, NULL},
    {"claude-mythos-5", MILLION, 128 * K, 10, 50, 1, 0, 0, WITH_XHIGH, true, true,
     NULL},
    {"claude-opus-5", MILLION, 128 * K, 5, 25, 0.50, 0, 0, WITH_XHIGH, true, true,
     NULL},
    {"claude-sonnet-5", MILLION, 128 * K, 2, 10, 0.20, 0, 0, WITH_XHIGH, true, true,
     NULL},
    {"claude-opus-4-8", MILLION, 128 * K, 5, 25, 0.50, 0, 0, WITH_XHIGH, true, true,
     NULL},
    {"claude-opus-4-7", MILLION, 128 * K, 5, 25, 0.50, 0, 0, WITH_XHIGH, true, true,
     NULL},
    {"claude-opus-4-6", MILLION, 128 * K, 5, 25, 0.50, 0, 0, TO_MAX, true, true, NULL},
    {"claude-sonnet-4-6", MILLION, 128 * K, 3, 15, 0.30, 0, 0, TO_MAX, true, true,
     NULL},
    {"claude-opus-4-5", 200 * K, 64 * K, 5, 25, 0.50, 0, 0, TO_HIGH, false, false,
     NULL},
    {"claude-haiku-4-5", 200 * K, 64 * K, 1, 5, 0.10, 0, 0, "", false, false, NULL},
    {"claude-sonnet-4-5", 200 * K, 64 * K, 3, 15, 0.30, 0, 0, "", false, false,
     "30 November 2026"},
};

/* By the beginning of their ids: dates and "-latest" follow. */
static const struct {
    struct str id;
    const char *since, *instead;
} retired[] = {
    {STR_INIT("claude-opus-4-1"), "5 August 2026", "claude-opus-5-5"},
    {STR_INIT("claude-opus-4-20250514"), "15 June 2026", "claude-opus-5-5"},
    {STR_INIT("claude-opus-4-0"), "15 June 2026", "claude-opus-5-5"},
    {STR_INIT("claude-sonnet-4-20250514"), "15 June 2026", "claude-sonnet-5-5"},
    {STR_INIT("claude-sonnet-4-0"), "15 June 2026", "claude-sonnet-5-5"},
    {STR_INIT("claude-3-7-sonnet"), "19 February 2026", "claude-sonnet-5-5"},
    {STR_INIT("claude-3-5-haiku"), "19 February 2026", "claude-haiku-5-5"},
    {STR_INIT("claude-3-opus"), "5 January 2026", "claude-opus-5-5"},
    {STR_INIT("claude-3-5-sonnet"), "28 October 2025", "claude-sonnet-5-5"},
    {STR_INIT("claude-3-"), "2026", "claude-sonnet-5-5"},
    {STR_INIT("claude-2"), "2025", "claude-sonnet-5-5"},
    {STR_INIT("claude-instant"), "2025", "claude-haiku-5-5"},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The id as Anthropic writes it, without a date. */
static void plain_id(struct str id, char to[MODELS_ID_MAX])
{
    static const struct str provider = STR_INIT("anthropic/");
    enum { DATE = 9 }; /* -20250929 */
    if (str_starts(id, provider))
        id = str_from(id, provider.n);
    size_t n = id.n < MODELS_ID_MAX ? id.n : 0;
    for (size_t i = 0; i < n; i++)
        to[i] = id.p[i] == '.' ? '-' : id.p[i];
    size_t digits = 0;
    while (digits < n && is_digit(to[n - digits - 1]))
        digits++;
    if (digits == DATE - 1 && n > DATE && to[n - DATE] == '-')
        n -= DATE;
    to[n] = '\0';
}

const struct model_info *models_find(struct str id)
{
    char plain[MODELS_ID_MAX];
    plain_id(id, plain);
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        if (strcmp(plain, models[i].id) == 0)
            return &models[i];
    return NULL;
}

static int check_retired(struct str id, struct err *err)
{
    static const struct str provider = STR_INIT("anthropic/");
    if (str_starts(id, provider))
        id = str_from(id, provider.n);
    for (size_t i = 0; i < sizeof retired / sizeof retired[0]; i++)
        if (str_starts(id, retired[i].id)) {
            err_set(err, ERR_NOT_FOUND,
                    "%.80s does not exist any more: Anthropic "
                    "retired it (%s)",
                    id.p, retired[i].since);
            return err_remedy(err,
                              "use its successor: --model %s, or leave --model out "
                              "(%s)",
                              retired[i].instead, MODELS_DEFAULT);
        }
    return 0;
}

static int check_effort(const struct model_info *info, struct str effort,
                        struct err *err)
{
    static const char all[] = WITH_XHIGH;
    const char *known = info ? info->efforts : all;
    char word[16];
    if (effort.n == 0)
        return 0;
    snprintf(word, sizeof word, " %.*s ", effort.n < 12 ? (int)effort.n : 12, effort.p);
    if (strstr(known, word) && str_find(effort, ' ') < 0)
        return 0;
    if (info && info->efforts[0] == '\0') {
        err_set(err, ERR_INVALID, "%s does not know efforts", info->id);
        return err_remedy(err, "leave --effort out");
    }
    err_set(err, ERR_INVALID, "\"%.*s\" is no effort%s%s",
            effort.n < 40 ? (int)effort.n : 40, effort.p, info ? " of " : "",
            info ? info->id : "");
    return err_remedy(err, "one of:%s", known);
}

int models_fit(struct model_config *config, bool anthropic, struct err *err)
{
    const struct model_info *info = anthropic ? models_find(config->model) : NULL;
    if (anthropic && !info && check_retired(config->model, err) < 0)
        return -1;
    if (check_effort(info, config->effort, err) < 0)
        return -1;
    if (!info)
        return 0;
    if (config->max_tokens > info->output)
        config->max_tokens = info->output;
    if (!info->adaptive)
        config->thinking = THINKING_DEFAULT;
    config->compaction = info->compaction && base_url_is_anthropic(config->base_url);
    return 0;
}

bool models_dollars(struct str id, const struct usage *usage, double *ret_dollars)
{
    const struct model_info *m = models_find(id);
    if (!m)
        return false;
    int64_t hour = usage->cache_write_1h < usage->cache_write ? usage->cache_write_1h
                                                              : usage->cache_write;
    double dollars = (double)usage->input * m->input_price +
                     (double)(usage->cache_write - hour) * m->input_price * 1.25 +
                     (double)hour * m->input_price * 2 +
                     (double)usage->cache_read * m->cache_read_price +
                     (double)usage->output * m->output_price;
    if (m->long_prompt && usage_prompt(usage) > m->long_prompt)
        dollars *= m->long_factor;
    *ret_dollars = dollars / MILLION;
    return true;
}

void models_gateway_id(struct str id, char to[MODELS_ID_MAX])
{
    bool plain = str_find(id, '/') < 0 && str_starts(id, STR("claude-"));
    snprintf(to, MODELS_ID_MAX, "%s%.*s", plain ? "anthropic/" : "", STR_FMT(id));
    size_t n = strlen(to);
    /* claude-opus-5-5 is claude-opus-5.5 there */
    if (plain && n > 3 && is_digit(to[n - 1]) && to[n - 2] == '-' &&
        is_digit(to[n - 3]))
        to[n - 2] = '.';
}
