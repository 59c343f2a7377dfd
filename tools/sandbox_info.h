/* Sandboxes as the sandbox tools answer them. */
#pragma once
#include "mcp/call.h"
#include "sandbox/sandbox.h"

/* The members of one sandbox, into an open object. */
void sandbox_info_write(struct json_writer *w, const struct sandbox_info *info);

/* "key": "2026-01-31T12:00:00.000Z"; nothing for 0. */
void sandbox_info_time(struct json_writer *w, const char *key, uint64_t unix_ms);

/* Ends the call with one sandbox. */
void sandbox_info_result(struct call *call, const struct sandbox_info *info);

/* Reads the arguments that sandbox_create and sandbox_fork share: of the sandbox that
 * is made. Strings live as long as the call. */
int sandbox_spec_read(struct call *call, struct sandbox_spec *ret_spec,
                      struct err *err);
