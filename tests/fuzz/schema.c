/* A schema and a value, parted by the first newline: whatever compiles can be checked,
 * and what is refused says why. */
#include "mcp/schema.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str whole = {(const char *)data, size};
    ptrdiff_t middle = str_find(whole, '\n');
    if (middle < 0)
        return 0;
    struct arena a = {0};
    struct json_doc definition, value;
    struct schema *schema;
    struct err err = {0};
    struct str first = {whole.p, (size_t)middle};
    if (json_parse(&definition, &a, first, &err) == 0 &&
        json_parse(&value, &a, str_from(whole, first.n + 1), &err) == 0) {
        if (schema_compile(&schema, json_root(&definition), &a, &err) < 0)
            require(err.kind == ERR_INVALID && err.msg[0]);
        else if (schema_check(schema, json_root(&value), &err) < 0)
            require(err.kind == ERR_INVALID && err.msg[0]);
    }
    arena_finish(&a);
    return 0;
}
