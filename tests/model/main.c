/* model-turn: agent/model for tests in other languages. Lines on stdin, a line on
 * stdout for each but the first:
 *
 *     {"base_url": ..., "key": ..., "model": ..., "max_tokens": ..., "system": ...,
 *      "tools": [...], "effort": ..., "schema": {...}, "thinking": bool}
 *     [the messages of a turn]
 *     ... */
#include "agent/model/model.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/log.h"
#include <stdio.h>
#include <stdlib.h>

struct probe {
    struct loop *loop;
    struct buf text, thinking, line;
    int agains;
    struct buf why;
};

static void on_text(void *ctx, struct str delta)
{
    buf_adds(&((struct probe *)ctx)->text, delta);
}

static void on_thinking(void *ctx, struct str delta)
{
    buf_adds(&((struct probe *)ctx)->thinking, delta);
}

static void on_tool(void *ctx, struct str name)
{
    (void)ctx;
    (void)name;
}

static void on_again(void *ctx, const char *why, uint64_t wait_ms)
{
    struct probe *p = ctx;
    (void)wait_ms;
    p->agains++;
    buf_reset(&p->text, 1024);
    buf_reset(&p->thinking, 1024);
    buf_reset(&p->why, 1024);
    buf_addz(&p->why, why);
}

static void write_calls(struct json_writer *w, const struct message *m)
{
    jw_key(w, "calls");
    jw_array(w);
    for (size_t i = 0; i < m->block_count; i++) {
        const struct message_block *b = &m->blocks[i];
        if (b->type != BLOCK_TOOL_USE)
            continue;
        jw_object(w);
        jw_key_str(w, "id", b->id);
        jw_key_str(w, "name", b->name);
        jw_key_str(w, "input", b->input);
        jw_key_bool(w, "invalid", b->input_invalid);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void on_done(void *ctx, const struct message *m, const struct err *err)
{
    struct probe *p = ctx;
    struct json_writer w;
    jw_init(&w, &p->line);
    jw_object(&w);
    jw_key_i64(&w, "again", p->agains);
    jw_key_str(&w, "why", buf_str(&p->why));
    if (err) {
        jw_key_cstr(&w, "error", err->msg);
        jw_key_cstr(&w, "kind", err_kind_name(err->kind));
        jw_key_cstr(&w, "remedy", err->remedy);
    } else {
        jw_key_raw(&w, "content", m->content);
        jw_key_str(&w, "id", m->id);
        jw_key_str(&w, "model", m->model);
        jw_key_str(&w, "stop_reason", m->stop_text);
        jw_key_str(&w, "text", buf_str(&p->text));
        jw_key_str(&w, "thinking", buf_str(&p->thinking));
        jw_key_i64(&w, "input_tokens", m->usage.input);
        jw_key_i64(&w, "output_tokens", m->usage.output);
        write_calls(&w, m);
    }
    jw_end_object(&w);
    loop_stop(p->loop);
}

static _Noreturn void die(const struct err *err)
{
    fprintf(stderr, "model-turn: %s\n", err->msg);
    exit(2);
}

static struct str member(struct json config, const char *name, struct arena *a)
{
    struct json v = json_get(config, str_of(name));
    return json_type(v) == JSON_STRING ? json_str(v, a) : json_raw(v);
}

static void read_config(struct model_config *to, struct json config, struct arena *a)
{
    struct str key = member(config, "key", a);
    model_config_init(to);
    to->base_url = member(config, "base_url", a);
    to->key = key.n ? secret_new(key) : NULL;
    to->model = member(config, "model", a);
    to->system = member(config, "system", a);
    to->tools = member(config, "tools", a);
    to->effort = member(config, "effort", a);
    to->schema = member(config, "schema", a);
    json_i64(json_get(config, STR("max_tokens")), &to->max_tokens);
    if (json_is_true(json_get(config, STR("thinking"))))
        to->thinking = THINKING_SHOWN;
}

static void turn(struct probe *p, struct model *model, struct str messages)
{
    static const struct turn_events events = {
        {on_text, on_thinking, on_tool}, on_again, on_done};
    p->agains = 0;
    buf_reset(&p->text, 1024);
    buf_reset(&p->thinking, 1024);
    buf_reset(&p->why, 1024);
    buf_reset(&p->line, 1024);
    model_turn(model, messages, &events, p);
    loop_run(p->loop);
    fwrite(p->line.p, 1, p->line.n, stdout);
    putchar('\n');
    fflush(stdout);
}

int main(void)
{
    enum { ROOM = 64 << 20 };
    struct probe p = {0};
    struct model_config config;
    struct model *model = NULL;
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    char *line = NULL;
    size_t room = 0;
    ssize_t n = getline(&line, &room, stdin);
    buf_init(&p.text, ROOM);
    buf_init(&p.thinking, ROOM);
    buf_init(&p.line, 2 * (size_t)ROOM);
    buf_init(&p.why, ROOM);
    if (n <= 0 ||
        json_parse(&doc, &a, arena_dup(&a, (struct str){line, (size_t)n}), &err) < 0)
        die(&err);
    read_config(&config, json_root(&doc), &a);
    if (loop_new(&p.loop, &err) < 0 || model_new(&model, p.loop, &config, &err) < 0)
        die(&err);
    while ((n = getline(&line, &room, stdin)) > 0)
        turn(&p, model, (struct str){line, (size_t)n - 1});
    model_free(model);
    loop_free(p.loop);
    secret_free((struct secret *)(uintptr_t)config.key);
    free(line);
    buf_finish(&p.text);
    buf_finish(&p.thinking);
    buf_finish(&p.line);
    buf_finish(&p.why);
    arena_finish(&a);
    return 0;
}
