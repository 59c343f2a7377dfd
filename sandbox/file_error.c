#include "sandbox/file_error.h"
#include <errno.h>

int file_error_directory(const char *path, struct err *err)
{
    err_set(err, ERR_INVALID, "%.150s is a directory", path);
    return err_remedy(err, "name a file; `ls` with execute_command lists a directory");
}

int file_error_not_regular(const char *path, struct err *err)
{
    err_set(err, ERR_INVALID, "%.150s is a pipe, device or socket", path);
    return err_remedy(err, "name a regular file");
}

int file_error(int sys, const char *path, struct err *err)
{
    err_sys(err, sys, "%.150s", path);
    switch (sys) {
    case ENOENT:
        err->kind = ERR_NOT_FOUND;
        return err_remedy(err, "check the path; relative ones start at the sandbox's "
                               "working directory");
    case EEXIST:
        err->kind = ERR_CONFLICT;
        return err_remedy(err, "use what is there, or another name");
    case EACCES:
    case EPERM:
    case EROFS:
        err->kind = ERR_DENIED;
        return err_remedy(err, "use a path below the working directory, the home "
                               "directory or /tmp");
    case ENOSPC:
    case EDQUOT:
        err->kind = ERR_LIMIT;
        return err_remedy(err, "delete files, or start the server with a larger "
                               "--disk");
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case EINVAL:
        err->kind = ERR_INVALID;
        return err_remedy(err, "check the path");
    default:
        return -1;
    }
}

int file_error_in_text(struct str said)
{
    static const int known[] = {ENOENT, EEXIST,  EACCES, EPERM, EROFS,        ENOSPC,
                                EDQUOT, ENOTDIR, EISDIR, ELOOP, ENAMETOOLONG, EINVAL};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const char *text = strerror(known[i]);
        if (said.n && memmem(said.p, said.n, text, strlen(text)))
            return known[i];
    }
    return 0;
}
