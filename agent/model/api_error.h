/* Errors of the Messages API (claude-api 4): as the body of an answer, or as an event
 * in a stream; of Anthropic, and of servers that speak the same API less exactly. */
#pragma once
#include "base/err.h"
#include "base/json.h"
#include <stdbool.h>

/* What an error with this type ("overloaded_error", ...) or, where the type is not a
 * known one, this status is; status 0: in a stream. */
bool api_error_is_passing(struct str type, int status);

/* Fills err from a parsed body or event (absent: the server said nothing that can be
 * read). request_id may be empty. source names the credentials, for the remedy; or
 * NULL. Returns -1. */
int api_error(struct err *err, int status, struct json body, struct str request_id,
              const char *source);
