/* A module that was renamed. */
#include "base/module.h"

MODULE_EXPORT("another", "entries");
