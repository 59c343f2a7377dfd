/* A module as it should be. */
#include "base/module.h"

static const int entries = 42;
MODULE_EXPORT("good", &entries);
