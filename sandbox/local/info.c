/* What is told of a local sandbox: its system, and what enforces its limits. */
#include "base/fd.h"
#include "sandbox/local/local.h"
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

/* PRETTY_NAME of what its /usr is from: the image, or the host. */
static void read_os(struct str image, char *to, size_t room)
{
    char text[4096], root[4096];
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    snprintf(root, sizeof root, "%.*s/", STR_FMT(image));
    int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = (int)syscall(SYS_openat2, dir, "etc/os-release", &how, sizeof how);
    fd_close(&dir);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    fd_close(&fd);
    text[n > 0 ? n : 0] = '\0';
    const char *at = strstr(text, "PRETTY_NAME=\"");
    const char *name = at ? at + strlen("PRETTY_NAME=\"") : "Linux";
    size_t length = at ? strcspn(name, "\"\n") : strlen(name);
    snprintf(to, room, "%.*s", (int)(length < 100 ? length : 100), name);
}

static void add(char *to, size_t room, const char *limit, const char *by)
{
    size_t n = strlen(to);
    snprintf(to + n, room - n, "%s%s: %s", n ? ", " : "", limit, by);
}

static const char *disk(const struct sandbox *sb, uint32_t layers)
{
    if (sb->kept)
        return "watched in total";
    if (layers & LAYER_LANDLOCK)
        return "per file";
    return layers & LAYER_BUBBLEWRAP && !(layers & LAYER_USERNS)
               ? "per file, watched in total"
               : "tmpfs";
}

void local_describe(struct box *box)
{
    struct sandbox *sb = box->sandbox;
    uint32_t layers = box->layers;
    char *by = sb->limited_by;
    size_t room = sizeof sb->limited_by;
    read_os(sb->wish.spec.image, sb->os, sizeof sb->os);
    snprintf(sb->user, sizeof sb->user, "%s", layers & LAYER_USERNS ? "root" : "user");
    snprintf(sb->home, sizeof sb->home, "%s", box->home);
    snprintf(sb->cwd, sizeof sb->cwd, "%s", box->workspace);
    sb->installs = layers & LAYER_OVERLAY;
    by[0] = '\0';
    add(by, room, "memory",
        layers & LAYER_CGROUP_MEMORY ? "cgroup" : "per process, watched in total");
    add(by, room, "pids",
        layers & LAYER_CGROUP_PIDS ? "cgroup"
        : layers & LAYER_PID_MAX   ? "pid namespace"
                                   : "RLIMIT_NPROC");
    add(by, room, "cpus",
        !sandbox_in_force(sb)->cpu_millis ? "all"
        : layers & LAYER_CGROUP_CPU       ? "cgroup"
                                          : "not enforced (no cgroup)");
    add(by, room, "disk", disk(sb, layers));
}
