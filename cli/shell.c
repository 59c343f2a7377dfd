/* sandquay shell: a login shell in a sandbox, on our terminal: `exec --tty` with a
 * name. */
#include "base/log.h"
#include "cli/verbs.h"
#include <string.h>

int shell_main(int argc, char **argv)
{
    struct options o;
    struct err err;
    if (options_parse(&o, OPTIONS_SHELL, argc, argv, &err) < 0)
        return verb_fail("shell", &err, EXIT_WRONG_USE);
    if (o.help) {
        help_verb(OPTIONS_SHELL);
        return 0;
    }
    if (o.first + 1 < argc || (o.first < argc && o.sandbox)) {
        err_set(&err, ERR_INVALID, "one name of a sandbox at most");
        err_remedy(&err, "e.g. sandquay shell mybox");
        return verb_fail("shell", &err, EXIT_WRONG_USE);
    }
    if (o.first < argc && options_add_server(&o, "--sandbox", argv[o.first], &err) < 0)
        return verb_fail("shell", &err, EXIT_WRONG_USE);
    if (o.verbose)
        log_set_level(LOG_INFO);
    o.tty = true;
    return exec_run("shell", &o, STR("exec bash -l"));
}
