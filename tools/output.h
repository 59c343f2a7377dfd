/* Command output for a model: what fits one answer, cut between characters. */
#pragma once
#include "mcp/call.h"
#include "sandbox/sandbox.h"

/* The longest head (tail) of s whose JSON encoding has at most budget bytes, cut
 * between UTF-8 characters. Bytes that are not UTF-8 count as their U+FFFD. */
struct str output_head(struct str s, size_t budget);
struct str output_tail(struct str s, size_t budget);

/* Divides budget among two wants: each gets what it needs, or at least half. */
void output_share(size_t budget, const size_t want[2], size_t ret_share[2]);

/* The last non-empty line, at most 200 bytes, without control characters: for progress.
 */
struct str output_last_line(struct sandboxes *set, const struct command_info *info,
                            struct arena *a);

/* Ends the call with the command as execute_command answers it: at most max_bytes of
 * encoded output (both streams), head and tail of what is longer. notice may be empty.
 */
void output_result(struct call *call, const struct command_info *info, size_t max_bytes,
                   struct str notice);

/* Why it failed, where its own words do not say what to do; mostly empty. */
struct str output_hint(struct call *call, const struct command_info *info);

/* The members that execute_command and command_output share: commandId, sandbox,
 * exitCode (null until it is known), status, timedOut, signal, oomKilled, durationMs,
 * warning. extra_warning may be empty. */
void output_status(struct json_writer *w, const struct command_info *info,
                   struct str extra_warning);
