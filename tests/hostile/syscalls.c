/* System calls that no sandboxed program needs: hostile_syscalls NAME. Each is made so
 * that it does no harm should it work. */
#include "tests/hostile/attack.h"
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <linux/reboot.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long try_keyctl(void)
{
    return syscall(SYS_keyctl, 0L, -3L, 1L);
}
static long try_add_key(void)
{
    return syscall(SYS_add_key, "user", "sandquay-test", "x", 1UL, -3L);
}
static long try_request_key(void)
{
    return syscall(SYS_request_key, "user", "sandquay-test", NULL, -3L);
}
static long try_perf(void)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE,
                                   .size = sizeof attr,
                                   .config = PERF_COUNT_SW_CPU_CLOCK,
                                   .exclude_kernel = 1};
    return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0UL);
}
static long try_userfaultfd(void)
{
    return syscall(SYS_userfaultfd, O_CLOEXEC | 1);
}
static long try_io_uring(void)
{
    char params[120] = {0};
    return syscall(SYS_io_uring_setup, 8, params);
}
static long try_bpf(void)
{
    union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY,
                           .key_size = 4,
                           .value_size = 4,
                           .max_entries = 1};
    return syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr);
}

static long try_unshare_user(void)
{
    return unshare(CLONE_NEWUSER);
}
static long try_unshare_mount(void)
{
    return unshare(CLONE_NEWNS);
}
static long try_unshare_net(void)
{
    return unshare(CLONE_NEWNET);
}
static long try_clone_user(void)
{
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0L, 0L, 0L, 0L);
    if (pid == 0)
        _exit(0);
    if (pid > 0)
        waitpid((pid_t)pid, NULL, 0);
    return pid;
}
static long try_clone3_user(void)
{
    uint64_t args[8] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD, 0, 0, 0};
    long pid = syscall(SYS_clone3, args, sizeof args);
    if (pid == 0)
        _exit(0);
    if (pid > 0)
        waitpid((pid_t)pid, NULL, 0);
    return pid;
}
static long try_setns(void)
{
    int fd = open("/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    return fd == -1 ? -1 : setns(fd, 0);
}

static long try_mount(void)
{
    return mount("none", "/tmp", "tmpfs", 0, NULL);
}
static long try_mount_proc(void)
{
    return mount("proc", "/tmp", "proc", 0, NULL);
}
static long try_remount(void)
{
    return mount("none", "/usr", NULL, MS_REMOUNT | MS_BIND, NULL);
}
static long try_bind(void)
{
    return mount("/tmp", "/usr", NULL, MS_BIND, NULL);
}
static long try_umount(void)
{
    return umount2("/proc", MNT_DETACH);
}
static long try_pivot_root(void)
{
    return syscall(SYS_pivot_root, "/tmp", "/tmp");
}
static long try_open_tree(void)
{
    return syscall(SYS_open_tree, AT_FDCWD, "/usr", 1 /* OPEN_TREE_CLONE */);
}
static long try_fsopen(void)
{
    return syscall(SYS_fsopen, "tmpfs", 0);
}
static long try_chroot(void)
{
    return chroot("/tmp");
}
static long try_mknod_disk(void)
{
    return mknod("/tmp/disk", S_IFBLK | 0600, makedev(8, 0));
}
static long try_mknod_mem(void)
{
    return mknod("/tmp/mem", S_IFCHR | 0600, makedev(1, 1));
}
static long try_open_by_handle(void)
{
    struct {
        struct file_handle handle;
        char bytes[128];
    } h = {.handle = {.handle_bytes = 128}};
    int mount_id;
    if (name_to_handle_at(AT_FDCWD, "/", &h.handle, &mount_id, 0) == -1)
        return -1;
    int root = open("/", O_RDONLY | O_CLOEXEC);
    return open_by_handle_at(root, &h.handle, O_RDONLY);
}
static long try_fanotify(void)
{
    return fanotify_init(FAN_CLASS_CONTENT, O_RDONLY);
}
static long try_swapon(void)
{
    return swapon("/tmp/none", 0);
}
static long try_quotactl(void)
{
    return syscall(SYS_quotactl, 0x800001, NULL, 0, NULL); /* Q_SYNC */
}
static long try_acct(void)
{
    return acct("/tmp/acct");
}

static long try_reboot(void)
{
    return syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
                   LINUX_REBOOT_CMD_CAD_OFF, NULL);
}
static long try_kexec(void)
{
    return syscall(SYS_kexec_load, 0UL, 0UL, NULL, 0UL);
}
static long try_init_module(void)
{
    return syscall(SYS_init_module, "", 0UL, "");
}
static long try_delete_module(void)
{
    return syscall(SYS_delete_module, "sandquay_none", O_NONBLOCK);
}
static long try_settimeofday(void)
{
    struct timeval now;
    gettimeofday(&now, NULL);
    return settimeofday(&now, NULL);
}
static long try_clock_settime(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return clock_settime(CLOCK_REALTIME, &now);
}
static long try_sethostname(void)
{
    char name[65];
    return gethostname(name, sizeof name) == -1 ? -1 : sethostname(name, strlen(name));
}
static long try_syslog(void)
{
    char text[64];
    return syscall(SYS_syslog, 3, text, sizeof text);
}
static long try_vhangup(void)
{
    return vhangup();
}
static long try_personality(void)
{
    return personality(READ_IMPLIES_EXEC);
}
static long try_memfd_secret(void)
{
    return syscall(SYS_memfd_secret, 0);
}
static long try_vmsplice(void)
{
    int pipes[2];
    char byte = 'x';
    struct iovec iov = {&byte, 1};
    return pipe(pipes) == -1 ? -1 : vmsplice(pipes[1], &iov, 1, 0);
}
static long try_mbind(void)
{
    return syscall(SYS_set_mempolicy, 0, NULL, 0UL);
}
static long try_kcmp(void)
{
    return syscall(SYS_kcmp, getpid(), getpid(), 0, 0UL, 1UL);
}
#if defined __x86_64__
static long try_iopl(void)
{
    return syscall(SYS_iopl, 3);
}
static long try_ioperm(void)
{
    return syscall(SYS_ioperm, 0x80UL, 1UL, 1);
}
static long try_modify_ldt(void)
{
    char ldt[16];
    return syscall(SYS_modify_ldt, 0, ldt, sizeof ldt);
}
#endif
static long try_sched_fifo(void)
{
    struct sched_param param = {.sched_priority = 1};
    return sched_setscheduler(0, SCHED_FIFO, &param);
}
static long try_nice(void)
{
    return setpriority(PRIO_PROCESS, 0, -20);
}
static long try_core_limit(void)
{
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    return setrlimit(RLIMIT_CORE, &unlimited);
}

static long try_tiocsti(void)
{
    char c = 'x';
    return ioctl(0, TIOCSTI, &c);
}
static long try_tiocsti_high_bits(void)
{
    char c = 'x';
    return syscall(SYS_ioctl, 0, TIOCSTI | 1UL << 32, &c);
}
static long try_tioclinux(void)
{
    char subcode = 2;
    return ioctl(0, TIOCLINUX, &subcode);
}

int main(int argc, char **argv)
{
    static const struct attack list[] = {
        {"keyctl", try_keyctl},
        {"add_key", try_add_key},
        {"request_key", try_request_key},
        {"perf_event_open", try_perf},
        {"userfaultfd", try_userfaultfd},
        {"io_uring", try_io_uring},
        {"bpf", try_bpf},
        {"unshare_user", try_unshare_user},
        {"unshare_mount", try_unshare_mount},
        {"unshare_net", try_unshare_net},
        {"clone_user", try_clone_user},
        {"clone3_user", try_clone3_user},
        {"setns", try_setns},
        {"mount", try_mount},
        {"mount_proc", try_mount_proc},
        {"remount", try_remount},
        {"bind", try_bind},
        {"umount", try_umount},
        {"pivot_root", try_pivot_root},
        {"open_tree", try_open_tree},
        {"fsopen", try_fsopen},
        {"chroot", try_chroot},
        {"mknod_disk", try_mknod_disk},
        {"mknod_mem", try_mknod_mem},
        {"open_by_handle", try_open_by_handle},
        {"fanotify", try_fanotify},
        {"swapon", try_swapon},
        {"quotactl", try_quotactl},
        {"acct", try_acct},
        {"reboot", try_reboot},
        {"kexec", try_kexec},
        {"init_module", try_init_module},
        {"delete_module", try_delete_module},
        {"settimeofday", try_settimeofday},
        {"clock_settime", try_clock_settime},
        {"sethostname", try_sethostname},
        {"syslog", try_syslog},
        {"vhangup", try_vhangup},
        {"personality", try_personality},
        {"memfd_secret", try_memfd_secret},
        {"vmsplice", try_vmsplice},
        {"set_mempolicy", try_mbind},
        {"kcmp", try_kcmp},
#if defined __x86_64__
        {"iopl", try_iopl},
        {"ioperm", try_ioperm},
        {"modify_ldt", try_modify_ldt},
#endif
        {"sched_fifo", try_sched_fifo},
        {"nice", try_nice},
        {"core_limit", try_core_limit},
        {"tiocsti", try_tiocsti},
        {"tiocsti_high_bits", try_tiocsti_high_bits},
        {"tioclinux", try_tioclinux},
    };
    if (argc != 2)
        return 2;
    return attack_run(list, sizeof list / sizeof *list, argv[1]);
}
