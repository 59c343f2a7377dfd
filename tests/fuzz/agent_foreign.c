/* What MCP servers and files say to the agent: the first byte chooses whether the rest
 * is a tool of tools/list, a result of tools/call, a file of servers, or text for the
 * terminal. What is made of it is JSON, and nothing that a terminal obeys. */
#include "agent/catalog.h"
#include "agent/mcp_config.h"
#include "agent/result.h"
#include "agent/shown.h"
#include "base/utf8.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void require_json(const struct buf *b)
{
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    require(json_parse(&doc, &a, buf_str(b), &err) == 0);
    require(str_find(buf_str(b), '\n') < 0);
    arena_finish(&a);
}

static void try_tool(struct json tool)
{
    struct catalog c;
    struct buf b;
    struct err err;
    catalog_init(&c);
    buf_init(&b, 64 * 1024 * 1024);
    for (size_t server = 0; server < 2; server++) {
        catalog_add(&c, server, NULL, tool, &err);
        catalog_add(&c, server, "pre fix", tool, &err);
    }
    catalog_write(&c, &b);
    require_json(&b);
    for (size_t i = 0; i < c.count; i++)
        require(catalog_find(&c, str_of(c.tools[i].name)) == &c.tools[i]);
    buf_finish(&b);
    catalog_finish(&c);
}

static void try_result(struct json result)
{
    struct result_facts facts;
    struct json_writer w;
    struct buf b;
    buf_init(&b, 64 * 1024 * 1024);
    jw_init(&w, &b);
    result_write(&w, STR("id"), result, &facts);
    require_json(&b);
    buf_finish(&b);
}

static const char *variable(void *ctx, const char *name)
{
    (void)ctx;
    return name[0] == 'H' ? "value" : NULL;
}

static void try_file(struct str text)
{
    struct mcp_config c = {0};
    struct err err;
    mcp_config_parse(&c, "file", text, variable, NULL, &err);
    mcp_config_finish(&c);
}

static void try_text(struct str text)
{
    enum { CELLS = 20 };
    struct buf b;
    buf_init(&b, 8 * text.n + 64);
    shown_add(&b, text);
    require(utf8_valid(buf_str(&b)));
    require(shown_add_line(&b, text, CELLS) <= CELLS);
    for (size_t i = 0; i < b.n; i++) {
        unsigned char c = (unsigned char)b.p[i];
        require((c >= 0x20 || c == '\n' || c == '\t') && c != 0x7f);
    }
    buf_finish(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    if (size < 1)
        return 0;
    struct str rest = {(const char *)data + 1, size - 1};
    int what = data[0] % 4;
    if (what == 2)
        try_file(rest);
    else if (what == 3)
        try_text(rest);
    else if (json_parse(&doc, &a, rest, &err) == 0)
        what ? try_result(json_root(&doc)) : try_tool(json_root(&doc));
    arena_finish(&a);
    return 0;
}
