/* The table of tools. A row's definition is schemas/tools/<name>.json, embedded at
 * build time; its schemas are compiled here, at the first use (some 50 us for all). */
#include "tools/tools.h"
#include "base/log.h"
#include "schemas/tools_generated.h"
#include <stdlib.h>

/* clang-format off */
#define TOOL(tool) {.name = #tool, .definition = {tooldef_##tool, 0}, .call = tool_##tool}
/* clang-format on */

static struct mcp_tool table[] = {
    TOOL(execute_command), TOOL(command_output), TOOL(command_input),
    TOOL(read_file),       TOOL(write_file),
};
enum { TOOL_COUNT = sizeof table / sizeof table[0] };

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

const struct mcp_tool *tools_table(size_t *ret_count)
{
    static struct arena schemas; /* for the life of the process */
    const size_t sizes[TOOL_COUNT] = {
        tooldef_execute_command_size, tooldef_command_output_size,
        tooldef_command_input_size,   tooldef_read_file_size,
        tooldef_write_file_size,
    };
    for (size_t i = 0; i < TOOL_COUNT && !table[i].input; i++) {
        table[i].definition.n = sizes[i];
        compile_row(&table[i], &schemas);
    }
    *ret_count = TOOL_COUNT;
    return table;
}
