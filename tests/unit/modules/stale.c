/* A module that other headers were built into. */
#include "base/module.h"

#undef SANDQUAY_ABI
#define SANDQUAY_ABI "of yesterday"
MODULE_EXPORT("stale", "entries");
