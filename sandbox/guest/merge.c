/* The merged layers look the same to an overlay as all of them did: directories are
 * made anew, everything else is a hard link to the newest of its name, since no layer
 * is ever written to again. What is copied is thus names, not content. (Only the files
 * of a sandbox in memory are copied: copy.c.)
 *
 * A tree that sandboxed code has made may be deeper than any path or stack. So one
 * descriptor a layer is open, at the deepest level where that layer has the directory;
 * the way back is "..": nothing moves in a layer. */
#include "sandbox/guest/merge.h"
#include "base/buf.h"
#include "base/fd.h"
#include "sandbox/guest/copy.h"
#include "sandbox/guest/own_root.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { NAMES_MAX = 512 * 1024 * 1024 }; /* of directories that are still to be merged */

/* As guest/mounts.c mounts them: userxattr. */
#define OPAQUE COPY_OVERLAY_XATTR "opaque"

struct layer {
    int fd, level; /* of the directory where it is; -1: has not that tree */
};

struct level {
    size_t names; /* where this directory's subdirectories begin in the stack */
    bool based;   /* something lies beneath it that whiteouts hide */
};

struct merge {
    struct layer layer[MERGE_LAYERS_MAX]; /* newest first */
    int count, level, target;
    const struct copy *copy;  /* how the first one is copied, or NULL: it is not */
    bool copying;             /* what is looked at now is of it */
    struct buf names, levels; /* stacks */
};

static struct level *level_of(struct merge *m)
{
    return (struct level *)(void *)m->levels.p + m->level;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int open_dir(int at, const char *name)
{
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool is_opaque(int dir)
{
    char value = 0;
    return fgetxattr(dir, OPAQUE, &value, 1) == 1 && value == 'y';
}

static bool is_dir(int at, const struct dirent *e)
{
    struct stat st;
    if (e->d_type != DT_UNKNOWN)
        return e->d_type == DT_DIR;
    return fstatat(at, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* One that is there already is newer. */
static int take_entry(struct merge *m, int from, const struct dirent *e)
{
    if (!is_dir(from, e) && m->copying)
        return copy_entry(m->copy, from, m->target, e->d_name);
    if (!is_dir(from, e))
        return linkat(from, e->d_name, m->target, e->d_name, 0) < 0 && errno != EEXIST
                   ? -1
                   : 0;
    if (mkdirat(m->target, e->d_name, 0700) < 0)
        return errno == EEXIST ? 0 : -1;
    buf_add(&m->names, e->d_name, strlen(e->d_name) + 1);
    if (!m->names.overflow)
        return 0;
    errno = EFBIG;
    return -1;
}

static int each_entry(struct merge *m, int dir,
                      int (*fn)(struct merge *m, int from, const struct dirent *e))
{
    int copy = open_dir(dir, "."), rc = 0;
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    if (!d) {
        fd_close(&copy);
        return -1;
    }
    errno = 0;
    for (struct dirent *e; rc == 0 && (e = readdir(d)); errno = 0)
        if (!is_dots(e->d_name))
            rc = fn(m, dir, e);
    rc = rc < 0 || errno ? -1 : 0;
    int saved = errno;
    closedir(d);
    errno = saved;
    return rc;
}

/* All that the layers have in this directory. */
static int fill(struct merge *m)
{
    level_of(m)->names = m->names.n;
    for (int i = 0; i < m->count; i++) {
        m->copying = m->copy && i == 0;
        if (m->layer[i].fd >= 0 && m->layer[i].level == m->level &&
            each_entry(m, m->layer[i].fd, take_entry) < 0)
            return -1;
    }
    return 0;
}

static int drop_whiteout(struct merge *m, int from, const struct dirent *e)
{
    struct stat st;
    (void)m;
    if ((e->d_type != DT_CHR && e->d_type != DT_UNKNOWN) ||
        fstatat(from, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISCHR(st.st_mode) || st.st_rdev != 0)
        return 0;
    return unlinkat(from, e->d_name, 0);
}

static int finish_dir(struct merge *m)
{
    if (!level_of(m)->based && each_entry(m, m->target, drop_whiteout) < 0)
        return -1;
    for (int i = 0; i < m->count; i++)
        if (m->layer[i].fd >= 0 && m->layer[i].level == m->level)
            return copy_attributes(i == 0 ? m->copy : NULL, m->layer[i].fd, m->target);
    return 0;
}

/* False when this layer hides what is below it. */
static bool enter_layer(struct merge *m, struct layer *l, const char *name, int *rc)
{
    int fd = open_dir(l->fd, name);
    if (fd < 0) {
        if (errno == ENOTDIR || errno == ELOOP)
            return false;
        *rc = errno == ENOENT ? *rc : -1;
        return true;
    }
    close(l->fd);
    *l = (struct layer){fd, m->level + 1};
    return !is_opaque(fd);
}

static int enter(struct merge *m, const char *name)
{
    bool hidden = false, based = level_of(m)->based;
    int rc = 0;
    int target = open_dir(m->target, name);
    if (target < 0)
        return -1;
    for (int i = 0; i < m->count && !hidden && rc == 0; i++)
        if (m->layer[i].fd >= 0 && m->layer[i].level == m->level)
            hidden = !enter_layer(m, &m->layer[i], name, &rc);
    if (rc == 0 && hidden && based)
        rc = fsetxattr(target, OPAQUE, "y", 1, 0);
    close(m->target);
    m->target = target;
    m->level++;
    buf_add(&m->levels, &(struct level){.based = based && !hidden},
            sizeof(struct level));
    return rc < 0 || m->levels.overflow ? -1 : fill(m);
}

static int go_up(int *fd)
{
    int up = open_dir(*fd, "..");
    if (up < 0)
        return -1;
    close(*fd);
    *fd = up;
    return 0;
}

static int leave(struct merge *m)
{
    if (finish_dir(m) < 0)
        return -1;
    for (int i = 0; i < m->count; i++)
        if (m->layer[i].fd >= 0 && m->layer[i].level == m->level) {
            if (go_up(&m->layer[i].fd) < 0)
                return -1;
            m->layer[i].level--;
        }
    m->names.n = level_of(m)->names;
    m->level--;
    m->levels.n -= sizeof(struct level);
    return go_up(&m->target);
}

/* The next subdirectory is the last name on the stack. */
static const char *pop_name(struct merge *m)
{
    if (m->names.n == level_of(m)->names)
        return NULL;
    size_t at = m->names.n - 1;
    while (at > level_of(m)->names && m->names.p[at - 1])
        at--;
    m->names.n = at;
    return m->names.p + at;
}

static int walk(struct merge *m)
{
    int rc = fill(m);
    while (rc == 0) {
        char copy[NAME_MAX + 1];
        const char *name = pop_name(m);
        if (!name && m->level == 0)
            return finish_dir(m);
        if (name)
            snprintf(copy, sizeof copy, "%s", name);
        rc = name ? enter(m, copy) : leave(m);
    }
    return rc;
}

static int open_layer(const char *name, const char *path)
{
    char full[400];
    if (strcmp(name, "/") == 0)
        return open_dir(MERGE_TREE_FD, path);
    snprintf(full, sizeof full, "%.200s/files/%.100s", name, path);
    return open_dir(MERGE_FD, full);
}

/* One tree of all layers: `path` below files/. */
static int merge_tree(const struct copy *copy, char **names, int to, const char *path,
                      bool based)
{
    struct merge m = {.copy = copy, .target = -1};
    bool any = false;
    buf_init(&m.names, NAMES_MAX);
    buf_init(&m.levels, NAMES_MAX);
    buf_add(&m.levels, &(struct level){.based = based}, sizeof(struct level));
    for (; names[m.count]; m.count++) {
        m.layer[m.count] = (struct layer){open_layer(names[m.count], path), 0};
        any |= m.layer[m.count].fd >= 0;
    }
    int rc = 0;
    if (any && (mkdirat(to, path, 0755) < 0 || (m.target = open_dir(to, path)) < 0))
        rc = -1;
    if (any && rc == 0)
        rc = walk(&m);
    int saved = errno;
    for (int i = 0; i < m.count; i++)
        fd_close(&m.layer[i].fd);
    fd_close(&m.target);
    buf_finish(&m.names);
    buf_finish(&m.levels);
    errno = saved;
    return rc;
}

static int merge_all(int target, char **names, bool based)
{
    /* Of sandbox/guest/mounts.c; the changes of a host workspace are no snapshot's. */
    static const char *const overlays[] = {"layers/0-upper", "layers/1-upper",
                                           "layers/2-upper"};
    struct copy copy;
    bool copies = strcmp(names[0], "/") == 0;
    if (mkdirat(target, "part", 0755) < 0 ||
        (copies && copy_begin(&copy, MERGE_TREE_FD, target) < 0))
        return -1;
    const struct copy *first = copies ? &copy : NULL;
    int part = open_dir(target, "part");
    int rc = part < 0 ? -1 : merge_tree(first, names, part, "root", based);
    if (rc == 0)
        rc = mkdirat(part, "layers", 0755);
    for (size_t i = 0; i < sizeof overlays / sizeof overlays[0] && rc == 0; i++)
        rc = merge_tree(first, names, part, overlays[i], true);
    if (copies)
        copy_end(&copy);
    return rc < 0 ? -1 : renameat(target, "part", target, "files");
}

int merge_main(int argc, char **argv)
{
    enum { FIRST = 4, NO_SPACE = 3 };
    if (argc <= FIRST || argc - FIRST > MERGE_LAYERS_MAX)
        return 2;
    own_root_enter();
    umask(0);
    int target = open_dir(MERGE_FD, argv[2]);
    if (target < 0)
        return 1;
    if (merge_all(target, argv + FIRST, strcmp(argv[3], "based") == 0) == 0)
        return 0;
    return errno == ENOSPC || errno == EDQUOT ? NO_SPACE : 1;
}
