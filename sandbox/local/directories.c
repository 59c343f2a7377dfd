/* Host directories inside sandboxes, the workspace and others: whether they may. */
#include "base/buf.h"
#include "sandbox/local/local.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* What it is, and how somebody says it. */
struct wish {
    const char *what, *flag, *readonly_flag;
    const char *dir;
    bool readonly;
};

static int refuse_link(const struct wish *w, const char *full, struct err *err)
{
    err_set(err, ERR_INVALID, "%s %.150s is a symbolic link", w->what, w->dir);
    return err_remedy(err, "if you mean it, name what it leads to: %s %.100s", w->flag,
                      full);
}

static int check(const struct wish *w, const char *full, struct err *err)
{
    struct stat st, link;
    if (stat(full, &st) < 0 || lstat(w->dir, &link) < 0) {
        err_sys(err, errno, "%s %.150s", w->what, w->dir);
        return err_remedy(err, "give %s a directory that exists", w->flag);
    }
    if (S_ISLNK(link.st_mode))
        return refuse_link(w, full, err);
    if (!S_ISDIR(st.st_mode) || strcmp(full, "/") == 0) {
        err_set(err, ERR_INVALID, "%s %.150s is %s", w->what, w->dir,
                S_ISDIR(st.st_mode) ? "the root of this machine" : "not a directory");
        return err_remedy(err, "give %s a directory of your own", w->flag);
    }
    if (geteuid() != 0 && st.st_uid != geteuid() && !w->readonly) {
        err_set(err, ERR_DENIED, "%s %.150s belongs to user %u, not to you", w->what,
                w->dir, (unsigned)st.st_uid);
        return err_remedy(err, "use a directory of your own, or %s", w->readonly_flag);
    }
    return 0;
}

static int find(const struct wish *w, char to[4096], struct err *err)
{
    char full[PATH_MAX];
    if (!realpath(w->dir, full)) {
        int saved = errno;
        err_set(err, ERR_INVALID, "%s %.150s: %s", w->what, w->dir, strerror(saved));
        return err_remedy(err, "give %s a directory that exists", w->flag);
    }
    if (check(w, full, err) < 0)
        return -1;
    memcpy(to, full, strlen(full) + 1);
    return 0;
}

int local_workspace_find(const struct sandbox *sb, char to[4096], struct err *err)
{
    const struct sandbox_config *config = &sb->set->config;
    struct wish w = {.what = "the workspace",
                     .flag = "--workspace",
                     .readonly_flag = "--workspace-readonly",
                     .dir = config->workspace,
                     .readonly = config->workspace_readonly};
    to[0] = '\0';
    if (!config->workspace || !sb->is_default)
        return 0;
    return find(&w, to, err);
}

/* Is `path` what `dir` is, or in it? */
static bool lies_in(struct str path, struct str dir)
{
    return str_starts(path, dir) && (path.n == dir.n || path.p[dir.n] == '/');
}

/* What the sandbox's own system is in; a mount over it would be of no use to anybody.
 */
static const char *const taken[] = {
    "/bin",          "/boot",           "/dev",  "/etc", "/lib",  "/lib32",
    "/lib64",        "/libx32",         "/proc", "/run", "/sbin", "/sys",
    "/opt/sandquay", "/opt/toolchains", "/usr",
};

static int refuse_inside(struct str inside, const char *why, struct err *err)
{
    err_set(err, ERR_INVALID, "a mount at %.*s: %s",
            (int)(inside.n > 150 ? 150 : inside.n), inside.p, why);
    return err_remedy(err, "choose a place such as /mnt/data");
}

static int check_inside(const struct sandbox *sb, struct str inside, struct err *err)
{
    bool plain = inside.n > 1 && inside.n < 1024 && inside.p[0] == '/' &&
                 inside.p[inside.n - 1] != '/';
    for (size_t i = 0; i < inside.n && plain; i++)
        plain = (unsigned char)inside.p[i] >= ' ';
    if (!plain || memmem(inside.p, inside.n, "//", 2) ||
        memmem(inside.p, inside.n, "/.", 2))
        return refuse_inside(inside, "not an absolute path without . and ..", err);
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        if (lies_in(inside, str_of(taken[i])))
            return refuse_inside(inside, "the system is there", err);
    if (lies_in(inside, STR("/workspace")) &&
        (sb->workspace || inside.n == strlen("/workspace")))
        return refuse_inside(inside, "that is the workspace", err);
    return 0;
}

static int write_mount(const struct sandbox *sb, const struct sandbox_mount *m,
                       struct buf *to, struct err *err)
{
    char host[4096], full[4096];
    struct wish w = {.what = "the mount",
                     .flag = "--mount",
                     .readonly_flag = ":ro behind it",
                     .dir = host,
                     .readonly = m->readonly};
    if (m->host.n >= sizeof host || memchr(m->host.p, '\0', m->host.n))
        return err_set(err, ERR_INVALID, "the path of a mount is too long");
    snprintf(host, sizeof host, "%.*s", STR_FMT(m->host));
    if (check_inside(sb, m->inside, err) < 0 || find(&w, full, err) < 0)
        return -1;
    if (strpbrk(full, "\t\n"))
        return err_set(err, ERR_INVALID, "the mount %.150s has a tab or newline", host);
    buf_addf(to, "%s %s\t", m->readonly ? "ro" : "rw", full);
    buf_adds(to, m->inside);
    buf_addc(to, '\n');
    return 0;
}

/* One in the other would make its mount point in the host's directory. */
static int check_apart(const struct sandbox_mount *const *all, size_t n,
                       struct err *err)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++)
            if (i != k && lies_in(all[i]->inside, all[k]->inside))
                return refuse_inside(all[i]->inside, "another mount is there", err);
    return 0;
}

/* Its own, and for a default sandbox the server's; the first ones in `all`. */
static size_t list_mounts(const struct sandbox *sb,
                          const struct sandbox_mount *all[SANDBOX_MOUNTS_MAX])
{
    const struct sandbox_config *config = &sb->set->config;
    const struct sandbox_spec *spec = &sb->wish.spec;
    size_t more = sb->is_default ? config->mount_count : 0, n = 0;
    for (size_t i = 0; i < spec->mount_count && n < SANDBOX_MOUNTS_MAX; i++)
        all[n++] = &spec->mounts[i];
    for (size_t i = 0; i < more && n < SANDBOX_MOUNTS_MAX; i++)
        all[n++] = &config->mounts[i];
    return spec->mount_count + more;
}

bool local_mounts_name(const struct sandbox *sb, struct str step)
{
    const struct sandbox_mount *all[SANDBOX_MOUNTS_MAX];
    size_t n = list_mounts(sb, all);
    for (size_t i = 0; i < n && i < SANDBOX_MOUNTS_MAX; i++)
        if (memmem(step.p, step.n, all[i]->inside.p, all[i]->inside.n))
            return true;
    return false;
}

int local_mounts_write(const struct sandbox *sb, enum zygote_launcher launcher,
                       struct buf *to, struct err *err)
{
    const struct sandbox_mount *all[SANDBOX_MOUNTS_MAX];
    size_t n = list_mounts(sb, all);
    const struct sandbox_config *config = &sb->set->config;
    if (n + config->toolchain_count > SANDBOX_MOUNTS_MAX)
        return err_set(err, ERR_LIMIT, "more than %d mounts and toolchains",
                       SANDBOX_MOUNTS_MAX);
    if (n + config->toolchain_count && launcher == LAUNCH_LANDLOCK) {
        err_set(err, ERR_UNAVAILABLE,
                "mounts and toolchains need isolation level 1 to 3");
        return err_remedy(err,
                          "`sandquay doctor` says why this machine has none of them");
    }
    for (size_t i = 0; i < n; i++)
        if (write_mount(sb, all[i], to, err) < 0)
            return -1;
    return check_apart(all, n, err) < 0 ? -1 : local_toolchains_write(config, to, err);
}
