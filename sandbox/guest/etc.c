#include "sandbox/guest/etc.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/guest/inside.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOT_USER "root:x:0:0:root:/root:/bin/bash\n"
#define ROOT_GROUP "root:x:0:\n"

enum { FILE_MAX = 512 * 1024, SYSTEM_ID_LIMIT = 1000 };

/* Copied as they are: none holds a secret. */
static const char *const copied[] = {
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/os-release",
    "/etc/debian_version",
    "/etc/lsb-release",
    "/etc/mime.types",
    "/etc/magic",
    "/etc/services",
    "/etc/protocols",
    "/etc/login.defs",
    "/etc/timezone",
    "/etc/localtime",
    "/etc/inputrc",
    "/etc/bash.bashrc",
    "/etc/profile",
    "/etc/ssl/openssl.cnf",
    "/etc/ca-certificates.conf",
    "/etc/default/locale",
    "/etc/adduser.conf",
    "/etc/deluser.conf",
    "/etc/security/limits.conf",
    "/etc/security/pam_env.conf",
    "/etc/apt/trusted.gpg",
};
enum { COPIED = sizeof copied / sizeof copied[0], FOUND_MAX = 24, MADE = 10 };
_Static_assert(COPIED + FOUND_MAX + MADE <= ETC_FILES_MAX, "room for all files");

/* A host's file, and what it was like when it was read. */
struct copy {
    char path[160];
    bool there;
    struct timespec changed;
    off_t size;
    ino_t inode;
    struct buf text;
};

static struct copy content[COPIED], users, groups, certificates;
static struct buf passwd, group;

/* Where apt gets packages from. */
static struct copy found[FOUND_MAX];
static int found_count;

static void slurp(const char *path, struct buf *b)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    buf_reset(b, FILE_MAX);
    while (fd >= 0) {
        char *to = buf_reserve(b, 16384);
        ssize_t n = to ? read(fd, to, 16384) : -1;
        if (n <= 0)
            break;
        b->n += (size_t)n;
    }
    fd_close(&fd);
}

/* Looks at the file, and reads it if that is not what was read before. Did it change?
 */
static bool renew(struct copy *c)
{
    struct stat st;
    bool there = stat(c->path, &st) == 0, was = c->there;
    c->there = there;
    if (!there) {
        buf_finish(&c->text);
        return was;
    }
    if (was && c->inode == st.st_ino && c->size == st.st_size &&
        c->changed.tv_sec == st.st_ctim.tv_sec &&
        c->changed.tv_nsec == st.st_ctim.tv_nsec)
        return false;
    c->inode = st.st_ino;
    c->size = st.st_size;
    c->changed = st.st_ctim;
    c->text.max = FILE_MAX;
    if (!S_ISDIR(st.st_mode))
        slurp(c->path, &c->text);
    return true;
}

static bool renew_path(struct copy *c, const char *path)
{
    if (!c->path[0])
        snprintf(c->path, sizeof c->path, "%s", path);
    return renew(c);
}

/* Lines of system users or groups only: people's names are not the sandbox's business.
 * dpkg needs the system's groups. The third field is the id. */
static void keep_system_lines(struct buf *to, struct str text)
{
    while (text.n) {
        ptrdiff_t end = str_find(text, '\n');
        struct str line = {text.p, end < 0 ? text.n : (size_t)end};
        text = str_from(text, line.n + 1);
        struct str rest = line;
        for (int field = 0; field < 2; field++) {
            ptrdiff_t colon = str_find(rest, ':');
            rest = colon < 0 ? (struct str){0} : str_from(rest, (size_t)colon + 1);
        }
        unsigned long id = 0;
        for (size_t i = 0; i < rest.n && rest.p[i] >= '0' && rest.p[i] <= '9'; i++)
            id = id * 10 + (unsigned long)(rest.p[i] - '0');
        if (rest.n == 0 || id == 0 || (id >= SYSTEM_ID_LIMIT && id != 65534))
            continue;
        buf_adds(to, line);
        buf_addc(to, '\n');
    }
}

/* A password or a token in an address: "https://user:secret@host/". */
static bool names_somebody(struct str text)
{
    for (ptrdiff_t at; (at = str_find(text, ':')) >= 0;) {
        text = str_from(text, (size_t)at + 1);
        if (!str_starts(text, STR("//")))
            continue;
        for (size_t i = 2; i < text.n && text.p[i] > ' ' && text.p[i] != '/'; i++)
            if (text.p[i] == '@')
                return true;
    }
    return false;
}

static void find_source(const char *path)
{
    if (found_count < FOUND_MAX)
        snprintf(found[found_count++].path, sizeof found[0].path, "%s", path);
}

static void find_sources(void)
{
    static const char dir[] = "/etc/apt/sources.list.d";
    static struct copy listed;
    if (!renew_path(&listed, dir) && found_count)
        return;
    for (int i = 0; i < found_count; i++) {
        buf_finish(&found[i].text);
        found[i] = (struct copy){.there = false};
    }
    found_count = 0;
    find_source("/etc/apt/sources.list");
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[160];
        int n = snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (e->d_name[0] != '.' && n > 0 && (size_t)n < sizeof path)
            find_source(path);
    }
    if (d)
        closedir(d);
}

static void keep_system(struct buf *to, const char *first, struct copy *from)
{
    to->max = FILE_MAX;
    buf_reset(to, FILE_MAX);
    buf_addz(to, first);
    keep_system_lines(to, buf_str(&from->text));
    buf_finish(&from->text); /* with people's names */
}

void etc_collect(bool image)
{
    for (int i = 0; i < COPIED; i++)
        renew_path(&content[i], copied[i]);
    find_sources();
    for (int i = 0; i < found_count; i++)
        if (renew(&found[i]) && names_somebody(buf_str(&found[i].text)))
            buf_finish(&found[i].text);
    if (image)
        renew_path(&certificates, "/etc/ssl/certs/ca-certificates.crt");
    if (renew_path(&users, "/etc/passwd") || !passwd.n)
        keep_system(&passwd, ROOT_USER, &users);
    if (renew_path(&groups, "/etc/group") || !group.n)
        keep_system(&group, ROOT_GROUP, &groups);
}

/* The list, and where processes inside are not root, who they are: "user". */
static struct str with_user(struct buf *to, const struct buf *list, const char *user)
{
    if (!user[0])
        return buf_str(list);
    to->max = FILE_MAX;
    buf_reset(to, FILE_MAX);
    buf_adds(to, buf_str(list));
    buf_addz(to, user);
    return buf_str(to);
}

/* Everybody is root already: sudo runs its command. Where ids of others exist, -u
 * works. */
static const char sudo_script[] =
    "#!/bin/sh\n"
    "user=\n"
    "while :; do case \"$1\" in\n"
    "  -u) user=$2; shift 2 ;;\n"
    "  --) shift; break ;;\n"
    "  -[EHnSkib]|--*) shift ;;\n"
    "  *=*) export \"$1\"; shift ;;\n"
    "  *) break ;;\n"
    "esac; done\n"
    "[ $# -gt 0 ] || { echo 'usage: sudo [-u user] command' >&2; exit 1; }\n"
    "case \"$user\" in ''|root|0) exec \"$@\" ;; esac\n"
    "exec setpriv --reuid=\"$user\" --regid=\"$user\" --clear-groups -- \"$@\"\n";

/* Where there is only one id, there is nobody else to download as. */
static const char apt_settings[] = "APT::Sandbox::User \"root\";\n"
                                   "Dpkg::Use-Pty \"0\";\n"
                                   "Acquire::Languages \"none\";\n";

struct str etc_sudo(void)
{
    return STR(sudo_script);
}

static size_t add(struct etc_file *to, size_t n, const char *path, struct str text,
                  mode_t mode)
{
    to[n] = (struct etc_file){path, text, mode, false};
    return n + 1;
}

/* Where the sandbox is in the network, and what every root gets. */
static size_t add_common(struct etc_file *to, size_t n, const char *host_name,
                         bool renewed)
{
    static char hosts[256], name[80];
    size_t first = n;
    snprintf(name, sizeof name, "%.63s\n", host_name);
    snprintf(hosts, sizeof hosts,
             "127.0.0.1 localhost %.63s\n::1 localhost ip6-localhost\n", host_name);
    n = add(to, n, "/etc/hostname", str_of(name), 0644);
    n = add(to, n, "/etc/hosts", str_of(hosts), 0644);
    n = add(to, n, "/etc/resolv.conf",
            STR("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"), 0644);
    for (size_t i = first; i < n; i++)
        to[i].renewed = renewed;
    n = add(to, n, "/etc/nsswitch.conf",
            STR("passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"),
            0644);
    n = add(to, n, "/etc/environment", STR(""), 0644); /* su wants it */
    n = add(to, n, "/etc/apt/apt.conf.d/90sandquay", STR(apt_settings), 0644);
    n = add(to, n, "/opt/sandquay/bin/sudo", etc_sudo(), 0755);
    to[n - 1].renewed = true;
    return n;
}

/* An image has its own: what is there stays. */
static size_t image_files(struct etc_file *to, const char *host_name)
{
    size_t n = 0;
    n = add(to, n, "/etc/passwd", STR(ROOT_USER), 0644);
    n = add(to, n, "/etc/group", STR(ROOT_GROUP), 0644);
    if (certificates.text.n)
        n = add(to, n, certificates.path, buf_str(&certificates.text), 0644);
    return add_common(to, n, host_name, true);
}

size_t etc_files(struct etc_file to[ETC_FILES_MAX], const char *host_name, uid_t uid)
{
    static struct buf all_users, all_groups;
    static char user[64], group_of_user[64];
    size_t n = 0;
    if (uid != 0) {
        snprintf(user, sizeof user, "user:x:%u:%u::/root:/bin/bash\n", uid, uid);
        snprintf(group_of_user, sizeof group_of_user, "user:x:%u:\n", uid);
    }
    for (int i = 0; i < COPIED; i++)
        if (content[i].text.n)
            n = add(to, n, copied[i], buf_str(&content[i].text), 0644);
    for (int i = 0; i < found_count; i++)
        if (found[i].text.n)
            n = add(to, n, found[i].path, buf_str(&found[i].text), 0644);
    n = add(to, n, "/etc/passwd", with_user(&all_users, &passwd, user), 0644);
    n = add(to, n, "/etc/group", with_user(&all_groups, &group, group_of_user), 0644);
    n = add(to, n, "/etc/shadow", STR("root:*:::::::\n"), 0600);
    return add_common(to, n, host_name, false);
}

static int put(int parent, const char *name, const struct etc_file *file)
{
    if (file->renewed)
        unlinkat(parent, name, 0);
    int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                    file->mode);
    bool there = fd < 0 && errno == EEXIST; /* of an earlier run: the sandbox's own */
    ssize_t n = fd < 0 ? -1 : write(fd, file->text.p, file->text.n);
    int saved = errno;
    fd_close(&fd);
    errno = saved;
    return there || n == (ssize_t)file->text.n ? 0 : -1;
}

/* Does `path` lie in the same directory as `before`? */
static bool same_directory(const char *path, const char *before)
{
    size_t n = (size_t)(strrchr(path, '/') - path);
    return strncmp(path, before, n + 1) == 0 && !strchr(before + n + 1, '/');
}

int etc_write(const char *host_name, bool image)
{
    struct etc_file file[ETC_FILES_MAX];
    size_t count = image ? image_files(file, host_name) : etc_files(file, host_name, 0);
    int rc = 0, parent = -1;
    for (size_t i = 0; i < count && rc == 0; i++) {
        const char *name = strrchr(file[i].path, '/') + 1;
        if (parent < 0 || !same_directory(file[i].path, file[i - 1].path)) {
            fd_close(&parent);
            parent = inside_parent(file[i].path, &name);
        }
        rc = parent < 0 ? -1 : put(parent, name, &file[i]);
    }
    int saved = errno;
    fd_close(&parent);
    errno = saved;
    return rc;
}

void etc_forget(void)
{
    for (int i = 0; i < COPIED; i++)
        buf_finish(&content[i].text);
    for (int i = 0; i < found_count; i++)
        buf_finish(&found[i].text);
    buf_finish(&certificates.text);
    buf_finish(&passwd);
    buf_finish(&group);
    mem_give_back();
}
