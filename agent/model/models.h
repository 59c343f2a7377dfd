/* What is known of models (claude-api 1.4, 2.7; prices: Anthropic's price list of
 * October 2026). A model that is not here works as well: nothing is assumed of it. */
#pragma once
#include "agent/model/model.h"

#define MODELS_DEFAULT "claude-opus-5-5"

struct model_info {
    const char *id;
    int64_t context, output; /* tokens at most: of a conversation, of one message */
    /* Dollars for a million tokens. Writing to the cache costs 1.25 of the input's
     * price, for an hour twice of it. */
    double input_price, output_price, cache_read_price;
    /* A longer prompt makes all of its request dearer by this factor; 0: it does not.
     */
    int64_t long_prompt;
    double long_factor;
    const char *efforts; /* that it takes, in words with blanks around; "": none */
    bool adaptive;       /* takes thinking {type: adaptive, display} */
    bool compaction;
    const char *ends; /* "30 November 2026": then it is retired; or NULL */
};

/* By its id, also with a date at its end or as gateways write it
 * ("anthropic/claude-opus-4.6"); NULL: unknown. */
const struct model_info *models_find(struct str id);

/* Fits config to its model: the tokens of an answer, what is said of thinking,
 * compaction. anthropic: it is asked of Anthropic, or of a gateway to it; other servers
 * give these names to what they like. NOT_FOUND for a model that was retired, with what
 * replaces it; INVALID for an effort that the model does not know. */
int models_fit(struct model_config *config, bool anthropic, struct err *err);

/* What one request cost; false: the model's prices are not known. */
bool models_dollars(struct str id, const struct usage *usage, double *ret_dollars);

enum { MODELS_ID_MAX = 128 };
/* The name that Vercel's AI Gateway has for a model of Anthropic's:
 * "anthropic/claude-opus-5.5". Names with a provider stay. */
void models_gateway_id(struct str id, char to[MODELS_ID_MAX]);
