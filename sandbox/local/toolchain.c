/* Toolchains of the host that are not below /usr (~/.nvm, ~/.pyenv, ...): read-only, at
 * a place of their own, since a home is never inside, and first in PATH. Scripts in
 * them that name their interpreter by its path find it: that path is a link. */
#include "sandbox/local/local.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLACE "/opt/toolchains/"

/* The last part of its path, or that with a number when an earlier one has it. */
static void name_of(const struct sandbox_config *config, size_t i, char to[NAME_MAX])
{
    const char *dir = config->toolchains[i];
    size_t n = strlen(dir), at;
    while (n > 1 && dir[n - 1] == '/')
        n--;
    for (at = n; at > 0 && dir[at - 1] != '/';)
        at--;
    snprintf(to, NAME_MAX, "%.*s", (int)(n - at < 100 ? n - at : 100), dir + at);
    for (char *p = to; *p; p++) /* what separates in PATH, or cannot be read */
        if (*p <= ' ' || *p == ':' || *p == '/' || (p == to && *p == '.'))
            *p = '_';
    for (size_t k = 0; k < i; k++) {
        char other[NAME_MAX];
        name_of(config, k, other);
        if (strcmp(other, to) == 0) {
            size_t length = strlen(to);
            snprintf(to + length, NAME_MAX - length, "-%zu", i + 1);
            return;
        }
    }
}

void local_toolchains_path(const struct sandbox_config *config, struct buf *path)
{
    char name[NAME_MAX];
    for (size_t i = 0; i < config->toolchain_count; i++) {
        name_of(config, i, name);
        buf_addf(path, PLACE "%s/bin:", name);
    }
}

static bool has(const char *dir, const char *name)
{
    char path[PATH_MAX + NAME_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

/* A home, or what else holds more than programs. */
static const char *secret_in(const char *dir)
{
    static const char *const secrets[] = {
        ".ssh",    ".gnupg", ".aws", ".netrc",           ".npmrc",
        ".docker", ".kube",  ".env", ".git-credentials", ".bash_history"};
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        if (has(dir, secrets[i]))
            return secrets[i];
    return NULL;
}

static int check(const char *dir, const char *full, struct err *err)
{
    struct stat st;
    const char *secret = secret_in(full);
    if (stat(full, &st) < 0 || !S_ISDIR(st.st_mode) || strcmp(full, "/") == 0 ||
        strpbrk(full, "\t\n")) {
        err_set(err, ERR_INVALID, "the toolchain %.150s is no directory of its own",
                dir);
        return err_remedy(err, "give --bind-toolchain the directory that has bin/");
    }
    if (secret) {
        err_set(err, ERR_DENIED,
                "the toolchain %.150s has %s in it, which is for nobody else", dir,
                secret);
        return err_remedy(err, "name the directory of the version itself");
    }
    if (!has(full, "bin")) {
        err_set(err, ERR_INVALID, "the toolchain %.150s has no directory bin", dir);
        return err_remedy(err, "name the version's own directory, such as "
                               "~/.nvm/versions/node/v22.1.0 or "
                               "~/.pyenv/versions/3.13.1");
    }
    return 0;
}

int local_toolchains_write(const struct sandbox_config *config, struct buf *to,
                           struct err *err)
{
    for (size_t i = 0; i < config->toolchain_count; i++) {
        char full[PATH_MAX], name[NAME_MAX];
        const char *dir = config->toolchains[i];
        if (!realpath(dir, full)) {
            int saved = errno;
            err_set(err, ERR_INVALID, "the toolchain %.150s: %s", dir, strerror(saved));
            return err_remedy(err, "give --bind-toolchain a directory that has bin/");
        }
        if (check(dir, full, err) < 0)
            return -1;
        name_of(config, i, name);
        buf_addf(to, "tc %s\t" PLACE "%s\n", full, name);
    }
    return 0;
}
