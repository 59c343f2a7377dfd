/* The system call filter, as classic BPF with raw numbers. */
#include "sandbox/guest/lockdown.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static const int refused[] = {
    SYS_keyctl, SYS_add_key, SYS_request_key, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd,
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_unshare, SYS_setns,
};
static struct sock_filter code[256];
static unsigned short length;
static void emit(uint16_t op, uint32_t k, uint8_t yes, uint8_t no)
{
    code[length++] = (struct sock_filter){.code = op, .jt = yes, .jf = no, .k = k};
}
struct sock_fprog lockdown_filter(void)
{
    if (length == 0) {
        emit(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, nr), 0, 0);
        for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
            emit(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)refused[i], 0, 1);
            emit(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM, 0, 0);
        }
        emit(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
    }
    return (struct sock_fprog){.len = length, .filter = code};
}
struct sock_fprog lockdown_clone3_filter(void)
{
    static struct sock_filter no_clone3[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offsetof(struct seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_clone3},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    return (struct sock_fprog){.len = 4, .filter = no_clone3};
}
