/* Results of MCP tools as the model gets them: tool_result blocks of the Messages API,
 * mapped as the official SDK's helper maps them, but with a limit. */
#pragma once
#include "base/err.h"
#include "base/json_write.h"

enum {
    RESULT_TEXT_MAX = 100 * 1024,      /* of one result; the middle is left out */
    RESULT_DATA_MAX = 7 * 1024 * 1024, /* of one image, as base64 */
    RESULT_IMAGES_MAX = 16,
};

/* What people are told of a result. */
struct result_facts {
    bool failed;
    size_t bytes; /* of text, before anything was left out, and of data */
    bool has_exit;
    int exit_code;
};

/* Of tools/call. */
void result_write(struct json_writer *w, struct str tool_use_id, struct json result,
                  struct result_facts *ret_facts);
/* "Error: ..." for a call that was not made, or has no answer. */
void result_write_error(struct json_writer *w, struct str tool_use_id, struct str why,
                        struct result_facts *ret_facts);
