/* The directory of another system that a sandbox has as its root. */
#include "sandbox/local/local.h"
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void local_image_begin(const struct sandboxes *set, struct owned_spec *wish)
{
    const char *image = set->config.image;
    if (image)
        owned_spec_merge(wish, &(struct sandbox_spec){.image = str_of(image)});
}

int local_image_check(const struct sandbox *sb, enum zygote_launcher launcher,
                      char to[4096], struct err *err)
{
    const struct str image = sb->wish.spec.image;
    struct stat st;
    to[0] = '\0';
    if (!image.n)
        return 0;
    if (image.n >= 4096 || image.p[0] != '/')
        return err_set(err, ERR_INVALID, "the image %.60s is not an absolute path",
                       image.p);
    snprintf(to, 4096, "%.*s", STR_FMT(image));
    if (lstat(to, &st) < 0 || !S_ISDIR(st.st_mode)) {
        err_set(err, ERR_UNAVAILABLE, "the image %.150s, which is its root, is gone",
                to);
        return err_remedy(err, "put it back, or use another sandbox");
    }
    if (geteuid() != 0 && st.st_uid != geteuid()) {
        err_set(err, ERR_DENIED, "the image %.150s belongs to user %u, not to you", to,
                (unsigned)st.st_uid);
        return err_remedy(err, "copy it to a directory of your own, or name a tar of "
                               "it");
    }
    if (launcher == LAUNCH_NAMESPACES)
        return 0;
    err_set(err, ERR_UNAVAILABLE,
            "an image needs isolation level 1 or 2, which this machine does not give");
    return err_remedy(err, "`sandquay doctor` says why; or leave out --image");
}
