/* Where things are on this machine: found from the executable and the environment. */
#pragma once
#include "base/err.h"
#include <limits.h>

struct places {
    char executable[PATH_MAX];
    char guest[PATH_MAX];
    char state[PATH_MAX]; /* $XDG_STATE_HOME or ~/.local/state, and /sandquay */
    char temp[PATH_MAX];  /* $TMPDIR or /tmp */
};

int places_find(struct places *places, struct err *err);
