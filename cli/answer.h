/* What a tool answered, or why not. */
#pragma once
#include "base/err.h"
#include "base/json.h"

/* The structured content of a tools/call's result; absent (and *err says why) for an
 * error of any kind. failed: as client_result_fn got it. */
struct json answer_content(struct json result, const struct err *failed,
                           struct arena *a, struct err *err);
