/* The host directory that becomes /workspace: whether it may. */
#include "sandbox/local.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int refuse_link(const char *dir, const char *full, struct err *err)
{
    err_set(err, ERR_INVALID, "the workspace %.150s is a symbolic link", dir);
    return err_remedy(err, "if you mean it, name what it leads to: --workspace %.100s",
                      full);
}

static int check(const char *dir, const char *full, bool readonly, struct err *err)
{
    struct stat st, link;
    if (stat(full, &st) < 0 || lstat(dir, &link) < 0) {
        err_sys(err, errno, "the workspace %.150s", dir);
        return err_remedy(err, "give --workspace a directory that exists");
    }
    if (S_ISLNK(link.st_mode))
        return refuse_link(dir, full, err);
    if (!S_ISDIR(st.st_mode) || strcmp(full, "/") == 0) {
        err_set(err, ERR_INVALID, "the workspace %.150s is %s", dir,
                S_ISDIR(st.st_mode) ? "the root of this machine" : "not a directory");
        return err_remedy(err, "give --workspace a directory of your own");
    }
    if (geteuid() != 0 && st.st_uid != geteuid() && !readonly) {
        err_set(err, ERR_DENIED, "the workspace %.150s belongs to user %u, not to you",
                dir, (unsigned)st.st_uid);
        return err_remedy(err, "use a directory of your own, or --workspace-readonly");
    }
    return 0;
}

static int find(const char *dir, bool readonly, char to[4096], struct err *err)
{
    char full[PATH_MAX];
    if (!realpath(dir, full)) {
        int saved = errno;
        err_set(err, ERR_INVALID, "the workspace %.150s: %s", dir, strerror(saved));
        return err_remedy(err, "give --workspace a directory that exists");
    }
    if (check(dir, full, readonly, err) < 0)
        return -1;
    memcpy(to, full, strlen(full) + 1);
    return 0;
}

int local_workspace_find(const struct sandbox *sb, char to[4096], struct err *err)
{
    const struct sandbox_config *config = &sb->set->config;
    to[0] = '\0';
    if (!config->workspace || !sb->is_default)
        return 0;
    return find(config->workspace, config->workspace_readonly, to, err);
}
