/* Where the Messages API is: "https://api.anthropic.com", "http://localhost:11434",
 * "https://api.deepseek.com/anthropic". */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include <stdbool.h>

#define BASE_URL_ANTHROPIC "https://api.anthropic.com"
#define BASE_URL_GATEWAY "https://ai-gateway.vercel.sh"

/* Checks url and cuts off what people put at its end: slashes, "/v1", "/v1/messages".
 * with_secret: something goes along that must not cross a network in the clear.
 * INVALID; DENIED for http: to another machine. The result lies in url. */
int base_url_check(struct str url, bool with_secret, struct str *ret_url,
                   struct err *err);
/* Anthropic's own API, which knows everything that its documentation says. */
bool base_url_is_anthropic(struct str url);
/* Is the host this machine? */
bool base_url_is_local(struct str url);
