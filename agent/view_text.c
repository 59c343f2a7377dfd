/* --output text. On a terminal text streams to stdout and each call of a tool is a
 * line, the last line while it runs: name, what it is about, its newest line of output;
 * then how long it took, how it ended, how much it gave. Elsewhere stdout gets the
 * answer alone, and stderr all that leads to it. */
#include "agent/shown.h"
#include "agent/view.h"
#include "base/mem.h"
#include <stdio.h>
#include <sys/ioctl.h>

enum {
    RUNNING_MAX = 64,
    LINE_MAX_BYTES = 4096,
    TICK_MS = 1000,
    HELD_MAX = 64 * 1024 * 1024,
    VERBOSE_LINES = 200,
    COLUMNS = 80,
    COLUMNS_LEAST = 20,
    TITLE_LEAST = 12,
};

struct text_view {
    struct view view;
    struct view_config config;
    struct buf held;    /* text of this turn, when stdout is no terminal */
    struct buf scratch; /* what is being put together */
    bool mid_line;      /* the cursor stands behind text */
    bool live;          /* there is a line that is not final: */
    struct buf name, telling, line;
    uint64_t since_ms;        /* what it tells of has begun */
    struct loop_timer *ticks; /* of its seconds */
    bool thought;             /* what stands there was thought */
    bool gone;
    const struct view_call *running[RUNNING_MAX];
    size_t running_count;
};

#define DIM "\x1b[2m"
#define RED "\x1b[31m"
#define GREEN "\x1b[32m"
#define PLAIN "\x1b[0m"
#define ERASE "\r\x1b[K"

static struct text_view *of(struct view *v)
{
    return (struct text_view *)v; /* its first member */
}

static void put(struct text_view *t, int fd, struct str bytes)
{
    if (t->gone || view_write(fd, bytes))
        return;
    t->gone = true;
    t->config.gone(t->config.ctx);
}

static void put_scratch(struct text_view *t, int fd)
{
    put(t, fd, buf_str(&t->scratch));
    buf_reset(&t->scratch, LINE_MAX_BYTES);
}

static void colour(struct text_view *t, const char *code)
{
    if (t->config.colour)
        buf_addz(&t->scratch, code);
}

static size_t columns(const struct text_view *t)
{
    struct winsize size = {0};
    if (!t->config.err_terminal || ioctl(t->config.err_fd, TIOCGWINSZ, &size) < 0 ||
        size.ws_col == 0)
        return COLUMNS;
    return size.ws_col < COLUMNS_LEAST ? COLUMNS_LEAST : size.ws_col;
}

static void erase_live(struct text_view *t)
{
    if (!t->live)
        return;
    put(t, t->config.err_fd, STR(ERASE));
    t->live = false;
    buf_reset(&t->name, LINE_MAX_BYTES);
    loop_timer_stop(t->ticks);
}

/* The next thing begins on a line of its own. */
static void begin_line(struct text_view *t)
{
    erase_live(t);
    if (t->thought && t->config.colour)
        put(t, t->config.err_fd, STR(PLAIN));
    if (t->mid_line)
        put(t, t->thought ? t->config.err_fd : t->config.out_fd, STR("\n"));
    t->mid_line = t->thought = false;
}

static const char *glyph(const struct text_view *t, const char *fine, const char *plain)
{
    return t->config.unicode ? fine : plain;
}

static const char *dot(const struct text_view *t)
{
    return glyph(t, " \xc2\xb7 ", " - ");
}

/* "name what it is about", at most `cells` wide; returns its width. */
static size_t add_title(struct text_view *t, const struct view_call *call, size_t cells)
{
    size_t used = shown_add_line(&t->scratch, call->name, cells);
    if (call->telling.n && used + 4 < cells) {
        buf_addc(&t->scratch, ' ');
        used += 1 + shown_add_line(&t->scratch, call->telling, cells - used - 1);
    }
    return used;
}

static void redraw(struct text_view *t)
{
    struct view_call title = {.name = buf_str(&t->name),
                              .telling = buf_str(&t->telling)};
    uint64_t seconds = (loop_now_ms(t->config.loop) - t->since_ms) / 1000;
    size_t room = columns(t) - 3;
    struct buf more;
    buf_init(&more, 128);
    if (t->running_count > 1)
        buf_addf(&more, " (+%zu)", t->running_count - 1);
    if (seconds)
        buf_addf(&more, "%s%llu s", dot(t), (unsigned long long)seconds);
    size_t taken = shown_cells(buf_str(&more));
    buf_addz(&t->scratch, ERASE);
    buf_addz(&t->scratch, glyph(t, "\xe2\x96\xb8 ", "> "));
    size_t used = taken + add_title(t, &title, (t->line.n ? room / 2 : room) - taken);
    buf_adds(&t->scratch, buf_str(&more));
    if (t->line.n && used + 8 < room) {
        buf_addz(&t->scratch, dot(t));
        colour(t, DIM);
        shown_add_line(&t->scratch, buf_str(&t->line), room - used - 3);
        colour(t, PLAIN);
    }
    put_scratch(t, t->config.err_fd);
    buf_finish(&more);
    loop_timer_start(t->ticks, TICK_MS);
}

static void on_tick(void *ctx)
{
    struct text_view *t = ctx;
    if (t->live)
        redraw(t);
}

static void replace(struct buf *b, struct str text)
{
    buf_reset(b, LINE_MAX_BYTES);
    buf_adds(b, (struct str){text.p, text.n < b->max ? text.n : b->max});
}

/* The line of what happens now, without the newline that would make it final. */
static void draw(struct text_view *t, struct str name, struct str telling,
                 struct str line, uint64_t since_ms)
{
    if (!t->config.err_terminal)
        return;
    if (t->mid_line)
        begin_line(t);
    replace(&t->name, name);
    replace(&t->telling, telling);
    replace(&t->line, line);
    t->since_ms = since_ms;
    t->live = true;
    redraw(t);
}

static void draw_call(struct text_view *t, const struct view_call *call,
                      struct str line)
{
    draw(t, call->name, call->telling, line, call->start_ms);
}

static void draw_now(struct text_view *t, struct str what, struct str of_what)
{
    draw(t, what, of_what, (struct str){0}, loop_now_ms(t->config.loop));
}

static void on_waiting(struct view *v, const char *what)
{
    draw_now(of(v), str_of(what), (struct str){0});
}

static void on_start(struct view *v, const struct view_start *start)
{
    struct text_view *t = of(v);
    if (!t->config.verbose)
        return;
    buf_addf(&t->scratch, "sandquay agent: session %s, model %s\n", start->session,
             start->model);
    put_scratch(t, t->config.err_fd);
}

static void on_text(struct view *v, struct str delta)
{
    struct text_view *t = of(v);
    if (!t->config.out_terminal) {
        buf_adds(&t->held, delta);
        return;
    }
    if (t->live || t->thought)
        begin_line(t);
    shown_add(&t->scratch, delta);
    if (t->scratch.n)
        t->mid_line = t->scratch.p[t->scratch.n - 1] != '\n';
    put_scratch(t, t->config.out_fd);
}

static void on_thinking(struct view *v, struct str delta)
{
    struct text_view *t = of(v);
    if (!t->config.thinking) {
        if (!t->mid_line && !str_eq(buf_str(&t->name), STR("thinking")))
            draw_now(t, STR("thinking"), (struct str){0});
        return;
    }
    if (t->live || !t->thought)
        begin_line(t);
    if (!t->thought)
        colour(t, DIM);
    t->thought = true;
    shown_add(&t->scratch, delta);
    t->mid_line = true;
    put_scratch(t, t->config.err_fd);
}

static void on_writing(struct view *v, struct str tool)
{
    draw_now(of(v), tool, STR("..."));
}

static void add_time(struct buf *to, uint64_t ms)
{
    if (ms < 10000)
        buf_addf(to, "%.2f s", (double)ms / 1000);
    else
        buf_addf(to, "%.0f s", (double)ms / 1000);
}

static void on_again(struct view *v, const char *why, uint64_t wait_ms)
{
    struct text_view *t = of(v);
    begin_line(t);
    buf_reset(&t->held, LINE_MAX_BYTES);
    colour(t, DIM);
    shown_add_line(&t->scratch, str_of(why), 1000);
    buf_addz(&t->scratch, "; the turn is repeated in ");
    add_time(&t->scratch, wait_ms);
    colour(t, PLAIN);
    buf_addc(&t->scratch, '\n');
    put_scratch(t, t->config.err_fd);
}

/* Text that did not stream: the answer is for stdout, remarks on the way for stderr. */
static void put_held(struct text_view *t, bool is_last)
{
    if (t->held.n == 0)
        return;
    shown_add(&t->scratch, buf_str(&t->held));
    if (t->scratch.n && t->scratch.p[t->scratch.n - 1] != '\n')
        buf_addc(&t->scratch, '\n');
    put_scratch(t, is_last ? t->config.out_fd : t->config.err_fd);
    buf_reset(&t->held, LINE_MAX_BYTES);
}

static void add_usage(struct text_view *t, const struct usage *u)
{
    int64_t prompt = usage_prompt(u);
    buf_addf(&t->scratch, "%lld tokens in", (long long)prompt);
    if (u->cache_read)
        buf_addf(&t->scratch, " (%lld cached)", (long long)u->cache_read);
    buf_addf(&t->scratch, ", %lld out", (long long)u->output);
}

static void on_message(struct view *v, const struct message *message, bool is_last)
{
    struct text_view *t = of(v);
    begin_line(t);
    put_held(t, is_last);
    if (!t->config.verbose)
        return;
    colour(t, DIM);
    shown_add_line(&t->scratch, message->model, 100);
    buf_addz(&t->scratch, ": ");
    add_usage(t, &message->usage);
    if (message->request_id.n) {
        buf_addz(&t->scratch, ", ");
        shown_add_line(&t->scratch, message->request_id, 100);
    }
    colour(t, PLAIN);
    buf_addc(&t->scratch, '\n');
    put_scratch(t, t->config.err_fd);
}

static void on_call(struct view *v, const struct view_call *call)
{
    struct text_view *t = of(v);
    if (t->running_count < RUNNING_MAX)
        t->running[t->running_count++] = call;
    draw_call(t, call, (struct str){0});
}

static void on_progress(struct view *v, const struct view_call *call, struct str line)
{
    draw_call(of(v), call, line);
}

static void forget(struct text_view *t, const struct view_call *call)
{
    for (size_t i = 0; i < t->running_count; i++)
        if (t->running[i] == call) {
            t->running[i] = t->running[--t->running_count];
            return;
        }
}

static void add_size(struct buf *to, size_t bytes)
{
    if (bytes < 1000)
        buf_addf(to, "%zu B", bytes);
    else if (bytes < 1000 * 1000)
        buf_addf(to, "%.1f kB", (double)bytes / 1000);
    else
        buf_addf(to, "%.1f MB", (double)bytes / 1e6);
}

/* At most so many lines, each behind two spaces. */
static void put_indented(struct text_view *t, struct str text)
{
    unsigned lines = 0;
    while (text.n && lines++ < VERBOSE_LINES) {
        ptrdiff_t end = str_find(text, '\n');
        struct str line = {text.p, end < 0 ? text.n : (size_t)end};
        buf_addz(&t->scratch, "    ");
        shown_add_line(&t->scratch, line, LINE_MAX_BYTES / 8);
        buf_addc(&t->scratch, '\n');
        put_scratch(t, t->config.err_fd);
        text = str_from(text, line.n + 1);
    }
    if (text.n)
        put(t, t->config.err_fd, STR("    ...\n"));
}

/* A member of an object: what is text is shown as it is, not as JSON. */
static void put_member(struct text_view *t, struct json key, struct arena *a)
{
    struct json value = json_value(key);
    struct str text =
        json_type(value) == JSON_STRING ? json_str(value, a) : json_raw(value);
    if (text.n == 0)
        return;
    buf_addz(&t->scratch, "  ");
    shown_add_line(&t->scratch, json_str(key, a), 100);
    if (memchr(text.p, '\n', text.n)) {
        buf_addz(&t->scratch, ":\n");
        put_scratch(t, t->config.err_fd);
        put_indented(t, text);
        return;
    }
    buf_addz(&t->scratch, ": ");
    shown_add_line(&t->scratch, text, LINE_MAX_BYTES / 8);
    buf_addc(&t->scratch, '\n');
    put_scratch(t, t->config.err_fd);
}

static void put_text(struct text_view *t, struct str text, struct arena *a)
{
    struct json_doc doc;
    struct err err;
    if (json_parse(&doc, a, text, &err) == 0 &&
        json_type(json_root(&doc)) == JSON_OBJECT) {
        for (struct json key = json_first(json_root(&doc)); json_present(key);
             key = json_next(key))
            put_member(t, key, a);
    } else {
        put_indented(t, text);
    }
}

/* All that went in and came out. */
static void put_details(struct text_view *t, const struct view_call *call)
{
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    put_text(t, call->input, &a);
    if (json_parse(&doc, &a, call->result, &err) == 0) {
        struct json content = json_get(json_root(&doc), STR("content"));
        if (json_type(content) == JSON_STRING)
            put_text(t, json_str(content, &a), &a);
        for (struct json item = json_first(content); json_present(item);
             item = json_next(item))
            put_text(t, json_str(json_get(item, STR("text")), &a), &a);
    }
    arena_finish(&a);
}

static void on_result(struct view *v, const struct view_call *call)
{
    struct text_view *t = of(v);
    const struct result_facts *f = &call->facts;
    bool bad = f->failed || (f->has_exit && f->exit_code != 0);
    struct buf end;
    begin_line(t);
    forget(t, call);
    buf_init(&end, 256);
    buf_addz(&end, dot(t));
    add_time(&end, call->duration_ms);
    if (f->has_exit)
        buf_addf(&end, "%sexit %d", dot(t), f->exit_code);
    if (f->failed)
        buf_addf(&end, "%sfailed", dot(t));
    buf_addz(&end, dot(t));
    add_size(&end, f->bytes);
    colour(t, bad ? RED : GREEN);
    buf_addz(&t->scratch,
             bad ? glyph(t, "\xe2\x9c\x97 ", "x ") : glyph(t, "\xe2\x9c\x93 ", "+ "));
    colour(t, PLAIN);
    size_t width = columns(t), taken = shown_cells(buf_str(&end)) + 3;
    add_title(t, call, width > taken + TITLE_LEAST ? width - taken : TITLE_LEAST);
    colour(t, DIM);
    buf_adds(&t->scratch, buf_str(&end));
    colour(t, PLAIN);
    buf_addc(&t->scratch, '\n');
    put_scratch(t, t->config.err_fd);
    buf_finish(&end);
    if (t->config.verbose)
        put_details(t, call);
    if (t->running_count)
        draw_call(t, t->running[t->running_count - 1], (struct str){0});
}

static void on_note(struct view *v, struct str text)
{
    struct text_view *t = of(v);
    begin_line(t);
    buf_addz(&t->scratch, "sandquay agent: ");
    shown_add_line(&t->scratch, text, LINE_MAX_BYTES / 8);
    buf_addc(&t->scratch, '\n');
    put_scratch(t, t->config.err_fd);
}

static void on_server(struct view *v, const char *name, struct str line)
{
    struct text_view *t = of(v);
    begin_line(t);
    colour(t, DIM);
    buf_addc(&t->scratch, '[');
    shown_add_line(&t->scratch, str_of(name), 40);
    buf_addz(&t->scratch, "] ");
    shown_add_line(&t->scratch, line, LINE_MAX_BYTES / 8);
    colour(t, PLAIN);
    buf_addc(&t->scratch, '\n');
    put_scratch(t, t->config.err_fd);
}

static void add_why(struct text_view *t, const struct view_end *end)
{
    if (!end->err)
        return;
    if (end->outcome != TASK_NOT_BEGUN)
        buf_addz(&t->scratch, ": ");
    shown_add_line(&t->scratch, str_of(end->err->msg), 500);
    if (end->err->remedy[0]) {
        buf_addz(&t->scratch, "; ");
        shown_add_line(&t->scratch, str_of(end->err->remedy), 500);
    }
}

static void add_refusal(struct text_view *t, struct str details)
{
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    if (details.n && json_parse(&doc, &a, details, &err) == 0) {
        struct json why = json_root(&doc);
        struct str category = json_str(json_get(why, STR("category")), &a);
        struct str text = json_str(json_get(why, STR("explanation")), &a);
        if (category.n) {
            buf_addz(&t->scratch, " (");
            shown_add_line(&t->scratch, category, 60);
            buf_addc(&t->scratch, ')');
        }
        if (text.n) {
            buf_addz(&t->scratch, ": ");
            shown_add_line(&t->scratch, text, 500);
        }
    }
    arena_finish(&a);
}

static void on_end(struct view *v, const struct view_end *end)
{
    struct text_view *t = of(v);
    begin_line(t);
    put_held(t, false);
    if (end->outcome != TASK_DONE) {
        buf_addz(&t->scratch, "sandquay agent: ");
        if (end->outcome != TASK_NOT_BEGUN)
            buf_addz(&t->scratch, view_outcome_text(end->outcome));
        add_refusal(t, end->stop_details);
        add_why(t, end);
        buf_addc(&t->scratch, '\n');
        put_scratch(t, t->config.err_fd);
    } else if (end->text.n == 0) {
        buf_addz(&t->scratch, "sandquay agent: the model ended without a word\n");
        put_scratch(t, t->config.err_fd);
    }
    if (end->kept) {
        buf_addf(&t->scratch,
                 "sandquay agent: the sandbox is kept: sandquay agent --resume %s, "
                 "sandquay shell %s, sandquay rm %s\n",
                 end->session, end->kept, end->kept);
        put_scratch(t, t->config.err_fd);
    }
    if ((!t->config.err_terminal && !t->config.verbose) || end->turns == 0)
        return;
    colour(t, DIM);
    buf_addf(&t->scratch, "%u turn%s%s", end->turns, end->turns == 1 ? "" : "s",
             dot(t));
    add_usage(t, &end->usage);
    if (end->has_dollars)
        buf_addf(&t->scratch, "%s$%.4f", dot(t), end->dollars);
    buf_addz(&t->scratch, dot(t));
    add_time(&t->scratch, end->duration_ms);
    colour(t, PLAIN);
    buf_addc(&t->scratch, '\n');
    put_scratch(t, t->config.err_fd);
}

static void on_close(struct view *v)
{
    struct text_view *t = of(v);
    begin_line(t);
    buf_finish(&t->held);
    buf_finish(&t->scratch);
    buf_finish(&t->name);
    buf_finish(&t->telling);
    buf_finish(&t->line);
    loop_timer_free(t->ticks);
    mem_free(t);
}

struct view *view_text_new(const struct view_config *config)
{
    static const struct view_ops ops = {
        .start = on_start,
        .waiting = on_waiting,
        .text = on_text,
        .thinking = on_thinking,
        .writing = on_writing,
        .again = on_again,
        .message = on_message,
        .call = on_call,
        .progress = on_progress,
        .result = on_result,
        .note = on_note,
        .server = on_server,
        .end = on_end,
        .close = on_close,
    };
    struct text_view *t = mem_new(struct text_view);
    t->view.ops = &ops;
    t->config = *config;
    buf_init(&t->held, HELD_MAX);
    buf_init(&t->scratch, 3 * HELD_MAX);
    buf_init(&t->name, LINE_MAX_BYTES);
    buf_init(&t->telling, LINE_MAX_BYTES);
    buf_init(&t->line, LINE_MAX_BYTES);
    t->ticks = loop_timer_new(config->loop, on_tick, t);
    return &t->view;
}
