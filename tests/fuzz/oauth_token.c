/* A token, a newline, then what an issuer serves: as its keys, and as its metadata. The
 * token is parsed, checked against the keys and its claims read, whoever signed it. */
#include "transport/oauth/discovery.h"
#include "transport/oauth/keys.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_claims(struct token *token)
{
    static const struct str audiences[] = {STR_INIT("https://mcp.example/mcp")};
    const struct token_rules rules = {.issuer = STR("https://auth.example"),
                                      .audiences = audiences,
                                      .audience_count = 1,
                                      .scope = STR("run  read")};
    struct str subject;
    uint64_t expires_s;
    const char *why = NULL;
    enum token_says says = token_check(token, &rules, 1000, &subject, &expires_s, &why);
    require((says == TOKEN_GOOD) == !why);
    if (says == TOKEN_GOOD)
        require(subject.n > 0 && subject.n <= TOKEN_SUBJECT_MAX && expires_s > 1000);
}

static void check_metadata(struct str text)
{
    char uri[DISCOVERY_URL_MAX];
    struct err err;
    if (discovery_parse(text, "https://auth.example", uri, &err) == 0)
        require(discovery_check_url(uri, "it", &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};
    ptrdiff_t end = str_find(input, '\n');
    struct str compact = {input.p, end < 0 ? input.n : (size_t)end};
    struct str served = str_from(input, compact.n + 1);
    struct key_set keys = {0};
    struct token token;
    struct err err;
    const char *why = NULL;
    bool have_keys = key_set_parse(&keys, served, &err) == 0;
    check_metadata(served);
    if (token_parse(&token, compact, &why) == 0) {
        require(compact.n <= TOKEN_MAX && token.alg < ALG_COUNT);
        if (have_keys)
            key_set_verify(&keys, &token);
        check_claims(&token);
    } else {
        require(why != NULL);
    }
    token_finish(&token);
    key_set_finish(&keys);
    return 0;
}
