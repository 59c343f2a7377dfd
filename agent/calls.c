#include "agent/calls.h"
#include "base/json_write.h"
#include "base/mem.h"

enum {
    RESULTS_MAX = 256 * 1024 * 1024,
    AT_ONCE = 32, /* calls that run: servers have limits, too */
};

struct row {
    struct calls *all;
    struct view_call shown;
    bool input_invalid;
    const struct catalog_tool *tool; /* NULL: unknown */
    struct buf result;
    uint64_t number;            /* of the request; 0: none is under way */
    struct loop_timer *silence; /* of a server that does not answer */
    bool approved, started, done, lost, silent;
};

struct calls {
    struct calls_config config;
    struct arena arena; /* of what the model wrote */
    struct row *rows;
    size_t count, left;
    size_t asking; /* the next one that needs approval */
    size_t next, running;
    struct buf results;
    struct loop_later *step;
    bool cancelled;
};

static void finish(struct row *row)
{
    struct calls *c = row->all;
    row->done = true;
    row->number = 0;
    loop_timer_stop(row->silence);
    row->shown.result = buf_str(&row->result);
    row->shown.duration_ms = loop_now_ms(c->config.loop) - row->shown.start_ms;
    c->config.view->ops->result(c->config.view, &row->shown);
    c->running -= row->started;
    c->left--;
    if ((c->left == 0 || c->next < c->count) && !c->cancelled)
        loop_later_ask(c->step);
}

static void finish_error(struct row *row, struct str why)
{
    struct json_writer w;
    jw_init(&w, &row->result);
    result_write_error(&w, row->shown.id, why, &row->shown.facts);
    finish(row);
}

static void on_progress(void *ctx, struct str message)
{
    struct row *row = ctx;
    struct view *view = row->all->config.view;
    loop_timer_start(row->silence, row->all->config.silence_ms);
    view->ops->progress(view, &row->shown, message);
}

static void finish_silent(struct row *row)
{
    struct err err;
    err_set(&err, ERR_TIMEOUT,
            "the server gave neither an answer nor progress for %llu s",
            (unsigned long long)row->all->config.silence_ms / 1000);
    finish_error(row, str_of(err.msg));
}

static void on_result(void *ctx, struct json result, const struct err *err)
{
    struct row *row = ctx;
    struct json_writer w;
    if (err) {
        row->lost = err->kind == ERR_UNAVAILABLE;
        if (row->silent)
            finish_silent(row);
        else
            finish_error(row, row->all->cancelled ? STR("cancelled by the user")
                                                  : str_of(err->msg));
        return;
    }
    jw_init(&w, &row->result);
    result_write(&w, row->shown.id, result, &row->shown.facts);
    finish(row);
}

/* Nobody need wait for ever: unattended, there is no Ctrl-C. */
static void on_silence(void *ctx)
{
    struct row *row = ctx;
    row->silent = true;
    servers_cancel(row->all->config.servers, row->tool->server, row->number);
}

/* What the model wrote is no JSON object: it gets to see that. */
static void answer_invalid(struct row *row)
{
    struct buf text;
    struct json_writer w;
    buf_init(&text, RESULTS_MAX);
    jw_init(&w, &text);
    jw_object(&w);
    jw_key_str(&w, "INVALID_JSON", row->shown.input);
    jw_end_object(&w);
    finish_error(row, buf_str(&text));
    buf_finish(&text);
}

static void answer_unknown(struct row *row)
{
    struct buf text;
    buf_init(&text, 4096);
    buf_addf(&text, "Tool '%.*s' not found",
             row->shown.name.n > 200 ? 200 : (int)row->shown.name.n,
             row->shown.name.n ? row->shown.name.p : "");
    finish_error(row, buf_str(&text));
    buf_finish(&text);
}

static void run(struct row *row)
{
    struct calls *c = row->all;
    row->started = true;
    c->running++;
    row->shown.start_ms = loop_now_ms(c->config.loop);
    c->config.view->ops->call(c->config.view, &row->shown);
    if (row->input_invalid) {
        answer_invalid(row);
    } else if (!row->tool) {
        answer_unknown(row);
    } else if (!row->approved) {
        finish_error(row, STR("the user does not allow this call"));
    } else {
        struct servers_call call = {
            .server = row->tool->server,
            .tool = row->tool->mcp_name,
            .arguments = row->shown.input,
            .progress = on_progress,
            .done = on_result,
            .ctx = row,
        };
        loop_timer_start(row->silence, c->config.silence_ms);
        uint64_t number = servers_send(c->config.servers, &call);
        if (!row->done)
            row->number = number;
    }
}

static void run_more(struct calls *c)
{
    while (c->next < c->count && c->running < AT_ONCE && !c->cancelled)
        run(&c->rows[c->next++]);
}

static void on_answered(void *ctx, bool given)
{
    struct calls *c = ctx;
    c->rows[c->asking++].approved = given;
    loop_later_ask(c->step);
}

/* Asks about the next call that must be asked about. false: there is none. */
static bool ask_next(struct calls *c)
{
    for (; c->asking < c->count; c->asking++) {
        struct row *row = &c->rows[c->asking];
        if (!row->tool || row->input_invalid)
            continue;
        switch (approval_of(c->config.approval, row->shown.name,
                            c->config.specs[row->tool->server].own)) {
        case APPROVAL_GIVEN:
            row->approved = true;
            break;
        case APPROVAL_REFUSED:
            break;
        case APPROVAL_OPEN:
            approval_ask(c->config.approval, &row->shown, on_answered, c);
            return true;
        }
    }
    return false;
}

/* What comes next: questions, calls, the end. */
static void on_step(void *ctx)
{
    struct calls *c = ctx;
    if (c->left == 0)
        c->config.done(c->config.ctx);
    else if (!ask_next(c))
        run_more(c);
}

static struct str telling(struct row *row, struct arena *a)
{
    struct json_doc doc;
    struct err err;
    if (!row->tool || !row->tool->telling || row->input_invalid ||
        json_parse(&doc, a, row->shown.input, &err) < 0)
        return (struct str){0};
    struct json value = json_get(json_root(&doc), str_of(row->tool->telling));
    return arena_dup(a, json_str(value, a));
}

static void take(struct calls *c, const struct message_block *block)
{
    struct row *row = &c->rows[c->count++];
    row->all = c;
    row->shown.id = arena_dup(&c->arena, block->id);
    row->shown.name = arena_dup(&c->arena, block->name);
    row->shown.input = arena_dup(&c->arena, block->input);
    row->input_invalid = block->input_invalid;
    row->tool = catalog_find(c->config.catalog, row->shown.name);
    row->shown.telling = telling(row, &c->arena);
    row->silence = loop_timer_new(c->config.loop, on_silence, row);
    buf_init(&row->result, RESULTS_MAX);
}

struct calls *calls_new(const struct calls_config *config,
                        const struct message *message)
{
    struct calls *c = mem_new(struct calls);
    c->config = *config;
    buf_init(&c->results, RESULTS_MAX);
    c->step = loop_later_new(config->loop, on_step, c);
    c->rows = mem_zalloc((message->block_count + 1) * sizeof c->rows[0]);
    for (size_t i = 0; i < message->block_count; i++)
        if (message->blocks[i].type == BLOCK_TOOL_USE)
            take(c, &message->blocks[i]);
    c->left = c->count;
    loop_later_ask(c->step);
    return c;
}

void calls_cancel(struct calls *c)
{
    c->cancelled = true;
    approval_withdraw(c->config.approval);
    for (size_t i = 0; i < c->count; i++) {
        struct row *row = &c->rows[i];
        if (row->done)
            continue;
        if (!row->started)
            row->shown.start_ms = loop_now_ms(c->config.loop);
        if (row->number)
            servers_cancel(c->config.servers, row->tool->server, row->number);
        if (!row->done)
            finish_error(row, STR("cancelled by the user"));
    }
}

void calls_free(struct calls *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->count; i++) {
        loop_timer_free(c->rows[i].silence);
        buf_finish(&c->rows[i].result);
    }
    loop_later_free(c->step);
    buf_finish(&c->results);
    arena_finish(&c->arena);
    mem_free(c->rows);
    mem_free(c);
}

struct str calls_results(struct calls *c)
{
    buf_reset(&c->results, 0);
    buf_addc(&c->results, '[');
    for (size_t i = 0; i < c->count; i++) {
        if (i > 0)
            buf_addc(&c->results, ',');
        buf_adds(&c->results, buf_str(&c->rows[i].result));
    }
    buf_addc(&c->results, ']');
    return buf_str(&c->results);
}

struct str calls_results_without(struct calls *c, const char *why)
{
    struct json_writer w;
    struct result_facts facts;
    buf_reset(&c->results, 0);
    jw_init(&w, &c->results);
    jw_array(&w);
    for (size_t i = 0; i < c->count; i++)
        result_write_error(&w, c->rows[i].shown.id, str_of(why), &facts);
    jw_end_array(&w);
    return buf_str(&c->results);
}

bool calls_all_lost(const struct calls *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (!c->rows[i].lost)
            return false;
    return c->count > 0;
}

void calls_refuse(struct buf *to, const struct message *message, const char *why)
{
    struct json_writer w;
    struct result_facts facts;
    bool any = false;
    for (size_t i = 0; i < message->block_count; i++)
        any |= message->blocks[i].type == BLOCK_TOOL_USE;
    if (!any)
        return;
    jw_init(&w, to);
    jw_array(&w);
    for (size_t i = 0; i < message->block_count; i++)
        if (message->blocks[i].type == BLOCK_TOOL_USE)
            result_write_error(&w, message->blocks[i].id, str_of(why), &facts);
    jw_end_array(&w);
}
