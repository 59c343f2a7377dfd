/* The lines of a command's stream (NDJSON). ASCII only: what is not is escaped, so that
 * clients that decode each network read by itself never see half a character. */
#pragma once
#include "base/buf.h"
#include "sandbox/sandbox.h"

/* Appends one line with output. The bytes are UTF-8 that ends between characters; what
 * is not becomes U+FFFD. */
void ndjson_output(struct buf *to, enum command_stream stream, struct str bytes);
/* The line that ends a stream before its command has. */
void ndjson_error(struct buf *to, const char *code, const char *message);
/* Appends s, UTF-8, with what is not ASCII as \uXXXX (surrogate pairs beyond U+FFFF).
 */
void ndjson_ascii(struct buf *to, struct str s);
