/* What the tools share: reading arguments, refusing, command numbers. */
#pragma once
#include "base/buf.h"
#include "mcp/call.h"
#include "sandbox/sandbox.h"
#include <sys/types.h>

/* Arguments by name. Strings are unescaped and live as long as the call; absent ones
 * are empty, or the default that is given. */
struct str tool_arg_str(struct call *call, struct str key);
int64_t tool_arg_i64(struct call *call, struct str key, int64_t absent);
bool tool_arg_bool(struct call *call, struct str key);
bool tool_arg_given(struct call *call, struct str key);

/* INVALID when the string holds a NUL, which neither paths nor commands can. */
int tool_check_nul(const char *what, struct str s, struct err *err);

/* The argument env, {"K": "V"}, as K=V; the list lives as long as the call. */
int tool_env(struct call *call, const struct str **ret_list, size_t *ret_count,
             struct err *err);

/* {cols, rows} of a terminal: 80 by 24 where it says nothing; 0 by 0 when the argument
 * is not given. */
struct pty_size tool_arg_size(struct call *call, struct str key);

/* Ends the call with the error; every refusal has a remedy: one by its kind if the
 * error brings none. */
void tool_fail(struct call *call, struct err *err);

/* Reads up to n bytes at offset; fewer only at the end of the file. -1 with errno. */
ssize_t tool_read_at(int fd, char *to, size_t n, uint64_t offset);

/* Appends sandbox://NAME and an absolute path (or none), percent-encoded (RFC 3986). */
void tool_write_uri(struct buf *to, struct str sandbox, struct str path);

/* The commandId of a command: "c12", or "SANDBOX:ID" for one that other servers may be
 * asked for, too (see command_info.remote). */
struct tool_id {
    char text[SANDBOX_NAME_MAX + 136];
};
struct tool_id tool_command_id(const struct command_info *info);
/* Goes on with the command that the argument commandId (and sandbox, if given) means,
 * now or later; one that another server has started is taken over. Fails the call when
 * there is none that this caller may see. */
typedef void tool_command_fn(struct call *call, const struct command_info *info);
void tool_with_command(struct call *call, tool_command_fn *fn);

/* An absolute path inside the sandbox, as told to the model: relative ones start at
 * /workspace. */
struct str tool_absolute(struct call *call, struct str path);
