#include "agent/task.h"
#include "base/mem.h"

enum { TEXT_MAX = 64 * 1024 * 1024, LOST_MAX = 2 };

struct task {
    struct task_config config;
    struct turn *turn;
    struct calls *calls;
    struct loop_later *next; /* what comes next, outside of callbacks */
    struct conversation_mark start;
    size_t journal_start;
    unsigned turns;
    unsigned lost_turns; /* in a row, in which every call found its server gone */
    bool nudged, after_results, ended;
    enum task_outcome outcome;
    struct err err;
    bool has_err;
    struct buf text, details;
    struct usage usage;
    bool has_dollars;
    double dollars;
    uint64_t start_ms, end_ms;
};

static void ask_model(struct task *t);

static void end(struct task *t, enum task_outcome outcome, const struct err *err)
{
    t->ended = true;
    t->outcome = outcome;
    t->has_err = err != NULL;
    if (err)
        t->err = *err;
    t->end_ms = loop_now_ms(t->config.calls.loop);
    journal_end(t->config.journal, view_outcome_name(outcome));
    loop_later_ask(t->next);
}

static bool has_calls(const struct message *m)
{
    for (size_t i = 0; i < m->block_count; i++)
        if (m->blocks[i].type == BLOCK_TOOL_USE)
            return true;
    return false;
}

/* Adds to what is said and written down. false: it does not fit, the task has ended. */
static bool add_user(struct task *t, struct str blocks)
{
    struct err err;
    if (conversation_add_user(t->config.conversation, blocks, &err) < 0) {
        end(t, TASK_CONTEXT_FULL, &err);
        return false;
    }
    journal_user(t->config.journal, blocks);
    return true;
}

static bool add_assistant(struct task *t, const struct message *m)
{
    struct err err;
    if (m->block_count == 0)
        return true; /* an empty one cannot be sent back */
    if (conversation_add_assistant(t->config.conversation, m->content, &err) < 0) {
        end(t, TASK_CONTEXT_FULL, &err);
        return false;
    }
    journal_assistant(t->config.journal, m->content, m->model, &m->usage);
    return true;
}

static void take_text(struct task *t, const struct message *m)
{
    buf_reset(&t->text, 64 * 1024);
    for (size_t i = 0; i < m->block_count; i++)
        if (m->blocks[i].type == BLOCK_TEXT)
            buf_adds(&t->text, m->blocks[i].text);
}

static void take_usage(struct task *t, const struct usage *usage)
{
    double dollars = 0;
    usage_add(&t->usage, usage);
    t->has_dollars = t->config.dollars(t->config.ctx, usage, &dollars);
    t->dollars += dollars;
}

static bool over_budget(const struct task *t)
{
    return t->config.max_dollars > 0 &&
           t->config.spent + t->dollars >= t->config.max_dollars;
}

/* The refused request is not a part of the conversation: with it in there, the model
 * would refuse to go on, too. */
static void take_refusal(struct task *t, const struct message *m)
{
    buf_adds(&t->details, m->stop_details);
    conversation_rewind(t->config.conversation, t->start);
    journal_rewind(t->config.journal, t->journal_start);
    end(t, TASK_REFUSED, NULL);
}

/* An end without a word after results of tools: once, the model is asked to go on. */
static bool nudge(struct task *t)
{
    static const char please[] = "[{\"type\":\"text\",\"text\":\"Please continue\"}]";
    if (t->text.n || !t->after_results || t->nudged)
        return false;
    t->nudged = true;
    t->after_results = false;
    if (add_user(t, str_of(please)))
        ask_model(t);
    return true;
}

/* Every call must have a result: where there is no room for it, the model is told. */
static bool add_results(struct task *t)
{
    struct str blocks = calls_results(t->calls);
    struct err err;
    if (conversation_add_user(t->config.conversation, blocks, &err) == 0) {
        journal_user(t->config.journal, blocks);
        return true;
    }
    return add_user(t, calls_results_without(t->calls,
                                             "the result is too large for what is left "
                                             "of this conversation"));
}

static void on_calls_done(void *ctx)
{
    struct task *t = ctx;
    struct err err;
    bool lost = calls_all_lost(t->calls);
    bool fits = add_results(t);
    calls_free(t->calls);
    t->calls = NULL;
    t->after_results = true;
    t->lost_turns = lost ? t->lost_turns + 1 : 0;
    if (!fits)
        return;
    if (t->lost_turns == LOST_MAX) {
        err_set(&err, ERR_UNAVAILABLE, "every call fails because its server is gone");
        end(t, TASK_NO_SERVER, &err);
    } else {
        ask_model(t);
    }
}

static void refuse_calls(struct task *t, const struct message *m, const char *why)
{
    struct buf results;
    buf_init(&results, TEXT_MAX);
    calls_refuse(&results, m, why);
    if (results.n)
        add_user(t, buf_str(&results));
    buf_finish(&results);
}

static void run_calls(struct task *t, const struct message *m)
{
    struct calls_config config = t->config.calls;
    if (over_budget(t)) {
        refuse_calls(t, m, "not run: the budget is used up");
        if (!t->ended)
            end(t, TASK_BUDGET, NULL);
        return;
    }
    config.done = on_calls_done;
    config.ctx = t;
    t->calls = calls_new(&config, m);
}

/* The message is complete and no calls are to be made. */
static void stop(struct task *t, const struct message *m)
{
    struct err err;
    refuse_calls(t, m, "not run: the turn ended before the call was complete");
    if (t->ended)
        return;
    switch (m->stop) {
    case STOP_END_TURN:
    case STOP_TOOL_USE: /* without a call */
        if (!nudge(t))
            end(t, TASK_DONE, NULL);
        return;
    case STOP_SEQUENCE:
        end(t, TASK_DONE, NULL);
        return;
    case STOP_MAX_TOKENS:
        end(t, TASK_TRUNCATED, NULL);
        return;
    case STOP_CONTEXT_FULL:
        end(t, TASK_CONTEXT_FULL, NULL);
        return;
    default:
        err_set(&err, ERR_PROTOCOL,
                "the model stopped for a reason not known here: %.*s",
                m->stop_text.n > 100 ? 100 : (int)m->stop_text.n,
                m->stop_text.n ? m->stop_text.p : "none");
        end(t, TASK_FAILED, &err);
        return;
    }
}

static void on_done(void *ctx, const struct message *m, const struct err *err)
{
    struct task *t = ctx;
    struct view *view = t->config.calls.view;
    t->turn = NULL;
    if (!m) {
        end(t, TASK_FAILED, err);
        return;
    }
    bool calls = m->stop == STOP_TOOL_USE && has_calls(m);
    bool goes_on = calls || m->stop == STOP_PAUSE_TURN || m->stop == STOP_COMPACTION;
    take_usage(t, &m->usage);
    take_text(t, m);
    view->ops->message(view, m, !goes_on && m->stop != STOP_REFUSAL);
    if (m->stop == STOP_REFUSAL) {
        take_refusal(t, m);
        return;
    }
    if (!add_assistant(t, m))
        return;
    if (calls)
        run_calls(t, m);
    else if (goes_on)
        ask_model(t);
    else
        stop(t, m);
}

static void on_text(void *ctx, struct str delta)
{
    struct task *t = ctx;
    t->config.calls.view->ops->text(t->config.calls.view, delta);
}

static void on_thinking(void *ctx, struct str delta)
{
    struct task *t = ctx;
    t->config.calls.view->ops->thinking(t->config.calls.view, delta);
}

static void on_writing(void *ctx, struct str name)
{
    struct task *t = ctx;
    t->config.calls.view->ops->writing(t->config.calls.view, name);
}

static void on_again(void *ctx, const char *why, uint64_t wait_ms)
{
    struct task *t = ctx;
    t->config.calls.view->ops->again(t->config.calls.view, why, wait_ms);
}

/* From the loop: the model's callback that led here must be over. */
static void ask_model(struct task *t)
{
    loop_later_ask(t->next);
}

static void on_next(void *ctx)
{
    static const struct turn_events events = {
        .shown = {.text = on_text, .thinking = on_thinking, .tool = on_writing},
        .again = on_again,
        .done = on_done,
    };
    struct task *t = ctx;
    if (t->ended) {
        t->config.ended(t->config.ctx);
        return;
    }
    if (over_budget(t)) {
        end(t, TASK_BUDGET, NULL);
        return;
    }
    if (t->turns == t->config.max_turns) {
        end(t, TASK_TURN_LIMIT, NULL);
        return;
    }
    t->turns++;
    t->config.calls.view->ops->waiting(t->config.calls.view, "asking the model");
    t->turn = model_turn(t->config.model, conversation_json(t->config.conversation),
                         &events, t);
}

struct task *task_new(const struct task_config *config, struct str blocks)
{
    struct task *t = mem_new(struct task);
    t->config = *config;
    t->start_ms = loop_now_ms(config->calls.loop);
    t->next = loop_later_new(config->calls.loop, on_next, t);
    buf_init(&t->text, TEXT_MAX);
    buf_init(&t->details, TEXT_MAX);
    t->start = conversation_mark(config->conversation);
    t->journal_start = journal_count(config->journal);
    if (blocks.n == 0 || add_user(t, blocks))
        ask_model(t);
    return t;
}

void task_cancel(struct task *t)
{
    if (t->ended)
        return;
    turn_cancel(t->turn);
    t->turn = NULL;
    if (t->calls) {
        calls_cancel(t->calls);
        add_results(t);
        calls_free(t->calls);
        t->calls = NULL;
    }
    if (!t->ended)
        end(t, TASK_CANCELLED, NULL);
    t->outcome = TASK_CANCELLED;
    loop_later_free(t->next);
    t->next = NULL;
}

void task_result(const struct task *t, struct view_end *ret_end)
{
    *ret_end = (struct view_end){
        .outcome = t->outcome,
        .err = t->has_err ? &t->err : NULL,
        .text = buf_str(&t->text),
        .turns = t->turns,
        .usage = t->usage,
        .duration_ms = t->end_ms - t->start_ms,
        .stop_details = buf_str(&t->details),
        .has_dollars = t->has_dollars,
        .dollars = t->dollars,
    };
}

void task_free(struct task *t)
{
    if (!t)
        return;
    turn_cancel(t->turn);
    if (t->calls)
        calls_cancel(t->calls);
    calls_free(t->calls);
    loop_later_free(t->next);
    buf_finish(&t->text);
    buf_finish(&t->details);
    mem_free(t);
}
