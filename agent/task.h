/* One task: the user's message, the model's turns and the calls of tools between them,
 * until there is an answer, or a reason to stop (claude-api 2.3 and 7). */
#pragma once
#include "agent/calls.h"
#include "agent/conversation.h"
#include "agent/journal.h"
#include "agent/model/model.h"
#include "agent/view.h"

struct task;

struct task_config {           /* borrowed */
    struct calls_config calls; /* its done and ctx are the task's own */
    struct model *model;
    struct conversation *conversation;
    struct journal *journal; /* or NULL */
    unsigned max_turns;
    /* What a message cost; false: that is not known. */
    bool (*dollars)(void *ctx, const struct usage *usage, double *ret_dollars);
    double max_dollars; /* 0: no limit */
    double spent;       /* before this task, of the same limit */
    /* It is over; never before task_new() returns, and not after task_free(). */
    void (*ended)(void *ctx);
    void *ctx;
};

/* blocks: the user's message, a JSON array; empty: the history is to be gone on with.
 */
struct task *task_new(const struct task_config *config, struct str blocks);
/* Ctrl-C: what runs is stopped; the task has ended with CANCELLED when it returns,
 * without a callback. Does nothing to one that has ended. */
void task_cancel(struct task *t);
/* How it ended; texts are borrowed from the task. session and model are not set. */
void task_result(const struct task *t, struct view_end *ret_end);
void task_free(struct task *t); /* accepts NULL; not from inside its callback */
