/* The three deltas that nearly all of a stream consists of, recognised by their bytes
 * as Anthropic writes them: such an event need not be parsed as a whole. Written in any
 * other way, an event is parsed like all others. */
#pragma once
#include "base/str.h"
#include <stdbool.h>
#include <stdint.h>

struct delta {
    int64_t index;
    struct str type;  /* "text_delta", ... */
    struct str piece; /* from its opening quote to its closing one; not checked */
};

bool delta_read(struct str data, struct delta *ret_delta);
