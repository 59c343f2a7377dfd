/* Build-time generator: turns schemas/tools/<name>.json into C arrays of minified JSON.
 *
 * Usage: embed_schemas OUT a.json b.json ...   writes OUT.c and OUT.h
 *
 * The build fails here if a file is not JSON, if its "name" differs from the file's, or
 * if a schema in it uses a keyword that mcp/schema.c does not implement. */
#include "base/json_write.h"
#include "mcp/schema.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_MAX = 1024 * 1024 };

static void die(const char *file, const char *what)
{
    fprintf(stderr, "embed_schemas: %s: %s\n", file, what);
    exit(1);
}

static void read_file(const char *path, struct buf *b)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die(path, "cannot be opened");
    for (;;) {
        char *to = buf_reserve(b, 65536);
        if (!to)
            die(path, "too large");
        ssize_t n = read(fd, to, 65536);
        if (n < 0)
            die(path, "cannot be read");
        if (n == 0)
            break;
        b->n += (size_t)n;
    }
    close(fd);
}

/* "schemas/tools/read_file.json" -> "read_file" */
static struct str tool_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    struct str s = str_of(slash ? slash + 1 : path);
    if (!str_ends(s, STR(".json")))
        die(path, "is not a .json file");
    s.n -= 5;
    return s;
}

static void check_schema(const char *path, struct json tool, struct str key,
                         struct arena *a)
{
    struct json definition = json_get(tool, key);
    if (!json_present(definition) && str_eq(key, STR("outputSchema")))
        return;
    struct schema *schema;
    struct err err;
    if (schema_compile(&schema, definition, a, &err) < 0)
        die(path, err.msg);
    if (!json_str_is(json_get(definition, STR("type")), STR("object")))
        die(path,
            "inputSchema and outputSchema must have type \"object\" (clients drop all "
            "tools otherwise)");
}

static void write_array(FILE *c, struct str name, struct str text)
{
    fprintf(c, "const char tooldef_%.*s[] = {", STR_FMT(name));
    for (size_t i = 0; i < text.n; i++)
        fprintf(c, "%s%d,", i % 20 ? "" : "\n    ", text.p[i]);
    fprintf(c, "\n};\nconst size_t tooldef_%.*s_size = %zu;\n\n", STR_FMT(name),
            text.n);
}

static void embed(const char *path, FILE *c, FILE *h)
{
    struct buf text = {0}, minified = {0};
    struct arena arena = {0};
    struct json_doc doc;
    struct err err;
    buf_init(&text, FILE_MAX);
    buf_init(&minified, FILE_MAX);
    read_file(path, &text);
    if (json_parse(&doc, &arena, buf_str(&text), &err) < 0)
        die(path, err.msg);
    struct json tool = json_root(&doc);
    struct str name = tool_name(path);
    if (!json_str_is(json_get(tool, STR("name")), name))
        die(path, "its \"name\" differs from the file's name");
    check_schema(path, tool, STR("inputSchema"), &arena);
    check_schema(path, tool, STR("outputSchema"), &arena);
    struct json_writer w;
    jw_init(&w, &minified);
    jw_json(&w, tool);
    fprintf(
        h,
        "extern const char tooldef_%.*s[];\nextern const size_t tooldef_%.*s_size;\n",
        STR_FMT(name), STR_FMT(name));
    write_array(c, name, buf_str(&minified));
    arena_finish(&arena);
    buf_finish(&minified);
    buf_finish(&text);
}

static FILE *create(const char *stem, const char *suffix)
{
    struct buf path = {0};
    buf_init(&path, 4096);
    buf_addf(&path, "%s%s", stem, suffix);
    FILE *f = fopen(buf_cstr(&path), "we");
    if (!f)
        die(path.p, "cannot be created");
    buf_finish(&path);
    return f;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: embed_schemas OUT FILE.json ...\n");
        return 2;
    }
    FILE *c = create(argv[1], ".c"), *h = create(argv[1], ".h");
    fprintf(
        c,
        "/* Made by schemas/embed.c. */\n#include \"schemas/tools_generated.h\"\n\n");
    fprintf(h,
            "/* Made by schemas/embed.c: the tools/list entries of schemas/tools. */\n"
            "#pragma once\n#include <stddef.h>\n\n");
    for (int i = 2; i < argc; i++)
        embed(argv[i], c, h);
    return fclose(c) || fclose(h);
}
