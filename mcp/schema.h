/* JSON Schema, the subset of draft 2020-12 that our own tool schemas use: type, enum,
 * const, properties, required, additionalProperties, items, minItems, maxItems,
 * minLength, maxLength, minimum, maximum, exclusiveMinimum, exclusiveMaximum,
 * minProperties, maxProperties, and the annotations title, description, default,
 * examples, format. A schema with any other keyword does not compile: the build refuses
 * it (schemas/ are compiled once by the tests and at build time). Judged by
 * json-schema-test-suite for each keyword that it implements. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include <stdbool.h>

struct schema;

/* Compiles a schema; it lives in *a and borrows from the document's text and tokens,
 * which must live as long. INVALID with the JSON pointer of an unknown or ill-typed
 * keyword. */
int schema_compile(struct schema **ret_schema, struct json definition, struct arena *a,
                   struct err *err);

/* 0, or -1 with INVALID: a sentence for a model that names the place and what is wanted
 * there, e.g. "timeoutMs must be an integer >= 100 (got 5)". Depth is bounded by the
 * document's. */
int schema_check(const struct schema *schema, struct json value, struct err *err);
