/* The table of tools. A row's definition is schemas/tools/<name>.json, embedded at
 * build time; its schemas are compiled here, at the first use (some 50 us for all). */
#include "tools/tools.h"
#include "base/log.h"
#include "schemas/tools_generated.h"
#include <stdlib.h>

struct row {
    unsigned set;
    const size_t *size; /* of the definition */
    struct mcp_tool tool;
};

/* clang-format off */
#define TOOL(set, tool) \
    {set, &tooldef_##tool##_size, {.name = #tool, .definition = {tooldef_##tool, 0}, .call = tool_##tool}}

static struct row rows[] = {
    TOOL(TOOLSET_DEFAULT, execute_command),
    TOOL(TOOLSET_DEFAULT, command_output),
    TOOL(TOOLSET_DEFAULT, command_input),
    TOOL(TOOLSET_DEFAULT, read_file),
    TOOL(TOOLSET_DEFAULT, write_file),
    TOOL(TOOLSET_DEFAULT, sandbox_create),
    TOOL(TOOLSET_DEFAULT, sandbox_list),
    TOOL(TOOLSET_DEFAULT, sandbox_stop),
    TOOL(TOOLSET_LIFECYCLE, sandbox_snapshot),
    TOOL(TOOLSET_LIFECYCLE, sandbox_fork),
    TOOL(TOOLSET_LIFECYCLE, sandbox_extend),
    TOOL(TOOLSET_NETWORK, expose_port),
    TOOL(TOOLSET_WORKSPACE, workspace_changes),
    TOOL(TOOLSET_NETWORK, network_policy),
    TOOL(TOOLSET_NETWORK, network_log),
};
/* clang-format on */
enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

static const struct {
    const char *name;
    unsigned bit;
} sets[] = {
    {"default", TOOLSET_DEFAULT},
    {"lifecycle", TOOLSET_LIFECYCLE},
    {"network", TOOLSET_NETWORK},
    {"workspace", TOOLSET_WORKSPACE},
    {"all", ~0u},
};

static int add_set(struct str word, unsigned *bits, struct err *err)
{
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        if (str_eq(word, str_of(sets[i].name))) {
            *bits |= sets[i].bit;
            return 0;
        }
    err_set(err, ERR_INVALID, "there is no toolset \"%.*s\"",
            (int)(word.n < 40 ? word.n : 40), word.p);
    return err_remedy(err, "the toolsets are: " TOOLSET_NAMES);
}

int tools_sets_parse(const char *list, unsigned *ret_sets, struct err *err)
{
    unsigned bits = TOOLSET_DEFAULT;
    struct str rest = str_of(list);
    do {
        ptrdiff_t comma = str_find(rest, ',');
        struct str word = {rest.p, comma < 0 ? rest.n : (size_t)comma};
        if (add_set(word, &bits, err) < 0)
            return -1;
        rest = str_from(rest, word.n + 1);
    } while (rest.n);
    *ret_sets = bits;
    return 0;
}

const char tools_instructions[] =
    "sandquay runs code in an isolated Linux sandbox. Write files with write_file, run "
    "commands with execute_command (bash), read files with read_file. Files, installed "
    "packages and background processes stay between calls; each command is a new shell "
    "in /workspace. A call answers within 45 s: follow longer commands and servers "
    "(background: true) with command_output {waitMs} and feed them with command_input. "
    "Do not trust that code works: run it, look at the output, fix what fails, and run "
    "it again.";

static struct schema *compile(struct json tool, struct str key, struct arena *a)
{
    struct json definition = json_get(tool, key);
    struct schema *schema = NULL;
    struct err err;
    if (json_present(definition) && schema_compile(&schema, definition, a, &err) < 0) {
        log_error("%s", err.msg);
        abort(); /* the build has checked it */
    }
    return schema;
}

static void compile_row(struct mcp_tool *row, struct arena *a)
{
    struct err err;
    struct json_doc *doc = arena_alloc(a, sizeof *doc);
    if (json_parse(doc, a, row->definition, &err) < 0) {
        log_error("%s: %s", row->name, err.msg);
        abort();
    }
    row->input = compile(json_root(doc), STR("inputSchema"), a);
    row->output = compile(json_root(doc), STR("outputSchema"), a);
}

const struct mcp_tool *tools_table(unsigned wanted, size_t *ret_count)
{
    static struct arena schemas; /* for the life of the process, as is the table */
    static struct mcp_tool table[ROW_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        struct row *row = &rows[i];
        if (!(row->set & wanted))
            continue;
        if (!row->tool.input) {
            row->tool.definition.n = *row->size;
            compile_row(&row->tool, &schemas);
        }
        table[count++] = row->tool;
    }
    *ret_count = count;
    return table;
}
