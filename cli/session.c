#include "cli/session.h"
#include <stdio.h>

enum { OWNER = 1, CHUNK = 16 * 1024 };

static void end_step(struct session *s, const struct err *err)
{
    s->done = true;
    s->failed = err != NULL;
    if (err)
        s->err = *err;
    loop_stop(s->loop);
}

static void begin_step(struct session *s)
{
    s->done = s->failed = false;
}

/* The answer may have come at once. */
static int wait_step(struct session *s, struct err *err)
{
    while (!s->done)
        loop_run(s->loop);
    if (s->failed)
        *err = s->err;
    return s->failed ? -1 : 0;
}

static void on_open(void *ctx, const struct sandbox_info *info, const struct err *err)
{
    struct session *s = ctx;
    if (info) {
        s->sandbox = info->id;
        s->level = info->level;
        s->installs = info->installs;
        snprintf(s->limited_by, sizeof s->limited_by, "%.*s",
                 STR_FMT(info->limited_by));
    }
    end_step(s, err);
}

int session_start(struct session *s, const struct sandbox_backend *backend,
                  const struct sandbox_config *config, struct err *err)
{
    *s = (struct session){.config = *config};
    return loop_new(&s->loop, err) < 0
               ? -1
               : sandboxes_new(&s->set, s->loop, backend, &s->config, err);
}

static void on_list(void *ctx, const struct sandbox_info *infos, size_t count,
                    const struct err *err)
{
    struct session *s = ctx;
    (void)infos;
    s->count = count;
    end_step(s, err);
}

int session_count(struct session *s, size_t *ret_count, struct err *err)
{
    begin_step(s);
    sandbox_list(s->set, OWNER, on_list, s);
    if (wait_step(s, err) < 0)
        return -1;
    *ret_count = s->count;
    return 0;
}

int session_open(struct session *s, struct err *err)
{
    uint64_t start = loop_now_us(s->loop);
    begin_step(s);
    sandbox_open(s->set, OWNER, (struct str){0}, on_open, s);
    int rc = wait_step(s, err);
    s->opened_us = loop_now_us(s->loop) - start;
    return rc;
}

static void on_written(void *ctx, bool existed, const struct err *err)
{
    (void)existed;
    end_step(ctx, err);
}

int session_write(struct session *s, const char *path, struct str content,
                  struct err *err)
{
    begin_step(s);
    file_write(s->set, s->sandbox, str_of(path), content, on_written, s);
    return wait_step(s, err);
}

static void on_news(void *ctx, uint64_t command)
{
    struct session *s = ctx;
    struct command_info info;
    struct err err;
    if (command_get(s->set, OWNER, command, &info, &err) < 0)
        end_step(s, &err);
    else if (info.status != COMMAND_RUNNING)
        end_step(s, NULL);
}

static void on_start(void *ctx, uint64_t command, const struct err *err)
{
    struct session *s = ctx;
    s->command = command;
    if (err) {
        end_step(s, err);
        return;
    }
    s->watch = command_watch(s->set, command, on_news, s);
    on_news(s, command);
}

static void read_output(struct session *s, struct buf *output)
{
    for (uint64_t at = 0;;) {
        char *to = buf_reserve(output, CHUNK);
        size_t n =
            to ? command_read(s->set, s->command, COMMAND_STDOUT, at, to, CHUNK) : 0;
        if (n == 0)
            return;
        output->n += n;
        at += n;
    }
}

int session_run(struct session *s, struct str command, uint64_t timeout_ms,
                struct buf *output, int *ret_exit_code, struct err *err)
{
    struct command_spec spec = {.command = command, .timeout_ms = timeout_ms};
    struct command_info info;
    begin_step(s);
    s->watch = 0;
    command_start(s->set, s->sandbox, &spec, on_start, s);
    int rc = wait_step(s, err);
    if (s->watch)
        command_unwatch(s->set, s->watch);
    if (rc < 0 || command_get(s->set, OWNER, s->command, &info, err) < 0)
        return -1;
    if (output)
        read_output(s, output);
    *ret_exit_code = info.exit_code;
    return 0;
}

uint64_t session_close(struct session *s)
{
    uint64_t start = s->loop ? loop_now_us(s->loop) : 0;
    sandboxes_free(s->set);
    uint64_t took = s->loop ? loop_now_us(s->loop) - start : 0;
    if (s->loop)
        loop_free(s->loop);
    *s = (struct session){0};
    return took;
}
