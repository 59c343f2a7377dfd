#include "cli/module.h"
#include "base/module.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 64 };

/* The open module is never closed: libraries behind it (OpenSSL, libcurl) do not like
 * to be. */
int module_open(const struct places *places, const char *name, const void **ret_entries,
                struct err *err)
{
    char file[NAME_MAX_BYTES], path[PATH_MAX];
    snprintf(file, sizeof file, "sandquay-%s.so", name);
    if (places_beside(places, file, path, err) < 0)
        return -1;
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        err_set(err, ERR_UNAVAILABLE, "%s", dlerror());
        return err_remedy(err,
                          "%s belongs beside the executable, with its libraries "
                          "installed",
                          file);
    }
    const struct module *module = dlsym(handle, MODULE_SYMBOL);
    if (!module || strcmp(module->name, name) != 0) {
        dlclose(handle);
        return err_set(err, ERR_UNAVAILABLE, "%s is not a part of sandquay", path);
    }
    if (strcmp(module->abi, SANDQUAY_ABI) != 0) {
        dlclose(handle);
        err_set(err, ERR_UNAVAILABLE, "%s is of another build than this executable",
                path);
        return err_remedy(err,
                          "install both from the same build; restart a server that "
                          "was upgraded");
    }
    *ret_entries = module->entries;
    return 0;
}
