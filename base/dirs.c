#include "base/dirs.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int dirs_make(const char *path, struct err *err)
{
    char part[PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return err_set(err, ERR_INVALID, "the path %.60s... is too long", path);
    memcpy(part, path, n + 1);
    for (char *p = strchr(part + 1, '/');; p = strchr(p + 1, '/')) {
        if (p)
            *p = '\0';
        if (mkdir(part, 0700) < 0 && errno != EEXIST)
            return err_sys(err, errno, "creating %.200s", part);
        if (!p)
            return 0;
        *p = '/';
    }
}

int dirs_open(const char *path, struct err *err)
{
    if (dirs_make(path, err) < 0)
        return -1;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? err_sys(err, errno, "opening %.200s", path) : fd;
}

int dirs_check_own(int fd, const char *path, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & 022))
        return 0;
    err_set(err, ERR_DENIED,
            "%.200s belongs to somebody else, or others may write to it", path);
    return err_remedy(err, "set XDG_STATE_HOME to a directory of your own");
}
