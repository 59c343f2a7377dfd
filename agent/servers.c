#include "agent/servers.h"
#include "agent/shown.h"
#include "base/fd.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/mem.h"
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum {
    TOOLS_BYTES_MAX = 16 * 1024 * 1024, /* of one server's list */
    INSTRUCTIONS_MAX = 16 * 1024,
    STDERR_LINE_MAX = 4096,
    STDERR_READS = 64,
    LAST_WORDS_CELLS = 120,
};

struct server {
    struct servers *all;
    const struct server_spec *spec;
    struct client *client;
    struct peer *peer;
    struct loop_later *flush;
    struct loop_io *stderr_io; /* what it writes there; NULL: goes to ours */
    struct buf stderr_line;
    char last_words[512];
    char *instructions;
    struct buf tools; /* entries of tools/list, with commas between them */
    bool ready, failed;
    struct err err;
};

struct servers {
    struct servers_config config;
    struct server *rows;
    size_t waiting; /* for servers to become ready, or fail */
    struct loop_later *ready;
    struct loop_timer *patience;
    bool freeing;
};

static void settle(struct server *s)
{
    if (s->ready)
        return;
    s->ready = true;
    if (--s->all->waiting == 0)
        loop_later_ask(s->all->ready);
}

static void read_stderr(struct server *s);

/* What a child wrote last tells most often why it ended. */
static void add_last_words(struct server *s)
{
    struct buf text;
    if (!s->stderr_io)
        return;
    read_stderr(s);
    if (!s->last_words[0])
        return;
    buf_init(&text, 1024);
    shown_add_line(&text, str_of(s->last_words), LAST_WORDS_CELLS);
    err_remedy(&s->err, "it wrote: %.*s", STR_FMT(buf_str(&text)));
    buf_finish(&text);
}

static void fail(struct server *s, const struct err *err)
{
    if (s->failed || s->all->freeing)
        return;
    s->failed = true;
    s->err = *err;
    add_last_words(s);
    err = &s->err;
    s->all->config.lost(s->all->config.ctx, s->spec->name, err);
    settle(s);
}

static void on_lost(void *ctx, const struct err *err)
{
    fail(ctx, err);
}

static void on_tools(void *ctx, struct json items, const struct err *err)
{
    struct server *s = ctx;
    struct json_writer w;
    if (err) {
        fail(s, err);
        return;
    }
    if (!json_present(items)) {
        settle(s);
        return;
    }
    for (struct json item = json_first(items); json_present(item);
         item = json_next(item)) {
        size_t before = s->tools.n;
        if (before)
            buf_addc(&s->tools, ',');
        jw_init(&w, &s->tools);
        jw_json(&w, item);
        if (s->tools.overflow) {
            s->tools.overflow = false;
            s->tools.n = before;
            log_warn("ignoring tools of %s: their list is over %d MiB", s->spec->name,
                     TOOLS_BYTES_MAX >> 20);
            break;
        }
    }
}

static void on_open(void *ctx, struct json result, const struct err *err)
{
    struct server *s = ctx;
    struct arena a = {0};
    if (err) {
        fail(s, err);
        return;
    }
    struct str text = json_str(json_get(result, STR("instructions")), &a);
    if (text.n > INSTRUCTIONS_MAX)
        text.n = INSTRUCTIONS_MAX;
    s->instructions = text.n ? mem_strndup(text.p, text.n) : NULL;
    bool has_tools =
        json_present(json_get(json_get(result, STR("capabilities")), STR("tools")));
    arena_finish(&a);
    if (has_tools)
        client_list(s->client, "tools/list", "tools", on_tools, s);
    else
        settle(s);
}

static void on_notification(void *ctx, struct str method, struct json params)
{
    struct server *s = ctx;
    struct arena a = {0};
    if (str_eq(method, STR("notifications/message")) && !s->all->freeing) {
        struct json data = json_get(params, STR("data"));
        struct str text =
            json_type(data) == JSON_STRING ? json_str(data, &a) : json_raw(data);
        s->all->config.said(s->all->config.ctx, s->spec->name, text);
    }
    arena_finish(&a);
}

static void on_flush(void *ctx)
{
    struct server *s = ctx;
    if (s->peer)
        peer_flush(s->peer);
}

static void on_wake(void *ctx)
{
    struct server *s = ctx;
    loop_later_ask(s->flush);
}

static void say_line(struct server *s, struct str line)
{
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    if (line.n == 0 || s->all->freeing)
        return;
    snprintf(s->last_words, sizeof s->last_words, "%.*s", STR_FMT(line));
    s->all->config.said(s->all->config.ctx, s->spec->name, line);
}

static void say_lines(struct server *s)
{
    struct str rest = buf_str(&s->stderr_line);
    for (ptrdiff_t end; (end = str_find(rest, '\n')) >= 0;
         rest = str_from(rest, (size_t)end + 1))
        say_line(s, (struct str){rest.p, (size_t)end});
    buf_drop(&s->stderr_line, s->stderr_line.n - rest.n);
    if (s->stderr_line.n < STDERR_LINE_MAX)
        return;
    say_line(s, buf_str(&s->stderr_line));
    buf_reset(&s->stderr_line, STDERR_LINE_MAX);
}

/* What is there now; of one that never stops, a part. */
static void read_stderr(struct server *s)
{
    ssize_t n = 1;
    for (int i = 0; i < STDERR_READS && n > 0; i++) {
        char *to = buf_reserve(&s->stderr_line, STDERR_LINE_MAX);
        n = read(loop_io_fd(s->stderr_io), to, STDERR_LINE_MAX);
        s->stderr_line.n += n > 0 ? (size_t)n : 0;
        if (n == 0)
            loop_io_want(s->stderr_io, 0);
        say_lines(s);
    }
}

static void on_stderr(void *ctx, unsigned events)
{
    (void)events;
    read_stderr(ctx);
}

/* Its stderr comes through us: it must neither disturb the screen nor be lost. Returns
 * the end for the child. */
static int open_stderr(struct server *s)
{
    int ends[2];
    if (s->spec->url || pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    s->stderr_io = loop_io_new(s->all->config.loop, ends[0], on_stderr, s);
    loop_io_want(s->stderr_io, LOOP_READ);
    return ends[1];
}

static int on_find(void *ctx, bool http, const struct connector **ret_connector,
                   struct err *err)
{
    const struct servers_config *c = &((struct server *)ctx)->all->config;
    return c->find(c->find_ctx, http, ret_connector, err);
}

static void start(struct server *s)
{
    const struct servers_config *c = &s->all->config;
    struct err err;
    struct client_config client = {
        .name = "sandquay agent",
        .version = SANDQUAY_VERSION,
        .era = s->spec->url   ? peer_era(s->spec->url)
               : s->spec->own ? CLIENT_MODERN
                              : CLIENT_AUTO,
        .on_notification = on_notification,
        .wake = on_wake,
        .ctx = s,
    };
    buf_init(&s->tools, TOOLS_BYTES_MAX);
    buf_init(&s->stderr_line, 3 * STDERR_LINE_MAX);
    s->flush = loop_later_new(c->loop, on_flush, s);
    s->client = client_new(&client);
    int stderr_fd = open_stderr(s);
    struct peer_config peer = {
        .argv = s->spec->argv,
        .env = s->spec->env,
        .stderr_fd = stderr_fd > 0 ? stderr_fd : 0,
        .url = s->spec->url,
        .token = s->spec->token,
        .ca_file = c->ca_file,
        .headers = s->spec->headers,
        .header_count = s->spec->header_count,
        .find = on_find,
        .loop = c->loop,
        .client = s->client,
        .lost = on_lost,
        .ctx = s,
    };
    int rc = peer_open(&s->peer, &peer, &err);
    fd_close(&stderr_fd);
    if (rc < 0)
        fail(s, &err);
    else
        client_open(s->client, on_open, s);
}

/* What it says later is not listened to. */
static void on_impatient(void *ctx)
{
    struct servers *s = ctx;
    struct err err;
    err_set(&err, ERR_TIMEOUT, "it has not answered within %llu s",
            (unsigned long long)s->config.open_ms / 1000);
    for (size_t i = 0; i < s->config.count; i++)
        if (!s->rows[i].ready)
            fail(&s->rows[i], &err);
}

static void on_ready(void *ctx)
{
    struct servers *s = ctx;
    loop_timer_stop(s->patience);
    s->config.ready(s->config.ctx);
}

struct servers *servers_new(const struct servers_config *config)
{
    struct servers *s = mem_new(struct servers);
    s->config = *config;
    s->ready = loop_later_new(config->loop, on_ready, s);
    s->patience = loop_timer_new(config->loop, on_impatient, s);
    loop_timer_start(s->patience, config->open_ms);
    s->rows = mem_zalloc((config->count + 1) * sizeof s->rows[0]);
    s->waiting = config->count;
    for (size_t i = 0; i < config->count; i++) {
        s->rows[i].all = s;
        s->rows[i].spec = &config->specs[i];
    }
    for (size_t i = 0; i < config->count; i++)
        start(&s->rows[i]);
    if (config->count == 0)
        loop_later_ask(s->ready);
    return s;
}

void servers_free(struct servers *s)
{
    if (!s)
        return;
    s->freeing = true;
    for (size_t i = 0; i < s->config.count; i++)
        if (s->rows[i].peer)
            peer_end(s->rows[i].peer);
    for (size_t i = 0; i < s->config.count; i++) {
        struct server *row = &s->rows[i];
        peer_close(row->peer);
        row->peer = NULL;
        client_free(row->client);
        loop_io_free(row->stderr_io);
        loop_later_free(row->flush);
        buf_finish(&row->tools);
        buf_finish(&row->stderr_line);
        mem_free(row->instructions);
    }
    loop_later_free(s->ready);
    loop_timer_free(s->patience);
    mem_free(s->rows);
    mem_free(s);
}

size_t servers_count(const struct servers *s)
{
    return s->config.count;
}

const struct err *servers_failure(const struct servers *s, size_t number)
{
    return s->rows[number].failed ? &s->rows[number].err : NULL;
}

const char *servers_name(const struct servers *s, size_t number)
{
    return s->config.specs[number].name;
}

struct str servers_instructions(const struct servers *s, size_t number)
{
    return str_of(s->rows[number].instructions);
}

static void fill_from(struct server *row, size_t number, struct catalog *catalog)
{
    struct arena a = {0};
    struct buf list;
    struct json_doc doc;
    struct err err;
    buf_init(&list, TOOLS_BYTES_MAX + 16);
    buf_addc(&list, '[');
    buf_adds(&list, buf_str(&row->tools));
    buf_addc(&list, ']');
    if (json_parse(&doc, &a, buf_str(&list), &err) == 0)
        for (struct json tool = json_first(json_root(&doc)); json_present(tool);
             tool = json_next(tool))
            if (catalog_add(catalog, number, row->spec->prefix, tool, &err) < 0)
                log_warn("ignoring a tool of %s: %s", row->spec->name, err.msg);
    buf_finish(&list);
    arena_finish(&a);
}

void servers_fill(struct servers *s, struct catalog *catalog)
{
    for (size_t i = 0; i < s->config.count; i++)
        if (!s->rows[i].failed)
            fill_from(&s->rows[i], i, catalog);
}

static void on_progress(void *ctx, double progress, double total, struct str message)
{
    struct servers_call *call = ctx;
    (void)progress;
    (void)total;
    if (message.n)
        call->progress(call->ctx, message);
}

static void on_result(void *ctx, struct json result, const struct err *err)
{
    struct servers_call call = *(struct servers_call *)ctx;
    mem_free(ctx);
    call.done(call.ctx, result, err);
}

uint64_t servers_send(struct servers *s, const struct servers_call *call)
{
    struct server *row = &s->rows[call->server];
    if (row->failed) {
        call->done(call->ctx, (struct json){0}, &row->err);
        return 0;
    }
    struct servers_call *sent = mem_new(struct servers_call);
    struct buf params;
    struct json_writer w;
    *sent = *call;
    buf_init(&params, call->arguments.n + 4096);
    jw_init(&w, &params);
    jw_object(&w);
    jw_key_cstr(&w, "name", call->tool);
    jw_key_raw(&w, "arguments", call->arguments);
    jw_end_object(&w);
    uint64_t number =
        client_send(row->client, &(struct client_request){.method = "tools/call",
                                                          .params = buf_str(&params),
                                                          .progress = true,
                                                          .on_progress = on_progress,
                                                          .fn = on_result,
                                                          .ctx = sent});
    buf_finish(&params);
    return number;
}

void servers_cancel(struct servers *s, size_t server, uint64_t number)
{
    if (number && !s->rows[server].failed)
        client_cancel(s->rows[server].client, number);
}
