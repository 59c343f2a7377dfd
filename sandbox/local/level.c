/* Levels of isolation: which one a sandbox has, what a weaker one lacks, and when the
 * next way of launching is tried. A level is never lowered silently: it is in the first
 * result, and --require-level makes a lower one an error. */
#include "sandbox/local/local.h"
#include <errno.h>

int local_level(uint32_t layers)
{
    const uint32_t limits = LAYER_CGROUP_MEMORY | LAYER_CGROUP_PIDS;
    if (layers & LAYER_LANDLOCK)
        return 4;
    if (layers & LAYER_BUBBLEWRAP)
        return 3;
    return (layers & limits) == limits ? 1 : 2;
}

const char *local_level_notice(int level)
{
    switch (level) {
    case 1:
        return "Local sandbox, isolation level 1 (full).";
    case 2:
        return "Local sandbox, isolation level 2: without cgroups memory is bounded "
               "per "
               "process and watched in total; `sandquay doctor` tells more.";
    case 3:
        return "Local sandbox, isolation level 3: made through bubblewrap, limits as "
               "at "
               "level 2; `sandquay doctor` tells more.";
    default:
        return "Local sandbox, isolation level 4 (WEAK): no namespaces. Code sees the "
               "host's processes and the names of its files; no servers, no local "
               "sockets, /tmp is $TMPDIR, files are in $HOME and the working "
               "directory.";
    }
}

static bool forbidden(int sys)
{
    return sys == EPERM || sys == EACCES || sys == ENOSPC || sys == ENOSYS ||
           sys == EINVAL || sys == EUSERS;
}

int local_level_check_kept(enum zygote_launcher launcher, struct err *err)
{
    if (launcher == LAUNCH_NAMESPACES)
        return 0;
    err_set(err, ERR_UNAVAILABLE,
            "a sandbox with a name or from a snapshot needs isolation level 1 or 2, "
            "which this machine does not give: at lower ones links that code leaves "
            "in its files could lead the next start out of them");
    return err_remedy(err, "`sandquay doctor` says why; or use one without a name");
}

/* What concerns the host's directories is wrong at every level. */
bool local_level_may_fall(const struct sandbox_config *config,
                          enum zygote_launcher launcher, int sys, struct str step)
{
    bool ours =
        memmem(step.p, step.n, "/workspace", 10) || memmem(step.p, step.n, "/root", 5);
    int next = launcher + 1 < LAUNCH_LANDLOCK ? 3 : 4;
    if (launcher + 1 >= LAUNCHERS || (next == 4 && !config->allow_weak) ||
        (config->require_level && next > config->require_level))
        return false;
    return launcher == LAUNCH_NAMESPACES ? forbidden(sys) && !ours : true;
}

static void add_weak_hint(const struct sandbox_config *config, struct err *err)
{
    size_t n = strlen(err->remedy);
    if (!config->allow_weak && !config->require_level && n + 60 < sizeof err->remedy)
        memcpy(err->remedy + n, "; or (weaker) --allow-weak-isolation",
               sizeof "; or (weaker) --allow-weak-isolation");
}

void local_level_explain(const struct sandbox_config *config, int sys, struct str step,
                         struct err *err)
{
    err_set(err, ERR_UNAVAILABLE, "no sandbox can be made here: %.*s: %s",
            STR_FMT(step), strerror(sys));
    if (sys == ENOSPC)
        err_remedy(err, "sysctl user.max_user_namespaces=10000");
    else if (sys == EPERM || sys == EACCES || sys == ENOSYS)
        err_remedy(err, "allow user namespaces (container: its seccomp profile; "
                        "AppArmor: apt-get install bubblewrap)");
    else
        err_remedy(err, "`sandquay doctor` tries each part and says what to change");
    add_weak_hint(config, err);
}

int local_level_check(const struct sandbox_config *config, int level, struct err *err)
{
    if (!config->require_level || level <= config->require_level)
        return 0;
    err_set(err, ERR_UNAVAILABLE,
            "isolation level %d is required, and this machine gives level %d",
            config->require_level, level);
    if (config->require_level == 1)
        return err_remedy(err, "run it as root: only root has cgroups for its limits");
    return err_remedy(err, "`sandquay doctor` says what is missing and what to change");
}
