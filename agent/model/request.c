#include "agent/model/request.h"
#include "base/json_write.h"
#include <strings.h>

enum { HEADERS_BYTES = 256 * 1024 };

static void add_system(struct json_writer *w, struct str system)
{
    jw_key(w, "system");
    jw_array(w);
    jw_object(w);
    jw_key_cstr(w, "type", "text");
    jw_key_str(w, "text", system);
    jw_end_object(w);
    jw_end_array(w);
}

static void add_output(struct json_writer *w, const struct model_config *config)
{
    jw_key(w, "output_config");
    jw_object(w);
    if (config->effort.n)
        jw_key_str(w, "effort", config->effort);
    if (config->schema.n) {
        jw_key(w, "format");
        jw_object(w);
        jw_key_cstr(w, "type", "json_schema");
        jw_key_raw(w, "schema", config->schema);
        jw_end_object(w);
    }
    jw_end_object(w);
}

static void add_thinking(struct json_writer *w, enum thinking_display display)
{
    jw_key(w, "thinking");
    jw_object(w);
    jw_key_cstr(w, "type", "adaptive");
    jw_key_cstr(w, "display", display == THINKING_SHOWN ? "summarized" : "omitted");
    jw_end_object(w);
}

void request_head(struct buf *to, const struct model_config *config)
{
    struct json_writer w;
    jw_init(&w, to);
    jw_object(&w);
    jw_key_str(&w, "model", config->model);
    jw_key_i64(&w, "max_tokens", config->max_tokens);
    jw_key_bool(&w, "stream", true);
    jw_key_raw(&w, "cache_control", STR("{\"type\":\"ephemeral\"}"));
    if (config->system.n)
        add_system(&w, config->system);
    if (config->tools.n > 2)
        jw_key_raw(&w, "tools", config->tools);
    if (config->effort.n || config->schema.n)
        add_output(&w, config);
    if (config->thinking != THINKING_DEFAULT)
        add_thinking(&w, config->thinking);
    if (config->compaction)
        jw_key_raw(&w, "context_management",
                   STR("{\"edits\":[{\"type\":\"compact_20260112\"}]}"));
    jw_key(&w, "messages");
}

int request_body(struct buf *to, struct str head, struct str messages, struct err *err)
{
    buf_init(to, MODEL_REQUEST_MAX);
    buf_adds(to, head);
    buf_adds(to, messages);
    buf_addc(to, '}');
    if (!to->overflow)
        return 0;
    err_set(err, ERR_LIMIT, "the conversation is over %d MiB, which the API refuses",
            MODEL_REQUEST_MAX >> 20);
    return err_remedy(err, "start a new one, and have it read files in parts");
}

static struct str name_of(struct str line)
{
    ptrdiff_t colon = str_find(line, ':');
    return (struct str){line.p, colon < 0 ? 0 : (size_t)colon};
}

static const struct str *find(const struct model_config *config, struct str name)
{
    for (size_t i = 0; i < config->header_count; i++) {
        struct str theirs = name_of(config->headers[i]);
        if (theirs.n == name.n && strncasecmp(theirs.p, name.p, name.n) == 0)
            return &config->headers[i];
    }
    return NULL;
}

static void begin(struct request_headers *h)
{
    if (h->count < REQUEST_HEADERS_MAX)
        h->line[h->count].n = h->text.n; /* where it begins, until all are there */
}

static void end(struct request_headers *h)
{
    buf_addc(&h->text, '\0');
    h->count++;
}

static void add(struct request_headers *h, const struct model_config *config,
                struct str name, struct str value)
{
    if (find(config, name))
        return;
    begin(h);
    buf_adds(&h->text, name);
    buf_addz(&h->text, ": ");
    buf_adds(&h->text, value);
    end(h);
}

/* The beta that we need stands beside those that the user wants. */
static void add_betas(struct request_headers *h, const struct model_config *config)
{
    static const struct str name = STR_INIT("anthropic-beta");
    const struct str *theirs = find(config, name);
    if (!config->compaction)
        return;
    begin(h);
    if (theirs)
        buf_adds(&h->text, *theirs);
    else
        buf_addf(&h->text, "%s: ", name.p);
    buf_addz(&h->text, theirs ? ",compact-2026-01-12" : "compact-2026-01-12");
    end(h);
}

static void add_key(struct request_headers *h, const struct model_config *config)
{
    h->own_key = find(config, STR("authorization")) || find(config, STR("x-api-key"));
    if (config->key && config->x_api_key && !h->own_key)
        add(h, config, STR("x-api-key"), secret_reveal(config->key));
}

static void place(struct request_headers *h)
{
    for (size_t i = 0; i < h->count; i++) {
        size_t from = h->line[i].n;
        size_t to = i + 1 < h->count ? h->line[i + 1].n : h->text.n;
        h->line[i] = (struct str){h->text.p + from, to - from - 1};
    }
}

int request_headers(struct request_headers *h, const struct model_config *config,
                    const char *version, struct err *err)
{
    *h = (struct request_headers){0};
    buf_init(&h->text, HEADERS_BYTES);
    buf_reserve(&h->text, HEADERS_BYTES / 4); /* no copy of the key on the heap */
    add(h, config, STR("Accept"), STR("application/json")); /* for streams, too */
    add(h, config, STR("Content-Type"), STR("application/json"));
    add(h, config, STR("anthropic-version"), str_of(version));
    add_betas(h, config);
    add_key(h, config);
    const struct str *merged =
        config->compaction ? find(config, STR("anthropic-beta")) : NULL;
    for (size_t i = 0; i < config->header_count; i++) {
        if (&config->headers[i] == merged)
            continue;
        begin(h);
        buf_adds(&h->text, config->headers[i]);
        end(h);
    }
    if (h->text.overflow || h->count > REQUEST_HEADERS_MAX)
        return err_set(err, ERR_LIMIT, "too many headers for one request");
    place(h);
    return 0;
}

void request_headers_finish(struct request_headers *h)
{
    if (h->text.p)
        secret_wipe(h->text.p, h->text.n);
    buf_finish(&h->text);
    *h = (struct request_headers){0};
}
