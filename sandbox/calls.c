/* What was asked of the other side of a backend, counted: requests to Vercel's API,
 * messages to guests. A row is a pair of static strings, so there are few. */
#include "sandbox/backend.h"
#include <assert.h>

void backend_called(struct sandboxes *set, const char *call, const char *outcome)
{
    struct backend_calls *calls = &set->calls;
    for (size_t i = 0; i < calls->count; i++)
        if (strcmp(calls->rows[i].call, call) == 0 &&
            strcmp(calls->rows[i].outcome, outcome) == 0) {
            calls->rows[i].times++;
            return;
        }
    assert(calls->count < BACKEND_CALLS_MAX);
    if (calls->count < BACKEND_CALLS_MAX)
        calls->rows[calls->count++] = (struct backend_call){call, outcome, 1};
}

void sandboxes_each_call(const struct sandboxes *set, sandboxes_call_fn *fn, void *ctx)
{
    const struct backend_calls *calls = &set->calls;
    for (size_t i = 0; i < calls->count; i++)
        fn(ctx, set->backend->name, calls->rows[i].call, calls->rows[i].outcome,
           calls->rows[i].times);
}
