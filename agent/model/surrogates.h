/* Halves of surrogate pairs in JSON text. Servers that cut text by UTF-16 units may put
 * the two escapes of one character into two events; no event alone is valid JSON then,
 * but the insides of their strings, put together, are. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Makes U+FFFD of each escaped half that stands alone; the length stays. Was there any?
 */
bool surrogates_mend(char *json, size_t n);
