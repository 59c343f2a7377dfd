/* Runs a program on a machine that allows less: hostile_forbid WHAT PROGRAM ARGUMENTS.
 *   namespaces   user.max_user_namespaces is 0 (in a child user namespace), and
 *                bubblewrap is setuid
 *   clone        a filter refuses unshare and clone of user namespaces, and bubblewrap
 *                is setuid and needs none
 *   bubblewrap   as `clone`, but bubblewrap is missing
 *   nft          a kernel without nftables: there are no netfilter sockets
 *   container    what containers take away by default: the capabilities and system
 * calls of the published default profile (moby: profiles/seccomp) To be started by
 * root. */
#include "tests/hostile/attack.h"
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BUBBLEWRAP "/usr/bin/bwrap"

static _Noreturn void cannot(const char *what)
{
    fprintf(stderr, "hostile_forbid: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void copy_file(const char *from, const char *to)
{
    char bytes[65536];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    ssize_t n;
    if (in == -1 || out == -1)
        cannot(to);
    while ((n = read(in, bytes, sizeof bytes)) > 0)
        if (write(out, bytes, (size_t)n) != n)
            cannot(to);
    close(in);
    close(out);
}

/* A setuid one in place of the machine's, or nothing that can be executed; for us
 * alone. */
static void replace_bubblewrap(bool missing)
{
    char dir[] = "/tmp/hostile-forbid-XXXXXX", path[64];
    if (unshare(CLONE_NEWNS) == -1 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1 || !mkdtemp(dir) ||
        mount("tmpfs", dir, "tmpfs", 0, "mode=755") == -1)
        cannot("private mounts");
    snprintf(path, sizeof path, "%s/bwrap", dir);
    copy_file(BUBBLEWRAP, path);
    if (chmod(path, missing ? 0 : 04755) == -1 ||
        mount(path, BUBBLEWRAP, NULL, MS_BIND, NULL) == -1)
        cannot(BUBBLEWRAP);
    if (missing &&
        mount(NULL, BUBBLEWRAP, NULL, MS_REMOUNT | MS_BIND | MS_NOEXEC, NULL) == -1)
        cannot(BUBBLEWRAP);
    umount2(dir, MNT_DETACH);
    rmdir(dir);
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd == -1 || write(fd, text, strlen(text)) == -1)
        cannot(path);
    close(fd);
}

/* All ids as they are; the maps are written from outside. */
static void enter_user_namespace(void)
{
    int made[2], mapped[2], status;
    char byte = 'x', path[64];
    if (pipe(made) == -1 || pipe(mapped) == -1)
        cannot("pipe");
    pid_t parent = getpid(), writer = fork();
    if (writer == 0) {
        if (read(made[0], &byte, 1) != 1)
            _exit(1);
        snprintf(path, sizeof path, "/proc/%d/uid_map", (int)parent);
        put(path, "0 0 65536");
        snprintf(path, sizeof path, "/proc/%d/gid_map", (int)parent);
        put(path, "0 0 65536");
        _exit(0);
    }
    if (writer == -1 || unshare(CLONE_NEWUSER) == -1 || write(made[1], &byte, 1) != 1 ||
        waitpid(writer, &status, 0) == -1 || status != 0)
        cannot("user namespace");
    for (int i = 0; i < 2; i++) {
        close(made[i]);
        close(mapped[i]);
    }
    put("/proc/sys/user/max_user_namespaces", "0");
}

enum { LIMIT = 512 };
struct filter {
    struct sock_filter code[LIMIT];
    unsigned short n;
};

static void emit(struct filter *f, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
    f->code[f->n++] = (struct sock_filter){code, jt, jf, k};
}

static void refuse(struct filter *f, long call, int number)
{
    emit(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1);
    emit(f, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)number, 0, 0);
}

static void refuse_clone(struct filter *f, uint32_t flags)
{
    emit(f, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4);
    emit(f, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args), 0, 0);
    emit(f, BPF_JMP | BPF_JSET | BPF_K, flags, 0, 1);
    emit(f, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM, 0, 0);
    emit(f, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
    refuse(f, SYS_clone3, ENOSYS);
}

static void begin(struct filter *f)
{
    f->n = 0;
    emit(f, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
}

static void load(struct filter *f)
{
    struct sock_fprog program = {.len = f->n + 1, .filter = f->code};
    emit(f, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == -1)
        cannot("seccomp");
}

static void forbid_clone(void)
{
    static struct filter f;
    begin(&f);
    refuse(&f, SYS_unshare, EPERM);
    refuse_clone(&f, CLONE_NEWUSER);
    load(&f);
}

static void forbid_nft(void)
{
    static struct filter f;
    const uint32_t argument = offsetof(struct seccomp_data, args);
    begin(&f);
    emit(&f, BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 5);
    emit(&f, BPF_LD | BPF_W | BPF_ABS, argument, 0, 0);
    emit(&f, BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 0, 3);
    emit(&f, BPF_LD | BPF_W | BPF_ABS, argument + 16, 0, 0);
    emit(&f, BPF_JMP | BPF_JEQ | BPF_K, NETLINK_NETFILTER, 0, 1);
    emit(&f, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPROTONOSUPPORT, 0, 0);
    load(&f);
}

/* The calls that the default profile lets only those make who have a capability that
 * containers do not get, and those that it does not name. */
static const int container_refuses[] = {
    SYS_acct,
    SYS_add_key,
    SYS_bpf,
    SYS_clock_adjtime,
    SYS_clock_settime,
    SYS_delete_module,
    SYS_fanotify_init,
    SYS_finit_module,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fsopen,
    SYS_fspick,
    SYS_init_module,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_io_uring_setup,
    SYS_kcmp,
    SYS_kexec_file_load,
    SYS_kexec_load,
    SYS_keyctl,
    SYS_lookup_dcookie,
    SYS_mount,
    SYS_mount_setattr,
    SYS_move_mount,
    SYS_move_pages,
    SYS_nfsservctl,
    SYS_open_by_handle_at,
    SYS_open_tree,
    SYS_perf_event_open,
    SYS_pivot_root,
    SYS_quotactl,
    SYS_reboot,
    SYS_request_key,
    SYS_setdomainname,
    SYS_sethostname,
    SYS_setns,
    SYS_settimeofday,
    SYS_swapoff,
    SYS_swapon,
    SYS_syslog,
    SYS_umount2,
    SYS_unshare,
    SYS_userfaultfd,
    SYS_vhangup,
};

static void be_container(void)
{
    static struct filter f;
    static const int kept[] = {
        CAP_CHOWN,   CAP_DAC_OVERRIDE, CAP_FSETID,           CAP_FOWNER,
        CAP_MKNOD,   CAP_NET_RAW,      CAP_SETGID,           CAP_SETUID,
        CAP_SETFCAP, CAP_SETPCAP,      CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT,
        CAP_KILL,    CAP_AUDIT_WRITE};
    uint64_t bits = 0;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        bits |= (uint64_t)1 << kept[i];
    begin(&f);
    for (size_t i = 0; i < sizeof container_refuses / sizeof *container_refuses; i++)
        refuse(&f, container_refuses[i], EPERM);
    refuse_clone(&f, CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                         CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET);
    load(&f);
    for (int c = 0; c < 64; c++)
        if (!(bits >> c & 1) && prctl(PR_CAPBSET_READ, c) == 1 &&
            prctl(PR_CAPBSET_DROP, c) == -1)
            cannot("bounding set");
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {.effective = (uint32_t)bits, .permitted = (uint32_t)bits},
        {.effective = (uint32_t)(bits >> 32), .permitted = (uint32_t)(bits >> 32)}};
    if (syscall(SYS_capset, &head, data) == -1)
        cannot("capabilities");
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (argc < 3)
        return 2;
    if (strcmp(what, "namespaces") == 0) {
        replace_bubblewrap(false);
        enter_user_namespace();
    } else if (strcmp(what, "clone") == 0 || strcmp(what, "bubblewrap") == 0) {
        replace_bubblewrap(strcmp(what, "bubblewrap") == 0);
        forbid_clone();
    } else if (strcmp(what, "nft") == 0) {
        forbid_nft();
    } else if (strcmp(what, "container") == 0) {
        be_container();
    } else {
        return 2;
    }
    execvp(argv[2], argv + 2);
    cannot(argv[2]);
}
