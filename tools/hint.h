/* Hints: why a command failed, where its output does not say what to do. */
#pragma once
#include "base/arena.h"
#include "sandbox/sandbox.h"

/* A command failed because a program is not there that this machine could have: says so
 * and how to get it. Empty when that is not so. said: (the end of) its stderr. */
struct str hint_missing_program(const struct command_info *info, struct str said,
                                struct arena *a);
