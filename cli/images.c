#include "cli/images.h"
#include "base/dirs.h"
#include "base/fd.h"
#include "cli/child.h"
#include "sandbox/backend.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    TRASH_FD = 3 /* of the guest program as sweeper */,
    KIND_BYTES = 300,
    SOURCE_BYTES = PATH_MAX
};

/* What tar is told, by how the file begins. */
struct kind {
    const char *magic;
    size_t n, at;
    const char *flag;
};

static const struct kind kinds[] = {
    {"\x1f\x8b", 2, 0, "-z"},   {"\xfd\x37zXZ", 5, 0, "-J"},
    {"BZh", 3, 0, "-j"},        {"\x28\xb5\x2f\xfd", 4, 0, "--zstd"},
    {"hsqs", 4, 0, "squashfs"}, {"ustar", 5, 257, ""},
};

/* Owners are kept where there is more than one id. Set-id bits are not: nothing inside
 * could use them. */
static const char unpack[] =
    "set -e; umask 0; mkdir root; "
    "read -r _ _ ids </proc/self/uid_map; own=--same-owner; "
    "[ \"$ids\" -gt 1 ] || own=--no-same-owner; "
    "if [ \"$SQ_KIND\" = squashfs ]; then "
    "command -v unsquashfs >/dev/null || { echo 'unsquashfs is missing: apt-get "
    "install "
    "squashfs-tools' >&2; exit 1; }; "
    "cat >archive; unsquashfs -quiet -no-progress -no-xattrs -ignore-errors "
    "-force -dest root archive >&2; rm archive; "
    "else tar $SQ_KIND $own --no-same-permissions --delay-directory-restore "
    "--exclude='./dev/*' --exclude='dev/*' -xf - -C root; fi; "
    "chmod 755 root; for d in tmp var/tmp; do "
    "[ -L root/$d ] || [ ! -d root/$d ] || chmod 1777 root/$d; done";

static int images_directory(const struct places *places, char to[PATH_MAX],
                            struct err *err)
{
    if (snprintf(to, PATH_MAX, "%s/images", places->state) >= PATH_MAX - 512)
        return err_set(err, ERR_INVALID, "the path %.60s... is too long",
                       places->state);
    return 0;
}

/* The directory, made if need be; nobody else may arrange what sandboxes lie upon. */
static int open_images(const struct places *places, char to[PATH_MAX], struct err *err)
{
    if (images_directory(places, to, err) < 0)
        return -1;
    int fd = dirs_open(to, err);
    int rc = fd < 0 ? -1 : dirs_check_own(fd, to, err);
    fd_close(&fd);
    return rc;
}

/* A root has a shell; what it is, is not resolved here: it may be a link. */
static int check_root(const char *given, const char *path, struct err *err)
{
    static const char *const shells[] = {"bin/bash", "usr/bin/bash"};
    struct stat st;
    if (strcmp(path, "/") == 0) {
        err_set(err, ERR_INVALID, "--image /: that is this machine's own root");
        return err_remedy(err, "leave it out, or name another system's root");
    }
    int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool found = false;
    for (size_t i = 0; i < 2 && dir >= 0; i++)
        found |= fstatat(dir, shells[i], &st, AT_SYMLINK_NOFOLLOW) == 0;
    fd_close(&dir);
    if (found)
        return 0;
    err_set(err, ERR_INVALID, "the image %.200s has no /bin/bash", given);
    return err_remedy(err, "name the root directory of a Linux system with bash, or an "
                           "archive of one");
}

static const char *kind_of(const char *path, struct err *err)
{
    char begin[KIND_BYTES] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, begin, sizeof begin);
    int saved = errno;
    fd_close(&fd);
    if (n < 0) {
        err_sys(err, saved, "the image %.200s", path);
        err_remedy(err, "name a file that can be read");
        return NULL;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].at + kinds[i].n <= (size_t)n &&
            memcmp(begin + kinds[i].at, kinds[i].magic, kinds[i].n) == 0)
            return kinds[i].flag;
    err_set(err, ERR_INVALID, "the image %.200s is neither a tar nor a squashfs", path);
    err_remedy(err, "a tar may be compressed with gzip, xz, bzip2 or zstd");
    return NULL;
}

static int unpack_into(const struct places *places, const char *directory,
                       const char *archive, struct err *err)
{
    char variable[64];
    const char *kind = kind_of(archive, err);
    if (!kind)
        return -1;
    snprintf(variable, sizeof variable, "SQ_KIND=%s", kind);
    const char *const argv[] = {
        places->executable, "exec",     "--backend", "local", "--network",
        "deny-all",         "--memory", "4g",        "--env", variable,
        "--workspace",      directory,  "--",        unpack,  NULL};
    int in = open(archive, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return err_sys(err, errno, "the image %.200s", archive);
    fprintf(stderr, "sandquay: unpacking the image %s\n", archive);
    if (child_wait(child_start(argv, in, -1)) == 0)
        return 0;
    err_set(err, ERR_IO, "the image %.200s could not be unpacked", archive);
    return err_remedy(err, "what is above says why");
}

static int note_source(const char *directory, const char *source, struct err *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%.4000s/source", directory);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t n = fd < 0 ? -1 : write(fd, source, strlen(source));
    int rc = n < 0 ? err_sys(err, errno, "writing %.200s", path) : 0;
    fd_close(&fd);
    return rc;
}

static void empty(const struct places *places, const char *trash)
{
    static char *const none[] = {NULL};
    int fd = open(trash, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, TRASH_FD + 1);
    pid_t pid = high < 0 ? -1 : fork();
    if (pid == 0) {
        if (dup2(high, TRASH_FD) == TRASH_FD)
            execle(places->guest, "sandquay-guest", "sweep", (char *)NULL, none);
        _exit(1);
    }
    fd_close(&fd);
    fd_close(&high);
    child_wait(pid);
}

/* Moves it to the trash and empties that. */
static int throw_away(const struct places *places, const char *path, struct err *err)
{
    char trash[PATH_MAX], to[PATH_MAX];
    snprintf(trash, sizeof trash, "%.3000s/trash", places->state);
    snprintf(to, sizeof to, "%.3000s/image-XXXXXX", trash);
    if (dirs_make(trash, err) < 0)
        return -1;
    if (!mkdtemp(to) || rename(path, to) < 0)
        return err_sys(err, errno, "removing %.200s", path);
    empty(places, trash); /* what it leaves, the next server removes */
    return 0;
}

/* As long as we live, nobody removes it. */
static int hold(const char *directory, short type, struct err *err)
{
    char path[PATH_MAX];
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
    snprintf(path, sizeof path, "%.4000s/lock", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, errno, "%.200s", path);
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return fd;
    fd_close(&fd);
    err_set(err, ERR_CONFLICT,
            type == F_WRLCK ? "a server uses the image" : "the image is being removed");
    return err_remedy(err, "try again when that has ended");
}

/* Whoever was making it, some time ago, has died: its lock is free. */
static void throw_unfinished(const struct places *places, const char *directory)
{
    enum { OLD_S = 60 };
    char path[PATH_MAX];
    struct stat st;
    struct err ignored;
    DIR *d = opendir(directory);
    for (struct dirent *e; d && (e = readdir(d));) {
        snprintf(path, sizeof path, "%.3800s/%.255s", directory, e->d_name);
        if (strncmp(e->d_name, ".new-", 5) != 0 || lstat(path, &st) < 0 ||
            st.st_mtime + OLD_S > time(NULL))
            continue;
        int lock = hold(path, F_WRLCK, &ignored);
        if (lock >= 0)
            throw_away(places, path, &ignored);
        fd_close(&lock);
    }
    if (d)
        closedir(d);
}

int images_add(const struct places *places, const char *name, const char *archive,
               const char *source, struct err *err)
{
    char directory[PATH_MAX], made[PATH_MAX], root[PATH_MAX], final[PATH_MAX];
    struct err ignored;
    if (sandbox_check_name(str_of(name), err) < 0 ||
        open_images(places, directory, err) < 0)
        return -1;
    snprintf(made, sizeof made, "%.3800s/.new-XXXXXX", directory);
    snprintf(final, sizeof final, "%.3800s/%s", directory, name);
    if (access(final, F_OK) == 0) {
        err_set(err, ERR_CONFLICT, "there is an image %s", name);
        return err_remedy(err, "choose another name, or `sandquay image rm %s`", name);
    }
    throw_unfinished(places, directory);
    if (!mkdtemp(made))
        return err_sys(err, errno, "making a directory in %.200s", directory);
    int lock = hold(made, F_WRLCK, err);
    if (lock < 0)
        return -1;
    snprintf(root, sizeof root, "%.4000s/root", made);
    int rc = unpack_into(places, made, archive, err);
    if (rc == 0)
        rc = check_root(archive, root, err);
    if (rc == 0)
        rc = note_source(made, source, err);
    if (rc == 0 && rename(made, final) < 0 && errno != EEXIST && errno != ENOTEMPTY)
        rc = err_sys(err, errno, "naming the image %s", name);
    if (access(made, F_OK) == 0)
        throw_away(places, made, &ignored);
    fd_close(&lock);
    return rc;
}

/* Of our own ones; 1: there is none of that name. */
static int find_named(const struct places *places, const char *name,
                      char ret_path[PATH_MAX], struct err *err)
{
    char directory[PATH_MAX], image[PATH_MAX];
    struct stat st;
    if (images_directory(places, directory, err) < 0)
        return -1;
    snprintf(image, sizeof image, "%.3800s/%.255s", directory, name);
    if (sandbox_check_name(str_of(name), err) < 0 || lstat(image, &st) < 0)
        return 1;
    if (hold(image, F_RDLCK, err) < 0)
        return -1;
    snprintf(ret_path, PATH_MAX, "%.4000s/root", image);
    return 0;
}

/* A name for what an archive is now; another content is another image. */
static void name_of_file(const char *path, const struct stat *st, char name[32])
{
    char text[PATH_MAX + 128];
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a: only our own files are told apart */
    int n =
        snprintf(text, sizeof text, "%s %ju %ju %jd %jd %ld", path,
                 (uintmax_t)st->st_dev, (uintmax_t)st->st_ino, (intmax_t)st->st_size,
                 (intmax_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
    for (int i = 0; i < n && i < (int)sizeof text - 1; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3;
    snprintf(name, 32, "file-%016" PRIx64, hash);
}

static int find_file(const struct places *places, const char *path,
                     const struct stat *st, char ret_path[PATH_MAX], struct err *err)
{
    char name[32];
    name_of_file(path, st, name);
    int rc = find_named(places, name, ret_path, err);
    if (rc != 1)
        return rc;
    if (images_add(places, name, path, path, err) < 0 && err->kind != ERR_CONFLICT)
        return -1;
    return find_named(places, name, ret_path, err) == 0 ? 0 : -1;
}

int images_find(const struct places *places, const char *given, char ret_path[PATH_MAX],
                struct err *err)
{
    char full[PATH_MAX];
    struct stat st;
    if (!strchr(given, '/')) {
        int rc = find_named(places, given, ret_path, err);
        if (rc != 1)
            return rc;
    }
    if (!realpath(given, full) || stat(full, &st) < 0) {
        int saved = errno;
        if (saved == ENOENT && !strchr(given, '/'))
            err_set(err, ERR_NOT_FOUND, "there is no image %.200s", given);
        else
            err_sys(err, saved, "the image %.200s", given);
        return err_remedy(err, "`sandquay image list` shows those there are; or name "
                               "a directory, a tar or a squashfs");
    }
    if (S_ISREG(st.st_mode))
        return find_file(places, full, &st, ret_path, err);
    if (check_root(given, full, err) < 0)
        return -1;
    memcpy(ret_path, full, strlen(full) + 1);
    return 0;
}

static void one_row(const char *directory, const char *name,
                    void (*row)(void *ctx, const struct image_row *row), void *ctx)
{
    char path[PATH_MAX], source[SOURCE_BYTES] = "";
    struct stat st;
    snprintf(path, sizeof path, "%.3800s/%.255s/source", directory, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, source, sizeof source - 1);
    if (n < 0 || fstat(fd, &st) < 0) {
        fd_close(&fd);
        return;
    }
    fd_close(&fd);
    snprintf(path, sizeof path, "%.3800s/%.255s/root", directory, name);
    row(ctx,
        &(struct image_row){
            .name = name, .path = path, .source = source, .made_s = st.st_mtim.tv_sec});
}

int images_each(const struct places *places,
                void (*row)(void *ctx, const struct image_row *row), void *ctx,
                struct err *err)
{
    char directory[PATH_MAX];
    if (images_directory(places, directory, err) < 0)
        return -1;
    DIR *d = opendir(directory);
    if (!d && errno != ENOENT)
        return err_sys(err, errno, "%.200s", directory);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.')
            one_row(directory, e->d_name, row, ctx);
    if (d)
        closedir(d);
    return 0;
}

int images_remove(const struct places *places, const char *name, struct err *err)
{
    char directory[PATH_MAX], image[PATH_MAX];
    struct stat st;
    if (images_directory(places, directory, err) < 0)
        return -1;
    snprintf(image, sizeof image, "%.3800s/%.255s", directory, name);
    if (sandbox_check_name(str_of(name), err) < 0 || lstat(image, &st) < 0) {
        err_set(err, ERR_NOT_FOUND, "there is no image %.200s", name);
        return err_remedy(err, "`sandquay image list` shows those there are");
    }
    int lock = hold(image, F_WRLCK, err);
    int rc = lock < 0 ? -1 : throw_away(places, image, err);
    fd_close(&lock);
    return rc;
}
