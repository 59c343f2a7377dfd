/* Opens the parts of sandquay that are shared objects (base/module.h). */
#pragma once
#include "cli/places.h"

/* The table of functions of sandquay-NAME.so, for the life of the process. UNAVAILABLE
 * when it is missing, lacks a library, or is of another build. */
int module_open(const struct places *places, const char *name, const void **ret_entries,
                struct err *err);
