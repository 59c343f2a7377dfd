#include "cli/places.h"
#include "base/str.h"
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* An absolute path from the environment; a relative one is a mistake and ignored, as
 * the XDG specification says. */
static const char *directory_from(const char *variable)
{
    const char *value = getenv(variable);
    return value && value[0] == '/' ? value : NULL;
}

static int join(char to[PATH_MAX], const char *a, const char *b, const char *c,
                struct err *err)
{
    int n = snprintf(to, PATH_MAX, "%s%s%s", a, b, c);
    if (n < 0 || n >= PATH_MAX)
        return err_set(err, ERR_INVALID, "the path %s%s%s is too long", a, b, c);
    return 0;
}

int places_beside(const struct places *places, const char *file,
                  char ret_path[PATH_MAX], struct err *err)
{
    if (join(ret_path, places->directory, "/", file, err) < 0)
        return -1;
    if (access(ret_path, R_OK) == 0)
        return 0;
    /* If it is not there either, who needs it says so. */
    return join(ret_path, places->directory, "/../libexec/sandquay/", file, err);
}

static int find_directory(struct places *places, struct err *err)
{
    const char *slash = strrchr(places->executable, '/');
    size_t n = slash ? (size_t)(slash - places->executable) : 0;
    memcpy(places->directory, places->executable, n);
    places->directory[n] = '\0';
    return n ? 0 : err_set(err, ERR_INVALID, "/proc/self/exe names no directory");
}

static int find_state(struct places *places, struct err *err)
{
    const char *xdg = directory_from("XDG_STATE_HOME");
    if (xdg)
        return join(places->state, xdg, "/sandquay", "", err);
    const char *home = directory_from("HOME");
    if (!home) {
        const struct passwd *user = getpwuid(getuid());
        home = user ? user->pw_dir : "/tmp";
    }
    return join(places->state, home, "/.local/state/sandquay", "", err);
}

int places_find(struct places *places, struct err *err)
{
    ssize_t n = readlink("/proc/self/exe", places->executable, PATH_MAX - 1);
    if (n < 0) {
        err_sys(err, errno, "/proc/self/exe");
        return err_remedy(err, "mount /proc");
    }
    places->executable[n] = '\0';
    const char *temp = directory_from("TMPDIR");
    if (join(places->temp, temp ? temp : "/tmp", "", "", err) < 0 ||
        find_directory(places, err) < 0 ||
        places_beside(places, "sandquay-guest", places->guest, err) < 0 ||
        find_state(places, err) < 0)
        return -1;
    /* Replaced while it runs (a new build): this process's own is still there. */
    if (access(places->executable, X_OK) < 0)
        return join(places->executable, "/proc/self/exe", "", "", err);
    return 0;
}

const char *places_ca_file(void)
{
    static const char *const variables[] = {"SSL_CERT_FILE", "CURL_CA_BUNDLE"};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const char *value = getenv(variables[i]);
        if (value && value[0])
            return value;
    }
    return NULL;
}
