#include "tests/unit/model_world.h"
#include "tests/unit/check.h"
#include <stdio.h>

static void on_text(void *ctx, struct str delta)
{
    struct heard *h = ctx;
    buf_adds(&h->text, delta);
    if (++h->texts == h->cancel_at) {
        turn_cancel(h->turn);
        loop_stop(h->loop);
    }
}

static void on_thinking(void *ctx, struct str delta)
{
    buf_adds(&((struct heard *)ctx)->thinking, delta);
}

static void on_tool(void *ctx, struct str name)
{
    struct heard *h = ctx;
    buf_adds(&h->tools, name);
    buf_addc(&h->tools, ';');
}

static void on_again(void *ctx, const char *why, uint64_t wait_ms)
{
    struct heard *h = ctx;
    h->agains++;
    h->wait_ms = wait_ms;
    buf_reset(&h->text, 1000);
    buf_addz(&h->again, why);
    buf_addc(&h->again, '\n');
}

static void on_done(void *ctx, const struct message *m, const struct err *err)
{
    struct heard *h = ctx;
    h->dones++;
    assert_true((m == NULL) != (err == NULL));
    if (err) {
        h->failed = true;
        h->err = *err;
    } else {
        buf_adds(&h->content, m->content);
        h->stop = m->stop;
        h->usage = m->usage;
        h->blocks = m->block_count;
        snprintf(h->stop_text, sizeof h->stop_text, "%.*s", STR_FMT(m->stop_text));
        snprintf(h->request_id, sizeof h->request_id, "%.*s", STR_FMT(m->request_id));
        for (size_t i = 0; i < m->block_count; i++) {
            const struct message_block *b = &m->blocks[i];
            size_t n = strlen(h->inputs);
            h->invalid += b->input_invalid;
            if (b->type == BLOCK_TOOL_USE)
                snprintf(h->inputs + n, sizeof h->inputs - n, "%.*s=%.*s;",
                         STR_FMT(b->name), STR_FMT(b->input));
        }
    }
    loop_stop(h->loop);
}

const struct turn_events events = {{on_text, on_thinking, on_tool}, on_again, on_done};

void listen_to(struct world *w)
{
    struct heard *h = &w->heard;
    buf_finish(&h->text);
    buf_finish(&h->thinking);
    buf_finish(&h->tools);
    buf_finish(&h->again);
    buf_finish(&h->content);
    *h = (struct heard){.loop = w->loop};
    buf_init(&h->text, 1 << 20);
    buf_init(&h->thinking, 1 << 20);
    buf_init(&h->tools, 1 << 20);
    buf_init(&h->again, 1 << 20);
    buf_init(&h->content, 1 << 20);
}

void set_up(struct world *w, const struct model_step *steps, size_t count)
{
    struct err err;
    memset(w, 0, sizeof *w);
    assert_int_equal(loop_new(&w->loop, &err), 0);
    model_server_start(&w->server, steps, count);
    snprintf(w->url, sizeof w->url, "http://127.0.0.1:%d/v1/", w->server.port);
    model_config_init(&w->config);
    w->config.base_url = str_of(w->url);
    w->config.model = STR("claude-opus-5-5");
    w->config.system = STR("Be \"exact\".");
    listen_to(w);
}

void run(struct world *w)
{
    struct err err;
    if (!w->model)
        assert_int_equal(model_new(&w->model, w->loop, &w->config, &err), 0);
    w->heard.turn =
        model_turn(w->model, STR("[{\"role\":\"user\",\"content\":\"Hello\"}]"),
                   &events, &w->heard);
    assert_int_equal(w->heard.dones, 0);
    loop_run(w->loop);
}

void tear_down(struct world *w)
{
    model_free(w->model);
    loop_free(w->loop);
    model_server_stop(&w->server);
    assert_false(w->server.unexpected);
    listen_to(w);
    struct heard *h = &w->heard;
    buf_finish(&h->text);
    buf_finish(&h->thinking);
    buf_finish(&h->tools);
    buf_finish(&h->again);
    buf_finish(&h->content);
}
