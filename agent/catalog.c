#include "agent/catalog.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "base/sha256.h"
#include <stdio.h>

enum { JSON_MAX = 16 * 1024 * 1024, HASH_CHARS = 8 };

void catalog_init(struct catalog *c)
{
    *c = (struct catalog){0};
    buf_init(&c->json, JSON_MAX);
    buf_init(&c->given, JSON_MAX);
}

void catalog_finish(struct catalog *c)
{
    for (size_t i = 0; i < c->count; i++) {
        mem_free(c->tools[i].mcp_name);
        mem_free(c->tools[i].telling);
    }
    mem_free(c->tools);
    buf_finish(&c->json);
    buf_finish(&c->given);
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_' || c == '-';
}

/* The end of the name becomes a hash of the server and the whole name. */
static void hash_name(char name[CATALOG_NAME_MAX + 1], size_t server, struct str full)
{
    unsigned char digest[SHA256_SIZE];
    struct buf text;
    buf_init(&text, full.n + 32);
    buf_addf(&text, "%zu/", server);
    buf_adds(&text, full);
    struct sha256 h;
    sha256_init(&h);
    sha256_add(&h, buf_str(&text));
    sha256_end(&h, digest);
    buf_finish(&text);
    size_t n = strlen(name);
    if (n > CATALOG_NAME_MAX - HASH_CHARS - 1)
        n = CATALOG_NAME_MAX - HASH_CHARS - 1;
    name[n++] = '_';
    for (size_t i = 0; i < HASH_CHARS / 2; i++)
        snprintf(name + n + 2 * i, 3, "%02x", digest[i]);
}

static void choose_name(const struct catalog *c, struct catalog_tool *t,
                        const char *prefix, struct str own)
{
    struct buf full;
    buf_init(&full, own.n + 1024);
    if (prefix)
        buf_addf(&full, "%.200s__", prefix);
    buf_adds(&full, own);
    size_t n = full.n < CATALOG_NAME_MAX ? full.n : CATALOG_NAME_MAX;
    for (size_t i = 0; i < n; i++)
        t->name[i] = is_plain(full.p[i]) ? full.p[i] : '_';
    if (full.n > CATALOG_NAME_MAX || catalog_find(c, str_of(t->name)))
        hash_name(t->name, t->server, buf_str(&full));
    buf_finish(&full);
}

/* The Messages API wants an object with properties at the root, and no choice there. */
static void write_schema(struct json_writer *w, struct json schema)
{
    static const char *const refused[] = {"anyOf", "oneOf", "allOf", "type"};
    struct arena a = {0};
    jw_key(w, "input_schema");
    jw_object(w);
    jw_key_cstr(w, "type", "object");
    for (struct json key = json_first(schema); json_present(key);
         key = json_next(key)) {
        bool taken = json_type(schema) == JSON_OBJECT;
        for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
            taken &= !json_str_is(key, str_of(refused[i]));
        if (!taken)
            continue;
        jw_key_any(w, json_str(key, &a));
        jw_json(w, json_value(key));
    }
    if (!json_present(json_get(schema, STR("properties")))) {
        jw_key(w, "properties");
        jw_object(w);
        jw_end_object(w);
    }
    jw_end_object(w);
    arena_finish(&a);
}

/* The first argument that must be given, else the first one at all, that is text. */
static char *telling_argument(struct json schema, struct arena *a)
{
    struct json properties = json_get(schema, STR("properties"));
    struct json required = json_get(schema, STR("required"));
    struct json name = json_first(required);
    for (; json_present(name); name = json_next(name)) {
        struct json property = json_get(properties, json_str(name, a));
        if (json_str_is(json_get(property, STR("type")), STR("string")))
            break;
    }
    if (!json_present(name))
        for (name = json_first(properties); json_present(name); name = json_next(name))
            if (json_str_is(json_get(json_value(name), STR("type")), STR("string")))
                break;
    struct str text = json_str(name, a);
    return text.n ? mem_strndup(text.p, text.n) : NULL;
}

static struct catalog_tool *new_row(struct catalog *c)
{
    if (c->count == c->room) {
        c->room = c->room ? 2 * c->room : 16;
        c->tools = mem_realloc(c->tools, c->room * sizeof c->tools[0]);
    }
    c->tools[c->count] = (struct catalog_tool){0};
    return &c->tools[c->count];
}

int catalog_add(struct catalog *c, size_t server, const char *prefix, struct json tool,
                struct err *err)
{
    struct arena a = {0};
    struct json_writer w;
    struct str name = json_str(json_get(tool, STR("name")), &a);
    struct json schema = json_get(tool, STR("inputSchema"));
    struct json description = json_get(tool, STR("description"));
    int rc = 0;
    if (name.n == 0 || memchr(name.p, '\0', name.n))
        rc = err_set(err, ERR_INVALID, "a tool without a name");
    else if (c->count == CATALOG_TOOLS_MAX)
        rc = err_set(err, ERR_LIMIT, "more than %d tools", CATALOG_TOOLS_MAX);
    if (rc == 0) {
        struct catalog_tool *t = new_row(c);
        t->server = server;
        choose_name(c, t, prefix, name);
        t->mcp_name = mem_strndup(name.p, name.n);
        t->telling = telling_argument(schema, &a);
        size_t before = c->json.n;
        if (c->count > 0)
            buf_addc(&c->json, ',');
        jw_init(&w, &c->json);
        jw_object(&w);
        jw_key_cstr(&w, "name", t->name);
        if (json_type(description) == JSON_STRING)
            jw_key_str(&w, "description", json_str(description, &a));
        write_schema(&w, schema);
        jw_end_object(&w);
        c->count++;
        if (c->json.overflow) {
            c->json.overflow = false;
            c->json.n = before;
            rc = err_set(err, ERR_LIMIT, "the tools' descriptions are over %d MiB",
                         JSON_MAX >> 20);
        }
    }
    arena_finish(&a);
    return rc;
}

void catalog_use(struct catalog *c, struct str json)
{
    buf_reset(&c->given, 0);
    buf_adds(&c->given, json);
}

const struct catalog_tool *catalog_find(const struct catalog *c, struct str name)
{
    for (size_t i = 0; i < c->count; i++)
        if (str_eq(str_of(c->tools[i].name), name))
            return &c->tools[i];
    return NULL;
}

void catalog_write(const struct catalog *c, struct buf *to)
{
    if (c->given.n) {
        buf_adds(to, buf_str(&c->given));
        return;
    }
    buf_addc(to, '[');
    buf_adds(to, buf_str(&c->json));
    buf_addc(to, ']');
}
