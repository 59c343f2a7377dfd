/* The prompts. */
#include "tools/common.h"
#include "tools/offer.h"

static const char solve[] =
    "Solve the task below in the sandbox. Write the code to a file, run it, look at "
    "what it printed, fix what fails and run it again, until the result is verified: "
    "code that was not run does not count. Then answer with the result, and say which "
    "commands show that it is right.\n\nTask: ";

enum { PROMPT_BYTES = 4 * 1024 * 1024 };

void offer_solve(struct call *call)
{
    struct buf text;
    buf_init(&text, PROMPT_BYTES);
    buf_addz(&text, solve);
    buf_adds(&text, tool_arg_str(call, STR("task")));
    struct json_writer *w = call_messages_begin(call, STR("A task for the sandbox"));
    call_message_begin(w, "user");
    call_content_text(w, buf_str(&text));
    call_message_end(w);
    if (text.overflow) {
        struct err err;
        err_set(&err, ERR_LIMIT, "the task is over %d MiB", PROMPT_BYTES >> 20);
        tool_fail(call, &err);
    } else {
        call_messages_end(call);
    }
    buf_finish(&text);
}
