/* Where a sandbox's files live: in memory, in a directory of the host that the user
 * named, or, for a named sandbox, below the state directory, held by a lock that a
 * crash frees. */
#include "base/fd.h"
#include "sandbox/local.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int host_workspace(const char *dir, struct local_place *place, struct err *err)
{
    struct stat st;
    char *full = realpath(dir, NULL);
    if (!full || stat(full, &st) < 0) {
        int saved = errno;
        err_set(err, ERR_INVALID, "the workspace %s: %s", dir, strerror(saved));
        err_remedy(err, "give --workspace a directory that exists");
    } else if (!S_ISDIR(st.st_mode) || strcmp(full, "/") == 0) {
        err_set(err, ERR_INVALID, "the workspace %s is %s", dir,
                S_ISDIR(st.st_mode) ? "the root of this machine" : "not a directory");
        err_remedy(err, "give --workspace a directory of your own");
    } else {
        snprintf(place->workspace, sizeof place->workspace, "%s", full);
        free(full); /* allowed: made by realpath */
        return 0;
    }
    free(full); /* allowed: made by realpath */
    return -1;
}

static int make_dir(char *room, size_t n, const char *base, const char *below,
                    struct err *err)
{
    snprintf(room, n, "%s/%s", base, below);
    if (mkdir(room, 0700) < 0 && errno != EEXIST)
        return err_sys(err, errno, "creating %s", room);
    return 0;
}

static int make_parents(const char *dir, struct err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s", dir);
    for (char *p = path + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char c = *p;
        *p = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return err_sys(err, errno, "creating %s", path);
        if (!c)
            return 0;
        *p = c;
    }
}

/* The lock file holds the holder's pid for whoever is refused. */
static int take_lock(const char *dir, const char *name, int *ret_fd, struct err *err)
{
    char path[4096], pid[32] = "";
    snprintf(path, sizeof path, "%.4000s/lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_sys(err, errno, "opening %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
        pid[n > 0 ? n : 0] = '\0';
        fd_close(&fd);
        err_set(err, ERR_CONFLICT, "the sandbox %s is held by process %ld", name,
                strtol(pid, NULL, 10));
        return err_remedy(err, "end that process, or use another name");
    }
    int n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
        fd_close(&fd);
        return err_sys(err, errno, "writing %s", path);
    }
    *ret_fd = fd;
    return 0;
}

static int named_place(const struct sandbox *sb, struct local_place *place,
                       struct err *err)
{
    const char *state = sb->set->config.state_dir;
    char all[4096], dir[4096];
    if (!state) {
        err_set(err, ERR_UNAVAILABLE, "there is no directory for named sandboxes");
        return err_remedy(err, "set HOME or XDG_STATE_HOME");
    }
    if (make_parents(state, err) < 0 ||
        make_dir(all, sizeof all, state, "sandboxes", err) < 0 ||
        make_dir(dir, sizeof dir, all, sb->name, err) < 0 ||
        make_dir(place->workspace, sizeof place->workspace, dir, "workspace", err) <
            0 ||
        make_dir(place->home, sizeof place->home, dir, "home", err) < 0)
        return -1;
    return take_lock(dir, sb->name, &place->lock_fd, err);
}

int local_place_find(const struct sandbox *sb, struct local_place *ret_place,
                     struct err *err)
{
    const struct sandbox_config *config = &sb->set->config;
    *ret_place = (struct local_place){.lock_fd = -1};
    if (sb->name[0] && named_place(sb, ret_place, err) < 0)
        return -1;
    if (config->workspace && sb->is_default &&
        host_workspace(config->workspace, ret_place, err) < 0) {
        fd_close(&ret_place->lock_fd);
        return -1;
    }
    return 0;
}
