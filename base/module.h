/* Parts of sandquay that are opened on first need, because what they link would cost a
 * server on stdio with local sandboxes milliseconds at its start: shared objects beside
 * the executable, sandquay-NAME.so, opened by cli/module.c.
 *
 * A module uses the executable's own base, mcp, net, transport and sandbox (the
 * executable exports their symbols), so there is one log, one loop, one of everything.
 * It exports one symbol, defined with
 *
 *     MODULE_EXPORT("web", &entries);
 *
 * SANDQUAY_ABI is a hash of every header: two parts that were not built from the same
 * ones refuse each other. */
#pragma once
#include "base/abi.h" /* made by CMakeLists.txt */

struct module {
    const char *name, *abi;
    const void *entries; /* the module's own table of functions */
};

#define MODULE_SYMBOL "sandquay_module"
#define MODULE_EXPORT(module_name, module_entries)                                     \
    __attribute__((visibility("default"))) extern const struct module sandquay_module; \
    const struct module sandquay_module = {module_name, SANDQUAY_ABI, module_entries}
