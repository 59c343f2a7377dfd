#include "agent/view.h"
#include <errno.h>
#include <poll.h>
#include <unistd.h>

static const struct {
    const char *name, *text;
} outcomes[] = {
    [TASK_DONE] = {"done", "done"},
    [TASK_TRUNCATED] = {"truncated", "the answer was cut off at --max-tokens"},
    [TASK_CONTEXT_FULL] = {"context_full", "the conversation is too long to go on"},
    [TASK_REFUSED] = {"refusal", "the model declined"},
    [TASK_TURN_LIMIT] = {"max_turns", "stopped at --max-turns"},
    [TASK_BUDGET] = {"max_budget", "stopped at --max-budget-usd"},
    [TASK_CANCELLED] = {"cancelled", "interrupted"},
    [TASK_FAILED] = {"api_error", "the model cannot be asked"},
    [TASK_NO_SERVER] = {"no_server", "the tools are gone"},
    [TASK_NOT_BEGUN] = {"not_begun", "it cannot begin"},
    [TASK_WRONG_SHAPE] = {"wrong_shape",
                          "the answer is not JSON as --json-schema asks"},
};

const char *view_outcome_name(enum task_outcome outcome)
{
    return outcomes[outcome].name;
}

const char *view_outcome_text(enum task_outcome outcome)
{
    return outcomes[outcome].text;
}

bool view_write(int fd, struct str bytes)
{
    while (bytes.n) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (n < 0 && errno == EAGAIN) /* who shares it with us made it so */
            poll(&p, 1, -1);
        else if (n < 0 && errno != EINTR)
            return false;
        else if (n > 0)
            bytes = str_from(bytes, (size_t)n);
    }
    return true;
}
