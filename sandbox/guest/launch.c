/* The way of launching that gives most: a guest in new namespaces, made by clone3. */
#include "sandbox/guest/launch.h"
#include "base/fd.h"
#include "sandbox/guest/idmap.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of a directory with an owner of its own, who is root inside. */
static int make_own_tree(int *ret_tree, const char *dir, int userns, uid_t base)
{
    struct stat st;
    if (lstat(dir, &st) < 0)
        return -1;
    int ns = st.st_uid == 0 && st.st_gid == 0
                 ? userns
                 : idmap_swapped_userns(st.st_uid, st.st_gid, base);
    *ret_tree = ns < 0 ? -1 : idmap_tree(dir, ns);
    int saved = errno;
    if (ns != userns)
        fd_close(&ns);
    errno = saved;
    return *ret_tree < 0 ? -1 : 0;
}

static int make_trees(struct guest_setup *setup, pid_t pid, uid_t base)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
    int userns = open(path, O_RDONLY | O_CLOEXEC);
    if (userns < 0)
        return -1;
    if (!setup->plan.image[0]) {
        setup->plan.tree[TREE_USR] = idmap_tree("/usr", userns);
        setup->plan.tree[TREE_DPKG] = idmap_tree("/var/lib/dpkg", userns);
        setup->plan.tree[TREE_ALTERNATIVES] = idmap_tree("/etc/alternatives", userns);
    }
    const char *dirs[TREE_COUNT] = {[TREE_WORKSPACE] = setup->plan.workspace,
                                    [TREE_FILES] = setup->plan.files,
                                    [TREE_SNAPSHOTS] = setup->plan.snapshots,
                                    [TREE_IMAGE] = setup->plan.image};
    for (int i = 0; i < setup->plan.mount_count; i++)
        dirs[TREE_MOUNTS + i] = setup->plan.mount[i].host;
    int rc = 0;
    for (int i = 0; i < TREE_COUNT && rc == 0; i++)
        if (dirs[i] && dirs[i][0])
            rc = make_own_tree(&setup->plan.tree[i], dirs[i], userns, base);
    int saved = errno;
    close(userns);
    errno = saved;
    return rc;
}

static int send_trees(int to, struct guest_setup *setup)
{
    int32_t which[TREE_COUNT];
    int fds[TREE_COUNT], n = 0;
    for (int i = 0; i < TREE_COUNT; i++) {
        which[i] = setup->plan.tree[i] >= 0 ? n : -1;
        if (setup->plan.tree[i] >= 0)
            fds[n++] = setup->plan.tree[i];
    }
    return wire_send(to, &(struct wire_out){.type = ZYGOTE_CREATE,
                                            .body = which,
                                            .body_bytes = sizeof which,
                                            .fds = fds,
                                            .fd_count = n});
}

static pid_t clone_guest(struct cgroup_set *groups, int *ret_pidfd)
{
    struct clone_args args = {
        /* the network namespace comes later: netns.h */
        .flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC |
                 CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_PIDFD,
        .exit_signal = SIGCHLD,
        .pidfd = (uint64_t)(uintptr_t)ret_pidfd,
    };
    if (groups->v2_dir >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (unsigned)groups->v2_dir;
    }
    /* Dumpable for the moment: the maps of an ordinary user's child are ours to write
     * then. */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid >= 0 || errno != ENOSYS)
        return pid;
    /* A filter that cannot look into clone3's flags refuses it altogether. */
    fd_close(&groups->v2_dir);
    return (pid_t)syscall(SYS_clone, (args.flags & ~CLONE_INTO_CGROUP) | SIGCHLD, NULL,
                          ret_pidfd, NULL, NULL);
}

static const char *parent_part(struct guest_setup *setup, pid_t pid, int to,
                               const struct idmap *map)
{
    if (idmap_write(pid, map) < 0)
        return "user id maps";
    if (map->first != geteuid())
        cgroup_delegate(&setup->groups, map->first);
    if (map->count > 1 && make_trees(setup, pid, map->first) < 0)
        return "idmapped mounts";
    return send_trees(to, setup) < 0 ? "handing over mounts" : NULL;
}

const char *launch_namespaces(struct guest_setup *setup, struct launched *ret)
{
    int pair[2], pidfd = -1;
    struct idmap map = idmap_pick();
    if (cgroup_open_entries(&setup->groups, setup->entries) < 0)
        return "entering the cgroups";
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        cgroup_close_entries(setup->entries);
        return "socketpair";
    }
    setup->plan.id_range = map.count > 1;
    setup->zygote = pair[1];
    pid_t pid = clone_guest(&setup->groups, &pidfd);
    if (pid == 0) {
        close(pair[0]);
        launch_keep_server(setup);
        guest_main(setup);
    }
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    const char *failed = pid < 0 ? "clone into new namespaces" : NULL;
    if (!failed)
        failed = parent_part(setup, pid, pair[0], &map);
    int saved = errno;
    cgroup_close_entries(setup->entries);
    close(pair[0]);
    close(pair[1]);
    for (int i = 0; i < TREE_COUNT; i++)
        fd_close(&setup->plan.tree[i]);
    if (failed && pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    if (failed)
        fd_close(&pidfd);
    *ret = (struct launched){.pid = pid, .pidfd = pidfd, .said = -1};
    errno = saved;
    return failed;
}
