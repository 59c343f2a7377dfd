/* Hints: why a command failed, where its output does not say what to do. */
#pragma once
#include "base/arena.h"
#include "sandbox/sandbox.h"

/* A command failed because a program is not there that could be had, or because system
 * packages cannot be installed here: says what to do. Empty when that is not so. said:
 * (the end of) its stderr. sandbox: where it ran. */
struct str hint_failed(const struct command_info *info,
                       const struct sandbox_info *sandbox, struct str said,
                       struct arena *a);
